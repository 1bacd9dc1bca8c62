//! The format of a state file: JSON, with moments that are valid only on the boot in which they were taken, and the fields
//! of earlier versions. A version reads the files of earlier ones, and ignores unknown fields.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::PersistedState;
use crate::clock::Timestamp;
use crate::role::Remembered;
use crate::snapshot::PastTransition;
use crate::term::{Claim, Memory};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct File {
    #[serde(flatten)]
    role: Remembered,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clocks: Option<Clocks>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arbiter: Option<Memory>,
    /// Versions that do not know it drop it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    history: Vec<PastTransition>,
    /// What versions before terms wrote in place of `arbiter`.
    #[serde(default, skip_serializing)]
    claims: Option<Claims>,
}

/// Moments, valid only on the boot in which they were taken.
#[derive(Debug, Serialize, Deserialize)]
struct Clocks {
    /// The kernel's random identifier of the boot.
    boot: String,
    /// When the instance was last asked with a definite answer.
    asked_at: Option<Moment>,
    /// When the promotion was seen.
    promoted_at: Option<Moment>,
}

/// Milliseconds since the machine's start and since the Unix epoch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Moment {
    boot: u64,
    wall: u64,
}

/// The highest numbers that this member wrote to ownership records, and saw there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claims {
    own: u64,
    seen: u64,
}

// === impl File ===

impl From<File> for PersistedState {
    fn from(File { role, clocks, arbiter, history, claims }: File) -> Self {
        let clocks = clocks.filter(|clocks| boot_id().as_deref() == Some(&clocks.boot));
        let of_this_boot = |moment: Option<Moment>| moment.map(Timestamp::from);
        let role = Remembered {
            asked_at: clocks.as_ref().and_then(|clocks| of_this_boot(clocks.asked_at)),
            promoted_at: clocks.as_ref().and_then(|clocks| of_this_boot(clocks.promoted_at)),
            ..role
        };
        Self { role, arbiter: arbiter.unwrap_or_else(|| claims.unwrap_or_default().into()), history }
    }
}

impl From<PersistedState> for File {
    fn from(PersistedState { role, arbiter, history }: PersistedState) -> Self {
        let moment = |at: Option<Timestamp>| at.map(Moment::from);
        let (asked_at, promoted_at) = (moment(role.asked_at), moment(role.promoted_at));
        let clocks = boot_id().map(|boot| Clocks { boot, asked_at, promoted_at });
        Self { role, clocks, arbiter: Some(arbiter), history, claims: None }
    }
}

impl From<Claims> for Memory {
    /// Claims rose as terms do; the holder of the highest is not known. Nothing reliable was saved about whether a promotion
    /// is the latest.
    fn from(Claims { own, seen }: Claims) -> Self {
        let highest = own.max(seen);
        Self {
            term: own,
            before: highest,
            seen: Claim { term: highest, member: String::new() },
            ..Self::default()
        }
    }
}

impl From<Moment> for Timestamp {
    fn from(Moment { boot, wall }: Moment) -> Self {
        Self::new(Duration::from_millis(boot), Duration::from_millis(wall))
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        let milliseconds = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self { boot: milliseconds(at.since_boot()), wall: milliseconds(at.since_unix_epoch()) }
    }
}

/// The kernel's random identifier of this boot.
fn boot_id() -> Option<String> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned());
    BOOT.get_or_init(read).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> PersistedState {
        serde_json::from_str::<File>(text).unwrap().into()
    }

    #[test]
    fn moments_of_another_boot_mean_nothing() {
        let of_boot = |boot: &str| {
            let clocks = serde_json::json!({"boot": boot, "asked_at": {"boot": 9_000, "wall": 10_000}, "promoted_at": null});
            read(&serde_json::json!({"epoch": 7, "primary": true, "clocks": clocks}).to_string())
                .role
                .asked_at
        };
        assert_eq!(of_boot("another"), None);
        assert!(of_boot(&boot_id().unwrap()).is_some());
    }

    #[test]
    fn files_of_earlier_versions_are_read() {
        let before_steering = read(r#"{"epoch":7,"primary":true}"#);
        assert_eq!((u64::from(before_steering.role.epoch), before_steering.arbiter.seen.term), (7, 0));
        let before_terms = read(
            r#"{"epoch":7,"primary":true,"promotion":1795228800123,"claims":{"own":3,"seen":4,"superseded_in":7}}"#,
        );
        let Memory { term, proven, before, seen, superseded_by, taken } = before_terms.arbiter;
        assert_eq!((term, proven, before, seen.term, seen.member.as_str()), (3, false, 4, 4, ""));
        assert_eq!((superseded_by, taken), (None, None));
    }
}
