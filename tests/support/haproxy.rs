//! What the statistics of an HAProxy say of its servers.

use std::collections::HashMap;
use std::fmt;

/// One server's line of `show stat`, by the names of HAProxy's management guide, section 9.1.
pub struct Server(HashMap<String, String>);

// === impl Server ===

impl Server {
    /// Reads the answer to `show stat`: a line of names, `# pxname,svname,...`, and a line for each server and
    /// for the sums before and behind them.
    pub fn read_all(text: &str) -> Vec<Self> {
        let mut lines = text.trim().trim_start_matches("# ").lines().map(fields);
        let names = lines.next().unwrap_or_default();
        let servers = lines.map(|line| Self(names.iter().cloned().zip(line).collect()));
        servers.filter(|server| !matches!(server.text("svname"), "FRONTEND" | "BACKEND")).collect()
    }

    /// A field, possibly empty.
    pub fn text(&self, field: &str) -> &str {
        self.0.get(field).unwrap_or_else(|| panic!("HAProxy has no field {field}"))
    }

    /// A field that counts.
    pub fn count(&self, field: &str) -> u64 {
        self.text(field).parse().unwrap_or_else(|_| panic!("{field} of {self:?} counts nothing"))
    }

    /// `UP`, `DOWN`, `DRAIN`, `MAINT`, some with the progress or the source of a change.
    pub fn status(&self) -> &str {
        self.text("status")
    }

    /// Whether new clients are sent to it. `UP 1/2` is up, and one check more has to fail; a server that only its
    /// agent checks is called `no check` while it is up.
    pub fn is_up(&self) -> bool {
        self.status().starts_with("UP") || self.status() == "no check"
    }

    /// What the last health check ended with: `L7OK` with SUCCESS, `L7RSP` with an answer without it,
    /// `L7TOUT` without an answer, `L4CON` without a connection.
    pub fn check_status(&self) -> &str {
        // `* L7OK` while the next one is under way.
        self.text("check_status").trim_start_matches("* ")
    }

    /// What the last agent check ended with: `L7OK` after `up`, `L7STS` after `down`, `CHECKED` after words that
    /// say neither, `L4CON` without a connection.
    pub fn agent_status(&self) -> &str {
        self.text("agent_status").trim_start_matches("* ")
    }

    /// The reason of its agent for `down`; also empty while the next agent check is under way.
    pub fn agent_reason(&self) -> &str {
        self.text("last_agt").strip_prefix("via agent : down (").map_or("", |rest| rest.trim_end_matches(')'))
    }

    /// Checks that failed while it was up.
    pub fn failed_checks(&self) -> u64 {
        self.count("chkfail")
    }

    /// How often it went from up to down.
    pub fn falls(&self) -> u64 {
        self.count("chkdown")
    }
}

impl fmt::Debug for Server {
    /// What these tests read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            "svname",
            "status",
            "check_status",
            "last_chk",
            "chkfail",
            "chkdown",
            "agent_status",
            "last_agt",
        ];
        f.debug_map().entries(names.map(|name| (name, self.text(name)))).finish()
    }
}

/// One line of CSV: fields with a comma or a quote stand in quotes, quotes in them are doubled.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            // The second of a doubled quote opens what the first closed; the text between them is empty.
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().expect("there is always one").push(other),
        }
    }
    fields
}
