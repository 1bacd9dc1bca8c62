//! What counts as one client where connections are shared out. PURE.
//!
//! Fairness needs a name that an attacker cannot change at will. A completed TCP handshake proves an IPv4 address; of
//! IPv6 it proves the network of 64 bits, of which one host may use every address. What a PROXY header claims proves
//! nothing.

use std::net::{IpAddr, Ipv6Addr};

/// The network of a TCP peer: an IPv4 address itself, also one that IPv6 carries; of any other IPv6 address its /64.
pub(crate) fn of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_an_attacker_cannot_change_at_will() {
        let of = |text: &str| of(text.parse().unwrap());
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
