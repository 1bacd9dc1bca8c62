//! The security token service: only `GetCallerIdentity`. PURE.

use super::api::{ApiError, Request};
use super::objects::{Answer, answered, unknown};
use super::settings::{ACCOUNT, Member};
use super::xml::Xml;

pub(super) fn answer(caller: &Member, request: &Request) -> Result<Answer, ApiError> {
    if request.action != "GetCallerIdentity" {
        return Err(unknown(request));
    }
    let mut xml = Xml::new();
    xml.text("Arn", arn(caller)).text("UserId", format!("AROASIMULATED:{}", caller.instance_id));
    Ok(answered(xml.text("Account", ACCOUNT).finish()))
}

/// A member's identity in AWS.
pub(super) fn arn(member: &Member) -> String {
    format!("arn:aws:sts::{ACCOUNT}:assumed-role/{}/{}", role(member), member.instance_id)
}

/// The instance role of a member.
pub(super) fn role(member: &Member) -> String {
    format!("mirrorvip-{}", member.name)
}
