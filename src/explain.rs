//! The runbook: a page for each word that `status`, the log and `check` use, and for each message that needs an operator. PURE.
//!
//! The pages are the Markdown files of `docs/runbook`. They ship in the binary because servers have no internet. A section
//! `## WORD` is a page; words that share a page are separated by commas. Its section *How it shows* lists its messages as
//! ``- log: `text` ``, ``- check: `text` `` (findings) and ``- error: `text` `` (errors of commands), where `...` stands for
//! a variable part. This list is the only table from messages to pages: the log, `check` and failing commands look up the
//! word here, and a test compares it with the source in both directions. A call site names a word only if its message alone
//! does not identify the page.

use std::sync::LazyLock;

use crate::text::capital;

pub(crate) mod render;
#[cfg(test)]
pub(crate) mod tests;

/// The files in the order in which the list shows them.
const FILES: [&str; 6] = [
    include_str!("../docs/runbook/states.md"),
    include_str!("../docs/runbook/evidence.md"),
    include_str!("../docs/runbook/authority.md"),
    include_str!("../docs/runbook/steering.md"),
    include_str!("../docs/runbook/daemon.md"),
    include_str!("../docs/runbook/check.md"),
];

/// Minimum similarity of a suggested word.
const SIMILAR: f64 = 0.75;

static PAGES: LazyLock<Vec<Page>> = LazyLock::new(|| FILES.iter().flat_map(|file| parse(file)).collect());

/// One page of the runbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The title of its file.
    pub group: &'static str,
    /// The words that lead here, the most important first.
    pub words: Vec<&'static str>,
    /// The page as Markdown, without its heading.
    pub text: &'static str,
    /// The messages that it explains.
    pub messages: Vec<Message>,
}

/// A message that a page explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it is shown.
    pub origin: Origin,
    /// Its fixed parts, in this order.
    pub fragments: Vec<&'static str>,
}

/// Where a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the log, as a warning or an error.
    Log,
    /// As a finding of `check`.
    Check,
    /// As the error of a command.
    Error,
}

/// All pages, by file.
pub fn pages() -> &'static [Page] {
    &PAGES
}

/// The pages about `word`: a state of IRIS and one of a steering target may share a word. Letter case does not matter, and
/// spaces or underscores may replace hyphens. A message leads to its page as well.
pub fn find(word: &str) -> Vec<&'static Page> {
    let wanted = word.trim().to_lowercase().replace([' ', '_'], "-");
    let named: Vec<_> = pages().iter().filter(|page| page.words.contains(&wanted.as_str())).collect();
    if named.is_empty() { about(word, |_| true).into_iter().collect() } else { named }
}

/// The word that resembles `word` most, if any does.
pub fn nearest(word: &str) -> Option<&'static str> {
    let wanted = word.trim().to_lowercase();
    let words = pages().iter().flat_map(|page| page.words.iter().copied());
    let rated = words.map(|word| (strsim::jaro_winkler(word, &wanted), word));
    rated
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .filter(|(similar, _)| *similar >= SIMILAR)
        .map(|(_, word)| word)
}

/// The word of the page about a log message. A field in [`SAYING`] identifies the page more precisely than the message.
pub fn of_log(message: &str, fields: &[(&str, String)]) -> Option<&'static str> {
    let named = SAYING.iter().find_map(|name| fields.iter().find(|(field, _)| field == name));
    let by_field = named.and_then(|(_, value)| known(value));
    by_field.or_else(|| word_about(message, Origin::Log))
}

/// Fields whose value may be a word, the most precise first.
pub const SAYING: [&str; 3] = ["alarm", "cause", "to"];

/// The word of the page about a finding of `check`.
pub fn of_finding(message: &str) -> Option<&'static str> {
    word_about(message, Origin::Check)
}

/// The word of the page about an error of a command.
pub fn of_error(message: &str) -> Option<&'static str> {
    word_about(message, Origin::Error)
}

fn word_about(message: &str, origin: Origin) -> Option<&'static str> {
    about(message, |known| known == origin).map(|page| page.words[0])
}

/// The word as the pages have it.
fn known(word: &str) -> Option<&'static str> {
    pages().iter().flat_map(|page| &page.words).copied().find(|known| *known == word)
}

/// The page with the longest description that fits `message`.
fn about(message: &str, of: impl Fn(Origin) -> bool) -> Option<&'static Page> {
    let fits = |known: &&Message| of(known.origin) && known.fits(message);
    let best = |page: &'static Page| page.messages.iter().filter(fits).map(Message::length).max();
    let rated = pages().iter().filter_map(|page| Some((best(page)?, page)));
    rated.max_by_key(|(length, _)| *length).map(|(_, page)| page)
}

fn parse(file: &'static str) -> Vec<Page> {
    let title = file.lines().next().unwrap_or_default();
    let group = title.trim_start_matches("# ");
    let sections = file.split("\n## ").skip(1);
    let page = |section: &'static str| {
        let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
        let words = heading.split(',').map(str::trim).collect();
        Page { group, words, text: text.trim(), messages: text.lines().filter_map(Message::parse).collect() }
    };
    sections.map(page).collect()
}

// === impl Page ===

impl Page {
    /// The first sentence of its text: what the words mean.
    pub fn summary(&self) -> String {
        let paragraph = self.text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let end = paragraph.find(". ").unwrap_or(paragraph.len());
        paragraph[..end].trim_end_matches('.').to_owned()
    }

    /// What `word` means: the list item that begins with it, else the summary.
    pub fn meaning(&self, word: &str) -> String {
        let items = self.text.lines().filter_map(|line| line.strip_prefix("- ")?.split_once("`: "));
        let named = items.filter(|(words, _)| words.split(['`', ',', ' ']).any(|named| named == word));
        let meaning = named.map(|(_, meaning)| capital(meaning.trim_end_matches('.'))).next();
        meaning.unwrap_or_else(|| self.summary())
    }
}

// === impl Message ===

impl Message {
    fn parse(line: &'static str) -> Option<Self> {
        let origins =
            [("- log: `", Origin::Log), ("- check: `", Origin::Check), ("- error: `", Origin::Error)];
        let (rest, origin) =
            origins.into_iter().find_map(|(start, origin)| Some((line.strip_prefix(start)?, origin)))?;
        let text = rest.trim_end().strip_suffix('`')?;
        let fragments = text.split("...").map(str::trim).filter(|fragment| !fragment.is_empty()).collect();
        Some(Self { origin, fragments })
    }

    /// Whether `text` contains all fragments in order.
    pub fn fits(&self, text: &str) -> bool {
        let mut rest = text;
        self.fragments.iter().all(|fragment| match rest.find(fragment) {
            Some(at) => {
                rest = &rest[at + fragment.len()..];
                true
            }
            None => false,
        })
    }

    fn length(&self) -> usize {
        self.fragments.iter().map(|fragment| fragment.len()).sum()
    }
}
