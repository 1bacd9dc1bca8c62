//! The PROXY protocol header that may stand before a request. PURE and total.
//!
//! Target groups with PROXY protocol switched on prefix their health checks as well, in version 1 (text) or 2
//! (binary); source: `proxy-protocol.txt` of HAProxy. A request without a header is answered too, since other checkers
//! poll the same port. A header's address is only recorded: any client can write one, so it never grants access.

use std::net::IpAddr;

/// First bytes of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// First bytes of version 1.
const WORD: &[u8] = b"PROXY ";
/// Longest header of version 1, the line end included.
const MAX_LINE: usize = 107;
/// Longest header of version 2 that is waited for: addresses and any extension a cloud adds, with room.
const MAX_BINARY: usize = 4 * 1024;

/// What stands at the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// No PROXY header.
    Absent,
    /// The beginning of one, or too little to tell.
    Partial,
    /// A whole one.
    Header {
        /// Its length in bytes.
        length: usize,
        /// The client that it names; `None` for checks of the proxy itself.
        client: Option<IpAddr>,
    },
    /// It began like one and is none.
    Malformed,
}

/// Reads a PROXY header at the beginning of `bytes`.
pub(super) fn split(bytes: &[u8]) -> Prefix {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(SIGNATURE) {
        if bytes.len() < SIGNATURE.len() { Prefix::Partial } else { binary(bytes) }
    } else if begins(WORD) {
        if bytes.len() < WORD.len() { Prefix::Partial } else { line(bytes) }
    } else {
        Prefix::Absent
    }
}

fn binary(bytes: &[u8]) -> Prefix {
    let Some(&[high, low]) = bytes.get(14..16) else { return Prefix::Partial };
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BINARY {
        return Prefix::Malformed;
    }
    let Some(header) = bytes.get(..length) else { return Prefix::Partial };
    match ppp::v2::Header::try_from(header) {
        Ok(header) => Prefix::Header {
            length,
            client: match (header.command, header.addresses) {
                (ppp::v2::Command::Local, _) => None,
                (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv4(ip)) => Some(ip.source_address.into()),
                (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv6(ip)) => {
                    Some(IpAddr::from(ip.source_address).to_canonical())
                }
                (ppp::v2::Command::Proxy, ppp::v2::Addresses::Unspecified | ppp::v2::Addresses::Unix(_)) => {
                    None
                }
            },
        },
        Err(_) => Prefix::Malformed,
    }
}

fn line(bytes: &[u8]) -> Prefix {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if window.len() < MAX_LINE { Prefix::Partial } else { Prefix::Malformed };
    };
    let length = end + 2;
    match ppp::v1::Header::try_from(&bytes[..length]) {
        Ok(header) => Prefix::Header {
            length,
            client: match header.addresses {
                ppp::v1::Addresses::Unknown => None,
                ppp::v1::Addresses::Tcp4(ip) => Some(ip.source_address.into()),
                ppp::v1::Addresses::Tcp6(ip) => Some(IpAddr::from(ip.source_address).to_canonical()),
            },
        },
        Err(_) => Prefix::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(length: usize, client: &str) -> Prefix {
        Prefix::Header { length, client: Some(client.parse().unwrap()) }
    }

    #[test]
    fn version_1() {
        assert_eq!(split(b"PROXY TCP4 10.0.0.1 10.0.0.2 4711 80\r\nGET /"), header(38, "10.0.0.1"));
        assert_eq!(split(b"PROXY TCP6 fe80::1 fe80::2 4711 80\r\n"), header(36, "fe80::1"));
        assert_eq!(split(b"PROXY UNKNOWN\r\nGET"), Prefix::Header { length: 15, client: None });
        assert_eq!(split(b"PROXY TCP4 10.0.0.1 10.0"), Prefix::Partial);
        assert_eq!(split(b"PROXY TCP4 nonsense\r\n"), Prefix::Malformed);
        assert_eq!(split(&[WORD, &[b'a'; 200]].concat()), Prefix::Malformed);
    }

    #[test]
    fn version_2() {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[0x21, 0x11, 0, 12, 10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x67, 0, 80]);
        for cut in 1..bytes.len() {
            assert_eq!(split(&bytes[..cut]), Prefix::Partial, "{cut}");
        }
        bytes.extend_from_slice(b"GET /");
        assert_eq!(split(&bytes), header(28, "10.0.0.1"));
        bytes[12] = 0x20;
        assert_eq!(split(&bytes), Prefix::Header { length: 28, client: None }, "LOCAL: a check of the proxy");
        bytes[12] = 0x31;
        assert_eq!(split(&bytes), Prefix::Malformed);
        let huge = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
        assert_eq!(split(&huge), Prefix::Malformed, "64 KiB are not waited for");
    }

    #[test]
    fn requests_have_none() {
        assert_eq!(split(b"GET / HTTP/1.1\r\n"), Prefix::Absent);
        assert_eq!(split(b"POST"), Prefix::Absent);
        assert_eq!(split(b"\r\nGET"), Prefix::Absent);
        assert_eq!(split(b"\x16\x03\x01"), Prefix::Absent);
        assert_eq!(split(b"P"), Prefix::Partial, "PROXY or POST");
        assert_eq!(split(b""), Prefix::Partial);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decided(
            begin in prop_oneof![Just(&b""[..]), Just(WORD), Just(SIGNATURE)],
            rest in proptest::collection::vec(any::<u8>(), 0..160),
        ) {
            let bytes = [begin, &rest].concat();
            let beyond = matches!(split(&bytes), Prefix::Header { length, .. } if length > bytes.len());
            prop_assert!(!beyond);
        }
    }
}
