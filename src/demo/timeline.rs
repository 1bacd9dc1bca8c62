//! What the demo prints: one line per event, readable at 80 columns, and a table at the end.
//!
//! It always writes colours; the caller passes a stream that removes them where the output is no terminal.

use std::io::Write;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::{DemoError, Figures, Summary};
use crate::text::wrap;

/// The longest line.
const WIDTH: usize = 80;
/// For names of things.
pub(crate) const BOLD: Style = Style::new().bold();
/// For details.
pub(crate) const DIM: Style = Style::new().dimmed();
/// For what works.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// For what does not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// For actions.
pub(crate) const DEED: Style = AnsiColor::Cyan.on_default();
/// For the rest.
pub(crate) const PLAIN: Style = Style::new();

/// How long an event is held back so that events of an earlier time, reported later, come first.
const HELD_BACK: Duration = Duration::from_millis(200);

/// Writes events in order of time.
pub(crate) struct Timeline<'a> {
    out: &'a mut (dyn Write + Send),
    /// Events that are held back, in order of time.
    waiting: Vec<(Duration, String)>,
}

impl<'a> Timeline<'a> {
    /// Writes to `out`.
    pub(crate) fn new(out: &'a mut (dyn Write + Send)) -> Self {
        Self { out, waiting: Vec::new() }
    }

    /// Writes the events that were held back long enough. Returns whether others are held back.
    pub(crate) fn settle(&mut self, now: Duration) -> Result<bool, DemoError> {
        let settled = self.waiting.partition_point(|(at, _)| *at + HELD_BACK <= now);
        self.write_first(settled)?;
        Ok(!self.waiting.is_empty())
    }

    /// Writes all events that are held back.
    pub(crate) fn finish(&mut self) -> Result<(), DemoError> {
        self.write_first(self.waiting.len())
    }

    fn write_first(&mut self, count: usize) -> Result<(), DemoError> {
        let lines = self.waiting.drain(..count).map(|(_, line)| line + "\n");
        let text = lines.collect::<String>();
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(DemoError::Output)
    }

    /// Text without a time.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), DemoError> {
        self.waiting.push((Duration::MAX, text.to_owned()));
        self.finish()
    }

    /// A heading.
    pub(crate) fn heading(&mut self, text: &str) -> Result<(), DemoError> {
        self.text(&format!("\n{BOLD}{text}{BOLD:#}"))
    }

    /// One event; [`settle`](Self::settle) writes it.
    pub(crate) fn event(&mut self, at: Duration, who: &str, style: Style, what: &str) {
        let seconds = at.as_secs_f64();
        let line = format!("{DIM}{seconds:>9.3} s{DIM:#}  {BOLD}{who:<8}{BOLD:#}  {style}{what}{style:#}");
        let place = self.waiting.partition_point(|(other, _)| *other <= at);
        self.waiting.insert(place, (at, line));
    }

    /// A reason that a daemon reports, wrapped.
    pub(crate) fn reason(&mut self, what: &str, why: &str) -> Result<(), DemoError> {
        self.text(&format!("  {what}:\n    {}", wrap(why, 4, 4, WIDTH)))
    }

    /// How long the page of a reverted member said 200.
    pub(crate) fn reverted(&mut self, who: &str, page: Duration) -> Result<(), DemoError> {
        let said = format!("  page of {who} said 200");
        self.text(&if page.is_zero() {
            format!("{said:<39}{:>8}", "never")
        } else {
            format!("{said:<39}{:>8}  (until its peers had answered)", span(page))
        })
    }

    /// How long each step of a failover took.
    pub(crate) fn figures(&mut self, figures: &Figures) -> Result<(), DemoError> {
        let line = |label: &str, after: Option<Duration>| format!("  {label:<37}{:>8}", optional(after));
        let expired = figures.old_page_expired.map(|after| {
            let label = "hung member's page expired after";
            format!("{}\n", line(label, Some(after)))
        });
        let by_luck = figures.client_reached < figures.balancer_switched;
        self.text(&format!(
            "{expired}{seen}\n{page}\n{balancer}\n{group}\n{record}\n{client}{by_luck}\n{outage}\n  two members answered SUCCESS together{never:>8}",
            expired = expired.unwrap_or_default(),
            seen = line("role change seen after", figures.role_seen),
            page = line("page flipped after", Some(figures.page_flipped)),
            balancer = line("load balancer switched after", Some(figures.balancer_switched)),
            group = line("target group follows after", Some(figures.group_follows)),
            record = line("record follows after", Some(figures.record_follows)),
            client = line("client reached the new primary after", Some(figures.client_reached)),
            outage = line("client without an answer for", figures.outage),
            by_luck = if by_luck { "  (load balancer failed open)" } else { "" },
            never = "never",
        ))
    }

    /// The table at the end.
    pub(crate) fn summary(&mut self, summary: &Summary) -> Result<(), DemoError> {
        self.heading("Summary")?;
        let mut row = |name: &str, cells: [&str; 7]| {
            let [seen, page, balancer, group, record, client, outage] = cells;
            self.text(&format!(
                "  {name:<16}{seen:>8}{page:>8}{balancer:>10}{group:>9}{record:>9}{client:>9}{outage:>9}"
            ))
        };
        row("after the role", ["seen", "page", "balancer", "target", "record", "client", "client"])?;
        row("change", ["", "flipped", "switched", "group", "follows", "reached", "out for"])?;
        for figures in &summary.scenarios {
            let cells = [
                optional(figures.role_seen),
                span(figures.page_flipped),
                span(figures.balancer_switched),
                span(figures.group_follows),
                span(figures.record_follows),
                span(figures.client_reached),
                optional(figures.outage),
            ];
            row(figures.scenario, cells.each_ref().map(String::as_str))?;
        }
        let (samples, writes) = (summary.samples, summary.writes);
        let reverted = match summary.reverted_page {
            Duration::ZERO => "never said 200".to_owned(),
            length => format!("said 200 for {}", span(length)),
        };
        self.text(&format!(
            "  {GOOD}No two members answered SUCCESS at the same time{GOOD:#} ({samples} answers).\n  \
             {GOOD}The reverted member took no traffic{GOOD:#}, and its page {reverted}.\n  \
             {GOOD}Only the primary wrote to the cloud{GOOD:#} ({writes} writes), and nothing became empty.",
        ))
    }
}

/// A length of time in about three digits.
pub(crate) fn span(length: Duration) -> String {
    if length < Duration::from_millis(10) {
        format!("{:.1} ms", length.as_secs_f64() * 1e3)
    } else if length < Duration::from_secs(1) {
        format!("{} ms", length.as_millis())
    } else {
        format!("{:.2} s", length.as_secs_f64())
    }
}

fn optional(length: Option<Duration>) -> String {
    length.map_or_else(|| "?".to_owned(), span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_eighty_columns() {
        let figures = Figures {
            scenario: "promotion of C",
            old_page_expired: Some(Duration::from_millis(1_499)),
            role_seen: Some(Duration::from_micros(1_234)),
            page_flipped: Duration::from_millis(123),
            balancer_switched: Duration::from_millis(1_234),
            group_follows: Duration::from_millis(1_234),
            record_follows: Duration::from_millis(567),
            client_reached: Duration::from_millis(12_345),
            outage: None,
        };
        let mut out = anstream::StripStream::new(Vec::new());
        let mut timeline = Timeline::new(&mut out);
        timeline.figures(&figures).expect("memory takes any text");
        let reverted_page = Duration::from_millis(1_234);
        let summary = Summary { scenarios: vec![figures], samples: 12_345, reverted_page, writes: 14 };
        timeline.summary(&summary).expect("memory");
        timeline.reverted("A", reverted_page).expect("memory");
        let why = "superseded by b (term 4) at 10.0.1.12 was promoted after this member (term 3), and a few more words";
        timeline.reason("A takes nothing", why).expect("memory");
        let at = Duration::from_millis(3_214);
        timeline.event(at, "balancer", GOOD, "C is healthy");
        timeline.finish().expect("memory");
        let text = String::from_utf8(out.into_inner()).expect("text");
        assert!(text.contains("    3.214 s  balancer  C is healthy\n"), "{text}");
        assert!(
            text.contains(
                "  promotion of C    1.2 ms  123 ms    1.23 s   1.23 s   567 ms  12.35 s        ?\n"
            ),
            "{text}"
        );
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn events_are_written_in_order_of_time() {
        let mut out = anstream::StripStream::new(Vec::new());
        let mut timeline = Timeline::new(&mut out);
        let at = Duration::from_millis;
        timeline.event(at(200), "A", PLAIN, "second");
        timeline.event(at(150), "client", PLAIN, "first");
        assert!(timeline.settle(at(235)).expect("memory"), "the second may yet be preceded");
        timeline.event(at(190), "B", PLAIN, "between");
        timeline.finish().expect("memory");
        let text = String::from_utf8(out.into_inner()).expect("text");
        let words: Vec<_> = text.lines().map(|line| line.rsplit(' ').next().expect("a word")).collect();
        assert_eq!(words, ["first", "between", "second"], "{text}");
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(span(Duration::from_micros(840)), "0.8 ms");
        assert_eq!(span(Duration::from_millis(12)), "12 ms");
        assert_eq!(span(Duration::from_millis(1_430)), "1.43 s");
    }
}
