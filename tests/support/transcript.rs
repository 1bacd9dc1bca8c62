//! Transcripts of commands, held against golden files: what was typed, what was printed, the exit code.
//!
//! `tests/cli/NAME.txt` is the transcript NAME. After a change of words, run with `UPDATE_EXPECT=1` and read
//! the difference. What differs from run to run (directories, ports, times) is replaced by a name.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A transcript in the making.
pub struct Transcript {
    name: &'static str,
    text: String,
    hidden: Vec<(String, String)>,
}

/// Environment variables that change what is printed.
const VARIABLES: [&str; 8] =
    ["COLUMNS", "CLICOLOR", "CLICOLOR_FORCE", "LANG", "NO_COLOR", "RUST_BACKTRACE", "RUST_LOG", "TERM"];

// === impl Transcript ===

impl Transcript {
    pub fn new(name: &'static str) -> Self {
        let mut transcript = Self { name, text: String::new(), hidden: Vec::new() };
        transcript.hide(env!("CARGO_PKG_VERSION"), "VERSION");
        transcript
    }

    /// Replaces `text` in everything that follows.
    pub fn hide(&mut self, text: impl AsRef<str>, name: &str) {
        self.hidden.push((text.as_ref().to_owned(), format!("{{{name}}}")));
    }

    /// Runs a command, and takes down what happens.
    pub fn run(&mut self, command: &mut Command) -> Output {
        let mut words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        // Behind `setpriv` the command under test is an argument.
        if let Some(program) = words.iter().position(|word| word.ends_with("/mirrorvip")) {
            words.drain(..=program);
        }
        self.run_as(&format!("mirrorvip {}", words.join(" ")), command)
    }

    /// Runs a command that is shown as `title`.
    pub fn run_as(&mut self, title: &str, command: &mut Command) -> Output {
        for variable in VARIABLES {
            if !command.get_envs().any(|(name, value)| name == variable && value.is_some()) {
                command.env_remove(variable);
            }
        }
        let output = command.output().expect("the command starts");
        let mut shown = format!("$ {title}\n");
        shown.push_str(&String::from_utf8_lossy(&output.stdout));
        let complaint = String::from_utf8_lossy(&output.stderr);
        if !complaint.is_empty() {
            shown.push_str("--- standard error\n");
            shown.push_str(&complaint);
        }
        let code = output.status.code();
        let code = code.map_or_else(|| output.status.to_string(), |code| code.to_string());
        writeln!(shown, "--- exit {code}\n").expect("writing to a string cannot fail");
        for (text, name) in &self.hidden {
            shown = shown.replace(text, name);
        }
        for (before, after) in [("within ", " ms"), ("\"took_ms\": ", "\n"), ("is ", "s old")] {
            shown = without_number(&shown, before, after);
        }
        self.text.push_str(&shown);
        output
    }

    /// Holds the transcript against its golden file.
    pub fn check(self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/{}.txt", self.name));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, &self.text).expect("the source folder is writable");
            return;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        let difference = self.text.lines().zip(expected.lines()).position(|(is, should)| is != should);
        let line = difference.unwrap_or_else(|| self.text.lines().count().min(expected.lines().count())) + 1;
        assert!(
            self.text == expected,
            "another transcript than {}, first in line {line}:\n{}",
            path.display(),
            self.text
        );
    }
}

/// Replaces a number that stands between `before` and `after`.
fn without_number(text: &str, before: &str, after: &str) -> String {
    let mut parts = text.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(before);
        let digits = part.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(part.len());
        if digits > 0 && part[digits..].starts_with(after) {
            out.push('N');
            out.push_str(&part[digits..]);
        } else {
            out.push_str(part);
        }
    }
    out
}
