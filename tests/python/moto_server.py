"""Serves moto on a loopback port of its own, which it writes to standard output; ends with its standard input.

The same application as the command `moto_server`, which cannot tell its port and outlives whoever started it.
"""

import logging
import sys

from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
