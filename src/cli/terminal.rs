//! The size of the terminal, and text that fits it.

use std::env;
use std::io::{self, IsTerminal as _};

use rustix::termios::tcgetwinsize;

use crate::text;

/// The assumed size of a terminal that does not report one.
const USUAL: (usize, usize) = (80, 24);
/// Longer lines are hard to read.
const WIDEST: usize = 100;

/// Columns and rows of standard output; `None` if it is not a terminal.
pub(super) fn size() -> Option<(usize, usize)> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let variable = |name| env::var(name).ok()?.parse().ok().filter(|number| *number > 0);
    let reported = tcgetwinsize(&stdout).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    let reported = reported.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    Some(reported.unwrap_or((variable("COLUMNS").unwrap_or(USUAL.0), variable("LINES").unwrap_or(USUAL.1))))
}

/// The width of text for people; `None` if a program reads the output, so that it is not wrapped.
pub(super) fn width() -> Option<usize> {
    size().map(|(columns, _)| columns.min(WIDEST))
}

/// `text` wrapped for the terminal, indented by `indent`.
pub(super) fn wrap(text: &str, indent: usize) -> String {
    width().map_or_else(|| text.to_owned(), |width| text::wrap(text, indent, indent, width))
}

/// As much of `text` as a screen of this size holds. A line that is cut off ends in `…`; the last row says how many lines
/// are left out. Escape sequences take no room.
pub(super) fn clip(text: &str, (columns, rows): (usize, usize)) -> String {
    let lines: Vec<_> = text.lines().collect();
    let shown = if lines.len() > rows { rows.saturating_sub(1) } else { lines.len() };
    let mut out: Vec<String> = lines[..shown].iter().map(|line| clip_line(line, columns)).collect();
    if shown < lines.len() {
        out.push(clip_line(&format!("... {} more lines", lines.len() - shown), columns));
    }
    out.join("\n")
}

fn clip_line(line: &str, columns: usize) -> String {
    let visible = anstream::adapter::strip_str(line).to_string().chars().count();
    if visible <= columns {
        return line.to_owned();
    }
    let (mut out, mut column, mut in_escape) = (String::new(), 0, false);
    for c in line.chars() {
        if c == '\u{1b}' {
            in_escape = true;
        }
        if in_escape {
            out.push(c);
            in_escape = !c.is_ascii_alphabetic();
        } else if column + 1 < columns {
            out.push(c);
            column += 1;
        } else if column + 1 == columns {
            out.push('…');
            column += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipped_text_fits_the_screen() {
        let text = "\u{1b}[1mabcdef\u{1b}[0m\nghi\njkl\nmno";
        assert_eq!(clip(text, (4, 3)), "\u{1b}[1mabc…\u{1b}[0m\nghi\n...…");
        assert_eq!(clip("ab\ncd", (4, 2)), "ab\ncd");
    }
}
