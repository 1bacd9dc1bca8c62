//! Requests to the running daemon's admin listener.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hyper::Uri;

use super::{Exit, Failure, Global, run};
use crate::admin::Token;
use crate::config::{Admin, HttpTarget};
use crate::http::{Answer, Client};
use crate::network;
use crate::observation::NoEvidence;

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Many times the size of a status document with a hundred transitions and several hundred checkers per mirror.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// Options that select the daemon.
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

/// The address of the listener, and the credentials.
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
            (format!("{scheme}://{}", network::reachable(listen)), tls.map(|tls| tls.certificate), token_file)
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

    /// `GET` of a path with its query; an answer with any status but 401.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        let (mut client, url) = self.client(path)?;
        self.admitted(client.get().await, &url)
    }

    /// `POST` of a JSON document; an answer with any status but 401.
    pub(super) async fn post(&self, path: &str, json: String) -> Result<Answer, Failure> {
        let (mut client, url) = self.client(path)?;
        self.admitted(client.post(json).await, &url)
    }

    /// The failure of a daemon that does not answer as expected.
    pub(super) fn unavailable(&self, reason: &str) -> Failure {
        let error = anyhow::anyhow!("{reason}").context(format!("failed to ask the daemon at {}", self.base));
        let help =
            "Check that the daemon runs (`systemctl status mirrorvip`) and that this is its [admin] address.";
        Failure::new(Exit::Unavailable, error).help(Some(help))
    }

    fn client(&self, path: &str) -> Result<(Client, String), Failure> {
        let text = format!("{}{path}", self.base);
        let url = text.parse().map_err(|error| {
            Failure::new(Exit::Usage, anyhow::Error::new(error).context(format!("{text} is not a URL")))
        })?;
        let authorization = self.token.as_ref().map(Token::authorization);
        let target = HttpTarget { url, ca_file: self.ca_file.clone() };
        let client = Client::new(&target, TIMEOUT, LARGEST_ANSWER).authorized(authorization);
        Ok((client, text))
    }

    fn admitted(&self, answer: Result<Answer, NoEvidence>, url: &str) -> Result<Answer, Failure> {
        let answer = answer.map_err(|cause| self.unavailable(&cause.to_string()))?;
        if answer.status.as_u16() == 401 {
            let error = anyhow::anyhow!("{url} requires a bearer token: give the right --token-file");
            return Err(Failure::new(Exit::Permission, error));
        }
        Ok(answer)
    }
}
