//! What to do about an error of a call to AWS. PURE.

use super::error::{NO_CREDENTIALS, WITHOUT_CODE};
use super::http::FOREIGN;
use crate::steer::{CallError, Class};

/// Code of an error when the instance metadata service did not answer.
pub(crate) const NO_IDENTITY: &str = "NoIdentity";

/// Whether the caller lacks a right.
pub(crate) fn is_denied(error: &CallError) -> bool {
    matches!(
        error.code.as_deref(),
        Some("AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "AuthFailure")
    )
}

/// How to correct what the service reports, in full sentences; `None` for unknown codes.
pub(crate) fn known_help(error: &CallError) -> Option<&'static str> {
    let help = match error.code.as_deref() {
        // The first is EC2's word for all of them.
        Some(
            "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch" | "UnrecognizedClientException",
        ) => "The credentials are wrong. Prefer the instance's role to keys in files.",
        Some(_) if is_denied(error) => {
            "Attach the policy that `mirrorvip iam-policy` prints to the instance's role."
        }
        Some(NO_IDENTITY) => {
            "Outside AWS, write the value where the configuration says \"auto\". In a container, the instance's \
             metadata hop limit must be 2."
        }
        Some(NO_CREDENTIALS) => {
            "Attach an instance role (EC2) or a task role (ECS) with the policy that `mirrorvip iam-policy` prints; outside AWS \
             set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        }
        Some("TargetGroupNotFound") => {
            "Copy the ARN from the console; a target group that was deleted and created again has another ARN."
        }
        Some("AccessPointNotFound" | "LoadBalancerNotFound") => {
            "Write the classic load balancer's name and its region."
        }
        Some("NoSuchHostedZone") => "Copy the zone's id from the console; it may belong to another account.",
        Some("InvalidRouteTableID.NotFound" | "InvalidRouteTableId.NotFound") => {
            "Copy the route table's id from the console, and check the region."
        }
        Some("ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "RequestTimeTooSkewed") => {
            "Renew the credentials; if they are new, correct this machine's clock."
        }
        None if error.class == Class::Stop && error.message.contains(WITHOUT_CODE) => {
            "The answer gives no reason. Check the credentials, and whether a proxy blocks the service's address."
        }
        None if error.message.contains(FOREIGN) => {
            "Another server answers at the service's address: check for a proxy or a captive portal, and AWS_ENDPOINT_URL."
        }
        _ => return None,
    };
    Some(help)
}
