//! A page of the runbook on a terminal: the few forms of Markdown that pages use, wrapped. PURE.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::Page;

const HEADING: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const COMMAND: Style = AnsiColor::Cyan.on_default();

/// `page` for a terminal of `width` columns, with its words as the title.
pub(crate) fn page(page: &Page, width: usize) -> String {
    let words = wrap(&page.words.join(", "), width, "");
    let mut text = format!("{HEADING}{words}{HEADING:#}{FAINT}{}{FAINT:#}\n\n", page.group);
    let mut paragraph = String::new();
    let mut in_code = false;
    for line in page.text.lines() {
        if line.starts_with("```") {
            flush(&mut text, &mut paragraph, width);
            in_code = !in_code;
        } else if in_code {
            // Never wrapped: it is copied.
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

/// The list of all words, a line each, by group; of the meaning, what `width` leaves room for.
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
    let hanging = " ".repeat(item(paragraph).unwrap_or(0));
    text.push_str(&wrap(paragraph.trim_end(), width, &hanging));
    paragraph.clear();
}

/// `text` in lines of at most `width` columns, all but the first behind `hanging`; a word that is longer has a line of its own.
fn wrap(text: &str, width: usize, hanging: &str) -> String {
    let (mut wrapped, mut line) = (String::new(), String::new());
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            wrapped.extend([line.as_str(), "\n"]);
            hanging.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    wrapped.extend([line.as_str(), "\n"]);
    wrapped
}
