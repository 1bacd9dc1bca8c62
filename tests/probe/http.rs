//! The probes that ask over HTTP, against real sockets.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use mirrorvip::config::{HttpTarget, Probe};
use mirrorvip::observation::{NoEvidence, Role};
use mirrorvip::probe::Prober;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::support::{LONG, SHORT, ask, cause, prober, word};

const SUCCESS: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 7\r\n\r\nSUCCESS";
const FAILED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\nFAILED";

/// What a server does once it has read a request.
#[derive(Clone)]
enum Then {
    /// Sends this, and closes.
    Answer(Vec<u8>),
    /// Sends this, and keeps the connection open.
    Hang(Vec<u8>),
    /// Sends the first once and the second over and over.
    Flood(Vec<u8>, Vec<u8>),
}

struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(then: Then) -> Self {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), then, None).await
    }

    async fn start_on(address: SocketAddr, then: Then, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&asked);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("loopback accepts");
                let (tls, then, requests) = (tls.clone(), then.clone(), Arc::clone(&requests));
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, then, &requests).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, then, &requests).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, asked, _tasks: tasks }
    }

    fn gateway(&self) -> Prober {
        gateway(&format!("http://{}/csp/bin/mirror_status.cxw", self.address), None, LONG)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no thread panics with it").clone()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, then: Then, requests: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    requests.lock().expect("no thread panics with it").push(String::from_utf8_lossy(&request).into_owned());
    match then {
        Then::Answer(answer) => {
            // A client that has seen enough may be gone.
            let _sent = stream.write_all(&answer).await;
            let _closed = stream.shutdown().await;
        }
        Then::Hang(answer) => {
            let _sent = stream.write_all(&answer).await;
            std::future::pending::<()>().await;
        }
        Then::Flood(head, more) => {
            let mut sent = stream.write_all(&head).await;
            while sent.is_ok() {
                sent = stream.write_all(&more).await;
            }
        }
    }
}

fn target(url: &str, ca_file: Option<&Path>) -> HttpTarget {
    HttpTarget { url: url.parse().expect("a URL"), ca_file: ca_file.map(Path::to_owned) }
}

fn gateway(url: &str, ca_file: Option<&Path>, timeout: Duration) -> Prober {
    prober(Probe::Gateway(target(url, ca_file)), timeout)
}

#[tokio::test]
async fn the_gateways_page_names_the_role() {
    let primary = Server::start(Then::Answer(SUCCESS.to_vec())).await;
    let mut prober = primary.gateway();
    for _ in 0..2 {
        let reading = ask(&mut prober).await;
        assert_eq!(reading.outcome, Ok(Role::Primary));
        assert_eq!(reading.evidence, "HTTP 200 `SUCCESS`");
    }
    let request = primary.asked().pop().expect("it was asked");
    assert!(request.starts_with("GET /csp/bin/mirror_status.cxw HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {}\r\n", primary.address)), "{request}");
    assert!(request.contains("connection: close\r\n"), "{request}");
    let other = Server::start(Then::Answer(FAILED.to_vec())).await;
    assert_eq!(word(&ask(&mut other.gateway()).await), "not-primary");
}

#[tokio::test]
async fn metrics_give_the_role() {
    let body = "# TYPE x gauge\niris_mirror_member_type 3\niris_mirror_status 2\n";
    for (status, expected) in
        [("200 OK", "primary"), ("403 Forbidden", "denied"), ("404 Not Found", "no-such-instance")]
    {
        // Without a length: the end of the connection ends the body.
        let server =
            Server::start(Then::Answer(format!("HTTP/1.0 {status}\r\n\r\n{body}").into_bytes())).await;
        let url = format!("http://{}/api/monitor/metrics", server.address);
        assert_eq!(word(&ask(&mut prober(Probe::Metrics(target(&url, None)), LONG)).await), expected);
    }
}

#[tokio::test]
async fn names_and_both_families_are_understood() {
    let server = Server::start(Then::Answer(SUCCESS.to_vec())).await;
    let url = format!("http://localhost:{}/", server.address.port());
    assert_eq!(word(&ask(&mut gateway(&url, None, LONG)).await), "primary");
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let server = Server::start_on(v6, Then::Answer(SUCCESS.to_vec()), None).await;
    assert_eq!(word(&ask(&mut server.gateway()).await), "primary");
    let reading = ask(&mut gateway("http://no-such-host.invalid/", None, LONG)).await;
    assert_eq!(word(&reading), "unreachable", "{reading:?}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_one_deadline() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nSUCC";
    for sent in [&b""[..], b"HTTP/1.1 200", head] {
        let server = Server::start(Then::Hang(sent.to_vec())).await;
        let url = format!("http://{}/", server.address);
        let reading = ask(&mut gateway(&url, None, SHORT)).await;
        assert_eq!(cause(&reading), &NoEvidence::TimedOut { after: SHORT });
    }
    // No process accepts: the kernel does, for as long as its queue has room.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has free ports");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    assert_eq!(word(&ask(&mut gateway(&url, None, SHORT)).await), "timed-out");
    drop(listener);
    let reading = ask(&mut gateway(&url, None, LONG)).await;
    assert!(
        matches!(cause(&reading), NoEvidence::Unreachable(text) if text.contains("failed to connect to"))
    );
}

#[tokio::test]
async fn broken_answers_are_no_evidence() {
    let check = async |answer: &[u8], expected: &str| {
        let server = Server::start(Then::Answer(answer.to_vec())).await;
        let reading = ask(&mut server.gateway()).await;
        assert_eq!(word(&reading), expected, "{reading:?} to {:?}", String::from_utf8_lossy(answer));
    };
    check(b"", "unreachable").await;
    check(b"SUCCESS", "unparsable").await;
    check(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "unparsable").await;
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nSUCCESS", "unreachable").await;
    check(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nSUCCESS\r\n", "unreachable").await;
    check(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nSUCCESS\r\n0\r\n\r\n", "primary").await;
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "unrecognised").await;
}

#[tokio::test]
async fn answers_are_bounded() {
    let chunk = [b"2000\r\n".as_slice(), &[b'x'; 0x2000], b"\r\n"].concat();
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let server = Server::start(Then::Flood(head, chunk)).await;
    assert_eq!(cause(&ask(&mut server.gateway()).await), &NoEvidence::TooLong { limit: 64 * 1024 });
    let url = format!("http://{}/api/monitor/metrics", server.address);
    let mut metrics = prober(Probe::Metrics(target(&url, None)), LONG);
    assert_eq!(cause(&ask(&mut metrics).await), &NoEvidence::TooLong { limit: 1024 * 1024 });
    let server =
        Server::start(Then::Flood(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-More: of it\r\n".to_vec())).await;
    assert_eq!(word(&ask(&mut server.gateway()).await), "unparsable");
}

#[tokio::test]
async fn redirections_are_not_followed_and_secrets_not_shown() {
    let to = b"HTTP/1.1 302 Found\r\nLocation: /login?password=hunter2\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(Then::Answer(to.to_vec())).await;
    let url = format!("http://user:hunter2@{}/page?CacheUserName=a&CachePassword=hunter2", server.address);
    let mut prober = gateway(&url, None, LONG);
    let reading = ask(&mut prober).await;
    assert_eq!(word(&reading), "failed");
    assert!(cause(&reading).to_string().contains("redirects (302) to /login; set `url`"), "{reading:?}");
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0].starts_with("GET /page?CacheUserName=a&CachePassword=hunter2 HTTP/1.1\r\n"),
        "{asked:?}"
    );
    assert!(asked[0].contains(&format!("host: {}\r\n", server.address)), "{asked:?}");
    assert_eq!(prober.to_string(), format!("http://{}/page", server.address));
    assert!(!format!("{reading:?}").contains("hunter2"), "{reading:?}");
}

/// An authority, and a server's certificate from it, in files.
struct Authority {
    ca_file: PathBuf,
    acceptor: TlsAcceptor,
}

impl Authority {
    fn new(directory: &TempDir, name: &str) -> Self {
        let ca_key = KeyPair::generate().expect("randomness");
        let mut ca = CertificateParams::new(Vec::new()).expect("no names");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).expect("a key of a known kind").pem();
        let key = KeyPair::generate().expect("randomness");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).expect("valid names");
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a key of a known kind");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = vec![CertificateDer::from_pem_slice(leaf.pem().as_bytes()).expect("just written")];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("just written");
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports them")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("the key fits");
        let ca_file = directory.path().join(name);
        fs::write(&ca_file, ca_pem).expect("can be written");
        Self { ca_file, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    async fn serve(&self) -> Server {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Server::start_on(address, Then::Answer(SUCCESS.to_vec()), Some(self.acceptor.clone())).await
    }
}

#[tokio::test]
async fn certificates_are_checked_against_the_authority() {
    let directory = TempDir::new().expect("a temporary directory");
    let ours = Authority::new(&directory, "ours.pem");
    let theirs = Authority::new(&directory, "theirs.pem");
    let server = ours.serve().await;
    let by_name = format!("https://localhost:{}/", server.address.port());
    let by_address = format!("https://{}/", server.address);
    for url in [&by_name, &by_address] {
        assert_eq!(word(&ask(&mut gateway(url, Some(&ours.ca_file), LONG)).await), "primary", "{url}");
    }
    let reading = ask(&mut gateway(&by_name, Some(&theirs.ca_file), LONG)).await;
    assert!(
        matches!(cause(&reading), NoEvidence::Unreachable(text) if text.contains("`ca_file`")),
        "{reading:?}"
    );
    // Whether or not this machine has a list of authorities, ours is not on it.
    assert!(ask(&mut gateway(&by_name, None, LONG)).await.outcome.is_err());
    // A server that does not speak TLS, and one that says nothing.
    let plain = Server::start(Then::Answer(SUCCESS.to_vec())).await;
    let url = format!("https://{}/", plain.address);
    assert!(ask(&mut gateway(&url, Some(&ours.ca_file), SHORT)).await.outcome.is_err());
}

#[tokio::test]
async fn authorities_are_read_again_when_they_change() {
    let directory = TempDir::new().expect("a temporary directory");
    let ours = Authority::new(&directory, "ours.pem");
    let theirs = Authority::new(&directory, "theirs.pem");
    let (our_server, their_server) = (ours.serve().await, theirs.serve().await);
    let ca_file = directory.path().join("ca.pem");
    let mut prober = gateway(&format!("https://{}/", our_server.address), Some(&ca_file), LONG);
    let reading = ask(&mut prober).await;
    assert_eq!(word(&reading), "failed");
    assert!(cause(&reading).to_string().contains("ca.pem"), "{reading:?}");

    let mut age = 100;
    let mut replace = |content: &[u8]| {
        fs::write(&ca_file, content).expect("can be written");
        // Two versions written within a tick of the file system's clock would look the same.
        age -= 1;
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
        fs::File::options().write(true).open(&ca_file).expect("it exists").set_modified(then).expect("ours");
    };
    let read = |authority: &Authority| fs::read(&authority.ca_file).expect("just written");
    replace(b"no certificate\n");
    assert!(cause(&ask(&mut prober).await).to_string().contains("there is no certificate in"));
    replace(&read(&ours));
    assert_eq!(word(&ask(&mut prober).await), "primary");
    // A bad file leaves the good ones in use.
    replace(b"no certificate\n");
    assert_eq!(word(&ask(&mut prober).await), "primary");
    fs::remove_file(&ca_file).expect("ours to remove");
    assert_eq!(word(&ask(&mut prober).await), "primary");
    let replace = |content: &[u8]| fs::write(&ca_file, content).expect("can be written");
    replace(&read(&theirs));
    assert_eq!(word(&ask(&mut prober).await), "unreachable", "theirs did not sign ours");
    let mut prober = gateway(&format!("https://{}/", their_server.address), Some(&ca_file), LONG);
    assert_eq!(word(&ask(&mut prober).await), "primary");
}
