//! What one member tells another about its verdict: one line for machines, below the one for people on the page
//! `/primary`. PURE: written and read here, so that both sides agree; reading is total.
//!
//! ```text
//! state=primary epoch=3 origin=promoted promoted_seconds_ago=35.2 promotion=1795228800123
//! state=backup definite=yes
//! state=no-evidence definite=no
//! ```
//!
//! `state` is the verdict's label. `promoted_seconds_ago` and `promotion` are there if the promotion was seen:
//! a span, which both sides' clocks measure alike, and a number that tells this promotion from the member's
//! others. `definite=yes` means that the instance itself said that it is something else; with
//! `state=superseded`, that the member knows of a later promotion, whatever its instance says. Keys that a reader does not know are passed over.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::observation::Role;
use crate::role::{Origin, Promotion, Reason, Verdict};
use crate::snapshot::Snapshot;

/// Longer spans are nonsense: a thousand years.
const LONGEST_AGO: f64 = 3e10;

/// The label of a verdict that refuses because another member was promoted later.
const SUPERSEDED: &str = "superseded";

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// Its page says SUCCESS.
    Serving {
        /// The number of the promotion, as that member counts.
        epoch: u64,
        /// How its serving began.
        origin: Option<&'static str>,
        /// How long before this answer it was promoted, if it knows.
        promoted_ago: Option<Duration>,
        /// Tells this promotion from the others of that member.
        promotion: Option<u64>,
    },
    /// Its page refuses, and it is certain that it is not the primary.
    NotServing {
        /// What it is, in one word.
        state: String,
    },
    /// Its page refuses because another member was promoted later, whatever its instance says.
    StoodDown,
    /// Its page refuses for lack of evidence.
    Indefinite {
        /// Why, in one word.
        state: String,
    },
}

// === impl Told ===

impl Told {
    /// What `snapshot` means at `now`.
    pub(crate) fn by(snapshot: &Snapshot, now: Timestamp) -> Self {
        let state = match snapshot.verdict_at(now) {
            Verdict::Serve { epoch, .. } => {
                let promotion = snapshot.tracker().promotion();
                return Self::Serving {
                    epoch: epoch.into(),
                    origin: snapshot.tracker().origin().map(Origin::word),
                    promoted_ago: promotion.map(|promotion| promotion.ago(now)),
                    promotion: promotion.map(Promotion::identity),
                };
            }
            Verdict::Refuse(Reason::Superseded { .. }) => return Self::StoodDown,
            Verdict::Refuse(reason) => reason.label().to_owned(),
        };
        match snapshot.role_at(now) {
            Ok(Role::Primary) | Err(_) => Self::Indefinite { state },
            Ok(role) => Self::NotServing { state: role.word().to_owned() },
        }
    }

    /// Reads the line from a page's body; `None` when there is none, or none that makes sense.
    pub(crate) fn parse(body: &str) -> Option<Self> {
        let line = body.lines().nth(1)?;
        let value = |key: &str| {
            line.split_ascii_whitespace().filter_map(|word| word.split_once('=')).find(|(k, _)| *k == key)
        };
        let word = |key: &str| value(key).map(|(_, word)| word);
        let state = word("state").filter(|state| is_word(state))?;
        if state == "primary" {
            let seconds = word("promoted_seconds_ago").map(str::parse::<f64>);
            let promoted_ago = match seconds {
                None => None,
                Some(Ok(seconds)) if (0.0..=LONGEST_AGO).contains(&seconds) => {
                    Some(Duration::from_secs_f64(seconds))
                }
                Some(_) => return None,
            };
            let promotion = word("promotion").map(str::parse).transpose().ok()?;
            let origins = [Origin::Promoted, Origin::Resumed, Origin::Found].map(Origin::word);
            let origin = word("origin").and_then(|word| origins.into_iter().find(|origin| *origin == word));
            return Some(Self::Serving {
                epoch: word("epoch")?.parse().ok()?,
                origin,
                promoted_ago,
                promotion,
            });
        }
        match word("definite")? {
            "yes" if state == SUPERSEDED => Some(Self::StoodDown),
            "yes" => Some(Self::NotServing { state: state.to_owned() }),
            "no" => Some(Self::Indefinite { state: state.to_owned() }),
            _ => None,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving { epoch, origin, promoted_ago, promotion } => {
                write!(f, "state=primary epoch={epoch}")?;
                if let Some(origin) = origin {
                    write!(f, " origin={origin}")?;
                }
                if let Some(ago) = promoted_ago {
                    write!(f, " promoted_seconds_ago={:.3}", ago.as_secs_f64())?;
                }
                promotion.map_or(Ok(()), |promotion| write!(f, " promotion={promotion}"))
            }
            Self::NotServing { state } => write!(f, "state={state} definite=yes"),
            Self::StoodDown => write!(f, "state={SUPERSEDED} definite=yes"),
            Self::Indefinite { state } => write!(f, "state={state} definite=no"),
        }
    }
}

/// A state is one lower-case word with hyphens, and no longer than any that there is.
fn is_word(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told() -> impl Strategy<Value = Told> {
        let origins = [Origin::Promoted, Origin::Resumed, Origin::Found].map(Origin::word);
        let serving = (
            any::<u64>(),
            proptest::option::of(proptest::sample::select(origins.to_vec())),
            proptest::option::of(0_u64..10_000_000_000),
            proptest::option::of(any::<u64>()),
        )
            .prop_map(|(epoch, origin, ago, promotion)| Told::Serving {
                epoch,
                origin,
                promoted_ago: ago.map(Duration::from_millis),
                promotion,
            });
        let other = ("[a-z-]{1,32}", any::<bool>())
            .prop_filter("another state", |(state, _)| state != "primary")
            .prop_map(
                |(state, definite)| {
                    if definite { Told::NotServing { state } } else { Told::Indefinite { state } }
                },
            );
        prop_oneof![serving, other]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(told in told()) {
            let body = format!("the instance is something\n{told}\n");
            let read = Told::parse(&body).map(|read| read.to_string());
            prop_assert_eq!(read, Some(told.to_string()));
        }

        #[test]
        fn any_text_is_read_or_refused(body in "(x\n)?(state=[a-z=]{0,9} ?|epoch=[0-9-]{0,22} ?|definite=(yes|no|) ?|promoted_seconds_ago=[-0-9.einfNa]{0,9} ?){0,4}.{0,40}") {
            if let Some(Told::Serving { .. }) = Told::parse(&body) {
                prop_assert!(body.contains("state=primary") && body.contains("epoch="));
            }
        }
    }

    #[test]
    fn a_long_span_keeps_its_milliseconds() {
        let promoted_ago = Some(Duration::from_millis(9_047_063_413));
        let told = Told::Serving { epoch: 0, origin: None, promoted_ago, promotion: None };
        let read = Told::parse(&format!("for people\n{told}\n")).expect("its own words");
        assert_eq!(read.to_string(), told.to_string());
    }

    #[test]
    fn what_makes_no_sense_is_nothing() {
        let read = |line: &str| Told::parse(&format!("for people\n{line}\n"));
        for line in [
            "",
            "state=primary",
            "state=primary epoch=x",
            "state=primary epoch=-1",
            "state=primary epoch=1 promoted_seconds_ago=NaN",
            "state=primary epoch=1 promoted_seconds_ago=-1",
            "state=primary epoch=1 promoted_seconds_ago=inf",
            "state=primary epoch=1 promoted_seconds_ago=1e300",
            "state=primary epoch=1 promotion=x",
            "state=backup",
            "state=backup definite=perhaps",
            "state=BACKUP definite=yes",
            "state=\u{1b}[2J definite=yes",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
        assert_eq!(Told::parse("state=primary epoch=1\n"), None, "the first line is for people");
        let known = read("state=backup since=yesterday definite=yes colour=blue");
        assert_eq!(
            known,
            Some(Told::NotServing { state: "backup".to_owned() }),
            "unknown keys are passed over"
        );
    }
}
