//! The page over TLS.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mirrorvip::config::{Health, Tls};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::harness::{CHECK, SUCCESS, connect, eventually, read_all, serving, settings};

struct Files {
    directory: tempfile::TempDir,
    tls: Tls,
}

impl Files {
    fn new() -> (Self, CertificateDer<'static>) {
        let directory = tempfile::tempdir().unwrap();
        let tls =
            Tls { certificate: directory.path().join("crt.pem"), key: directory.path().join("key.pem") };
        let files = Self { directory, tls };
        let certificate = files.renew();
        (files, certificate)
    }

    fn renew(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["member.example".to_owned()]).unwrap();
        let texts = [made.cert.pem(), made.signing_key.serialize_pem()];
        for (path, text) in [&self.tls.certificate, &self.tls.key].into_iter().zip(texts) {
            let beside = self.directory.path().join("new");
            fs::write(&beside, text).unwrap();
            fs::rename(beside, path).unwrap();
        }
        made.cert.der().clone()
    }
}

fn ask_trusting(
    certificate: &CertificateDer<'static>,
    address: SocketAddr,
    prefix: &[u8],
) -> Result<String, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "member.example".try_into().unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = connect(address);
    socket.write_all(prefix).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    stream.write_all(CHECK.as_bytes())?;
    let mut text = String::new();
    // An end without the peer's close_notify would be an error here.
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn the_page_over_tls_follows_its_certificate() {
    let (files, first) = Files::new();
    let mut rig = serving(Health { tls: Some(files.tls.clone()), ..settings() });
    let address = rig.address();
    assert_eq!(ask_trusting(&first, address, b"").unwrap(), SUCCESS);

    let second = files.renew();
    assert!(ask_trusting(&second, address, b"").is_err() || ask_trusting(&first, address, b"").is_err());
    eventually("renewed", || ask_trusting(&second, address, b"").is_ok_and(|answer| answer == SUCCESS));
    assert!(ask_trusting(&first, address, b"").is_err());

    fs::write(&files.tls.key, "garbage").unwrap();
    let settings = Health { tls: Some(files.tls.clone()), ..settings() };
    assert!(rig.reconfigure(&settings).is_err());
    assert_eq!(ask_trusting(&second, address, b"").unwrap(), SUCCESS, "the old one stays");
}

#[test]
fn a_proxy_header_stands_before_the_handshake() {
    let (files, certificate) = Files::new();
    let rig = serving(Health { tls: Some(files.tls.clone()), proxy_protocol: true, ..settings() });
    let header = b"PROXY TCP4 10.0.0.9 10.0.0.8 4711 80\r\n";
    assert_eq!(ask_trusting(&certificate, rig.address(), header).unwrap(), SUCCESS);
    assert_eq!(ask_trusting(&certificate, rig.address(), b"").unwrap(), SUCCESS);
    eventually("client", || {
        rig.server().checkers().snapshot().iter().any(|row| row.address.to_string() == "10.0.0.9")
    });
}

#[test]
fn a_client_without_a_handshake_is_closed() {
    let (files, certificate) = Files::new();
    let header_timeout = Duration::from_millis(500);
    let rig = serving(Health { tls: Some(files.tls.clone()), header_timeout, ..settings() });
    let mut plain = connect(rig.address());
    plain.write_all(CHECK.as_bytes()).unwrap();
    let mut answer = Vec::new();
    if plain.read_to_end(&mut answer).is_ok() {
        assert!(!answer.starts_with(b"HTTP"), "an alert at most");
    }
    assert_eq!(read_all(connect(rig.address())), "", "silence ends at the deadline");
    eventually("a client that is quick enough", || {
        ask_trusting(&certificate, rig.address(), b"").is_ok_and(|answer| answer == SUCCESS)
    });
}

#[test]
fn strangers_get_no_handshake() {
    let (files, certificate) = Files::new();
    let allowed_networks = vec!["10.0.0.0/8".parse().unwrap()];
    let rig = serving(Health { tls: Some(files.tls.clone()), allowed_networks, ..settings() });
    assert!(ask_trusting(&certificate, rig.address(), b"").is_err());
}
