//! Adds the runbook page of every warning and error to the log entry, as the field `explain`.
//!
//! This is done here and not at the call sites: every message that the [runbook](crate::explain) lists gets its word.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::explain;

/// The field's name.
pub(super) const FIELD: &str = "explain";

/// Formats as `F` does and appends the field.
pub(super) struct Explained<F>(pub(super) F);

/// The message and the fields of an event that select a page.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, String)>,
}

/// The word of the page about `event`, if it is a warning or an error.
pub(super) fn word(event: &Event<'_>) -> Option<&'static str> {
    // The more verbose levels are greater.
    if *event.metadata().level() > Level::WARN {
        return None;
    }
    let mut said = Said::default();
    event.record(&mut said);
    explain::of_log(&said.message, &said.fields)
}

// === impl Explained ===

impl<S, N, F> FormatEvent<S, N> for Explained<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(word) = word(event) else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        match line.strip_suffix('}').filter(|_| line.starts_with('{')) {
            Some(object) => writeln!(writer, "{object},\"{FIELD}\":\"{word}\"}}"),
            None => writeln!(writer, "{line} {FIELD}=\"{word}\""),
        }
    }
}

// === impl Said ===

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name if explain::SAYING.contains(&name) => self.fields.push((name, value.to_owned())),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" || explain::SAYING.contains(&field.name()) {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() {
        tracing::warn!(mirror = "PROD", cause = "timed-out", "no evidence of the role");
        tracing::error!(mirror = "PROD", alarm = "two-serve", "a text that no page has");
        tracing::info!(mirror = "PROD", cause = "timed-out", "no evidence of the role");
        tracing::warn!("a text that no page has");
    }

    fn lines(is_json: bool) -> Vec<String> {
        let lines = Lines::default();
        let written = lines.clone();
        let builder = tracing_subscriber::fmt().with_writer(move || lines.clone()).without_time();
        if is_json {
            let json = builder.json().flatten_event(true);
            tracing::subscriber::with_default(json.map_event_format(Explained).finish(), log);
        } else {
            let text = builder.map_event_format(|format| Explained(format.with_ansi(false)));
            tracing::subscriber::with_default(text.finish(), log);
        }
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn warnings_and_errors_name_their_page() {
        let lines = lines(false);
        assert!(lines[0].ends_with("explain=\"timed-out\""), "{}", lines[0]);
        assert!(lines[1].ends_with("explain=\"two-serve\""), "{}", lines[1]);
        assert!(!lines[2].contains("explain=") && !lines[3].contains("explain="), "{lines:?}");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn json_stays_json() {
        let lines: Vec<serde_json::Value> =
            lines(true).iter().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert_eq!((&lines[0]["explain"], &lines[0]["cause"]), (&"timed-out".into(), &"timed-out".into()));
        assert_eq!(lines[1]["explain"], "two-serve");
        assert_eq!(
            (&lines[2]["explain"], &lines[3]["explain"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
    }
}
