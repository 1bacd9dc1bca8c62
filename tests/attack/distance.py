#!/usr/bin/env python3
"""A wire of a length: packets between this network namespace and another arrive so many milliseconds later.

    tests/attack/distance.py NAMESPACE MILLISECONDS

It joins 10.66.0.1 here and 10.66.0.2 there by two TUN devices, prints a line when they are up, and ends, with the
devices, when its standard input is closed. `tc netem` would do the same where the kernel has it.
"""

import collections
import fcntl
import os
import select
import struct
import subprocess
import sys
import time

# linux/if_tun.h: TUNSETIFF, and IFF_TUN with IFF_NO_PI.
TUNSETIFF, PLAIN_TUN = 0x400454CA, 0x1001
HERE, THERE = "mirrorvip-near", "mirrorvip-far"


def tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), PLAIN_TUN))
    return device


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def main():
    namespace, delay = sys.argv[1], float(sys.argv[2]) / 1000
    near, far = tun(HERE), tun(THERE)
    ip("address", "add", "10.66.0.1", "peer", "10.66.0.2", "dev", HERE)
    ip("link", "set", HERE, "up")
    ip("link", "set", THERE, "netns", namespace)
    ip("-n", namespace, "address", "add", "10.66.0.2", "peer", "10.66.0.1", "dev", THERE)
    ip("-n", namespace, "link", "set", THERE, "up")
    print("ready", flush=True)

    # All packets are as long under way, so that they leave in the order in which they came.
    under_way = collections.deque()
    while True:
        patience = max(0, under_way[0][0] - time.monotonic()) if under_way else None
        ready, _, _ = select.select([near, far, sys.stdin], [], [], patience)
        if sys.stdin in ready:
            return
        for source, target in ((near, far), (far, near)):
            while source in ready:
                try:
                    under_way.append((time.monotonic() + delay, target, os.read(source, 65536)))
                except BlockingIOError:
                    break
        while under_way and under_way[0][0] <= time.monotonic():
            _, target, packet = under_way.popleft()
            try:
                os.write(target, packet)
            except OSError:
                pass  # A device that is full drops, as wires do.


main()
