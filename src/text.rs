//! Text for people: what others wrote, made printable, and an error with its causes on one line. PURE.

/// Makes text of others fit for a log line or a terminal: control characters, bidirectional overrides and
/// anything after `limit` characters are replaced.
///
/// Escape sequences in what a child printed must not reach the terminal of the reader of a log.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_survive() {
        assert_eq!(printable("IRIS\x1b[2J^\u{202e}x\r\n", 80), "IRIS\u{fffd}[2J^\u{fffd}x");
        assert_eq!(printable("abcdef", 3), "abc…");
    }
}
