//! An endpoint that records what the AWS SDK sends and answers as a test says: a real socket, so that
//! what is compared is what a service would have got.
//!
//! Included by unit tests of the library and by integration tests alike, so it knows neither.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of this module")]

use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// What the endpoint does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It answers.
    Answer { status: u16, body: String },
    /// It answers, and says that this is the time.
    At { date: String, status: u16, body: String },
    /// It keeps the connection open and says nothing, for ever.
    Silence,
}

/// The endpoint. Ends with its value.
pub struct Endpoint {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

type Answers = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// Compares with `tests/golden/NAME.txt`; `UPDATE_EXPECT=1` writes the file.
pub fn assert_golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, actual).expect("the golden file is writable");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "tests/golden/{name}.txt; UPDATE_EXPECT=1 writes what is sent");
}

/// The same configuration with the endpoint `url` and credentials for tests.
pub fn point(sdk: SdkConfig, url: &str) -> SdkConfig {
    let credentials = Credentials::new("AKIATEST", "secret", None, None, "test");
    sdk.into_builder()
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

// === impl Reply ===

impl Reply {
    /// 200 with an XML body.
    pub fn ok(body: impl Into<String>) -> Self {
        Self::Answer { status: 200, body: body.into() }
    }

    /// An error as the Query protocol words it.
    pub fn query_error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>1</RequestId></ErrorResponse>"
        );
        Self::Answer { status, body }
    }
}

// === impl Request ===

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// One parameter of a form body, as it stands there.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// The request without what differs from run to run: the address, the time, the signature itself. What
    /// the signature is for (region, service, headers) stays; a form has a line for each parameter.
    pub fn golden(&self) -> String {
        let mut text = format!("{} {}\n", self.method, self.path);
        for name in ["content-type", "x-amz-target", "amz-sdk-request"] {
            if let Some(value) = self.header(name) {
                // The deadline that the SDK sends is a time of day.
                let lasting = value.split("; ").filter(|part| !part.starts_with("ttl="));
                let _ = writeln!(text, "{name}: {}", lasting.collect::<Vec<_>>().join("; "));
            }
        }
        let _ = writeln!(text, "host: {}", if self.is_to_us() { "ENDPOINT" } else { "?" });
        let _ =
            writeln!(text, "authorization: {}", self.header("authorization").map_or("none".into(), scope));
        let form = self.header("content-type") == Some("application/x-www-form-urlencoded");
        let body = if form { self.body.replace('&', "\n&") } else { self.body.clone() };
        let _ = writeln!(text, "\n{body}");
        text
    }

    fn is_to_us(&self) -> bool {
        self.header("host").is_some_and(|host| host.starts_with("127.0.0.1:"))
    }
}

/// `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders=..., Signature=...`
fn scope(authorization: &str) -> String {
    let part = |name: &str| {
        let value = authorization.split([' ', ',']).find_map(|part| part.strip_prefix(name));
        value.unwrap_or("?").to_owned()
    };
    let credential = part("Credential=");
    let mut words = credential.splitn(3, '/');
    let (key, scope) = (words.next().unwrap_or("?"), words.nth(1).unwrap_or("?"));
    format!("{key}/DATE/{scope}, SignedHeaders={}", part("SignedHeaders="))
}

// === impl Endpoint ===

impl Endpoint {
    /// Starts on a port of its own; `answers` says what to do with each request.
    pub async fn start(answers: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (requests, connections) = (Arc::default(), Arc::default());
        let mut server = JoinSet::new();
        server.spawn(accept(listener, Arc::clone(&connections), Arc::clone(&requests), Arc::new(answers)));
        Self { address, requests, connections, _server: server }
    }

    /// The same, of a service whose clock is ahead of ours and that refuses what is signed more than five minutes
    /// from its own time, with this code.
    pub async fn ahead(
        by: SignedDuration,
        code: &'static str,
        answers: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let dated = move |request: &Request| {
            let now = Timestamp::now() + by;
            let signed = request.header("x-amz-date").expect("it is signed");
            let signed = DateTime::strptime("%Y%m%dT%H%M%SZ", signed).expect("a time");
            let signed = signed.to_zoned(TimeZone::UTC).expect("a time in UTC").timestamp();
            let reply = if now.duration_since(signed).abs() > SignedDuration::from_mins(5) {
                Reply::query_error(403, code, "it was not possible to validate the credentials")
            } else {
                answers(request)
            };
            match reply {
                Reply::Answer { status, body } => {
                    Reply::At { date: now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(), status, body }
                }
                reply @ (Reply::At { .. } | Reply::Silence) => reply,
            }
        };
        Self::start(dated).await
    }

    /// The same configuration with this endpoint and credentials for tests.
    pub fn point(&self, sdk: SdkConfig) -> SdkConfig {
        point(sdk, &self.url())
    }

    /// Where it listens, as `AWS_ENDPOINT_URL` takes it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn accept(
    listener: TcpListener,
    count: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Request>>>,
    answers: Answers,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        count.fetch_add(1, Ordering::Relaxed);
        let (requests, answers) = (Arc::clone(&requests), Arc::clone(&answers));
        connections.spawn(async move {
            let service =
                service_fn(move |request| respond(request, Arc::clone(&requests), Arc::clone(&answers)));
            // A client that goes away in the middle is a test's business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(
    request: hyper::Request<Incoming>,
    requests: Arc<Mutex<Vec<Request>>>,
    answers: Answers,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let reply = answers(&request);
    requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let response = |status: u16| hyper::Response::builder().status(status).header("content-type", "text/xml");
    let (response, body) = match reply {
        Reply::Answer { status, body } => (response(status), body),
        Reply::At { date, status, body } => (response(status).header("date", date), body),
        Reply::Silence => std::future::pending().await,
    };
    Ok(response.body(Full::from(body)).expect("a test's status is a status"))
}
