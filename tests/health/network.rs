//! Addresses: which clients may ask, and what a PROXY header is worth.

use std::io::Write;
use std::net::{Ipv6Addr, TcpListener};

use mirrorvip::config::Health;

use super::harness::{CHECK, Rig, SUCCESS, ask, connect, eventually, read_all, serving, settings, status};
use mirrorvip::observation::Role;

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x0a\x00\x00\x07\x0a\x00\x00\x08\x10\x00\x00\x50";

#[test]
fn only_allowed_networks_may_ask() {
    let networks = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect();
    let closed = serving(Health { allowed_networks: networks(&["10.0.0.0/8", "::1/128"]), ..settings() });
    let answer = closed.check();
    assert_eq!(status(&answer), 403);
    assert!(!answer.contains("SUCCESS"));
    assert_eq!(status(&ask(closed.address(), CHECK.repeat(2))), 403);
    let open = serving(Health { allowed_networks: networks(&["127.0.0.0/8"]), ..settings() });
    assert_eq!(open.check(), SUCCESS);
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_is_judged_as_ipv4() {
    // A socket of the service manager may serve both families.
    let socket = TcpListener::bind("[::]:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listen = vec![address];
    let allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    let settings = Health { listen, allowed_networks, ..settings() };
    let rig = Rig::inherit(settings, &[("PROD", "/csp/bin")], vec![socket]);
    rig.says(0, Ok(Role::Primary));
    assert_eq!(rig.address(), address, "the inherited socket is used");
    assert_eq!(ask(([127, 0, 0, 1], address.port()).into(), CHECK), SUCCESS);
    assert_eq!(status(&ask((Ipv6Addr::LOCALHOST, address.port()).into(), CHECK)), 403);
    eventually("row", || rig.server().checkers().snapshot().iter().any(|row| row.address.is_ipv4()));
}

#[test]
fn several_addresses_of_both_families() {
    let listen = ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"].map(|address| address.parse().unwrap());
    let rig = serving(Health { listen: listen.to_vec(), ..settings() });
    let addresses = rig.server().addresses();
    assert_eq!(addresses.len(), 3);
    for address in addresses {
        assert_eq!(ask(address, CHECK), SUCCESS, "{address}");
    }
}

#[test]
fn proxy_headers_are_read_over_and_remembered() {
    let rig = serving(Health { proxy_protocol: true, ..settings() });
    let seen = |address: &str| {
        rig.server().checkers().snapshot().iter().any(|row| row.address.to_string() == address)
    };
    let v1 = "PROXY TCP4 10.0.0.9 10.0.0.8 4711 80\r\n";
    assert_eq!(ask(rig.address(), format!("{v1}{CHECK}")), SUCCESS);
    eventually("version 1", || seen("10.0.0.9"));
    assert_eq!(ask(rig.address(), [V2, CHECK.as_bytes()].concat()), SUCCESS);
    eventually("version 2", || seen("10.0.0.7"));
    assert!(!seen("127.0.0.1"));
    assert_eq!(rig.check(), SUCCESS, "without a header too");
    eventually("peer", || seen("127.0.0.1"));
    assert_eq!(ask(rig.address(), format!("PROXY UNKNOWN\r\n{CHECK}")), SUCCESS);

    for prefix in [v1.as_bytes(), V2] {
        let mut client = connect(rig.address());
        for byte in [prefix, CHECK.as_bytes()].concat() {
            client.write_all(&[byte]).unwrap();
        }
        assert_eq!(read_all(client), SUCCESS, "in pieces");
    }
    assert_eq!(status(&ask(rig.address(), format!("PROXY TCP4 nonsense\r\n{CHECK}"))), 400);
    assert_eq!(status(&ask(rig.address(), [&V2[..12], &[0x99; 4], CHECK.as_bytes()].concat())), 400);
}

#[test]
fn a_proxy_header_opens_no_door() {
    let allowed_networks = vec!["10.0.0.0/8".parse().unwrap()];
    let rig = serving(Health { proxy_protocol: true, allowed_networks, ..settings() });
    assert_eq!(status(&ask(rig.address(), [V2, CHECK.as_bytes()].concat())), 403);
}
