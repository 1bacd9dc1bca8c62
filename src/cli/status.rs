//! `mirrorvip status`: what the running daemon sees and rules, from its admin listener.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hyper::Uri;

use super::{Exit, Failure, Global, output, run};
use crate::admin::Token;
use crate::admin::status::Status;
use crate::config::{Admin, HttpTarget};
use crate::probe::http::Client;

mod render;

/// Between two looks of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A hundred transitions and some hundred checkers for each of a few mirrors fit many times.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print the document as the daemon sends it, as JSON
    #[arg(long)]
    json: bool,
    /// Repeat each second until interrupted
    #[arg(long)]
    watch: bool,
    /// The daemon's admin address, such as `https://db1.example.org:9180`; by default the configuration tells
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
    /// Authorities to trust for an https URL, a PEM file; by default the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// File with the bearer token; by default the configuration tells
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Where to ask and with what.
struct Source {
    target: HttpTarget,
    token: Option<Token>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    let source = Source::find(global, arguments)?;
    run::on_runtime(async {
        loop {
            let document = source.fetch().await;
            if arguments.watch {
                // Home and clear: the next look replaces this one.
                output::print("\x1b[H\x1b[2J")?;
            }
            match document {
                Ok(text) => show(&text, arguments.json)?,
                Err(failure) if arguments.watch => failure.print(),
                Err(failure) => return Err(failure),
            }
            if !arguments.watch || output::reader_is_gone() {
                return Ok(Exit::Ok);
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    })
}

fn show(text: &str, json: bool) -> Result<(), Failure> {
    if json {
        return output::print(format_args!("{}\n", text.trim_end()));
    }
    let status: Status = serde_json::from_str(text).map_err(|error| {
        let error = anyhow::Error::new(error)
            .context("the answer is no status document; is another program on this port?");
        Failure::new(Exit::Unavailable, error)
    })?;
    output::print(render::render(&status))
}

// === impl Source ===

impl Source {
    fn find(global: &Global, arguments: &Arguments) -> Result<Self, Failure> {
        let (url, ca_file, token_file) = if let Some(url) = &arguments.url {
            (format!("{}/status", url.to_string().trim_end_matches('/')), None, None)
        } else {
            let Admin { listen, tls, token_file } = run::load(global)?.admin;
            let scheme = if tls.is_some() { "https" } else { "http" };
            (format!("{scheme}://{}/status", reachable(listen)), tls.map(|tls| tls.certificate), token_file)
        };
        let ca_file = arguments.ca_file.clone().or(ca_file);
        let token_file = arguments.token_file.clone().or(token_file);
        let token = token_file.map(|path| {
            Token::load(&path).map_err(|error| {
                let error =
                    anyhow::Error::new(error).context(format!("cannot use token file {}", path.display()));
                Failure::new(Exit::Permission, error)
            })
        });
        let url = url.parse().map_err(|error| {
            Failure::new(Exit::Usage, anyhow::Error::new(error).context(format!("{url} is no URL")))
        })?;
        Ok(Self { target: HttpTarget { url, ca_file }, token: token.transpose()? })
    }

    async fn fetch(&self) -> Result<String, Failure> {
        let authorization = self.token.as_ref().map(Token::authorization);
        let unavailable = |reason: String| {
            let hint =
                "is the daemon running, and is this its [admin] address? `systemctl status mirrorvip` tells";
            Failure::new(
                Exit::Unavailable,
                anyhow::anyhow!("{reason}; {hint}").context(format!("{} does not answer", self.target.url)),
            )
        };
        let mut client = Client::new(&self.target, TIMEOUT, LARGEST_ANSWER).authorized(authorization);
        let answer = client.get().await.map_err(|cause| unavailable(cause.to_string()))?;
        match answer.status.as_u16() {
            200 => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
            401 => {
                let error =
                    anyhow::anyhow!("{} wants a bearer token: give the right --token-file", self.target.url);
                Err(Failure::new(Exit::Permission, error))
            }
            status => Err(unavailable(format!("it answered {status}"))),
        }
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
