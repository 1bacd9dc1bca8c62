//! What to do about an error of a call, to AWS or to Kubernetes, for people. PURE.

use super::error::WITHOUT_CODE;
use super::http::FOREIGN;
use crate::steer::kubernetes;
use crate::steer::{CallError, Class};

/// Code of errors because the instance metadata service did not answer.
pub(crate) const NO_IDENTITY: &str = "NoIdentity";

/// Whether the caller's rights are the matter.
pub(crate) fn is_denied(error: &CallError) -> bool {
    matches!(
        error.code.as_deref(),
        Some(
            kubernetes::FORBIDDEN
                | "AccessDenied"
                | "AccessDeniedException"
                | "UnauthorizedOperation"
                | "AuthFailure"
        )
    )
}

/// How to mend it, as far as the error's class tells where nothing else does: full sentences.
pub(crate) fn help(error: &CallError) -> &'static str {
    known_help(error).unwrap_or(match error.class {
        Class::Retry => {
            "Is there a route, and a VPC endpoint or a NAT, to the service's address? Are there credentials: a role on the \
             instance, or AWS_ACCESS_KEY_ID? Then try again."
        }
        Class::Throttled => "Others in this account and region ask too often; try again.",
        Class::Observe => "Somebody changed it meanwhile; try again.",
        Class::Stop => "Mend what the service complains of; asking again does not help.",
    })
}

/// How to mend what the service complains of, where its code tells: full sentences.
pub(crate) fn known_help(error: &CallError) -> Option<&'static str> {
    let help = match error.code.as_deref() {
        // The first is EC2's word for all of them.
        Some(
            "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch" | "UnrecognizedClientException",
        ) => "The credentials are wrong: prefer the instance's role to keys in files.",
        Some(kubernetes::FORBIDDEN) => {
            "Allow the pod's service account to patch its own pod: a Role with the verb \"patch\" on \"pods\", as in \
             config/kubernetes, and a RoleBinding."
        }
        Some(kubernetes::UNAUTHORIZED) => {
            "Is the token that of the pod's service account (automountServiceAccountToken), and not expired?"
        }
        Some(kubernetes::NOT_IN_A_POD) => {
            "Set POD_NAME from metadata.name, and automountServiceAccountToken: true; outside of a pod write `pod`, \
             `namespace`, `server`, `ca_file` and `token_file`."
        }
        Some(kubernetes::UNREACHABLE) => {
            "Does a NetworkPolicy let this pod reach the API server, and is `ca_file` the cluster's?"
        }
        Some(_) if is_denied(error) => {
            "Attach to the instance's role the policy that `mirrorvip iam-policy` prints."
        }
        Some(NO_IDENTITY) => {
            "Outside AWS, write the value where the configuration says \"auto\". In a container, the instance's \
             metadata hop limit must be 2."
        }
        Some("TargetGroupNotFound") => {
            "Copy the ARN from the console; one of a group that was deleted and made again ends differently."
        }
        Some("AccessPointNotFound" | "LoadBalancerNotFound") => {
            "Write the classic load balancer's name, and the region in which it is."
        }
        Some("NoSuchHostedZone") => "Copy the zone's id from the console; it may belong to another account.",
        Some("InvalidRouteTableID.NotFound" | "InvalidRouteTableId.NotFound") => {
            "Copy the route table's id from the console, and check the region."
        }
        Some("ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "RequestTimeTooSkewed") => {
            "Renew the credentials; if they are new, correct this machine's clock."
        }
        None if error.class == Class::Stop && error.message.contains(WITHOUT_CODE) => {
            "Whoever refuses does not say why. Are the credentials right? Does a proxy stand between, which lets nobody \
             through to the service's address?"
        }
        None if error.message.contains(FOREIGN) => {
            "Something else answers at the service's address: is it a proxy, a captive portal, or what AWS_ENDPOINT_URL names?"
        }
        _ => return None,
    };
    Some(help)
}
