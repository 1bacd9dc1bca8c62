//! Renders a page of the runbook for a terminal: the few forms of Markdown that pages use. PURE.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::Page;
use crate::text::wrap;

const HEADING: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const COMMAND: Style = AnsiColor::Cyan.on_default();

/// `page` for a terminal of `width` columns, with its words as the title.
pub(crate) fn page(page: &Page, width: usize) -> String {
    let words = wrap(&page.words.join(", "), 0, 0, width);
    let mut text = format!("{HEADING}{words}{HEADING:#}\n{FAINT}{}{FAINT:#}\n\n", page.group);
    let mut paragraph = String::new();
    let mut in_code = false;
    for line in page.text.lines() {
        if line.starts_with("```") {
            flush(&mut text, &mut paragraph, width);
            in_code = !in_code;
        } else if in_code {
            // Not wrapped, so that it can be copied.
            let _ = writeln!(text, "    {COMMAND}{line}{COMMAND:#}");
        } else if let Some(heading) = line.strip_prefix("### ") {
            flush(&mut text, &mut paragraph, width);
            let _ = writeln!(text, "{HEADING}{heading}{HEADING:#}\n");
        } else if line.trim().is_empty() {
            flush(&mut text, &mut paragraph, width);
            if !text.ends_with("\n\n") {
                text.push('\n');
            }
        } else {
            if item(line).is_some() {
                flush(&mut text, &mut paragraph, width);
            }
            paragraph.extend([line.trim(), " "]);
        }
    }
    flush(&mut text, &mut paragraph, width);
    text
}

/// The list of all words by group, one per line; the meaning is cut off at `width`.
pub(crate) fn list(pages: &[Page], width: Option<usize>) -> String {
    let mut text = String::new();
    let mut group = "";
    for page in pages {
        if page.group != group {
            group = page.group;
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{HEADING}{group}{HEADING:#}\n");
        }
        for word in &page.words {
            let line = format!("  {word:<WORD$}  {}", page.meaning(word));
            match width.filter(|width| line.chars().count() > *width) {
                Some(width) => text.extend(line.chars().take(width.saturating_sub(1)).chain(['…', '\n'])),
                None => text.extend([&line, "\n"]),
            }
        }
    }
    text
}

/// The width of the longest word.
const WORD: usize = 21;

/// The length of the mark of a list's item: `- ` or `1. `.
fn item(line: &str) -> Option<usize> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    match (line.strip_prefix("- "), digits) {
        (Some(_), _) => Some(2),
        (None, 1..) if line[digits..].starts_with(". ") => Some(digits + 2),
        (None, _) => None,
    }
}

fn flush(text: &mut String, paragraph: &mut String, width: usize) {
    if paragraph.is_empty() {
        return;
    }
    text.extend([&wrap(paragraph, 0, item(paragraph).unwrap_or(0), width), "\n"]);
    paragraph.clear();
}
