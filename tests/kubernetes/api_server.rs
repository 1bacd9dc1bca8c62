//! An API server of Kubernetes that has one pod, and checks every request strictly.
//!
//! Like the real one it answers `PATCH` of a pod with the resulting pod, refuses tokens that it does not know
//! (401) and calls that the role does not allow (403), refuses a patch whose `resourceVersion` is not the pod's (409),
//! raises that version at each change and at no other patch, and answers the metadata alone to a client that asks for that.
//! Unlike it, it knows one role: to patch this one pod, and there the label under test alone. What goes beyond
//! that is refused *and* recorded as a [violation](ApiServer::violations), so that no test passes by ignoring it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::support::certificate::Certificate;
use crate::support::server::Server;

pub(crate) const LABEL: &str = "intersystems.com/mirrorRole";
const PATH: &str = "/api/v1/namespaces/prod/pods/iris-0?fieldManager=mirrorvip";

/// The server; ends with its value.
pub(crate) struct ApiServer {
    state: Arc<Mutex<State>>,
    server: Server,
}

/// What the next write meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This status.
    Status(u16),
    /// A connection that is never answered.
    Silence,
    /// The change is made, and the connection ends before the answer.
    LostAnswer,
    /// Another client changes the pod just before.
    Overtaken,
}

#[derive(Debug)]
struct State {
    token: String,
    allowed: bool,
    version: u64,
    labels: BTreeMap<String, String>,
    faults: VecDeque<Fault>,
    /// Every value that the label has had through a patch.
    written: Vec<String>,
    reads: usize,
    violations: Vec<String>,
}

struct Request {
    line: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

// === impl ApiServer ===

impl ApiServer {
    /// Starts one with this `certificate`. Its pod has a label of another tool.
    pub(crate) fn start(certificate: &Certificate, token: &str) -> Self {
        let chain = CertificateDer::from_pem_slice(certificate.certificate.as_bytes()).expect("made as PEM");
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).expect("made as PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("they belong together");
        let state = Arc::new(Mutex::new(State {
            token: token.to_owned(),
            allowed: true,
            version: 41,
            labels: BTreeMap::from([("app".to_owned(), "iris".to_owned())]),
            faults: VecDeque::new(),
            written: Vec::new(),
            reads: 0,
            violations: Vec::new(),
        }));
        let (shared, tls) = (Arc::clone(&state), Arc::new(tls));
        // Connections that are never answered stay open here, and end with the server.
        let mut silent = Vec::new();
        let server = Server::anywhere(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&tls)).expect("the configuration is good");
            let mut stream = StreamOwned::new(connection, stream);
            // One after the other: the client has one call in flight.
            if let Ok(None) = answer(&mut stream, &shared) {
                silent.push(stream);
            }
        });
        Self { state, server }
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What the label says.
    pub(crate) fn label(&self) -> Option<String> {
        self.state().labels.get(LABEL).cloned()
    }

    /// Every value that was written, in order.
    pub(crate) fn written(&self) -> Vec<String> {
        self.state().written.clone()
    }

    /// How often the pod was patched with nothing.
    pub(crate) fn reads(&self) -> usize {
        self.state().reads
    }

    /// Changes the pod as another client does.
    pub(crate) fn relabel(&self, key: &str, value: &str) {
        self.state().change(key, value);
    }

    /// The kubelet replaces the token.
    pub(crate) fn accept_only(&self, token: &str) {
        token.clone_into(&mut self.state().token);
    }

    /// Whether the role may patch.
    pub(crate) fn allow(&self, allowed: bool) {
        self.state().allowed = allowed;
    }

    /// What the next writes meet, in this order.
    pub(crate) fn meet(&self, faults: &[Fault]) {
        self.state().faults.extend(faults);
    }

    /// What was asked that should not have been.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// The labels besides the one under test.
    pub(crate) fn other_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.state().labels.clone();
        labels.remove(LABEL);
        labels
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with it")
    }
}

/// Answers one request; `None` when it is to be met with silence.
fn answer(
    stream: &mut StreamOwned<ServerConnection, TcpStream>,
    state: &Mutex<State>,
) -> io::Result<Option<()>> {
    let request = read(stream)?;
    let answer = state.lock().expect("no thread panics with it").judge(&request);
    let Some((status, body)) = answer else { return Ok(None) };
    if status == 0 {
        return Ok(Some(()));
    }
    let text = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )?;
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(Some(()))
}

fn read(stream: &mut impl Read) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { line: line.trim_end().to_owned(), headers, body })
}

// === impl State ===

impl State {
    /// Status and body of the answer, 0 for a connection that just ends, nothing for silence.
    fn judge(&mut self, request: &Request) -> Option<(u16, Value)> {
        let header = |name: &str| request.headers.get(name).map(String::as_str).unwrap_or_default();
        let refusal = |status: u16, message: &str| {
            let body =
                json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message });
            Some((status, body))
        };
        if header("authorization") != format!("Bearer {}", self.token) {
            return refusal(401, "Unauthorized");
        }
        if request.line != format!("PATCH {PATH} HTTP/1.1") {
            self.violations.push(request.line.clone());
            return refusal(403, "the role allows to patch pods/iris-0 and nothing else");
        }
        if header("content-type") != "application/merge-patch+json" {
            self.violations.push(format!("content type {}", header("content-type")));
            return refusal(415, "the body of the request was in an unknown format");
        }
        if !self.allowed {
            return refusal(403, "pods \"iris-0\" is forbidden: cannot patch resource \"pods\"");
        }
        let Ok(patch) = serde_json::from_slice::<Value>(&request.body) else {
            self.violations.push("a body that is not JSON".to_owned());
            return refusal(400, "the body is not JSON");
        };
        if patch == json!({}) {
            self.reads += 1;
            return Some((200, self.pod(header("accept"))));
        }
        let (version, value) = (&patch["metadata"]["resourceVersion"], &patch["metadata"]["labels"][LABEL]);
        if patch != json!({ "metadata": { "resourceVersion": version, "labels": { LABEL: value } } }) {
            self.violations.push(format!("a patch of more than the label: {patch}"));
            return refusal(422, "more than the label");
        }
        let (Some(version), Some(value)) = (version.as_str(), value.as_str()) else {
            self.violations.push(format!("a patch without version or value: {patch}"));
            return refusal(422, "no version or no value");
        };
        let fault = self.faults.pop_front();
        match fault {
            Some(Fault::Status(status)) => return refusal(status, "the test wants it"),
            Some(Fault::Silence) => return None,
            Some(Fault::Overtaken) => self.change("kubelet", "was-here"),
            Some(Fault::LostAnswer) | None => {}
        }
        if version != self.version.to_string() {
            return refusal(
                409,
                "the object has been modified; please apply your changes to the latest version",
            );
        }
        self.change(LABEL, value);
        self.written.push(value.to_owned());
        match fault {
            Some(Fault::LostAnswer) => Some((0, Value::Null)),
            _ => Some((200, self.pod(header("accept")))),
        }
    }

    fn change(&mut self, key: &str, value: &str) {
        self.version += 1;
        self.labels.insert(key.to_owned(), value.to_owned());
    }

    fn pod(&self, accept: &str) -> Value {
        let metadata = json!({
            "name": "iris-0", "namespace": "prod", "resourceVersion": self.version.to_string(), "labels": self.labels
        });
        if accept.starts_with("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1") {
            json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata })
        } else {
            let spec = json!({ "containers": [{ "name": "iris", "image": "iris" }] });
            json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {} })
        }
    }
}
