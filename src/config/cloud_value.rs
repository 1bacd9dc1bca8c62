//! What a single value about members and steering may be, as [`value`](super::value) does for the others. `mirrorvip
//! check` finds out whether such an object exists.

use std::net::IpAddr;
use std::str::FromStr;

use super::diagnostic::{Reported, quoted};
use super::section::Value as Written;
use super::steering::{Superseded, Value};
use super::value::text;

/// Longest name that DNS carries.
pub(crate) const DNS_NAME: usize = 253;
/// Longest name of a member, as the owner of records.
const MEMBER: usize = 64;

/// `"auto"`, or what `read` makes of the text.
pub(crate) fn auto_or<T>(
    value: &Written<'_>,
    read: impl FnOnce(&Written<'_>) -> Result<T, Reported>,
) -> Result<Value<T>, Reported> {
    match text(value, "Write \"auto\", or the value itself.")? {
        "auto" => Ok(Value::Auto),
        _ => read(value).map(Value::Is),
    }
}

/// One of several words, in quotes.
pub(crate) fn choice<T: Copy>(value: &Written<'_>, words: &[(&str, T)]) -> Result<T, Reported> {
    let known: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let help = format!("Write {}.", known.join(" or "));
    let written = text(value, &help)?;
    let found = words.iter().find(|(word, _)| *word == written);
    found
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| value.refuse(format!("`{}` cannot be {}", value.key(), quoted(written)), help))
}

pub(super) fn superseded(value: &Written<'_>) -> Result<Superseded, Reported> {
    choice(value, &[("refuse", Superseded::Refuse), ("warn", Superseded::Warn)])
}

/// This member's name; `None` for that of the host.
pub(super) fn member(value: &Written<'_>) -> Result<Option<String>, Reported> {
    let name = member_name(value, "Write \"auto\", or 1 to 64 letters, digits, \"_\", \".\" or \"-\".")?;
    Ok((name != "auto").then_some(name))
}

/// The name of another member.
pub(super) fn peer_member(value: &Written<'_>) -> Result<String, Reported> {
    member_name(
        value,
        "Write the name that the member has there: 1 to 64 letters, digits, \"_\", \".\" or \"-\".",
    )
}

fn member_name(value: &Written<'_>, help: &'static str) -> Result<String, Reported> {
    let name = text(value, help)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || name.len() > MEMBER || !name.chars().all(fits) {
        return Err(value.refuse(format!("{} cannot be a member's name", quoted(name)), help));
    }
    Ok(name.to_owned())
}

/// A list without duplicates.
pub(crate) fn distinct(
    value: &Written<'_>,
    read: impl Fn(&Written<'_>) -> Result<String, Reported>,
) -> Result<Vec<String>, Reported> {
    let entries = value.one_or_many(read)?;
    for (index, entry) in entries.iter().enumerate() {
        if entries[..index].iter().any(|before| before.value == entry.value) {
            let message = format!("`{}` names {} twice", value.key(), quoted(&entry.value));
            return Err(value.refuse(message, "Leave it there once."));
        }
    }
    Ok(entries.into_iter().map(|entry| entry.value).collect())
}

pub(crate) fn dns_name(value: &Written<'_>, longest: usize) -> Result<String, Reported> {
    let example = "Write a name such as \"db.example.internal\", lower-case and without a final dot.";
    let name = text(value, example)?;
    if is_dns_name(name) && name.len() <= longest {
        return Ok(name.to_owned());
    }
    let corrected = name.trim_end_matches('.').to_lowercase();
    let help = if corrected != name && is_dns_name(&corrected) && corrected.len() <= longest {
        format!("Write \"{corrected}\".")
    } else {
        format!(
            "{example} It has labels of letters, digits, \"-\" and \"_\", and at most {longest} characters."
        )
    };
    Err(value.refuse(format!("{} cannot be a name in DNS here", quoted(name)), help))
}

/// The word for a mirror that has no other member to ask.
pub(super) fn no_peers(value: &Written<'_>) -> Result<(), Reported> {
    let help = "Write peers = \"none\" if there is no other member to ask; members are written as [[mirror.peer]] tables.";
    match text(value, help)? {
        "none" => Ok(()),
        other => Err(value.refuse(format!("`peers` must be \"none\", and this is {}", quoted(other)), help)),
    }
}

/// The address of another member, as it stands in pools and records.
pub(super) fn peer_address(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write the IP address, the instance id or the host name that pools and records use for it; the \
                port belongs in `page`.";
    let text = text(value, help)?;
    match IpAddr::from_str(text) {
        Ok(address) => Ok(address.to_string()),
        Err(_) if is_dns_name(text) => Ok(text.to_owned()),
        Err(_) => Err(value.refuse(format!("{} cannot be a member's address", quoted(text)), help)),
    }
}

pub(crate) fn is_dns_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= DNS_NAME && text.split('.').all(label)
}
