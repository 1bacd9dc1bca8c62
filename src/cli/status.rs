//! `mirrorvip status`: the running daemon's current state and decisions, from its admin listener.

use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level;
use tokio::signal::unix::{SignalKind, signal};

use super::admin::{AdminOptions, Listener};
use super::{Exit, Failure, Global, output, run, terminal};
use crate::admin::status::Status;

mod render;

/// The interval of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print the daemon's status document, as JSON
    #[arg(long)]
    json: bool,
    /// Repeat each second until interrupted
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    admin: AdminOptions,
}

/// The screen of `--watch`.
struct Screen {
    is_terminal: bool,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    let listener = Listener::find(global, &arguments.admin)?;
    run::on_runtime(async {
        if arguments.watch {
            return watch(&listener, arguments.json).await;
        }
        output::print(text(&fetch(&listener).await?, arguments.json)?)?;
        Ok(Exit::Ok)
    })
}

/// Shows the document repeatedly, until a signal arrives or the reader is gone.
async fn watch(listener: &Listener, json: bool) -> Result<Exit, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::io(error, "failed to listen for signals"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let screen = Screen::enter()?;
    let signal = loop {
        let round = async {
            let shown = fetch(listener).await.and_then(|document| text(&document, json));
            screen.show(&shown.unwrap_or_else(|failure| failure.to_string()))?;
            if !output::reader_is_gone() {
                tokio::time::sleep(WATCH_INTERVAL).await;
            }
            Ok(())
        };
        // Cancel-safe: a round only reads and waits.
        tokio::select! {
            biased;
            _ = interrupt.recv() => break SIGINT,
            _ = terminate.recv() => break SIGTERM,
            shown = round => shown?,
        }
        if output::reader_is_gone() {
            return Ok(Exit::Ok);
        }
    };
    drop(screen);
    // The caller must see that this signal ended the process.
    let _it_ends = low_level::emulate_default_handler(signal);
    Ok(Exit::Interrupted)
}

async fn fetch(listener: &Listener) -> Result<String, Failure> {
    let answer = listener.get("/status").await?;
    match answer.status.as_u16() {
        200 => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        status => Err(listener.unavailable(&format!("it answered {status}"))),
    }
}

/// The document as JSON or as text for people.
fn text(text: &str, json: bool) -> Result<String, Failure> {
    if json {
        return Ok(format!("{}\n", text.trim_end()));
    }
    let status: Status = serde_json::from_str(text).map_err(|error| {
        let error = anyhow::Error::new(error)
            .context("the answer is not a status document; is another program on this port?");
        Failure::new(Exit::Unavailable, error)
    })?;
    Ok(render::render(&status))
}

// === impl Screen ===

impl Screen {
    /// Switches a terminal to its alternate screen, so that what was there comes back at the end.
    fn enter() -> Result<Self, Failure> {
        let screen = Self { is_terminal: terminal::size().is_some() };
        if screen.is_terminal {
            output::print("\x1b[?1049h\x1b[?25l")?;
        }
        Ok(screen)
    }

    /// Replaces what is shown by `text`.
    fn show(&self, text: &str) -> Result<(), Failure> {
        match terminal::size().filter(|_| self.is_terminal) {
            // Home and clear; no newline in the last row, which would scroll.
            Some(size) => output::print(format_args!("\x1b[H\x1b[2J{}", terminal::clip(text, size))),
            None => output::print(format_args!("\x1b[H\x1b[2J{text}")),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            // Restores cursor and screen; an error means that the terminal is gone.
            let _ = output::print("\x1b[?25h\x1b[?1049l");
        }
    }
}
