//! What a single value of an AWS table may be. `mirrorvip check` finds out whether such an object exists.

use std::net::IpAddr;
use std::str::FromStr as _;

use super::arn::{self, ArnError, TargetGroupArn};
use super::region::Region;
use crate::config::reading::{Reported, Value as Written, auto_or, quoted, text};
use crate::config::steering::Value;

/// What `region` sets.
pub(crate) const REGION: &str = "the region; `auto` asks the instance metadata service";

pub(crate) fn target_group_arn(value: &Written<'_>) -> Result<TargetGroupArn, Reported> {
    let example = "Write it as the console shows it: \
                   \"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef\".";
    let text = text(value, example)?;
    match text.parse() {
        Ok(arn) => Ok(arn),
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

pub(crate) fn region_or_auto(value: &Written<'_>) -> Result<Value<Region>, Reported> {
    auto_or(value, region)
}

fn region(value: &Written<'_>) -> Result<Region, Reported> {
    let help = "Write \"auto\", or a region such as \"eu-west-1\".";
    let text = text(value, help)?;
    if arn::is_region(text) {
        return Ok(Region::named(text));
    }
    let zone = text.strip_suffix(|c: char| c.is_ascii_lowercase()).filter(|region| arn::is_region(region));
    let help = zone.map_or_else(|| help.to_owned(), |region| format!("This is a zone of \"{region}\"."));
    Err(value.refuse(format!("{} is not a region", quoted(text)), help))
}

pub(crate) fn instance_id(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write an instance id such as \"i-0123456789abcdef0\".";
    let text = text(value, help)?;
    if is_resource_id(text, "i-") {
        Ok(text.to_owned())
    } else {
        Err(value.refuse(format!("{} is not an instance id", quoted(text)), help))
    }
}

/// An instance id or an IP address, in its usual form.
pub(crate) fn target_id(value: &Written<'_>) -> Result<String, Reported> {
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

/// Printable ASCII of a bounded length, as AWS accepts it for names.
pub(crate) fn label(value: &Written<'_>, longest: usize) -> Result<String, Reported> {
    let help = format!("Write 1 to {longest} printable ASCII characters, with no space at either end.");
    let label = text(value, &help)?;
    let fits = label.chars().all(|c| c.is_ascii_graphic() || c == ' ') && label.trim() == label;
    // Names of metrics must not begin with a colon, which the service keeps for itself.
    if label.is_empty() || label.len() > longest || !fits || label.starts_with(':') {
        return Err(value.refuse(format!("`{}` cannot be {}", value.key(), quoted(label)), help));
    }
    Ok(label.to_owned())
}

/// `PREFIX` and 8 or 17 hexadecimal digits.
pub(crate) fn is_resource_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}
