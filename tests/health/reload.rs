//! Taking over another configuration, and refusing to.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use mirrorvip::clock::Clock;
use mirrorvip::config::Health;
use mirrorvip::health::Server;

use super::harness::{CHECK, SUCCESS, ask, connect, eventually, read_all, serving, settings, status};

#[test]
fn sockets_of_addresses_that_stay_are_kept() {
    let mut rig = serving(settings());
    let address = rig.address();
    let mut waiting = connect(address);
    waiting.write_all(b"GET /csp/bin").unwrap();
    rig.until(|counters| counters.accepted == 1);

    let any = "127.0.0.1:0".parse().unwrap();
    rig.mirrors[0].paths = vec!["/elsewhere".to_owned()];
    let both = Health { listen: vec![any, any], agent_check: Some(any), ..settings() };
    rig.reconfigure(&both).unwrap();
    let after = rig.server().addresses();
    assert_eq!((after[0], after.len()), (address, 2));
    for address in after {
        eventually("new address and paths", || status(&ask(address, CHECK)) == 404);
    }
    assert!(rig.server().agent_check_address().is_some());
    waiting.write_all(b"/mirror_status.cxw HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_all(waiting), SUCCESS, "finishes with the configuration it began with");

    let second = rig.server().addresses()[1];
    rig.reconfigure(&settings()).unwrap();
    eventually("closed port", || TcpStream::connect(second).is_err());
    assert_eq!(rig.server().addresses(), [address]);
    assert_eq!(status(&ask(address, CHECK)), 404);
    assert!(rig.is_turning());
}

/// A client that asks without a pause never fails while the configuration is taken over again and again.
#[test]
fn no_check_is_lost_over_reloads() {
    let mut rig = serving(settings());
    let address = rig.address();
    let asking = std::thread::spawn(move || (0..300).all(|_| ask(address, CHECK) == SUCCESS));
    let other = Health { listen: vec![rig.settings.listen[0]; 2], ..settings() };
    while !asking.is_finished() {
        rig.reconfigure(&other).unwrap();
        rig.reconfigure(&settings()).unwrap();
    }
    assert!(asking.join().unwrap());
    assert_eq!(rig.address(), address);
}

#[test]
fn settings_that_cannot_be_taken_over_change_nothing() {
    let mut rig = serving(settings());
    let address = rig.address();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = vec![rig.settings.listen[0], taken.local_addr().unwrap()];
    let error = rig.reconfigure(&Health { listen, ..settings() }).unwrap_err();
    assert_eq!(error.to_string(), format!("listen on {}", taken.local_addr().unwrap()));
    assert!(error.hint().is_some());
    let tls = Some(mirrorvip::config::Tls { certificate: "/nowhere/crt".into(), key: "/nowhere/key".into() });
    assert!(rig.reconfigure(&Health { tls, ..settings() }).is_err());
    assert_eq!(rig.server().addresses(), [address]);
    assert_eq!(rig.check(), SUCCESS);
}

#[test]
fn a_server_that_cannot_start_leaves_nothing_open() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    // No other test uses this address, so the port stays free.
    let free = TcpListener::bind("127.83.1.2:0").unwrap().local_addr().unwrap();
    let listen = vec![free, taken.local_addr().unwrap()];
    let started = Server::start(&Health { listen, ..settings() }, Vec::new(), Clock::system(), Vec::new());
    assert!(started.is_err());
    assert!(TcpStream::connect(free).is_err());
}

#[test]
fn a_dropped_server_closes_its_ports() {
    let any = settings();
    let server = Server::start(&any, Vec::new(), Clock::system(), Vec::new()).unwrap();
    let address = server.addresses()[0];
    let _waiting = connect(address);
    drop(server);
    eventually("closed port", || TcpStream::connect(address).is_err());
}
