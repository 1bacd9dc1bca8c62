//! A page that says what a test wants, a boto3 that makes calls, the AWS command line, and raw requests.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mirrorvip::simulation::cloud::SimulatedCloud;
use serde_json::Value;

pub(crate) use crate::support::cloud::fast_cloud;
use crate::support::python;
pub(crate) use crate::support::python::Boto3;
use crate::support::server::Server;
use crate::support::{Condition, eventually_within};

/// No step takes this long on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A status page on a port of its own.
pub(crate) struct Page {
    serves: Arc<AtomicBool>,
    server: Server,
}

/// Waits until `condition` gives something, and fails with `what` if it never does.
pub(crate) fn eventually<C: Condition>(what: &str, condition: impl FnMut() -> C) -> C::Value {
    eventually_within(PATIENCE, what, condition)
}

/// Runs the AWS command line; its answer as JSON (null if there is none), or what it wrote to standard error.
pub(crate) fn aws(environment: Vec<(String, String)>, arguments: &[&str]) -> Result<Value, String> {
    let output = python::command(python::program("aws"), environment)
        .args(arguments)
        .args(["--output", "json"])
        .stdin(Stdio::null())
        .output()
        .expect("the AWS command line starts");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

/// Sends a request with the form of a signature of the Query protocol; the connection can be used further.
pub(crate) fn send_query(stream: &mut TcpStream, key: &str, service: &str, body: &str) {
    let region = if service == "route53" { "us-east-1" } else { "eu-west-1" };
    let scope = format!("{key}/20260101/{region}/{service}/aws4_request");
    let request = format!(
        "POST / HTTP/1.1\r\nHost: cloud\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("the cloud takes requests");
}

/// Connects to the cloud.
pub(crate) fn connect(cloud: &SimulatedCloud) -> TcpStream {
    let endpoint = cloud.endpoint();
    let address = endpoint.strip_prefix("http://").expect("it is plain");
    let stream = TcpStream::connect(address).expect("the cloud listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    stream
}

/// Reads one whole answer.
pub(crate) fn read_answer(stream: &mut TcpStream) -> std::io::Result<(u16, String)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
            if body.len() >= length {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                return Ok((status.expect("a status"), body.to_owned()));
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

// === impl Page ===

impl Page {
    /// A page that says SUCCESS or FAILED.
    pub(crate) fn start(serves: bool) -> Self {
        let serves = Arc::new(AtomicBool::new(serves));
        let says = Arc::clone(&serves);
        let page = Server::http(move |_| {
            if says.load(Ordering::Relaxed) {
                ("200 OK", "text/plain", "SUCCESS".to_owned())
            } else {
                ("503 Service Unavailable", "text/plain", "FAILED".to_owned())
            }
        });
        Self { serves, server: page }
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Changes what it says.
    pub(crate) fn say(&self, serves: bool) {
        self.serves.store(serves, Ordering::Relaxed);
    }
}
