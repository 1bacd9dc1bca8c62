//! Text that is not TOML: what was most likely meant, and how to write it in TOML. PURE.
//!
//! The parser reports where it stopped and what it expected there. Most mistakes come from another format (YAML's colon,
//! an unquoted address, `yes`), so the line is checked for these, and the help shows the line in TOML. One problem is
//! reported per line, because the parser's later errors follow from the first.

use std::path::Path;

use toml::de::Error;

use super::diagnostic::{Problem, Span, masked, quoted};
use super::file::VARIABLE;
use super::keys::{Keys, WhenAbsent};

/// How many lines are explained; a report does not show more.
const EXPLAINED: usize = 50;
/// A longer line is not repeated in the help.
const LINE: usize = 200;
/// Quotes that word processors put in place of `"` and `'`.
const TYPOGRAPHIC: [char; 10] = ['“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»'];

/// Problems with what the parser could not read, one per line.
pub(super) fn problems(text: &str, origin: &str, mut errors: Vec<Error>, keys: &Keys) -> Vec<Problem> {
    if errors.is_empty() {
        return Vec::new();
    }
    if let Some(problem) = path_in_place_of_text(text, origin) {
        return vec![problem];
    }
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let mut problems = Vec::new();
    let mut line = 0..0;
    for error in errors {
        let Some(span) = error.span().map(|span| on_boundaries(text, &span)) else {
            problems.push(Problem::new(None, error.message()));
            continue;
        };
        if !problems.is_empty() && (line.start..=line.end).contains(&span.start) {
            continue;
        }
        line = line_at(text, span.start);
        let problem = Problem::new(span, error.message());
        problems.push(if problems.len() < EXPLAINED {
            explain(text, &line, error.message(), problem, keys)
        } else {
            problem
        });
    }
    problems
}

/// The variable holds the configuration itself, and the name of a file was written there.
fn path_in_place_of_text(text: &str, origin: &str) -> Option<Problem> {
    let path = text.trim();
    let is_path = !path.contains(['\n', '=', '[', '#', '"'])
        && (path.starts_with(['/', '.', '~'])
            || Path::new(path).extension().is_some_and(|end| end == "toml"));
    let help = if origin == VARIABLE {
        format!(
            "{VARIABLE} holds the text of the configuration. To read a file, unset it and write `--config {path}`."
        )
    } else {
        format!("Write the configuration here, or read the other file: `--config {path}`.")
    };
    is_path.then(|| {
        Problem::new(0..text.trim_end().len(), "this is the path of a file, not a configuration")
            .with_help(help)
    })
}

/// The same problem in words that say what to write; as it is where the mistake is not known.
fn explain(text: &str, line: &Span, message: &str, problem: Problem, keys: &Keys) -> Problem {
    let written = text[line.clone()].trim();
    if written.len() > LINE {
        return problem;
    }
    if message == "duplicate key" {
        return twice(text, line, problem);
    }
    let written = masked(written);
    match mistake(&written, keys) {
        Some((message, help)) => problem.saying(message).with_help(help),
        None => problem,
    }
}

/// A key or a table that is there already.
fn twice(text: &str, line: &Span, problem: Problem) -> Problem {
    let written = text[line.clone()].trim();
    let header = |line: &str| line.starts_with('[');
    let before = || {
        let mut end = line.start;
        std::iter::from_fn(move || {
            let previous = line_at(text, end.checked_sub(1)?);
            end = previous.start;
            Some(previous)
        })
    };
    if header(written) {
        let title = without_comment(written);
        if let Some(first) = before().find(|line| without_comment(text[line.clone()].trim()) == title) {
            return problem
                .saying(format!("{title} is written twice"))
                .related(Some(first), "the first one")
                .with_help("Write the keys of both below one header.");
        }
        let child = format!("[{}.", title.trim_matches(['[', ']', ' ']));
        let is_child =
            |line: &Span| text[line.clone()].trim().trim_start_matches('[').starts_with(&child[1..]);
        return match before().filter(is_child).last() {
            Some(first) => {
                let below = without_comment(text[first.clone()].trim()).to_owned();
                problem
                    .saying(format!("{title} comes after {below}, which belongs to it"))
                    .related(Some(first), "belongs below")
                    .with_help(format!("Move {below} with its keys below {title}."))
            }
            None => problem.saying(format!("{title} is defined already")),
        };
    }
    let key = key_of(written);
    let same = |line: &Span| key_of(text[line.clone()].trim()) == key;
    match before().take_while(|line| !header(text[line.clone()].trim())).find(same) {
        Some(first) => problem
            .saying(format!("{} is written twice in one table", quoted(key)))
            .related(Some(first), "the first one")
            .with_help("Keep one of the two."),
        None => problem,
    }
}

/// What is wrong with a line, and how it is written; the parser has refused it.
fn mistake(line: &str, keys: &Keys) -> Option<(String, String)> {
    if let Some(marker) = [";", "//", "--"].into_iter().find(|marker| line.starts_with(marker)) {
        let help = "Begin a comment with `#`.".to_owned();
        return Some((format!("`{marker}` does not begin a comment"), help));
    }
    if line.starts_with('[') {
        return header(line, keys);
    }
    // An entry of a list in YAML.
    let line = line.strip_prefix("- ").unwrap_or(line);
    let key = key_of(line);
    if key.is_empty() {
        return None;
    }
    let rest = line[key.len()..].trim_start();
    if let Some(value) = rest.strip_prefix('=') {
        return Some(wrong_value(key, value.trim(), keys));
    }
    if let Some(value) = rest.strip_prefix(':') {
        let message = "there is a `:` where TOML has `=`".to_owned();
        return Some((message, assignment(key, value.trim(), keys)));
    }
    if let Some((words, value)) = line.split_once('=') {
        let fits = |word: &str| word.chars().all(is_key);
        let words: Vec<_> = words.split_whitespace().collect();
        return words.iter().copied().all(fits).then(|| {
            let key = words.join("_");
            (
                format!("the key {} contains a space", quoted(&words.join(" "))),
                assignment(&key, value.trim(), keys),
            )
        });
    }
    let message = if rest.is_empty() {
        format!("{} has no value", quoted(key))
    } else {
        format!("`=` is missing after {}", quoted(key))
    };
    Some((message, assignment(key, rest, keys)))
}

fn header(line: &str, keys: &Keys) -> Option<(String, String)> {
    let end = line.find(['=', '#', ',', '"']).unwrap_or(line.len());
    let brackets = line[..end].rfind(']').map_or(end, |bracket| bracket + 1);
    let name = line[..brackets].trim_matches(['[', ']', ' ']);
    if name.is_empty() || !name.chars().all(is_key) {
        return None;
    }
    let title = if keys.all().iter().any(|key| key.section == name) {
        keys.title(name)
    } else if line.starts_with("[[") {
        format!("[[{name}]]")
    } else {
        format!("[{name}]")
    };
    let closed = line.starts_with(&title);
    Some(if closed {
        (
            format!("{title} is not alone on its line"),
            format!("Write {title} on a line of its own, and its keys below."),
        )
    } else {
        ("the table's header is not closed".to_owned(), format!("Write {title}."))
    })
}

/// What is wrong with `value`, which the parser refused.
fn wrong_value(key: &str, value: &str, keys: &Keys) -> (String, String) {
    let name = quoted(key);
    let message = if value.is_empty() || value.starts_with('#') {
        format!("{name} has no value")
    } else if value.contains(TYPOGRAPHIC) {
        "these are typographic quotes".to_owned()
    } else if boolean(value).is_some() {
        format!("{} is not a value in TOML", quoted(without_comment(value)))
    } else if value.starts_with(['"', '\'']) {
        match string_end(value) {
            None => "the quote at the end is missing".to_owned(),
            Some(end) if value[end..].trim_start().starts_with(['"', '\'']) => {
                return (
                    format!("{name} has two values"),
                    format!("Write several values as a list: `{key} = [\"...\", \"...\"]`."),
                );
            }
            Some(end) if without_comment(&value[end..]).trim().is_empty() => {
                return not_here(value);
            }
            Some(end) => format!("{} follows the value", quoted(value[end..].trim())),
        }
    } else if value.starts_with('[') {
        if value.ends_with(']') {
            "an entry of the list is not in quotes, or a comma is missing".to_owned()
        } else {
            "the list is not closed".to_owned()
        }
    } else if value.starts_with('{') {
        let help = "Separate its keys by commas, or write them below a header of their own.".to_owned();
        return (format!("the inline table {name} is not well-formed"), help);
    } else if is_bare(value) {
        return not_here(value);
    } else {
        "the value is not in quotes".to_owned()
    };
    (message, assignment(key, value, keys))
}

/// What is wrong with a line whose value is well-formed: an escape sequence in it, or the parser is still inside something
/// that begins above.
fn not_here(value: &str) -> (String, String) {
    if value.contains('\\') {
        let help = "Write a backslash twice, or put the value in single quotes.".to_owned();
        return ("the value has a wrong escape sequence".to_owned(), help);
    }
    let help = "Close the list or the string that begins above this line.".to_owned();
    ("a list or a string above this line is not closed".to_owned(), help)
}

/// How TOML writes the value of `key`, as a sentence.
fn assignment(key: &str, value: &str, keys: &Keys) -> String {
    if value.is_empty() && keys.all().iter().any(|known| known.section == key) {
        return format!("Write `{}`, and its keys on the lines below it.", keys.title(key));
    }
    let mut known = keys.all().iter().filter(|known| known.name == key).peekable();
    let meaning = known.peek().map(|known| known.meaning);
    let takes_booleans = known.any(|known| matches!(known.when_absent, WhenAbsent::Means("true" | "false")));
    let literal = match boolean(value) {
        Some(word) => (takes_booleans || meaning.is_none()).then(|| word.to_owned()),
        None => literal(value),
    };
    match (literal, meaning) {
        (Some(literal), _) => format!("Write `{key} = {literal}`."),
        (None, Some(meaning)) => format!("Write `{key} = ...`: {meaning}."),
        (None, None) => "Write a value, or remove the line.".to_owned(),
    }
}

/// `value` as TOML writes it, if that is clear.
fn literal(value: &str) -> Option<String> {
    if let Some(entries) = value.strip_prefix('[') {
        let entries = entries.trim_end_matches([']', ' ', ',']);
        let entries: Vec<_> = entries
            .split([',', ' '])
            .filter(|entry| !entry.trim().is_empty())
            .map(|entry| literal(entry.trim()))
            .collect::<Option<_>>()?;
        return Some(format!("[{}]", entries.join(", ")));
    }
    if value.starts_with('{') {
        return None;
    }
    if let Some(end) = string_end(value) {
        return Some(value[..end].to_owned());
    }
    let bare = without_comment(value).trim_matches(TYPOGRAPHIC).trim_matches(['"', '\'']).trim();
    if is_bare(value) {
        return Some(bare.to_owned());
    }
    (!bare.is_empty() && !bare.contains(['"', '\\'])).then(|| format!("\"{bare}\""))
}

/// The boolean that other formats write so.
fn boolean(value: &str) -> Option<&'static str> {
    match without_comment(value) {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "True" | "TRUE" => Some("true"),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" | "False" | "FALSE" => Some("false"),
        _ => None,
    }
}

/// Whether TOML writes `value` without quotes.
fn is_bare(value: &str) -> bool {
    let value = without_comment(value);
    matches!(value, "true" | "false")
        || !value.is_empty() && value.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | '+' | '-'))
}

/// Where the string ends with which `value` begins, if it does both.
fn string_end(value: &str) -> Option<usize> {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some(value[1..].find(quote)? + 2)
}

fn key_of(line: &str) -> &str {
    &line[..line.find(|c| !is_key(c)).unwrap_or(line.len())]
}

fn is_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn without_comment(text: &str) -> &str {
    text.split('#').next().unwrap_or_default().trim_end()
}

/// The bytes of the line that holds `at`, without its end.
fn line_at(text: &str, at: usize) -> Span {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
    start..end
}

/// The parser may point between the bytes of a character, or beyond the end.
fn on_boundaries(text: &str, span: &Span) -> Span {
    let start = text.floor_char_boundary(span.start);
    start..text.floor_char_boundary(span.end).max(start)
}
