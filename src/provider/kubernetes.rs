//! `[[mirror.kubernetes]]`: a label on this member's own pod with its role, for Services that select the primary by
//! `intersystems.com/mirrorRole`.
//!
//! The label is this member's own statement, as its status page is: every member writes its own pod's label and no
//! other. So it needs no write authorization, and it says *primary* only while the page says SUCCESS:
//!
//! | the verdict | the label |
//! |---|---|
//! | serves | `primary` |
//! | the instance is definitely something else | that, as a role word: `backup`, `disaster-recovery`, `down`, ... |
//! | no evidence, expired, superseded | `unknown`: the page refuses as well, and silence does not mean backup |
//! | no answer yet, rising, stopping | unchanged: a restarted daemon need not write it again |
//!
//! # On the wire
//!
//! One verb on one object: `PATCH` of the pod (Kubernetes API, "Pod v1 core"), as JSON merge patch (RFC 7386). A read
//! is an empty patch (`{}`), which changes nothing and returns the pod: the right to patch this one pod is the only one
//! needed, and a read finds it missing before a failover needs it. A write carries the `resourceVersion` that was read.
//! If another client changed the label or recreated the pod, the write fails with a conflict and the loop reads again.
//! The same happens to a write that arrives after its deadline, once anything has changed the pod; before that, the next
//! read reverts it. Answers hold the metadata only (`PartialObjectMetadata`).
//!
//! The client is that of the HTTP probes: it has a deadline for everything and reloads the authorities when they
//! change. The token is read for each call, because the kubelet replaces it. A client library for the whole API would
//! be some hundred thousand lines for this one request.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, StatusCode, Uri};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::blocking::SingleFlight;
use crate::clock::{Clock, Timestamp};
use crate::config::HttpTarget;
use crate::config::steering::Value;
use crate::file;
use crate::http::{Answer, Client};
use crate::role::{Reason, Verdict};
use crate::snapshot::Snapshot;
use crate::steer::{Authorized, CallError, Class, Intent, Plan, Progress, Step};
use crate::text::printable;

pub(crate) mod help;
mod kind;
mod table;
#[cfg(test)]
mod tests;

pub use table::Table;

use help::{FORBIDDEN, NOT_IN_A_POD, UNAUTHORIZED, UNREACHABLE};

const ACTION: &str = "PatchPod";

/// How long one call may take, the token's file included. The API server usually answers in milliseconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Between two reads while there is no verdict yet: about as long as a probe.
const UNDECIDED: Duration = Duration::from_secs(1);

/// A pod's metadata takes some kilobytes; labels and annotations may have 256 KiB.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// Tokens of service accounts have about a thousand characters.
const LARGEST_TOKEN: u64 = 16 * 1024;

/// How much of the server's message is shown, in characters.
const MESSAGE: usize = 300;

const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json;q=0.1";

/// Where the kubelet puts what a pod needs to call the API.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The label of this member's pod.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    settings: Table,
    view: Option<View>,
    /// Created when the pod is known.
    client: Option<Client>,
    /// Whether the verdict at the last read called for no label.
    undecided: bool,
    access: SingleFlight<Result<Access, CallError>>,
}

/// What the label is about.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) snapshots: watch::Receiver<Snapshot>,
    pub(crate) clock: Clock,
}

/// The label as it is, and as the verdict of that moment wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    label: Option<String>,
    version: String,
    /// `None` when it should stay as it is.
    wanted: Option<&'static str>,
}

/// What a call needs from files and the environment.
struct Access {
    url: Uri,
    /// Never shown.
    token: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetLabel {
    key: String,
    value: &'static str,
    version: String,
}

/// What is read of a pod.
#[derive(Debug, Deserialize)]
struct Pod {
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
}

/// What the API server says when it refuses.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

impl Kubernetes {
    /// The label that `settings` name. Without a `view` it can be read and planned, but not written.
    pub(crate) fn new(settings: &Table, view: Option<View>) -> Self {
        Self { settings: settings.clone(), view, client: None, undecided: false, access: SingleFlight::new() }
    }

    /// Reads the pod. For `mirrorvip check`: the label's value, if it has one.
    pub(crate) async fn look(&mut self) -> Result<Option<String>, CallError> {
        let Pod { metadata } = self.call("{}".to_owned()).await?;
        Ok(metadata.labels.get(&self.settings.label).cloned())
    }

    async fn call(&mut self, body: String) -> Result<Pod, CallError> {
        match timeout(CALL_TIMEOUT, self.exchange(body)).await {
            Ok(answer) => read(&answer?),
            Err(_elapsed) => Err(unreachable(format!("no answer within {CALL_TIMEOUT:?}"))),
        }
    }

    async fn exchange(&mut self, body: String) -> Result<Answer, CallError> {
        let settings = self.settings.clone();
        let access = self.access.run(move || Access::read(&settings)).await?;
        let client = self.client.get_or_insert_with(|| {
            let target = HttpTarget { url: access.url, ca_file: Some(self.settings.ca_file.clone()) };
            Client::new(&target, CALL_TIMEOUT, LARGEST_ANSWER)
        });
        let request = Request::patch("/")
            .header(ACCEPT, METADATA)
            .header(CONTENT_TYPE, "application/merge-patch+json")
            .header(AUTHORIZATION, format!("Bearer {}", access.token));
        let answer = client.send(request.body(body.into())).await;
        answer.map_err(|cause| unreachable(cause.to_string()))
    }
}

impl crate::steer::Target for Kubernetes {
    type Observed = Observed;
    type Step = SetLabel;

    /// From *starting* to silence the intent stays the same, so that nothing wakes the loop.
    fn pace(&self) -> Option<Duration> {
        self.undecided.then_some(UNDECIDED)
    }

    async fn observe(&mut self) -> Result<Observed, CallError> {
        let Pod { metadata } = self.call("{}".to_owned()).await?;
        let label = metadata.labels.get(&self.settings.label).cloned();
        // After the answer: what is wanted is of now.
        let wanted = self.view.as_ref().and_then(View::wanted);
        self.undecided = wanted.is_none();
        Ok(Observed { label, version: metadata.resource_version, wanted })
    }

    fn plan(&self, intent: &Intent, observed: &Observed, _now: Timestamp) -> Plan<SetLabel> {
        let wanted = match intent {
            Intent::Lead { .. } => Some(PRIMARY),
            // What was read while this member led says nothing about its role since.
            Intent::Follow | Intent::Hold { .. } => observed.wanted.filter(|wanted| *wanted != PRIMARY),
        };
        let steps = match wanted {
            Some(value) if observed.label.as_deref() != Some(value) => {
                vec![SetLabel { key: self.settings.label.clone(), value, version: observed.version.clone() }]
            }
            Some(_) | None => Vec::new(),
        };
        Plan { steps, then: Progress::Fulfilled }
    }

    async fn apply(&mut self, step: Authorized<'_, SetLabel>) -> Result<(), CallError> {
        let wanted = self.view.as_ref().and_then(View::wanted);
        if wanted != Some(step.value) {
            return Err(CallError::new(ACTION, Class::Observe, "the role changed"));
        }
        self.call(step.body()).await.map(drop)
    }
}

/// The label of the member that clients go to.
const PRIMARY: &str = "primary";

/// The label of a member that does not know its role.
const UNKNOWN: &str = "unknown";

/// What the label should say, of a verdict of this moment. PURE.
fn wanted(verdict: &Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Serve { .. } => Some(PRIMARY),
        Verdict::Refuse(Reason::NotPrimary(role)) => Some(role.word()),
        Verdict::Refuse(Reason::NoEvidence(_) | Reason::Expired | Reason::Superseded { .. }) => Some(UNKNOWN),
        Verdict::Refuse(Reason::Starting | Reason::Rising { .. } | Reason::Stopping) => None,
    }
}

/// The answer as a pod, or what went wrong. PURE.
fn read(answer: &Answer) -> Result<Pod, CallError> {
    let refused = |class, code: Option<&str>| {
        let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = printable(&refusal.message, MESSAGE);
        let text = if text.is_empty() { "the server gave no reason".to_owned() } else { text };
        CallError::new(ACTION, class, format!("{}: {text}", answer.status)).with_code(code)
    };
    match answer.status {
        StatusCode::OK => serde_json::from_slice(&answer.body)
            .map_err(|error| CallError::new(ACTION, Class::Retry, format!("the answer is no pod: {error}"))),
        StatusCode::CONFLICT => Err(refused(Class::Observe, None)),
        StatusCode::TOO_MANY_REQUESTS => Err(refused(Class::Throttled, None)),
        // The kubelet replaces an expired token.
        StatusCode::UNAUTHORIZED => Err(refused(Class::Retry, Some(UNAUTHORIZED))),
        StatusCode::FORBIDDEN => Err(refused(Class::Stop, Some(FORBIDDEN))),
        StatusCode::NOT_FOUND => Err(refused(Class::Stop, Some(NOT_IN_A_POD))),
        status if status.is_server_error() => Err(refused(Class::Retry, None)),
        _ => Err(refused(Class::Stop, None)),
    }
}

/// The pod's address; the kubelet's environment supplies what is automatic.
fn pod_url(settings: &Table) -> Result<Uri, CallError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let server = if let Some(server) = &settings.server {
        server.to_string().trim_end_matches('/').to_owned()
    } else {
        let host = variable("KUBERNETES_SERVICE_HOST");
        let host = host.ok_or_else(|| not_in_a_pod("KUBERNETES_SERVICE_HOST is not set"))?;
        let port = variable("KUBERNETES_SERVICE_PORT_HTTPS").or_else(|| variable("KUBERNETES_SERVICE_PORT"));
        // An IPv6 address stands in brackets.
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        format!("https://{host}:{}", port.unwrap_or_else(|| "443".to_owned()))
    };
    let namespace = match &settings.namespace {
        Value::Is(namespace) => namespace.clone(),
        Value::Auto => {
            let text = file::read_bounded(Path::new(NAMESPACE_FILE), LARGEST_TOKEN)
                .map_err(|error| not_in_a_pod(format!("failed to read {NAMESPACE_FILE}: {error}")))?;
            String::from_utf8_lossy(&text).trim().to_owned()
        }
    };
    let pod = match &settings.pod {
        Value::Is(pod) => pod.clone(),
        // A pod's host name is its own name, unless its specification sets another.
        Value::Auto => variable("POD_NAME")
            .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned()),
    };
    let url = format!("{server}/api/v1/namespaces/{namespace}/pods/{pod}?fieldManager=mirrorvip");
    url.parse().map_err(|_| {
        let url = printable(&url, MESSAGE);
        CallError::new(ACTION, Class::Stop, format!("{url} is not a URL")).with_code(Some(NOT_IN_A_POD))
    })
}

fn read_token(path: &Path) -> io::Result<String> {
    let text = file::read_bounded(path, LARGEST_TOKEN)?;
    let token = std::str::from_utf8(&text).unwrap_or_default().trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it contains no token"));
    }
    Ok(token.to_owned())
}

fn unreachable(message: impl AsRef<str>) -> CallError {
    CallError::new(ACTION, Class::Retry, message).with_code(Some(UNREACHABLE))
}

fn not_in_a_pod(message: impl AsRef<str>) -> CallError {
    CallError::new(ACTION, Class::Retry, message).with_code(Some(NOT_IN_A_POD))
}

// === impl Access ===

impl Access {
    /// Blocks on the file system.
    fn read(settings: &Table) -> Result<Self, CallError> {
        let url = pod_url(settings)?;
        let token = read_token(&settings.token_file).map_err(|error| {
            let path = printable(&settings.token_file.to_string_lossy(), MESSAGE);
            not_in_a_pod(format!("failed to read the service account's token {path}: {error}"))
        })?;
        Ok(Self { url, token })
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access {{ url: {}, .. }}", self.url)
    }
}

// === impl View ===

impl View {
    /// What the label should say at this moment.
    fn wanted(&self) -> Option<&'static str> {
        wanted(&self.snapshots.borrow().verdict_at(self.clock.now()))
    }
}

// === impl SetLabel ===

impl SetLabel {
    fn body(&self) -> String {
        let Self { key, value, version } = self;
        serde_json::json!({ "metadata": { "resourceVersion": version, "labels": { key: value } } })
            .to_string()
    }
}

impl Step for SetLabel {
    /// It is this member's statement about itself: a Service uses it as a load balancer uses the page.
    fn moves_traffic(&self) -> bool {
        false
    }
}

impl fmt::Display for SetLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ACTION} metadata.labels {}={}", self.key, self.value)
    }
}
