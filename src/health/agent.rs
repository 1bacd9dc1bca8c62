//! The answer to HAProxy's agent check. PURE.
//!
//! The agent check (`agent-check` in HAProxy's configuration manual) connects, sends what `agent-send` says, if
//! anything, and reads words up to the end of the line. Some words set the server's *operational* state (`up`,
//! `down`), others its *administrative* one (`ready`, `drain`, `maint`), and what one answer sets stays until
//! another answer undoes it. A reason follows after a `#` that begins a word of its own: HAProxy does not know
//! the word `down#reason`, reports it as an agent's error and leaves the server up.
//!
//! | verdict | line | why |
//! |---|---|---|
//! | serve | `up ready` | `ready` undoes the `drain` or `maint` of an earlier answer of any process |
//! | refuse: stopping | `drain` | a restart of this daemon ends no session with the database, as `down` with `on-marked-down shutdown-sessions` would |
//! | refuse: not a member of a mirror | `maint` | an administrator took the member out of the mirror, and has to bring it back |
//! | refuse otherwise | `down #REASON` | |
//!
//! A stopped instance is `down #down`: the probe cannot tell whether it was stopped or has crashed, and a
//! crash must not look like maintenance. `down` comes without `ready`: a server that leaves maintenance counts
//! as up until its next health check, and a backup must not be up for a moment. While the agent check is used,
//! the agent owns the administrative state: to take a primary out by hand, `disable agent` first.

use std::borrow::Cow;

use crate::observation::{OtherRole, Role};
use crate::role::{Reason, Verdict};

/// The longest line of a client that is read, in bytes.
pub(super) const MAX_LINE: usize = 256;

/// The answer to a client that named no existing mirror although there are several.
pub(super) const UNKNOWN_MIRROR: &str = "down #agent-send must name the mirror\n";

pub(super) fn line(verdict: &Verdict) -> Cow<'static, str> {
    let down = |why: &str| Cow::Owned(format!("down #{why}\n"));
    match verdict {
        Verdict::Serve { .. } => Cow::Borrowed("up ready\n"),
        Verdict::Refuse(Reason::Stopping) => Cow::Borrowed("drain\n"),
        Verdict::Refuse(Reason::NotPrimary(Role::Other(OtherRole::NotMember))) => Cow::Borrowed("maint\n"),
        Verdict::Refuse(Reason::NotPrimary(role)) => down(role.word()),
        Verdict::Refuse(Reason::NoEvidence(cause)) => down(cause.word()),
        Verdict::Refuse(
            reason @ (Reason::Starting | Reason::Rising { .. } | Reason::Expired | Reason::Superseded { .. }),
        ) => down(reason.label()),
    }
}

/// The status code of a verdict in the table of checkers, as for the other checks.
pub(super) fn status(verdict: &Verdict) -> u16 {
    if matches!(verdict, Verdict::Serve { .. }) { 200 } else { 503 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::NoEvidence;

    #[test]
    fn words_of_haproxy() {
        let refuse = |reason| line(&Verdict::Refuse(reason)).into_owned();
        assert_eq!(refuse(Reason::Stopping), "drain\n");
        assert_eq!(refuse(Reason::NotPrimary(Role::Backup)), "down #backup\n");
        assert_eq!(refuse(Reason::NotPrimary(Role::Other(OtherRole::NotMember))), "maint\n");
        assert_eq!(refuse(Reason::NotPrimary(Role::Other(OtherRole::InstanceDown))), "down #down\n");
        assert_eq!(refuse(Reason::NoEvidence(NoEvidence::Trouble("x y".into()))), "down #trouble\n");
        assert_eq!(refuse(Reason::Expired), "down #expired\n");
        assert_eq!(refuse(Reason::Starting), "down #starting\n");
        assert_eq!(refuse(Reason::Rising { seen: 1, needed: 2 }), "down #rising\n");
    }

    #[test]
    fn no_line_says_two_things() {
        for role in Role::all() {
            let text = line(&Verdict::Refuse(Reason::NotPrimary(role)));
            let words: Vec<_> = text.strip_suffix('\n').unwrap().split([' ', ',', '\t']).collect();
            assert!(matches!(words[..], ["maint"] | ["down", _]), "{text:?}");
        }
    }
}
