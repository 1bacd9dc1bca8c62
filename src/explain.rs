//! The runbook: a page for each word that `status`, the log and `check` use, and for each message that needs a human. PURE.
//!
//! The pages are the Markdown files of `docs/runbook`, and ship in the binary: servers have no internet. A section `## WORD`
//! is a page; several words that share one are separated by commas. Its section *How it shows* lists the messages that it is
//! about, as ``- log: `text` `` and ``- check: `text` ``, where `...` stands for what differs from case to case. This list is
//! the one table from a message to its page: the log and `check` look up here which word to name, and a test compares it with
//! the source in both directions. No call site names a word where its message says enough.

use std::sync::LazyLock;

pub(crate) mod render;
#[cfg(test)]
mod tests;

/// The files in the order in which the list shows them.
const FILES: [&str; 6] = [
    include_str!("../docs/runbook/states.md"),
    include_str!("../docs/runbook/evidence.md"),
    include_str!("../docs/runbook/authority.md"),
    include_str!("../docs/runbook/steering.md"),
    include_str!("../docs/runbook/daemon.md"),
    include_str!("../docs/runbook/check.md"),
];

/// A word that resembles none is not worth a suggestion below this similarity.
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
    /// The messages that it is about.
    pub messages: Vec<Message>,
}

/// A message that a page is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it is shown.
    pub origin: Origin,
    /// What every case of it has in common, in this order.
    pub fragments: Vec<&'static str>,
}

/// Where a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the log, as a warning or an error.
    Log,
    /// As a finding of `check`.
    Check,
}

/// All pages, by file.
pub fn pages() -> &'static [Page] {
    &PAGES
}

/// The pages about `word`: two things may share a word, such as a state of IRIS and one of a steering target. Letter case does
/// not matter, and neither do spaces or underscores in the place of hyphens. A message leads to its page as well.
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

/// The word of the page about a message of the log. Of `fields`, those of an event with this name say it more precisely.
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

/// As a sentence begins; our own name stays as it is.
fn capital(text: &str) -> String {
    match text.chars().next() {
        Some(first) if !text.starts_with("mirrorvip") => {
            first.to_uppercase().chain(text[first.len_utf8()..].chars()).collect()
        }
        _ => text.to_owned(),
    }
}

// === impl Page ===

impl Page {
    /// Its first paragraph's first sentence: what the words mean.
    pub fn summary(&self) -> String {
        let paragraph = self.text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let end = paragraph.find(". ").unwrap_or(paragraph.len());
        paragraph[..end].trim_end_matches('.').to_owned()
    }

    /// What `word` means: the item of a list that begins with it, else the summary.
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
        let origins = [("- log: `", Origin::Log), ("- check: `", Origin::Check)];
        let (rest, origin) =
            origins.into_iter().find_map(|(start, origin)| Some((line.strip_prefix(start)?, origin)))?;
        let text = rest.trim_end().strip_suffix('`')?;
        let fragments = text.split("...").map(str::trim).filter(|fragment| !fragment.is_empty()).collect();
        Some(Self { origin, fragments })
    }

    /// Whether `text` has all fragments in their order.
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
