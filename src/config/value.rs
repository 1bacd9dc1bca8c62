//! What a single value may be: one function per kind, from parsed TOML to the type that the program uses. Rules between two
//! values are in [`rules`](super::rules).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper::Uri;
use ipnet::IpNet;
use jiff::fmt::friendly::SpanParser;
use toml::de::DeValue;

use super::diagnostic::{Reported, quoted};
use super::section::{Value, all};

/// Longest name of a mirror or an instance.
const NAME: usize = 64;
/// Longest path prefix; a request head of 8 KiB must hold it.
const PREFIX: usize = 256;
/// Longest address of a page.
const URL: usize = 2048;

/// The health listener's own pages: a mirror of that name could not be distinguished from them.
const ENDPOINTS: &[&str] =
    &["primary", "promotion", "backup", "async", "live", "ready", "status", "metrics", "probe", "csp"];
/// The status page's name, as InterSystems writes it and as its articles print it.
const PAGES: [&str; 2] = ["mirror_status.cxw", "mirrorstatus.cxw"];

pub(crate) fn text<'a>(value: &Value<'a>, help: &str) -> Result<&'a str, Reported> {
    match value.item() {
        DeValue::String(text) => Ok(text),
        _ => Err(value.refuse_kind("a string", help)),
    }
}

pub(crate) fn boolean(value: &Value<'_>) -> Result<bool, Reported> {
    match value.item() {
        DeValue::Boolean(boolean) => Ok(*boolean),
        _ => Err(value.refuse_kind("a boolean", "Write true or false, without quotes.")),
    }
}

pub(crate) fn integer(value: &Value<'_>, range: RangeInclusive<u32>) -> Result<u32, Reported> {
    let limits = format!("Write a number from {} to {}, without quotes.", range.start(), range.end());
    let DeValue::Integer(integer) = value.item() else {
        return Err(value.refuse_kind("an integer", limits));
    };
    match u32::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) if range.contains(&number) => Ok(number),
        Ok(_) | Err(_) => {
            let number = quoted(&integer.to_string());
            Err(value.refuse(format!("`{}` cannot be {number}", value.key()), limits))
        }
    }
}

pub(crate) fn duration(value: &Value<'_>, range: RangeInclusive<Duration>) -> Result<Duration, Reported> {
    let text = match value.item() {
        DeValue::String(text) => text,
        DeValue::Integer(number) => {
            return Err(value.refuse_kind("a duration", with_unit(&number.to_string(), &range)));
        }
        DeValue::Float(number) => {
            return Err(value.refuse_kind("a duration", with_unit(number.as_str(), &range)));
        }
        _ => return Err(value.refuse_kind("a duration", DURATION_HELP)),
    };
    let Ok(duration) = SpanParser::new().parse_unsigned_duration(text.as_bytes()) else {
        return Err(value.refuse(format!("{} is not a duration", quoted(text)), with_unit(text, &range)));
    };
    let (key, low, high) = (value.key(), range.start(), range.end());
    if duration < *low {
        return Err(value
            .refuse(format!("`{key}` of {duration:?} is too short"), format!("Write \"{low:?}\" or more.")));
    }
    if duration > *high {
        return Err(value
            .refuse(format!("`{key}` of {duration:?} is too long"), format!("Write \"{high:?}\" or less.")));
    }
    Ok(duration)
}

/// A duration of which none at all turns the feature off.
pub(super) fn duration_or_zero(
    value: &Value<'_>,
    range: RangeInclusive<Duration>,
) -> Result<Option<Duration>, Reported> {
    match duration(value, Duration::ZERO..=*range.end())? {
        Duration::ZERO => Ok(None),
        _ => duration(value, range).map(Some),
    }
}

/// An address to listen on.
pub(super) fn address(value: &Value<'_>) -> Result<SocketAddr, Reported> {
    let example = "Write an IP address and a port, such as \"0.0.0.0:8080\" or \"[::]:8080\".";
    if let DeValue::Integer(port) = value.item() {
        let help = match u16::from_str(port.as_str()) {
            Ok(port) => format!("Write \"0.0.0.0:{port}\"."),
            Err(_) => example.to_owned(),
        };
        return Err(value.refuse_kind("an address with a port", help));
    }
    let text = text(value, example)?;
    SocketAddr::from_str(text).map_err(|_| {
        let port_after = |prefix| u16::from_str(text.strip_prefix(prefix)?).ok();
        let help = if let Some(port) = port_after(":").or_else(|| port_after("")) {
            format!("Write \"0.0.0.0:{port}\".")
        } else if let Some(port) = port_after("localhost:") {
            format!("Write \"127.0.0.1:{port}\".")
        } else if Ipv4Addr::from_str(text).is_ok() {
            format!("Write \"{text}:8080\", or another port.")
        } else if Ipv6Addr::from_str(text).is_ok() {
            "Write an IPv6 address in brackets, and a port: \"[::1]:8080\".".to_owned()
        } else {
            format!("{example} Names are not looked up.")
        };
        value.refuse(format!("{} is not an address to listen on", quoted(text)), help)
    })
}

/// A network, or a single address.
pub(super) fn network(value: &Value<'_>) -> Result<IpNet, Reported> {
    let example = "Write a network such as \"10.0.0.0/8\", or a single address.";
    let text = text(value, example)?;
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(address.into());
    }
    let Ok(network) = IpNet::from_str(text) else {
        return Err(value.refuse(format!("{} is not a network", quoted(text)), example));
    };
    if network.addr() != network.network() {
        return Err(value.refuse(
            format!("{} is an address within a network", quoted(text)),
            format!(
                "Write \"{}\" for the network, or \"{}\" for the address.",
                network.trunc(),
                network.addr()
            ),
        ));
    }
    Ok(network)
}

/// A file or directory. The path is absolute, so that it does not depend on the daemon's working directory.
pub(crate) fn absolute_path(value: &Value<'_>) -> Result<PathBuf, Reported> {
    let example = "Write an absolute path, one that begins with \"/\".";
    let text = text(value, example)?;
    if !text.starts_with('/') {
        return Err(value.refuse(format!("{} is not an absolute path", quoted(text)), example));
    }
    if text.chars().any(char::is_control) {
        return Err(value.refuse(format!("{} has a control character", quoted(text)), example));
    }
    Ok(PathBuf::from(text))
}

/// A file that may be a credential of the service manager.
pub(super) fn secret_path(value: &Value<'_>) -> Result<PathBuf, Reported> {
    let help = "Write an absolute path, or \"${CREDENTIALS_DIRECTORY}/NAME\" for a credential that the service manager \
                loads (LoadCredential=NAME:...).";
    let text = text(value, help)?;
    if text.starts_with('/') {
        return absolute_path(value);
    }
    let credential = super::credentials::resolve(text).filter(|_| !text.chars().any(char::is_control));
    credential.ok_or_else(|| {
        value.refuse(format!("{} is neither an absolute path nor a credential", quoted(text)), help)
    })
}

pub(super) fn mirror_name(value: &Value<'_>) -> Result<String, Reported> {
    let help = "Write 1 to 64 letters, digits, \"_\", \".\" or \"-\", and no \".\" at the beginning.";
    let name = text(value, help)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    // It becomes part of a URL's path and of a file's name, where "." and ".." have a meaning.
    if name.is_empty() || name.len() > NAME || name.starts_with('.') || !name.chars().all(fits) {
        return Err(value.refuse(format!("{} cannot be a mirror's name", quoted(name)), help));
    }
    if ENDPOINTS.iter().any(|endpoint| name.eq_ignore_ascii_case(endpoint)) {
        return Err(value.refuse(
            format!("{} cannot be a mirror's name: it is an endpoint", quoted(name)),
            "Write the name that the mirror has in the database.",
        ));
    }
    Ok(name.to_owned())
}

/// A path prefix of a status page, without a slash at its end.
pub(super) fn path_prefix(value: &Value<'_>) -> Result<String, Reported> {
    let example = "Write a path such as \"/csp/bin\".";
    let text = text(value, example)?;
    let Some(below_root) = text.strip_prefix('/') else {
        return Err(value.refuse(format!("{} does not begin with \"/\"", quoted(text)), example));
    };
    let prefix = text.trim_end_matches('/');
    let last = prefix.rsplit('/').next().unwrap_or_default();
    if PAGES.iter().any(|page| last.eq_ignore_ascii_case(page)) {
        let parent = prefix[..prefix.len() - last.len()].trim_end_matches('/');
        return Err(value.refuse(
            format!("{} names the page", quoted(text)),
            format!("Write what comes before: \"{}\".", if parent.is_empty() { "/csp/bin" } else { parent }),
        ));
    }
    // As a client may send it, so without anything that it would have to escape.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(c);
    let steps = below_root.trim_end_matches('/').split('/');
    if prefix.len() > PREFIX
        || !prefix.chars().all(fits)
        || steps.into_iter().any(|step| matches!(step, "" | "." | ".."))
    {
        return Err(value.refuse(
            format!("{} cannot be a path prefix", quoted(text)),
            format!("{example} It has letters, digits and \"-._~\", no query and no empty step."),
        ));
    }
    Ok(prefix.to_owned())
}

/// An instance's name. It becomes an argument of a command, so it must not look like an option.
pub(super) fn instance(value: &Value<'_>) -> Result<String, Reported> {
    let help = "Write the name as `iris list` prints it: 1 to 64 letters, digits, \"_\", \".\" or \"-\".";
    let name = text(value, help)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.len() > NAME || !name.chars().all(fits) || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        return Err(value.refuse(format!("{} cannot be an instance's name", quoted(name)), help));
    }
    Ok(name.to_owned())
}

/// A program: a name that is looked up in `PATH`, or an absolute path.
pub(super) fn program(value: &Value<'_>) -> Result<String, Reported> {
    let help =
        "Write the name of a command, such as \"iris\", or an absolute path; arguments do not belong here.";
    let text = text(value, help)?;
    let fits = if text.contains('/') {
        text.starts_with('/') && !text.ends_with('/')
    } else {
        !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_whitespace)
    };
    if fits && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(value.refuse(format!("{} is neither a command's name nor an absolute path", quoted(text)), help))
}

/// A program and its arguments.
pub(crate) fn command_line(value: &Value<'_>) -> Result<Vec<String>, Reported> {
    let example = "Write a list, such as [\"/usr/local/bin/is-primary\", \"--quiet\"]; there is no shell.";
    let words = value.entries(example)?;
    let Some((first, arguments)) = words.split_first() else {
        return Err(value.refuse(format!("`{}` names no command", value.key()), example));
    };
    let program = program(first);
    let arguments = all(arguments.iter().map(|argument| match text(argument, example)? {
        text if text.contains('\0') => {
            Err(argument.refuse(format!("{} has a NUL character", quoted(text)), "Remove it."))
        }
        text => Ok(text.to_owned()),
    }));
    let mut command = vec![program?];
    command.extend(arguments?);
    Ok(command)
}

/// The name of an environment variable.
pub(crate) fn variable(value: &Value<'_>) -> Result<String, Reported> {
    let help = "Write the variable's name alone, such as \"ORACLE_HOME\"; its value is the daemon's own.";
    let name = text(value, help)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(fits) {
        return Err(value.refuse(format!("{} cannot be a variable's name", quoted(name)), help));
    }
    Ok(name.to_owned())
}

/// The address of a page. The messages do not quote it: it may hold a password.
pub(crate) fn url(value: &Value<'_>) -> Result<Uri, Reported> {
    let example = "Write an address such as \"http://127.0.0.1:52773/csp/bin/mirror_status.cxw\".";
    let text = text(value, example)?;
    let key = value.key();
    if text.len() > URL {
        return Err(value.refuse(format!("`{key}` is longer than {URL} characters"), example));
    }
    let uri = match Uri::from_str(text) {
        Ok(uri) => uri,
        Err(error) => return Err(value.refuse(format!("`{key}` is not an address: {error}"), example)),
    };
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(value.refuse(format!("`{key}` does not begin with http:// or https://"), example));
    };
    if authority.as_str().contains('@') {
        return Err(value.refuse(
            format!("`{key}` holds a user's name"),
            "Remove what stands before \"@\": the page must be readable without signing on, and secrets do \
             not belong in this file.",
        ));
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if authority.host().is_empty() || !(port.is_empty() || authority.port_u16().is_some_and(|port| port > 0))
    {
        return Err(value.refuse(format!("`{key}` has no host, or an invalid port"), example));
    }
    if text.contains('#') {
        return Err(value.refuse(format!("`{key}` has a fragment"), "Remove \"#\" and what follows."));
    }
    Ok(uri)
}

const DURATION_HELP: &str = "Write a number and a unit, such as \"1s\", \"500ms\" or \"1m 30s\".";

/// What to write for a duration of `range` that was given as a bare number: seconds if that is within `range`, else
/// milliseconds, as the Management Portal shows the mirror's times.
fn with_unit(number: &str, range: &RangeInclusive<Duration>) -> String {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !(digits(whole) && digits(fraction)) || number.len() >= 10 {
        return DURATION_HELP.to_owned();
    }
    let fits = |unit: Duration| number.parse().is_ok_and(|number| range.contains(&unit.mul_f64(number)));
    match (fits(Duration::from_secs(1)), fits(Duration::from_millis(1))) {
        (false, true) => format!("Write \"{number}ms\" if milliseconds are meant."),
        (true, _) | (false, false) => format!("Write \"{number}s\" if seconds are meant."),
    }
}
