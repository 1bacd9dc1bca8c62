//! The configuration: what its tables mean, and the one way to read them.
//!
//! [`Source`] finds it, [`load`] reads a file, [`parse`] a text. Either returns a valid [`Config`], or *all* problems at
//! once, each with its place in the text and its correction, so that no file has to be corrected one error at a time.
//! Nothing here touches the machine: `mirrorvip check` finds out whether a command exists or an address is free.

mod cloud_value;
pub mod credentials;
mod diagnostic;
mod file;
mod keys;
mod read;
pub mod removed;
mod rules;
mod section;
pub mod steering;
mod syntax;
mod tables;
#[cfg(test)]
mod tests;
mod value;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

use self::diagnostic::Problems;
pub use self::diagnostic::{Problem, Report};
pub use self::file::{DEFAULT_FILE, LoadError, Reading, Source, VARIABLE, load};
pub use self::keys::{Key, Keys, WhenAbsent};
use self::section::Section;
pub use self::tables::{TableKind, Tables};

/// What declarations of steering tables need.
pub(crate) mod reading {
    pub(crate) use super::cloud_value::{DNS_NAME, auto_or, choice, distinct, dns_name, is_dns_name};
    pub(crate) use super::diagnostic::{Problem, Reported, Span, quoted};
    pub(crate) use super::rules::{ObjectClaims, Owned, check_ca_file};
    pub(crate) use super::section::{Located, Section, Value};
    pub(crate) use super::tables::{Declared, Setting};
    pub(crate) use super::value::{
        absolute_path, boolean, command_line, duration, integer, text, url, variable,
    };
}

/// Reads a configuration with steering tables of `T` from its text; `origin` names the text in the report.
pub fn parse<T: Tables>(text: &str, origin: &str) -> Result<Config<T>, Report> {
    let problems = Problems::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    let keys = Keys::of::<T>();
    for problem in syntax::problems(text, origin, errors, &keys) {
        problems.report_syntax(problem);
    }
    let read = read::config(&Section::root(table.get_ref(), &problems, &keys), &problems);
    problems.conclude(read, text, origin)
}

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config<T> {
    /// Where the last role and epoch of each mirror are remembered.
    pub state_directory: PathBuf,
    /// The port that load balancers poll.
    pub health: Health,
    /// The port for people and for monitoring.
    pub admin: Admin,
    /// The mirrors of this node; at least one.
    pub mirrors: Vec<Mirror<T>>,
}

/// `[health]`: the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Addresses of the status page; at least one.
    pub listen: Vec<SocketAddr>,
    /// Address for HAProxy's agent check, if wanted.
    pub agent_check: Option<SocketAddr>,
    /// Serve the page over TLS.
    pub tls: Option<Tls>,
    /// The networks of allowed clients; empty means all.
    pub allowed_networks: Vec<IpNet>,
    /// Whether requests may begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// How long a client may take to send the head of its request.
    pub header_timeout: Duration,
    /// How long a connection may last in all.
    pub request_timeout: Duration,
    /// How many connections may wait for their client at once; beyond, the source with the most makes room.
    pub max_connections: usize,
    /// Warn when a mirror that serves has not been asked for this long; `None` never warns.
    pub unasked_warning: Option<Duration>,
    /// How long the page answers 503 at a stop before the port closes.
    pub drain: Duration,
}

/// `[admin]`: the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Its address; any but loopback needs TLS or a token.
    pub listen: SocketAddr,
    /// Serve it over TLS.
    pub tls: Option<Tls>,
    /// File that holds the bearer token which every request must carry.
    pub token_file: Option<PathBuf>,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// `[[mirror]]`: one mirror of which this node is a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror<T> {
    /// Its name in logs, metrics and paths.
    pub name: String,
    /// Path prefixes at which its status page answers.
    pub paths: Vec<String>,
    /// How often the instance is asked.
    pub interval: Duration,
    /// How long one question may take.
    pub timeout: Duration,
    /// How long an answer is valid, counted from the question.
    pub stale_after: Duration,
    /// The mirror's own quality of service timeout.
    pub qos_timeout: Duration,
    /// How often *primary* must be seen in a row before it is served.
    pub rise: NonZeroU32,
    /// How the instance is asked.
    pub probe: Probe,
    /// Files in which a line about mirroring triggers a probe at once.
    pub wake_on: Vec<PathBuf>,
    /// This member's name as the owner of records; `None` is the host name.
    pub member: Option<String>,
    /// The other members, asked before anything is taken from them.
    pub peers: Vec<steering::Peer>,
    /// File that holds the secret with which members sign their answers to each other.
    pub peer_key_file: Option<PathBuf>,
    /// What the page says while a peer that was promoted later serves.
    pub superseded: steering::Superseded,
    /// How often each steering target reads its object when nothing happens.
    pub drift_interval: Duration,
    /// The cloud objects that direct clients.
    pub targets: Vec<T>,
}

/// `[mirror.probe.*]`: exactly one way to ask for the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `iris qlist` or `ccontrol qlist`.
    Qlist {
        /// The instance's name.
        instance: String,
        /// The command: a name that is looked up in `PATH`, or an absolute path.
        command: String,
        /// Names of environment variables that the command gets besides the usual ones.
        environment: Vec<String>,
    },
    /// The status page of an InterSystems Web Gateway.
    Gateway(HttpTarget),
    /// `/api/monitor/metrics` of the instance.
    Metrics(HttpTarget),
    /// Any command that answers by its exit code.
    Exec {
        /// The command and its arguments; never empty.
        command: Vec<String>,
        /// Names of environment variables that the command gets besides the usual ones.
        environment: Vec<String>,
    },
    /// A role word in a file that another process keeps fresh.
    File {
        /// The file.
        path: PathBuf,
    },
}

impl<T> Mirror<T> {
    /// This member's name as the owner of records: the one that is written, or the host's.
    pub fn member_name(&self) -> String {
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.member.clone().unwrap_or_else(host)
    }

    /// The longest time after a change of role until its answer, without `rise`.
    pub(crate) fn seen_within(&self) -> Duration {
        self.between_questions() + self.timeout
    }

    /// The longest time between the starts of two questions: a slow answer delays the next question.
    pub(crate) fn between_questions(&self) -> Duration {
        self.interval.max(self.timeout)
    }
}

impl Probe {
    /// The table's name: `qlist`, `gateway`, `metrics`, `exec` or `file`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Qlist { .. } => "qlist",
            Self::Gateway(_) => "gateway",
            Self::Metrics(_) => "metrics",
            Self::Exec { .. } => "exec",
            Self::File { .. } => "file",
        }
    }
}

/// Where an HTTP probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// An `http` or `https` address.
    pub url: hyper::Uri,
    /// PEM file with the authorities to trust for `https`; the system's when absent.
    pub ca_file: Option<PathBuf>,
}

/// Whether requests to `url` leave this machine without TLS.
pub(crate) fn crosses_in_the_clear(url: &hyper::Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let stays = host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    url.scheme() == Some(&hyper::http::uri::Scheme::HTTP) && !stays
}
