//! What the demo prints: one line an event, readable at 80 columns, and the table at the end.
//!
//! It always writes colours; the caller wraps the terminal, or what is none, into a stream that knows.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::{Figures, Summary};

/// The longest line.
const WIDTH: usize = 80;
/// For names of things.
pub(crate) const BOLD: Style = Style::new().bold();
/// For what is by the way.
pub(crate) const DIM: Style = Style::new().dimmed();
/// For what serves.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// For what does not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// For what somebody did.
pub(crate) const DEED: Style = AnsiColor::Cyan.on_default();
/// For the rest.
pub(crate) const PLAIN: Style = Style::new();

/// The terminal, or whatever stands for it.
pub(crate) struct Timeline<'a> {
    out: &'a mut (dyn Write + Send),
}

impl<'a> Timeline<'a> {
    /// Writes to `out`.
    pub(crate) fn new(out: &'a mut (dyn Write + Send)) -> Self {
        Self { out }
    }

    /// Text that belongs to no moment.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Begins a chapter.
    pub(crate) fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{BOLD}{text}{BOLD:#}")?;
        self.out.flush()
    }

    /// One event.
    pub(crate) fn event(&mut self, at: Duration, who: &str, style: Style, what: &str) -> io::Result<()> {
        let seconds = at.as_secs_f64();
        writeln!(self.out, "{DIM}{seconds:>9.3} s{DIM:#}  {BOLD}{who:<8}{BOLD:#}  {style}{what}{style:#}")?;
        self.out.flush()
    }

    /// What a daemon says, in lines that fit.
    pub(crate) fn reason(&mut self, what: &str, why: &str) -> io::Result<()> {
        let mut lines = vec![format!("  {what}:"), " ".repeat(3)];
        for word in why.split_whitespace() {
            let last = lines.last_mut().expect("there is a line");
            if last.chars().count() + 1 + word.chars().count() <= WIDTH {
                last.push(' ');
                last.push_str(word);
            } else {
                lines.push(format!("    {word}"));
            }
        }
        self.text(&lines.join("\n"))
    }

    /// What the page of a reverted member said.
    pub(crate) fn reverted(&mut self, who: &str, page: Duration) -> io::Result<()> {
        let said = format!("  page of {who} said 200");
        self.text(&if page.is_zero() {
            format!("{said:<39}{:>8}", "never")
        } else {
            format!("{said:<39}{:>8}  (until its peers had answered)", span(page))
        })
    }

    /// What a failover took, in words.
    pub(crate) fn figures(&mut self, figures: &Figures) -> io::Result<()> {
        let line = |label: &str, after: Option<Duration>| format!("  {label:<37}{:>8}", optional(after));
        let expired = figures.old_page_expired.map(|after| {
            let label = "page of the hung member expired after";
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
    pub(crate) fn summary(&mut self, summary: &Summary) -> io::Result<()> {
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
            "  {GOOD}Never did two members answer SUCCESS together{GOOD:#} ({samples} answers looked at).\n  \
             {GOOD}The member from a snapshot took nothing{GOOD:#}, and its page {reverted}.\n  \
             {GOOD}Only the primary wrote to the cloud{GOOD:#} ({writes} writes), and left nothing empty.",
        ))
    }
}

/// A length of time in three digits or so.
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
        timeline.event(at, "balancer", GOOD, "C is healthy").expect("memory");
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
    fn spans_are_short() {
        assert_eq!(span(Duration::from_micros(840)), "0.8 ms");
        assert_eq!(span(Duration::from_millis(12)), "12 ms");
        assert_eq!(span(Duration::from_millis(1_430)), "1.43 s");
    }
}
