//! Text for people: makes foreign text printable, joins an error with its causes, wraps lines. PURE.

/// Makes foreign text safe for a log line or a terminal: replaces control characters, bidirectional overrides and
/// everything after `limit` characters.
///
/// Escape sequences in the output of a child must not reach the terminal of a reader of the log.
pub fn printable(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    for (count, c) in text.trim_end().chars().enumerate() {
        if count == limit {
            out.push('…');
            break;
        }
        let harmful = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        out.push(if harmful { '\u{fffd}' } else { c });
    }
    out
}

/// An error with its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Breaks `text` between words into lines of at most `width` columns. The first line starts at `column`, the others are
/// indented by `indent`. A word that is longer than a line stays whole, so that it can be copied.
pub(crate) fn wrap(text: &str, column: usize, indent: usize, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = column;
    for (index, word) in text.split_whitespace().enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// `text` as a sentence begins; the name of this program stays in lower case.
pub(crate) fn capital(text: &str) -> String {
    match text.chars().next() {
        Some(first) if !text.starts_with("mirrorvip") => {
            first.to_uppercase().chain(text[first.len_utf8()..].chars()).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_survive() {
        assert_eq!(printable("IRIS\x1b[2J^\u{202e}x\r\n", 80), "IRIS\u{fffd}[2J^\u{fffd}x");
        assert_eq!(printable("abcdef", 3), "abc…");
    }

    #[test]
    fn wraps_between_words_and_breaks_none() {
        let text = "mirror PROD: a-word-that-is-longer-than-the-line and more";
        let wrapped = "mirror PROD:\n  a-word-that-is-longer-than-the-line\n  and more";
        assert_eq!(wrap(text, 2, 2, 14), wrapped);
    }
}
