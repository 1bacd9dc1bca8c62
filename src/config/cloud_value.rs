//! What a single value of a steering table may be, as [`value`](super::value) does it for the others. Nobody
//! is asked whether such an object exists: that is the business of `mirrorvip check`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use super::diagnostic::{Reported, quoted};
use super::section::{Value as Written, values};
use super::steering::{Pool, RecordType, Superseded, Value, Write};
use super::value::text;
use crate::aws::arn::{self, ArnError, TargetGroupArn};

/// Longest name that DNS carries.
const DNS_NAME: usize = 253;
/// What the guard record's name adds to a record's.
const GUARD_LABEL: usize = "_mirrorvip.".len();
/// Longest name of a member, as the owner of records.
const MEMBER: usize = 64;
/// Longest name in the key of a label.
const LABEL_NAME: usize = 63;
/// Longest set identifier, namespace, metric name and dimension value that AWS takes.
const SET_IDENTIFIER: usize = 128;
const METRIC: usize = 255;

/// `"auto"`, or what `read` makes of the text.
pub(super) fn auto_or(
    value: &Written<'_>,
    read: impl FnOnce(&Written<'_>) -> Result<String, Reported>,
) -> Result<Value, Reported> {
    match text(value, "Write \"auto\", or the value itself.")? {
        "auto" => Ok(Value::Auto),
        _ => read(value).map(Value::Is),
    }
}

/// One of several words, in quotes.
pub(super) fn choice<T: Copy>(value: &Written<'_>, words: &[(&str, T)]) -> Result<T, Reported> {
    let known: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let help = format!("Write {}.", known.join(" or "));
    let written = text(value, &help)?;
    let found = words.iter().find(|(word, _)| *word == written);
    found
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| value.refuse(format!("`{}` cannot be {}", value.key(), quoted(written)), help))
}

pub(super) fn pool(value: &Written<'_>) -> Result<Pool, Reported> {
    choice(value, &[("all-members", Pool::AllMembers), ("primary-only", Pool::PrimaryOnly)])
}

pub(super) fn superseded(value: &Written<'_>) -> Result<Superseded, Reported> {
    choice(value, &[("refuse", Superseded::Refuse), ("warn", Superseded::Warn)])
}

pub(super) fn record_type(value: &Written<'_>) -> Result<RecordType, Reported> {
    choice(value, &[("A", RecordType::A), ("AAAA", RecordType::Aaaa), ("CNAME", RecordType::Cname)])
}

pub(super) fn write(value: &Written<'_>) -> Result<Write, Reported> {
    choice(value, &[("compare-and-swap", Write::CompareAndSwap), ("upsert", Write::Upsert)])
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

pub(super) fn target_group_arn(value: &Written<'_>) -> Result<String, Reported> {
    let example = "Write it as the console shows it: \
                   \"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef\".";
    let text = text(value, example)?;
    match TargetGroupArn::parse(text) {
        Ok(arn) => Ok(arn.to_string()),
        Err(error) => {
            let help = match error {
                ArnError::NotATargetGroup if text.contains(":loadbalancer/") => {
                    "This is a load balancer. Write the ARN of the target group that its listener forwards to."
                }
                _ => example,
            };
            Err(value.refuse(format!("the ARN {} {error}", quoted(text)), help))
        }
    }
}

pub(super) fn region(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write \"auto\", or a region such as \"eu-west-1\".";
    let text = text(value, help)?;
    if arn::is_region(text) {
        return Ok(text.to_owned());
    }
    let zone = text.strip_suffix(|c: char| c.is_ascii_lowercase()).filter(|region| arn::is_region(region));
    let help = zone.map_or_else(|| help.to_owned(), |region| format!("This is a zone of \"{region}\"."));
    Err(value.refuse(format!("{} is not a region", quoted(text)), help))
}

/// An instance id.
pub(super) fn instance_id(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write an instance id such as \"i-0123456789abcdef0\".";
    let text = text(value, help)?;
    if is_resource_id(text, "i-") {
        Ok(text.to_owned())
    } else {
        Err(value.refuse(format!("{} is not an instance id", quoted(text)), help))
    }
}

/// An instance id or an IP address, in its usual form.
pub(super) fn target_id(value: &Written<'_>) -> Result<String, Reported> {
    let help =
        "Write an IP address such as \"10.0.1.12\", or an instance id such as \"i-0123456789abcdef0\".";
    let text = text(value, help)?;
    if is_resource_id(text, "i-") {
        return Ok(text.to_owned());
    }
    match IpAddr::from_str(text) {
        Ok(address) => Ok(address.to_string()),
        Err(_) => {
            Err(value.refuse(format!("{} is neither an instance id nor an address", quoted(text)), help))
        }
    }
}

/// An instance or a network interface.
pub(super) fn route_target(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write \"auto\", a network interface \"eni-0123456789abcdef0\" or an instance \"i-0123456789abcdef0\".";
    let text = text(value, help)?;
    if is_resource_id(text, "i-") || is_resource_id(text, "eni-") {
        Ok(text.to_owned())
    } else {
        Err(value.refuse(format!("{} is neither a network interface nor an instance", quoted(text)), help))
    }
}

/// Ids of route tables: one, or a list.
pub(super) fn route_tables(value: &Written<'_>) -> Result<Vec<String>, Reported> {
    let help = "Write the id of a route table, such as \"rtb-0123456789abcdef0\", or a list of them.";
    let read = |value: &Written<'_>| {
        let text = text(value, help)?;
        if is_resource_id(text, "rtb-") {
            Ok(text.to_owned())
        } else {
            Err(value.refuse(format!("{} is not a route table's id", quoted(text)), help))
        }
    };
    let tables = distinct(value, read)?;
    if tables.is_empty() {
        return Err(value.refuse("`route_tables` is empty", help));
    }
    Ok(tables)
}

/// A list of which no entry is there twice.
pub(super) fn distinct(
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

/// The destination of a route: a network, or a single address.
pub(super) fn destination(value: &Written<'_>) -> Result<String, Reported> {
    let example = "Write an address outside the VPC's own networks, such as \"192.168.99.1/32\".";
    let text = text(value, example)?;
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(IpNet::from(address).to_string());
    }
    let Ok(network) = IpNet::from_str(text) else {
        return Err(value.refuse(format!("{} is not a destination", quoted(text)), example));
    };
    if network.addr() != network.network() {
        let message = format!("{} is an address within a network", quoted(text));
        let help = format!("Write \"{}\" for the network, or \"{}\".", network.trunc(), network.addr());
        return Err(value.refuse(message, help));
    }
    if network.prefix_len() == 0 {
        let message = format!("{} is the default route", quoted(text));
        return Err(value.refuse(message, example));
    }
    Ok(network.to_string())
}

pub(super) fn load_balancer(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write the name of the classic load balancer: 1 to 32 letters, digits or \"-\".";
    let name = text(value, help)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || name.len() > 32 || !name.chars().all(fits) {
        return Err(value.refuse(format!("{} cannot be a load balancer's name", quoted(name)), help));
    }
    Ok(name.to_owned())
}

pub(super) fn hosted_zone_id(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write the id alone, such as \"Z0123456789ABCDEFGHIJ\".";
    let id = text(value, help)?;
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    if !id.starts_with('Z') || !(2..=32).contains(&id.len()) || !id.chars().all(fits) {
        return Err(value.refuse(format!("{} is not a hosted zone's id", quoted(id)), help));
    }
    Ok(id.to_owned())
}

/// A record's name. The guard record beside it has a longer one.
pub(super) fn record_name(value: &Written<'_>) -> Result<String, Reported> {
    dns_name(value, DNS_NAME - GUARD_LABEL)
}

/// A name in DNS, lower-case and without the final dot, as Route 53 gives it back.
pub(super) fn host_name(value: &Written<'_>) -> Result<String, Reported> {
    dns_name(value, DNS_NAME)
}

fn dns_name(value: &Written<'_>, longest: usize) -> Result<String, Reported> {
    let example = "Write a name such as \"db.example.internal\", lower-case and without a final dot.";
    let name = text(value, example)?;
    if is_dns_name(name) && name.len() <= longest {
        return Ok(name.to_owned());
    }
    let mended = name.trim_end_matches('.').to_lowercase();
    let help = if mended != name && is_dns_name(&mended) && mended.len() <= longest {
        format!("Write \"{mended}\".")
    } else {
        format!(
            "{example} It has labels of letters, digits, \"-\" and \"_\", and at most {longest} characters."
        )
    };
    Err(value.refuse(format!("{} cannot be a name in DNS here", quoted(name)), help))
}

/// The word that says that a mirror has no other member to ask.
pub(super) fn no_peers(value: &Written<'_>) -> Result<(), Reported> {
    let help = "Write peers = \"none\" if there is no other member to ask; members are written as [[mirror.peer]] tables.";
    match text(value, help)? {
        "none" => Ok(()),
        other => Err(value.refuse(format!("`peers` must be \"none\", and this is {}", quoted(other)), help)),
    }
}

/// The address of another member, as it stands in pools and records.
pub(super) fn peer_address(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write the IP address, the instance id or the host name that pools and records have for it; the \
                port belongs into `page`.";
    let text = text(value, help)?;
    match IpAddr::from_str(text) {
        Ok(address) => Ok(address.to_string()),
        Err(_) if is_dns_name(text) => Ok(text.to_owned()),
        Err(_) => Err(value.refuse(format!("{} cannot be a member's address", quoted(text)), help)),
    }
}

pub(super) fn set_identifier(value: &Written<'_>) -> Result<String, Reported> {
    label(value, SET_IDENTIFIER)
}

/// A metric's name, or the value of a dimension.
pub(super) fn metric(value: &Written<'_>) -> Result<String, Reported> {
    label(value, METRIC)
}

pub(super) fn namespace(value: &Written<'_>) -> Result<String, Reported> {
    let name = label(value, METRIC)?;
    if name.len() >= 4 && name[..4].eq_ignore_ascii_case("AWS/") {
        let help = "Namespaces that begin with AWS/ are Amazon's own; write another, such as \"mirrorvip\".";
        return Err(value.refuse(format!("{} cannot be a namespace", quoted(&name)), help));
    }
    Ok(name)
}

/// The name of a pod or a namespace, as RFC 1123 has it.
pub(super) fn kubernetes_name(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write \"auto\", or the name as `kubectl get` shows it: 1 to 253 of a-z 0-9 . -";
    let name = text(value, help)?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    let ends = |c: char| c.is_ascii_alphanumeric();
    if name.len() > DNS_NAME || !name.chars().all(fits) || !name.starts_with(ends) || !name.ends_with(ends) {
        return Err(value.refuse(format!("{} cannot be a name in Kubernetes", quoted(name)), help));
    }
    Ok(name.to_owned())
}

/// The key of a label: a name, with or without a prefix.
pub(super) fn label_key(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write a key such as \"intersystems.com/mirrorRole\".";
    let key = text(value, help)?;
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let ends = |c: char| c.is_ascii_alphanumeric();
    let is_name = |name: &str, longest: usize, more: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        name.len() <= longest && name.chars().all(fits) && name.starts_with(ends) && name.ends_with(ends)
    };
    if !is_name(name, LABEL_NAME, "-_.") || !prefix.is_none_or(|prefix| is_name(prefix, DNS_NAME, "-.")) {
        return Err(value.refuse(format!("{} cannot be the key of a label", quoted(key)), help));
    }
    Ok(key.to_owned())
}

/// Moments at which a hook is run: on promotion, on demotion.
pub(super) fn moments(value: &Written<'_>) -> Result<(bool, bool), Reported> {
    let words = [("promotion", true), ("demotion", false)];
    let moments: Vec<bool> = values(super::section::Located {
        value: value.one_or_many(|value| choice(value, &words))?,
        span: None,
    });
    if moments.is_empty() {
        let help = "Write \"promotion\", \"demotion\" or both; or remove the hook.";
        return Err(value.refuse("`on` is empty: the hook would never run", help));
    }
    Ok((moments.contains(&true), moments.contains(&false)))
}

/// Whether the text fits a record of this type.
pub(super) fn fits_record(record_type: RecordType, text: &str) -> bool {
    match record_type {
        RecordType::A => Ipv4Addr::from_str(text).is_ok(),
        RecordType::Aaaa => Ipv6Addr::from_str(text).is_ok(),
        RecordType::Cname => is_dns_name(text) && IpAddr::from_str(text).is_err(),
    }
}

/// Printable ASCII of a bounded length, as AWS takes it for names of things.
fn label(value: &Written<'_>, longest: usize) -> Result<String, Reported> {
    let help = format!("Write 1 to {longest} printable ASCII characters, none of them at the ends a space.");
    let label = text(value, &help)?;
    let fits = label.chars().all(|c| c.is_ascii_graphic() || c == ' ') && label.trim() == label;
    // CloudWatch keeps the colon at the beginning for itself.
    if label.is_empty() || label.len() > longest || !fits || label.starts_with(':') {
        return Err(value.refuse(format!("`{}` cannot be {}", value.key(), quoted(label)), help));
    }
    Ok(label.to_owned())
}

/// `PREFIX` and 8 or 17 hexadecimal digits.
fn is_resource_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_dns_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= DNS_NAME && text.split('.').all(label)
}
