//! `mirrorvip status`: the running daemon's present state and decisions, from its admin listener.

use std::time::Duration;

use clap::Args;

use super::admin::{AdminOptions, Listener};
use super::{Exit, Failure, Global, output, run};
use crate::admin::status::Status;

mod render;

/// Between two rounds of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print the document as the daemon sends it, as JSON
    #[arg(long)]
    json: bool,
    /// Repeat each second until interrupted
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    admin: AdminOptions,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    let listener = Listener::find(global, &arguments.admin)?;
    run::on_runtime(async {
        loop {
            let document = fetch(&listener).await;
            if arguments.watch {
                // Home and clear: the next document replaces this one.
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

async fn fetch(listener: &Listener) -> Result<String, Failure> {
    let answer = listener.get("/status").await?;
    match answer.status.as_u16() {
        200 => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        status => Err(listener.unavailable(&format!("it answered {status}"))),
    }
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
