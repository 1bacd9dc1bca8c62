//! `mirrorvip explain`: the runbook in the terminal.

use std::ffi::OsStr;
use std::io;

use clap::Args;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};

use super::{Exit, Failure, output};
use crate::explain::{self, render};

/// Columns where nothing says how many there are, as in a pipe.
const WIDTH: usize = 80;

/// Wider lines are hard to read.
const WIDEST: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A word of `status`, of the log or of `check`, or a message of theirs; without one, all words are listed
    #[arg(value_name = "WORD", value_parser = Words, hide_possible_values = true)]
    word: Vec<String>,
}

/// Takes any text, since a message is welcome as well, and lets shells complete the words.
#[derive(Clone)]
struct Words;

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).map(|size| usize::from(size.ws_col));
    // A terminal that does not know its size says 0.
    let columns = columns.ok().filter(|columns| *columns > 0);
    let width = columns.unwrap_or(WIDTH).min(WIDEST);
    let word = arguments.word.join(" ");
    if word.is_empty() {
        output::print(render::list(explain::pages(), columns))?;
        return Ok(Exit::Ok);
    }
    let found = explain::find(&word);
    if found.is_empty() {
        let help = match explain::nearest(&word) {
            Some(word) => {
                format!("Did you mean `mirrorvip explain {word}`? `mirrorvip explain` lists all words.")
            }
            None => "`mirrorvip explain` lists all words.".to_owned(),
        };
        let word = crate::text::printable(&word, 60);
        return Err(
            Failure::new(Exit::Usage, anyhow::anyhow!("the runbook has no page for {word}")).help(Some(help))
        );
    }
    let pages: Vec<_> = found.into_iter().map(|page| render::page(page, width)).collect();
    output::print(pages.join("\n\n"))?;
    Ok(Exit::Ok)
}

// === impl Words ===

impl TypedValueParser for Words {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let mut words: Vec<_> = explain::pages().iter().flat_map(|page| page.words.iter().copied()).collect();
        words.sort_unstable();
        words.dedup();
        Some(Box::new(words.into_iter().map(PossibleValue::new)))
    }
}
