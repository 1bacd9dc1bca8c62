//! Addresses that stay free while no process listens there, for a process whose address is chosen before it starts
//! or that comes back to it.
//!
//! Each is on a loopback address that no other test process uses, with a port below those that the kernel gives
//! to a process that asks for any: neither a wildcard listener nor an outgoing connection can take it meanwhile.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

/// Below the first port that Linux gives to a process that asks for any, 32768 unless the machine changed
/// `net.ipv4.ip_local_port_range`.
const PORTS: std::ops::Range<u16> = 20_000..32_768;

/// A loopback address that no other test uses.
pub fn own_address() -> IpAddr {
    static TAKEN: AtomicU8 = AtomicU8::new(0);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed);
    assert!(number < 200, "more addresses than this scheme has");
    let [.., high, low] = std::process::id().to_be_bytes();
    // 127.0.x.y and 127.1.x.y are left for addresses chosen by hand.
    Ipv4Addr::new(127, 2 + number, high, low).into()
}

/// A port of `address`, one of [`own_address`]'s; it stays free, since no other process chooses ports there.
pub fn free_port(address: IpAddr) -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(PORTS.start);
    let port = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(PORTS.contains(&port), "more ports than this scheme has");
    SocketAddr::new(address, port)
}
