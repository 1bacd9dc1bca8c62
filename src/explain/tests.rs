//! Every page of the runbook has its parts, every word and message of the program has a page, and every page explains a
//! word or message of the program.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;

/// The parts of a page, in their order.
const PARTS: [&str; 4] = ["### How it shows", "### Why", "### What to do", "### What clients see"];

/// Words in logs and metrics that need no page.
#[rustfmt::skip] // a kind a line
const WITHOUT_A_PAGE: [&str; 17] = [
    "promotion", "demotion", // events of a hook
    "initial", "healthy", "unhealthy", "unhealthy.draining", "unused", "draining", "unavailable", // AWS's own
    "page", "agent-check", // listeners
    "good", "note", "warning", "error", // severities
    "network", "application", // kinds of load balancers in the simulated cloud
];

/// Warnings that need no operator: those of the simulated cloud.
const NO_ACTION: [&str; 1] = ["the simulated cloud failed to accept"];

/// A text of the source with its escapes resolved.
fn literals(source: &str) -> Vec<String> {
    let (mut found, mut chars) = (Vec::new(), source.chars().peekable());
    while let Some(c) = chars.next() {
        if c == '\'' {
            // A character, such as a quotation mark; lifetimes have no second mark.
            let mut ahead = chars.clone();
            let first = ahead.next();
            let last = if first == Some('\\') { ahead.nth(1) } else { ahead.next() };
            if last == Some('\'') {
                chars = ahead;
            }
        }
        if c != '"' {
            continue;
        }
        let mut text = String::new();
        while let Some(c) = chars.next().filter(|c| *c != '"') {
            match c {
                '\\' => match chars.next() {
                    Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                    Some('n') => text.push('\n'),
                    Some(other) => text.push(other),
                    None => {}
                },
                c => text.push(c),
            }
        }
        found.push(text);
    }
    found
}

/// The arguments of the call that begins at `start`, up to its closing parenthesis, and what follows.
fn arguments(source: &str, start: usize) -> (&str, &str) {
    let (mut depth, mut in_text, mut escaped) = (1, false, false);
    for (at, c) in source[start..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '(' if !in_text => depth += 1,
            ')' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&source[start..start + at], &source[start + at..]);
        }
    }
    (&source[start..], "")
}

/// Calls of these names with where they begin, their arguments and what follows; definitions are none.
fn calls<'a>(source: &'a str, names: &[&str]) -> Vec<(usize, &'a str, &'a str)> {
    let mut found = Vec::new();
    for name in names {
        for (at, _) in source.match_indices(&format!("{name}(")) {
            let before = &source[..at];
            let is_part =
                before.ends_with(|c: char| c.is_alphanumeric() || c == '_') || before.ends_with("fn ");
            if !is_part {
                let (inner, behind) = arguments(source, at + name.len() + 1);
                found.push((at, inner, behind));
            }
        }
    }
    found
}

fn longest(literals: Vec<String>) -> String {
    literals.into_iter().max_by_key(String::len).unwrap_or_default()
}

/// What of a format string is there in every case, as letters.
fn letters(text: &str) -> usize {
    let mut depth = 0;
    let fixed = text.chars().filter(|c| {
        depth += i32::from(*c == '{') - i32::from(*c == '}');
        depth == 0 && c.is_alphabetic()
    });
    fixed.count()
}

fn fitting(text: &str, origin: Origin) -> Vec<&'static str> {
    let fits = |page: &&Page| page.messages.iter().any(|known| known.origin == origin && known.fits(text));
    pages().iter().filter(fits).map(|page| page.words[0]).collect()
}

/// Every source file that is no test, with its path from the top of the project.
pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut directories) = (Vec::new(), vec![root.join("src")]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let is_test =
                path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
            if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
                let text = fs::read_to_string(&path).unwrap();
                let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                found.push((path.strip_prefix(root).unwrap().to_owned(), shipped));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn pages_have_every_part() {
    assert!(pages().len() > 50, "only {} pages", pages().len());
    for page in pages() {
        let name = page.words[0];
        let mut rest = page.text;
        for part in PARTS {
            let (_, behind) =
                rest.split_once(part).unwrap_or_else(|| panic!("{name}: no `{part}` in its place"));
            let content = behind.split("\n### ").next().unwrap();
            assert!(content.trim().len() > 5, "{name}: nothing under `{part}`");
            rest = behind;
        }
        let summary = page.summary();
        assert!((20..=260).contains(&summary.len()), "{name}: {summary}");
        let meanings: std::collections::BTreeSet<_> =
            page.words.iter().map(|word| page.meaning(word)).collect();
        let shared = page.words.len() - meanings.len();
        assert!(shared <= 1, "{name}: a list says what each of {:?} means", page.words);
        for word in &page.words {
            assert!(word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{word}");
            let same = pages().iter().filter(|other| other.group == page.group && other.words.contains(word));
            assert_eq!(same.count(), 1, "{} has {word} twice", page.group);
        }
    }
}

#[test]
fn commands_can_be_pasted() {
    let command = crate::cli::command();
    let mut scripts = 0;
    for page in pages() {
        for block in page.text.split("```sh\n").skip(1) {
            let script = block.split("```").next().unwrap();
            let mut shell = Command::new("sh").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            assert!(shell.wait().unwrap().success(), "{}: {script}", page.words[0]);
            scripts += 1;
        }
        // Verbs are ours: in commands of their own, and where the text names them.
        let lines = page
            .text
            .lines()
            .map(|line| line.trim_start_matches("sudo ").trim_start_matches("-u mirrorvip "));
        let commands = lines.filter_map(|line| line.strip_prefix("mirrorvip "));
        let in_code = page
            .text
            .split("```sh\n")
            .skip(1)
            .filter_map(|block| block.split("```").next())
            .collect::<String>();
        let commands = commands.filter(|rest| in_code.contains(rest)).map(str::to_owned);
        let prose =
            page.text.lines().filter(|line| Message::parse(line).is_none()).collect::<Vec<_>>().join("\n");
        let named = prose.split("`mirrorvip ").skip(1).map(str::to_owned);
        for rest in commands.chain(named) {
            let verb = rest.split([' ', '\n', '`']).next().unwrap();
            let is_verb = verb.starts_with("--") || command.find_subcommand(verb).is_some();
            assert!(is_verb, "{}: there is no `mirrorvip {verb}`", page.words[0]);
        }
        for (_, word) in page
            .text
            .match_indices("mirrorvip explain ")
            .map(|(at, found)| (at, &page.text[at + found.len()..]))
        {
            let word = word.split(['`', '\n', ' ']).next().unwrap();
            assert!(known(word).is_some(), "{} leads to {word}, which has no page", page.words[0]);
        }
    }
    assert!(scripts > 50, "only {scripts} scripts");
}

#[test]
fn configurations_have_known_keys() {
    let mut checked = 0;
    for page in pages() {
        for block in page.text.split("```toml fragment\n").skip(1) {
            let text = block.split("```").next().unwrap();
            for key in text.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key) {
                let is_known = crate::provider::known_keys().iter().any(|known| known.name == key);
                assert!(is_known, "{}: {key} is no key", page.words[0]);
                checked += 1;
            }
        }
    }
    assert!(checked >= 10, "only {checked} keys found");
}

/// States, rulings, causes, classes and alarms are words that functions named `word` or `label` give.
#[test]
fn every_word_of_the_program_has_a_page() {
    let mut words = 0;
    for (path, text) in sources() {
        for (at, _) in text.match_indices("fn word(").chain(text.match_indices("fn label(")) {
            let body = text[at..].split("\n    }\n").next().unwrap();
            for word in literals(body) {
                if word.is_empty() || !word.chars().all(|c| c.is_ascii_lowercase() || ".-".contains(c)) {
                    continue;
                }
                words += 1;
                let is_known = known(&word).is_some() || WITHOUT_A_PAGE.contains(&word.as_str());
                assert!(is_known, "{}: the runbook has no page for {word}", path.display());
            }
        }
    }
    assert!(words > 60, "only {words} words found");
}

#[test]
fn every_warning_and_error_of_the_log_has_a_page() {
    let (mut missing, mut found) = (Vec::new(), 0);
    for (path, text) in sources() {
        for (at, inner, _) in calls(&text, &["warn!", "error!"]) {
            let message = longest(literals(inner));
            let line = text[..at].lines().count();
            found += 1;
            let by_field = SAYING.iter().any(|field| inner.contains(&format!("{field} = ")));
            if NO_ACTION.iter().any(|known| message.contains(known)) || letters(&message) == 0 && by_field {
                continue;
            }
            match fitting(&message, Origin::Log).as_slice() {
                [_] => {}
                [] => missing.push(format!("{}:{line}: no page for `{message}`", path.display())),
                several => missing.push(format!("{}:{line}: {several:?} for `{message}`", path.display())),
            }
        }
    }
    assert!(found > 40, "only {found} messages found");
    assert!(
        missing.is_empty(),
        "name these under \"How it shows\" of one page of docs/runbook:\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_finding_of_check_has_a_page() {
    let (mut missing, mut found) = (Vec::new(), 0);
    for (path, text) in sources().into_iter().filter(|(_, text)| text.contains("Finding")) {
        for (at, inner, behind) in calls(&text, &["warning", "error"]) {
            let statement = behind.split([';', '}']).next().unwrap();
            let before = &text[..at];
            let scope = &before[before.rfind("fn ").unwrap_or(0)..];
            // The callers of what passes a text on are judged themselves.
            let passes_on = scope.contains("message: impl") || scope.contains("|text: String");
            let says = longest(literals(inner));
            found += 1;
            if statement.contains(".explain(") || letters(&says) < 12 && passes_on {
                continue;
            }
            let fits = |texts: Vec<String>| texts.iter().any(|text| !fitting(text, Origin::Check).is_empty());
            // Where the call has little text of its own, it is made above.
            let has_page = fits(literals(inner)) || letters(&says) < 16 && fits(literals(scope));
            if !has_page {
                missing.push(format!("{}:{}: `{says}`", path.display(), before.lines().count()));
            }
        }
    }
    assert!(found > 60, "only {found} findings found");
    assert!(
        missing.is_empty(),
        "name these under \"How it shows\" of a page of docs/runbook, or add `.explain(\"word\")` where they have no text of their \
         own:\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_page_is_about_something_that_there_is() {
    let texts: Vec<String> = sources().iter().flat_map(|(_, text)| literals(text)).collect();
    let mut stale = Vec::new();
    for page in pages() {
        for message in &page.messages {
            if !texts.iter().any(|text| message.fits(text)) {
                stale.push(format!("{}: no source says `{}`", page.words[0], message.fragments.join("...")));
            }
        }
        let is_used =
            !page.messages.is_empty() || page.words.iter().any(|word| texts.iter().any(|text| text == word));
        if !is_used {
            stale.push(format!("{}: neither a message nor a word of the program", page.words[0]));
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}

#[test]
fn words_are_found_however_they_are_typed() {
    assert_eq!(find("No_Evidence")[0].words[0], "no-evidence");
    assert_eq!(find(" two serve ")[0].words[0], "two-serve");
    let both: Vec<_> = find("waiting").iter().map(|page| page.group).collect();
    assert_eq!(both.len(), 2, "a state of IRIS and of a target: {both:?}");
    assert_eq!(find("nonsense"), Vec::<&Page>::new());
    assert_eq!(nearest("superceded"), Some("superseded"));
    assert_eq!(nearest("xyzzy"), None);
}

#[test]
fn a_message_leads_to_its_page() {
    assert_eq!(
        find("the watchdog is not fed: the service manager will restart the daemon")[0].words[0],
        "watchdog"
    );
    assert_eq!(of_log("the watchdog is not fed", &[]), Some("watchdog"));
    let cause = |word: &str| of_log("no evidence of the role", &[("cause", word.to_owned())]);
    assert_eq!(cause("timed-out"), Some("timed-out"), "the cause says more than the message");
    assert_eq!(cause("other"), Some("no-evidence"));
    assert_eq!(of_log("never seen", &[("alarm", "two-serve".to_owned())]), Some("two-serve"));
    assert_eq!(
        of_finding("max_connections = 4096 needs a hard limit of 4352, and it is 1024 here"),
        Some("open-files")
    );
    assert_eq!(of_finding("max_connections = 1024"), None);
}

#[test]
fn pages_fit_the_terminal() {
    for page in pages() {
        let text = anstream::adapter::strip_str(&render::page(page, 80)).to_string();
        let lines = text.lines().filter(|line| !line.starts_with("    "));
        for line in lines {
            assert!(line.chars().count() <= 80 || !line.contains(' '), "{}: {line}", page.words[0]);
        }
        assert!(!text.contains("```") && !text.contains("\n\n\n"), "{text}");
    }
    let list = anstream::adapter::strip_str(&render::list(pages(), Some(80))).to_string();
    assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");
    let whole = render::list(pages(), None);
    for page in pages() {
        for word in &page.words {
            assert!(list.contains(&format!("\n  {word} ")), "{word}: {list}");
            assert!(whole.contains(&page.meaning(word)), "{word}");
        }
    }
}
