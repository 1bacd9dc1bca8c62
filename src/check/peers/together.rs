//! Compares the members of one mirror with each other: at most one is the primary, and each has its own name. PURE.

use super::super::{Finding, Kind};

/// One member, as it reports itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    /// The address under which it was asked; `None` is this member.
    pub(super) address: Option<String>,
    /// Its name, as it says itself.
    pub(super) name: Option<String>,
    /// Its name, as the configuration says.
    pub(super) expected: Option<String>,
    /// Identifies its state directory.
    pub(super) daemon: Option<String>,
    /// Identifies its process.
    pub(super) run: Option<String>,
    /// Whether its instance says that it is the primary.
    pub(super) is_primary: bool,
    /// Whether its page says SUCCESS.
    pub(super) serves: bool,
    /// The term of its last promotion.
    pub(super) term: Option<u64>,
}

/// Findings about the members of `mirror`; the first is this one.
pub(super) fn judge(mirror: &str, members: &[Member]) -> Vec<Finding> {
    let subject = format!("mirror {mirror}");
    let mut findings = Vec::new();
    for (what, who) in [
        ("members are primary", distinct(members, |member| member.is_primary)),
        ("status pages say SUCCESS", distinct(members, |member| member.serves)),
    ] {
        if who.len() > 1 {
            let names: Vec<_> = who.iter().map(|member| member.described()).collect();
            findings.push(
                Finding::error(
                    Kind::Configuration,
                    &subject,
                    format!("{} {what} at the same time: {}", who.len(), names.join(" and ")),
                )
                .help(
                    "Ask the instances which one the mirror made primary last (`iris qlist`, or the Mirror Monitor), and stop \
                     the others at once: clients write to both.",
                ),
            );
            // A primary's page says SUCCESS: once is enough.
            break;
        }
    }
    findings.extend(collisions(&subject, members));
    findings
}

/// The `members` for which `is` holds, each process once.
fn distinct(members: &[Member], is: impl Fn(&Member) -> bool) -> Vec<&Member> {
    let mut found: Vec<&Member> = Vec::new();
    let own = members.first();
    for member in members.iter().filter(|member| is(member)) {
        // This member's own address is another finding; a daemon that never ran is known only by name.
        let is_own = member.address.is_some()
            && member.name.is_some()
            && own.is_some_and(|own| match &own.daemon {
                Some(daemon) => member.daemon.as_ref() == Some(daemon),
                None => member.name == own.name,
            });
        let is_again = member.run.is_some() && found.iter().any(|known| known.run == member.run);
        if !is_own && !is_again {
            found.push(member);
        }
    }
    found
}

/// Peers that cannot be distinguished.
fn collisions(subject: &str, members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let error = |text: String, help: &str| Finding::error(Kind::Configuration, subject, text).help(help);
    for (index, member) in members.iter().enumerate() {
        let Some(address) = &member.address else { continue };
        let own = members.first().and_then(|own| own.name.as_deref());
        if let Some(expected) = member.expected.as_deref().filter(|expected| Some(*expected) == own) {
            findings.push(error(
                format!("[[mirror.peer]] {address} says member = \"{expected}\", which is this member's own name"),
                "Remove that table if the address is this member's; otherwise write the name of the member that is there.",
            ));
        }
        let before = members[..index].iter().filter_map(|other| Some((other, other.address.as_deref()?)));
        for (other, first) in before {
            let same = |of: fn(&Member) -> Option<&String>| of(member).is_some() && of(member) == of(other);
            if same(|member| member.run.as_ref()) {
                findings.push(error(
                    format!("{first} and {address} are the same member, {}", member.described()),
                    "Remove one of the two [[mirror.peer]] tables.",
                ));
            } else if same(|member| member.daemon.as_ref()) {
                findings.push(error(
                    format!("the state directory of {address} is a copy of that of {first}, or vice versa"),
                    "On the copy, stop mirrorvip, remove the file daemon-id from state_directory, and start it again.",
                ));
            } else if same(Member::called) {
                let name = member.called().map_or("", String::as_str);
                findings.push(error(
                    format!("{first} and {address} are both member {name}: they cannot be distinguished"),
                    "Give each member its own `member` in [[mirror]].",
                ));
            }
        }
    }
    findings
}

// === impl Member ===

impl Member {
    /// The name that the arbiter knows it by.
    fn called(&self) -> Option<&String> {
        self.name.as_ref().or(self.expected.as_ref())
    }

    fn described(&self) -> String {
        let term = self.term.map(|term| format!(" (term {term})")).unwrap_or_default();
        match (&self.address, self.called()) {
            (None, name) => format!("this member, {}{term}", name.map_or("", String::as_str)),
            (Some(address), Some(name)) => format!("{name} at {address}{term}"),
            (Some(address), None) => format!("{address}{term}"),
        }
    }
}
