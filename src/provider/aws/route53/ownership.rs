//! The TXT record beside the record, which says which member wrote it: the fencing token of the swap. PURE.
//!
//! ```text
//! _mirrorvip.db.example.internal. TXT "mirrorvip1 owner=db1 term=7 epoch=7 at=2026-11-21T02:40:00Z"
//! ```
//!
//! The first word is the format's version. `owner` is the member that wrote it, `term` its [term](crate::term). Both
//! decide; `at`, from the writer's wall clock, is for people. `epoch` repeats the term for versions that know no
//! `term`; their ownership records, without `term`, are read as well.
//! Fields may come in any order, and fields that are not known are ignored. Anything else under that name
//! belongs to another writer and is not changed: an ownership record that cannot be read could be the later one.

use std::fmt;

use super::record::{RecordSet, unescape};
use crate::text::printable;

/// The format's version, and its first word.
const VERSION: &str = "mirrorvip1";

/// What all versions of the format begin with.
const FAMILY: &str = "mirrorvip";

/// Longest name of an owner, so that an ownership record fits into one string of a TXT record (255 bytes).
const LONGEST_OWNER: usize = 128;

/// How much of a text that is no ownership record is shown, in characters.
const SHOWN: usize = 100;

/// Which member wrote the record, and in which term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnershipRecord {
    pub(super) owner: String,
    pub(super) term: u64,
    pub(super) at: jiff::Timestamp,
}

/// Why a TXT record is no ownership record that this version can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotOwnershipRecord {
    #[error("it was written by a version of mirrorvip that this one does not understand: {0}")]
    OtherVersion(String),
    #[error("it was not written by mirrorvip: {0}")]
    Foreign(String),
    #[error("it is damaged ({problem}): {text}")]
    Damaged { problem: &'static str, text: String },
}

// === impl OwnershipRecord ===

impl OwnershipRecord {
    /// Whether `owner` can be written into an ownership record: printable ASCII that needs no quoting.
    pub(super) fn can_name(owner: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        (1..=LONGEST_OWNER).contains(&owner.len()) && owner.bytes().all(fits)
    }

    /// Reads the ownership record that a TXT record holds.
    pub(super) fn of(record: &RecordSet) -> Result<Self, NotOwnershipRecord> {
        match record.values().collect::<Vec<_>>().as_slice() {
            [value] => Self::read(value),
            values => Err(NotOwnershipRecord::Foreign(format!("it has {} values", values.len()))),
        }
    }

    fn read(rdata: &str) -> Result<Self, NotOwnershipRecord> {
        let shown = || printable(rdata, SHOWN);
        let text = text(rdata).ok_or_else(|| NotOwnershipRecord::Foreign(shown()))?;
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        match words.next() {
            Some(VERSION) => {}
            Some(word) if word.starts_with(FAMILY) => return Err(NotOwnershipRecord::OtherVersion(shown())),
            Some(_) | None => return Err(NotOwnershipRecord::Foreign(shown())),
        }
        let damaged = |problem| NotOwnershipRecord::Damaged { problem, text: shown() };
        let (mut owner, mut term, mut epoch, mut at) = (None, None, None, None);
        for word in words {
            let (key, value) = word.split_once('=').ok_or_else(|| damaged("a field without a value"))?;
            let slot = match key {
                "owner" => &mut owner,
                "term" => &mut term,
                "epoch" => &mut epoch,
                "at" => &mut at,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(damaged("a field that comes twice"));
            }
        }
        let owner = owner.filter(|owner| Self::can_name(owner)).ok_or_else(|| damaged("no owner"))?;
        let term = term.or(epoch).and_then(|term| term.parse().ok()).ok_or_else(|| damaged("no term"))?;
        let at = at.and_then(|at| at.parse().ok()).ok_or_else(|| damaged("no time"))?;
        Ok(Self { owner: owner.to_owned(), term, at })
    }

    /// The ownership record as the value of a TXT record.
    pub(super) fn rdata(&self) -> String {
        format!("\"{VERSION} owner={0} term={1} epoch={1} at={2:.0}\"", self.owner, self.term, self.at)
    }
}

impl fmt::Display for OwnershipRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (term {}, written at {:.0} by its clock)", self.owner, self.term, self.at)
    }
}

/// The text of a TXT record's value: strings in double quotes, one after the other, in which `\ooo` (octal)
/// and `\c` are escapes. `None` when it is not in that form, or no text.
fn text(rdata: &str) -> Option<String> {
    let mut rest = rdata.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    loop {
        rest = rest.trim_ascii_start();
        rest = match rest {
            [] => return String::from_utf8(out).ok(),
            [b'"', string @ ..] => string,
            _ => return None,
        };
        loop {
            rest = match rest {
                [] => return None,
                [b'"', after @ ..] => {
                    rest = after;
                    break;
                }
                [byte, ..] => {
                    let (byte, length) = unescape(rest).unwrap_or((*byte, 1));
                    out.push(byte);
                    &rest[length..]
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_ownership_record_has_the_documented_form() {
        let text = "\"mirrorvip1 owner=i-0abc term=7 epoch=7 at=2026-11-21T02:40:00Z\"";
        let written = OwnershipRecord::read(text).expect("an ownership record");
        assert_eq!((written.owner.as_str(), written.term), ("i-0abc", 7));
        assert_eq!(written.rdata(), text);
        let earlier = "\"mirrorvip1 owner=i-0abc epoch=7 at=2026-11-21T02:40:00Z\"";
        assert_eq!(OwnershipRecord::read(earlier).as_ref(), Ok(&written), "of a version without terms");
        let split = "\"mirrorvip1 at=2026-11-21T02:40:00Z zone=b \" \"epoch=7\\040owner=i-0abc\"";
        assert_eq!(
            OwnershipRecord::read(split),
            Ok(written),
            "any order, any strings, unknown fields, escapes"
        );
    }

    #[test]
    fn other_texts_are_refused() {
        let check = |rdata: &str, expected: &str| {
            let error = OwnershipRecord::read(rdata).expect_err(rdata).to_string();
            assert!(error.contains(expected), "{rdata}: {error}");
        };
        check("", "not written by mirrorvip");
        check("\"\"", "not written by mirrorvip");
        check("\"v=spf1 -all\"", "not written by mirrorvip");
        check("\"unended", "not written by mirrorvip");
        check("unquoted", "not written by mirrorvip");
        check("\"\\377\"", "not written by mirrorvip");
        check("\"mirrorvip2 owner=a epoch=7 at=2026-11-21T02:40:00Z\"", "does not understand");
        check("\"mirrorvip1 owner=a at=2026-11-21T02:40:00Z\"", "no term");
        check("\"mirrorvip1 owner=a epoch=-1 at=2026-11-21T02:40:00Z\"", "no term");
        check("\"mirrorvip1 owner= epoch=1 at=2026-11-21T02:40:00Z\"", "no owner");
        check("\"mirrorvip1 owner=a epoch=1 at=yesterday\"", "no time");
        check("\"mirrorvip1 owner=a epoch=1 epoch=2 at=2026-11-21T02:40:00Z\"", "comes twice");
        check("\"mirrorvip1 owner\"", "without a value");
    }

    #[test]
    fn an_owner_fits_into_one_unquoted_word() {
        assert!(
            OwnershipRecord::can_name("i-0123456789abcdef0")
                && OwnershipRecord::can_name("db-a.example.internal/IRIS")
        );
        for owner in ["", "two words", "quo\"te", "back\\slash", "é", &"x".repeat(129)] {
            assert!(!OwnershipRecord::can_name(owner), "{owner}");
        }
        let longest = OwnershipRecord { owner: "x".repeat(128), term: u64::MAX, at: jiff::Timestamp::MAX };
        assert!(longest.rdata().len() <= 257, "one string of 255 bytes and its quotes");
        assert_eq!(
            OwnershipRecord::read(&longest.rdata()).expect("an ownership record").owner,
            longest.owner
        );
    }

    proptest! {
        #[test]
        fn an_ownership_record_reads_back(owner in "[!#-\\[\\]-~]{1,128}", term: u64, second in 0_i64..4_000_000_000) {
            let at = jiff::Timestamp::from_second(second).expect("a time");
            let written = OwnershipRecord { owner, term, at };
            prop_assert_eq!(OwnershipRecord::read(&written.rdata()), Ok(written));
        }

        #[test]
        fn any_ownership_text_is_read_without_panic(rdata in "[\"\\\\ mirvopwne1=0-9a-z\\PC]{0,60}") {
            let read = OwnershipRecord::read(&rdata);
            prop_assert!(read.is_ok() || read.is_err_and(|error| !error.to_string().is_empty()));
        }
    }
}
