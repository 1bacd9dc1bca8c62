//! The running daemon's admin listener: where it is, and one request to it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hyper::Uri;

use super::{Exit, Failure, Global, run};
use crate::admin::Token;
use crate::config::{Admin, HttpTarget};
use crate::observation::NoEvidence;
use crate::probe::http::{Answer, Client};

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A hundred transitions and some hundred checkers for each of a few mirrors fit many times.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// Options that say which daemon is asked.
#[derive(Debug, Args)]
pub(super) struct AdminOptions {
    /// The daemon's admin address, such as `https://db1.example.org:9180`; by default from the configuration
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
    /// Authorities to trust for an https URL, a PEM file; by default the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// File with the bearer token; by default from the configuration
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Where to ask and with what.
pub(super) struct Listener {
    base: String,
    ca_file: Option<PathBuf>,
    token: Option<Token>,
}

// === impl Listener ===

impl Listener {
    /// The one that `options` name, else the one of the configuration.
    pub(super) fn find(global: &Global, options: &AdminOptions) -> Result<Self, Failure> {
        let (base, ca_file, token_file) = if let Some(url) = &options.url {
            (url.to_string().trim_end_matches('/').to_owned(), None, None)
        } else {
            let Admin { listen, tls, token_file } = run::load(global)?.admin;
            let scheme = if tls.is_some() { "https" } else { "http" };
            (format!("{scheme}://{}", reachable(listen)), tls.map(|tls| tls.certificate), token_file)
        };
        let ca_file = options.ca_file.clone().or(ca_file);
        let token = options.token_file.clone().or(token_file).map(|path| {
            Token::load(&path).map_err(|error| {
                let error =
                    anyhow::Error::new(error).context(format!("cannot use token file {}", path.display()));
                Failure::new(Exit::Permission, error)
            })
        });
        Ok(Self { base, ca_file, token: token.transpose()? })
    }

    /// `GET` of a path with its query; an answer of whatever status but 401.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        let (mut client, url) = self.client(path)?;
        self.admitted(client.get().await, &url)
    }

    /// `POST` of a JSON document; an answer of whatever status but 401.
    pub(super) async fn post(&self, path: &str, json: String) -> Result<Answer, Failure> {
        let (mut client, url) = self.client(path)?;
        self.admitted(client.post(json).await, &url)
    }

    /// A failure of the daemon to do its work.
    pub(super) fn unavailable(&self, reason: &str) -> Failure {
        let error = anyhow::anyhow!("{reason}").context(format!("failed to ask the daemon at {}", self.base));
        let help =
            "Is the daemon running, and is this its [admin] address? `systemctl status mirrorvip` shows it.";
        Failure::new(Exit::Unavailable, error).help(Some(help))
    }

    fn client(&self, path: &str) -> Result<(Client, String), Failure> {
        let text = format!("{}{path}", self.base);
        let url = text.parse().map_err(|error| {
            Failure::new(Exit::Usage, anyhow::Error::new(error).context(format!("{text} is no URL")))
        })?;
        let authorization = self.token.as_ref().map(Token::authorization);
        let target = HttpTarget { url, ca_file: self.ca_file.clone() };
        let client = Client::new(&target, TIMEOUT, LARGEST_ANSWER).authorized(authorization);
        Ok((client, text))
    }

    fn admitted(&self, answer: Result<Answer, NoEvidence>, url: &str) -> Result<Answer, Failure> {
        let answer = answer.map_err(|cause| self.unavailable(&cause.to_string()))?;
        if answer.status.as_u16() == 401 {
            let error = anyhow::anyhow!("{url} demands a bearer token: give the right --token-file");
            return Err(Failure::new(Exit::Permission, error));
        }
        Ok(answer)
    }
}

/// An address at which this machine reaches a listener: one that listens everywhere listens on loopback, too.
pub(super) fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}
