//! `mirrorvip explain`: the runbook in the terminal.

use std::ffi::OsStr;

use clap::Args;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};

use super::{Exit, Failure, output, terminal};
use crate::explain::{self, render};

/// Width of the text if standard output is not a terminal.
const WIDTH: usize = 80;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A word or message of `status`, `check` or the log; without one, all words are listed
    #[arg(value_name = "WORD", value_parser = Words, hide_possible_values = true)]
    word: Vec<String>,
}

/// Accepts any text, as messages are allowed as well, and lets shells complete the words.
#[derive(Clone)]
struct Words;

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let word = arguments.word.join(" ");
    if word.is_empty() {
        let columns = terminal::size().map(|(columns, _)| columns);
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
    let width = terminal::width().unwrap_or(WIDTH);
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
