//! Typed reading of parsed TOML that knows where everything is written.
//!
//! A [`Section`] is one table and returns its keys; a [`Value`] is one value and reports its problems. Neither stops at a
//! problem: both report it and return [`Reported`], and the caller reads on, so that one run reports all problems. serde's
//! derive could neither do this nor keep the places.
//!
//! Only the names of the keys are known here (see [`keys`]), not their meaning.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Problem, Problems, Reported, Span, quoted};
use super::keys::{self, Keys, WhenAbsent};
use super::tables::Setting;
use crate::text::printable;

/// How many entries a list may have. No node has more mirrors, addresses or logs.
const LIST: usize = 64;
/// An unknown key that is longer than this was not meant to be a known one.
const LONGEST_KEY: usize = 40;

/// A value and where it is written; a default is written nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) span: Option<Span>,
}

/// One table of the file, or the lack of it.
pub(crate) struct Section<'a> {
    name: &'static str,
    table: Option<&'a DeTable<'a>>,
    span: Option<Span>,
    unknown: Option<Reported>,
    problems: &'a Problems,
    keys: &'a Keys,
}

/// One value, written or default.
pub(crate) struct Value<'a> {
    key: &'static str,
    is_entry: bool,
    item: &'a DeValue<'a>,
    span: Option<Span>,
    problems: &'a Problems,
}

// === impl Section ===

impl<'a> Section<'a> {
    /// The top level.
    pub(super) fn root(table: &'a DeTable<'a>, problems: &'a Problems, keys: &'a Keys) -> Self {
        Self::new("", table, None, problems, keys)
    }

    /// A written table. What should not be in it is reported at once.
    fn new(
        name: &'static str,
        table: &'a DeTable<'a>,
        span: Option<Span>,
        problems: &'a Problems,
        keys: &'a Keys,
    ) -> Self {
        let known = keys.names_in(name);
        let mut unknown = None;
        for (key, value) in table {
            if !known.contains(&key.get_ref().as_ref()) {
                unknown = Some(problems.report(unknown_key(keys, name, key, value.get_ref(), &known)));
            }
        }
        Self { name, table: Some(table), span, unknown, problems, keys }
    }

    /// The dotted path of the table.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Where the table begins, or the one that should hold it.
    pub(crate) fn span(&self) -> Option<Span> {
        self.span.clone()
    }

    /// Whether the table has an unknown key: it may be a misspelling of a missing one.
    pub(super) fn unknown(&self) -> Option<Reported> {
        self.unknown
    }

    pub(crate) fn report(&self, problem: Problem) -> Reported {
        self.problems.report(problem)
    }

    /// A key that must be written.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value<'_>) -> Result<T, Reported>,
    ) -> Result<Located<T>, Reported> {
        match self.optional(key, read)? {
            Some(found) => Ok(found),
            None => Err(self.report(
                Problem::new(self.span(), format!("{} has no `{key}`", self.keys.title(self.name)))
                    .with_help(format!("Write `{key}`: {}.", self.keys.find(self.name, key).meaning))
                    .needs_whole_text(),
            )),
        }
    }

    /// A key whose absence means the default that the table of keys holds.
    pub(super) fn or_default<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Value<'_>) -> Result<T, Reported>,
    ) -> Result<Located<T>, Reported> {
        if let Some(found) = self.optional(key, &read)? {
            return Ok(found);
        }
        let WhenAbsent::Means(default) = self.keys.find(self.name, key).when_absent else {
            unreachable!("`{}.{key}` is read with a default, and the table of keys has none", self.name)
        };
        let item = DeValue::parse(default).expect("defaults are TOML; a test reads each of them");
        let value = Value { key, is_entry: false, item: item.get_ref(), span: None, problems: self.problems };
        Ok(Located { value: read(&value)?, span: None })
    }

    /// A key as it is declared: one that must be written, or has a default.
    pub(crate) fn read<T>(&self, setting: &Setting<T>) -> Result<Located<T>, Reported> {
        match setting.key.when_absent {
            WhenAbsent::Refused => self.required(setting.key.name, setting.read),
            WhenAbsent::Means(_) | WhenAbsent::Off => self.or_default(setting.key.name, setting.read),
        }
    }

    /// A key as it is declared that may be left out.
    pub(crate) fn read_if_written<T>(&self, setting: &Setting<T>) -> Result<Option<Located<T>>, Reported> {
        self.optional(setting.key.name, setting.read)
    }

    /// A key that may be left out.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value<'_>) -> Result<T, Reported>,
    ) -> Result<Option<Located<T>>, Reported> {
        debug_assert_eq!(self.keys.find(self.name, key).name, key);
        let Some(value) = self.get(key) else { return Ok(None) };
        let span = value.span.clone();
        Ok(Some(Located { value: read(&value)?, span }))
    }

    /// A table below this one, by its dotted path. An absent one has all its defaults.
    pub(super) fn table(&self, name: &'static str) -> Result<Self, Reported> {
        let absent = || Section { name, table: None, span: self.span(), unknown: None, ..*self };
        Ok(self.optional_table(name)?.unwrap_or_else(absent))
    }

    /// A table below this one that may be left out.
    pub(super) fn optional_table(&self, name: &'static str) -> Result<Option<Self>, Reported> {
        let Some(value) = self.get(last_step(name)) else { return Ok(None) };
        match value.item {
            DeValue::Table(table) => Ok(Some(Self::new(name, table, value.span, self.problems, self.keys))),
            DeValue::Array(_) => Err(value.refuse(
                format!("`{name}` must be a table, and this is a list"),
                format!("Write [{name}] once, in single brackets."),
            )),
            other => Err(value.refuse(
                format!("`{name}` must be a table, and this is {}", kind(other)),
                format!("Write [{name}] on a line of its own, and its keys below."),
            )),
        }
    }

    /// The tables of a list below this one, in their order; none when absent.
    pub(super) fn tables(&self, name: &'static str) -> Result<Vec<Self>, Reported> {
        let Some(value) = self.get(last_step(name)) else { return Ok(Vec::new()) };
        let brackets = format!(
            "Write [[{name}]], in double brackets, on a line of its own above its keys and tables: there may be several."
        );
        let DeValue::Array(items) = value.item else {
            let message = format!("`{name}` must be a list of tables, and this is {}", kind(value.item));
            // Where [[NAME]] follows, the parser reports that, and the order is the mistake.
            let problem = Problem::new(value.span, message).with_help(brackets).needs_whole_text();
            return Err(self.report(problem));
        };
        value.check_length(items.len())?;
        let table = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::Table(table) => Ok(Self::new(name, table, Some(item.span()), self.problems, self.keys)),
            other => {
                let message = format!("`{name}` must be a list of tables, and this is {}", kind(other));
                Err(self.report(Problem::new(item.span(), message).with_help(brackets.as_str())))
            }
        };
        all(items.iter().map(table))
    }

    fn get(&self, key: &'static str) -> Option<Value<'a>> {
        let item = self.table?.get(key)?;
        let span = Some(item.span());
        Some(Value { key, is_entry: false, item: item.get_ref(), span, problems: self.problems })
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    /// The name of the key that holds it.
    pub(crate) fn key(&self) -> &'static str {
        self.key
    }

    /// Reports a problem with this value, and the way to correct it.
    pub(crate) fn refuse(&self, message: impl Into<String>, help: impl Into<String>) -> Reported {
        self.problems.report(Problem::new(self.span.clone(), message).with_help(help))
    }

    /// Reports that this is not `expected`.
    pub(super) fn refuse_kind(&self, expected: &str, help: impl Into<String>) -> Reported {
        let (key, kind) = (self.key, kind(self.item));
        let entry = if self.is_entry { "an entry of " } else { "" };
        self.refuse(format!("{entry}`{key}` must be {expected}, and this is {kind}"), help)
    }

    /// What was parsed.
    pub(super) fn item(&self) -> &'a DeValue<'a> {
        self.item
    }

    /// The entries of a list.
    pub(super) fn entries(&self, help: &str) -> Result<Vec<Self>, Reported> {
        let DeValue::Array(items) = self.item else {
            return Err(self.refuse_kind("a list", help));
        };
        self.check_length(items.len())?;
        let entry = |item: &'a Spanned<DeValue<'a>>| {
            // The entries of a default are written nowhere, as the whole is not.
            let span = self.span.as_ref().map(|_| item.span());
            Value { key: self.key, is_entry: true, item: item.get_ref(), span, problems: self.problems }
        };
        Ok(items.iter().map(entry).collect())
    }

    /// Reads a list of which each entry is read by `read`.
    pub(super) fn list<T>(
        &self,
        read: impl Fn(&Value<'a>) -> Result<T, Reported>,
    ) -> Result<Vec<Located<T>>, Reported> {
        let entries = self.entries(&format!("Write {} = [...].", self.key))?;
        all(entries.into_iter().map(|entry| Ok(Located { value: read(&entry)?, span: entry.span })))
    }

    /// Reads a single value as a list of one, or a list.
    pub(crate) fn one_or_many<T>(
        &self,
        read: impl Fn(&Value<'a>) -> Result<T, Reported>,
    ) -> Result<Vec<Located<T>>, Reported> {
        match self.item {
            DeValue::Array(_) => self.list(read),
            _other => Ok(vec![Located { value: read(self)?, span: self.span.clone() }]),
        }
    }

    fn check_length(&self, length: usize) -> Result<(), Reported> {
        if length <= LIST {
            return Ok(());
        }
        Err(self.refuse(
            format!("`{}` has {length} entries; the limit is {LIST}", self.key),
            "Leave out what this node does not need.",
        ))
    }
}

// === impl Located ===

/// The values without their places.
pub(super) fn values<T>(located: Located<Vec<Located<T>>>) -> Vec<T> {
    located.value.into_iter().map(|entry| entry.value).collect()
}

/// Everything that was read, after all of it has been tried.
pub(super) fn all<T>(results: impl Iterator<Item = Result<T, Reported>>) -> Result<Vec<T>, Reported> {
    let tried: Vec<_> = results.collect();
    tried.into_iter().collect()
}

/// A parsed value's kind, with its article.
fn kind(item: &DeValue<'_>) -> &'static str {
    match item {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn last_step(name: &'static str) -> &'static str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The problem with a key that does not belong here, with the best guess at what was meant.
fn unknown_key(
    keys: &Keys,
    section: &'static str,
    key: &Spanned<Cow<'_, str>>,
    value: &DeValue<'_>,
    known: &[&'static str],
) -> Problem {
    let name = key.get_ref().as_ref();
    if section == "mirror" && keys::is_of_later_release(name) {
        let table = format!("mirror.{}", printable(name, LONGEST_KEY));
        let table = match value {
            DeValue::Array(_) => format!("[[{table}]]"),
            _other => format!("[{table}]"),
        };
        return Problem::new(
            key.span(),
            format!("{table} is for a later release: this one steers in AWS alone"),
        )
        .with_help(format!(
            "This release writes to no cloud but AWS. Remove {table} with its keys, and let a load balancer \
                 poll the status page."
        ));
    }
    let what = if matches!(value, DeValue::Table(_)) { "table" } else { "key" };
    let place = match section {
        "" => "at the top level".to_owned(),
        _ => format!("in {}", keys.title(section)),
    };
    let homes: Vec<_> = keys.sections_with(name).map(|section| keys.title(section)).collect();
    let help = if !homes.is_empty() {
        format!(
            "`{name}` belongs to {}. In TOML a key belongs to the last table header above it.",
            homes.join(" or ")
        )
    } else if let Some(meant) = nearest(name, known) {
        format!("Did you mean `{meant}`?")
    } else {
        format!("Known {place}: {}.", known.join(", "))
    };
    Problem::new(key.span(), format!("unknown {what} {} {place}", quoted(name))).with_help(help)
}

/// The known name that `name` is most likely a misspelling of.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    if name.len() > LONGEST_KEY {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    let distance = |candidate: &&str| strsim::damerau_levenshtein(&name, candidate);
    let candidate = known.iter().min_by_key(|candidate| distance(candidate))?;
    (distance(candidate) <= (candidate.len() / 3).max(1)).then_some(*candidate)
}
