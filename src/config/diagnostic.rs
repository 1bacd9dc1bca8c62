//! Problems in a configuration, and how they are shown.
//!
//! A [`Report`] keeps its text, so that it can point into it as a compiler does. Its output is safe for a terminal: control
//! characters and possible passwords in addresses are masked. It does not know the rules; the reader makes the
//! [`Problem`]s.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::text::printable;

/// How many problems a report shows.
const SHOWN: usize = 50;
/// How many are kept to choose those from, so that a garbage file does not fill the memory.
const KEPT: usize = 1000;
/// How many characters of foreign text a message quotes.
const QUOTED: usize = 80;
/// How many characters a message or a help may have; both may quote foreign text.
const MESSAGE: usize = 600;
/// How many bytes of the text are shown with a problem; for longer lines only the place is shown.
const EXCERPT: usize = 16 * 1024;
/// How many characters of a file's name are shown: the longest path that Linux opens.
const ORIGIN: usize = 4096;

/// Bytes of the text, from and up to.
pub(crate) type Span = Range<usize>;

/// One thing that is wrong, where, and how to correct it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    message: String,
    help: Option<String>,
    span: Option<Span>,
    related: Vec<(Span, String)>,
    needs_whole_text: bool,
    position: Option<(usize, usize)>,
}

/// All that is wrong with one text; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    origin: String,
    text: String,
    problems: Vec<Problem>,
    unlisted: usize,
}

/// Where the reader puts the problems that it finds.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Found>);

/// Stands for a value that cannot be had because of a problem; only reporting one makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported(());

#[derive(Debug, Default)]
struct Found {
    syntax: Vec<Problem>,
    meaning: Vec<Problem>,
    dropped: usize,
}

/// Where the lines after the first one start.
struct Lines(Vec<usize>);

// === impl Report ===

impl Report {
    /// The problems in the order of the text, bounded; [`unlisted`](Self::unlisted) counts the others.
    pub fn problems(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.problems.iter()
    }

    /// How many problems there are beyond those that are listed.
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }

    /// Where the text came from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The report for people, many lines, ending in a newline.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for problem in &self.problems {
            out += &renderer.render(&[self.group(problem)]);
            out += "\n\n";
        }
        let closing = Level::ERROR.primary_title(format!("failed to {self}"));
        out += &renderer.render(&[Group::with_title(closing)]);
        out.push('\n');
        out
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let title = Level::ERROR.primary_title(problem.message.as_str());
        let group = match &problem.span {
            Some(span) if self.excerpt(span, &problem.related).len() <= EXCERPT => {
                title.element(self.snippet(span, &problem.related))
            }
            _ => title.element(self.place(problem)),
        };
        match &problem.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }

    /// Where a problem is, without the text.
    fn place<'a>(&'a self, problem: &Problem) -> Origin<'a> {
        let origin = Origin::path(self.origin.as_str());
        match problem.position {
            Some((line, column)) => origin.line(line).char_column(column),
            None => origin,
        }
    }

    fn snippet<'a>(&'a self, span: &Span, related: &'a [(Span, String)]) -> Snippet<'a, Annotation<'a>> {
        let lines = self.excerpt(span, related);
        // An annotation ends with its line: a long list is recognised by its beginning.
        let within = |span: &Span| {
            let end = span.end.min(self.end_of_line(span.start)).max(span.start);
            span.start - lines.start..end - lines.start
        };
        let context = |(span, label): &'a (Span, String)| {
            AnnotationKind::Context.span(within(span)).label(label.as_str())
        };
        Snippet::source(&self.text[lines.clone()])
            .line_start(self.text[..lines.start].matches('\n').count() + 1)
            .path(self.origin.as_str())
            .annotation(AnnotationKind::Primary.span(within(span)))
            .annotations(related.iter().map(context))
    }

    /// The lines that a problem touches, and those between. The renderer gets no others: it reads all it
    /// is given.
    fn excerpt(&self, span: &Span, related: &[(Span, String)]) -> Span {
        let starts = || related.iter().map(|(span, _)| span.start).chain([span.start]);
        let first = starts().min().unwrap_or(span.start);
        let last = starts().max().unwrap_or(span.start);
        let from = self.text[..first].rfind('\n').map_or(0, |newline| newline + 1);
        from..self.end_of_line(last)
    }

    fn end_of_line(&self, from: usize) -> usize {
        let end = self.text[from..].find('\n').map_or(self.text.len(), |length| from + length);
        if self.text[from..end].ends_with('\r') { end - 1 } else { end }
    }
}

impl fmt::Display for Report {
    /// How many problems there are, in one line that fits "failed to ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len() + self.unlisted;
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "accept the configuration {}: {count} problem{plural}", self.origin)?;
        if self.unlisted > 0 {
            write!(f, ", the first {} are shown", self.problems.len())?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

// === impl Problem ===

impl Problem {
    /// A problem at `span`; `None` when it is nowhere in particular.
    pub(crate) fn new(span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        Self {
            message: printable(&message.into(), MESSAGE),
            help: None,
            span: span.into(),
            related: Vec::new(),
            needs_whole_text: false,
            position: None,
        }
    }

    /// With another message.
    pub(super) fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = printable(&message.into(), MESSAGE);
        self
    }

    /// At another place.
    pub(super) fn at(mut self, span: Option<Span>) -> Self {
        self.span = span;
        self
    }

    /// Says how to correct it, in full sentences.
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(printable(&help.into(), MESSAGE));
        self
    }

    /// Points to another place that is related, if that is in the text.
    pub(crate) fn related(mut self, span: Option<Span>, label: impl Into<String>) -> Self {
        self.related.extend(span.map(|span| (span, label.into())));
        self
    }

    /// Marks a problem that is one only if the rest of the text has been understood: something is missing,
    /// or two values do not fit together.
    pub(crate) fn needs_whole_text(mut self) -> Self {
        self.needs_whole_text = true;
        self
    }

    /// What is wrong: a lower-case fragment.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How to correct it, in full sentences.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The line, counted from 1; `None` when the problem is nowhere in particular.
    pub fn line(&self) -> Option<usize> {
        self.position.map(|(line, _)| line)
    }

    /// The column in characters, counted from 1.
    pub fn column(&self) -> Option<usize> {
        self.position.map(|(_, column)| column)
    }
}

// === impl Problems ===

impl Problems {
    /// Reports a problem with what the text means.
    pub(super) fn report(&self, problem: Problem) -> Reported {
        let mut found = self.0.borrow_mut();
        if found.meaning.len() < KEPT {
            found.meaning.push(problem);
        } else {
            found.dropped += 1;
        }
        Reported(())
    }

    /// Reports a text that is not TOML.
    pub(super) fn report_syntax(&self, problem: Problem) {
        let mut found = self.0.borrow_mut();
        if found.syntax.len() < KEPT {
            found.syntax.push(problem);
        } else {
            found.dropped += 1;
        }
    }

    /// What was read, if there was no problem at all.
    pub(super) fn conclude<T>(
        self,
        read: Result<T, Reported>,
        text: &str,
        origin: &str,
    ) -> Result<T, Report> {
        let Found { syntax, meaning, dropped } = self.0.into_inner();
        if let Ok(value) = read
            && syntax.is_empty()
            && meaning.is_empty()
        {
            return Ok(value);
        }
        // Where the parser had to guess, so would the messages: on the lines of a syntax error, and
        // everywhere about what seems to be missing.
        let lines = Lines::of(text);
        let line_of = |problem: &Problem| problem.span.as_ref().map(|span| lines.number(span.start));
        let guessed: HashSet<_> = syntax.iter().map(line_of).collect();
        let sound = |problem: &Problem| {
            guessed.is_empty() || !(problem.needs_whole_text || guessed.contains(&line_of(problem)))
        };
        let mut problems = syntax;
        problems.extend(meaning.into_iter().filter(sound));
        problems.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
        let unlisted = problems.len().saturating_sub(SHOWN) + dropped;
        problems.truncate(SHOWN);
        for problem in &mut problems {
            problem.position = problem.span.as_ref().map(|span| lines.position(text, span.start));
        }
        Err(Report { origin: printable(origin, ORIGIN), text: masked(text), problems, unlisted })
    }
}

// === impl Lines ===

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(newline, _)| newline + 1).collect())
    }

    /// The number of the line that holds byte `at`, counted from 1.
    fn number(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at) + 1
    }

    /// Line and column of byte `at`, counted from 1; the column in characters.
    fn position(&self, text: &str, at: usize) -> (usize, usize) {
        let number = self.number(at);
        let start = number.checked_sub(2).map_or(0, |before| self.0[before]);
        (number, text[start..at].chars().count() + 1)
    }
}

/// Foreign text in a message.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", printable(text, QUOTED))
}

/// The text as it may be shown. Every character keeps its length in bytes, so that spans stay true.
///
/// The renderer shows C0 control characters and bidirectional overrides as symbols; the others are replaced
/// here. Between `://` and `@` of an address there may be a password.
pub(super) fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://").map(|at| at + "://".len()) {
        let (before, after) = rest.split_at(start);
        let address = after.find(['"', '\'', ' ', '\t', '\n']).unwrap_or(after.len());
        let secret = after[..address].rfind('@').unwrap_or(0);
        out.extend(before.chars().map(harmless));
        out.extend(std::iter::repeat_n('*', secret));
        rest = &after[secret..];
    }
    out.extend(rest.chars().map(harmless));
    out
}

/// `c`, or a harmless character of the same length in UTF-8.
const fn harmless(c: char) -> char {
    match c {
        '\u{80}'..='\u{9f}' => '\u{b7}',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        _ => c,
    }
}
