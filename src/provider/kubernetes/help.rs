//! What to do about an error of a call to the Kubernetes API server. PURE.

use crate::steer::CallError;

/// Codes of errors, for the help that goes with them.
pub(super) const FORBIDDEN: &str = "KubernetesForbidden";
pub(super) const UNAUTHORIZED: &str = "KubernetesUnauthorized";
pub(super) const NOT_IN_A_POD: &str = "KubernetesNotInAPod";
pub(super) const UNREACHABLE: &str = "KubernetesUnreachable";

/// Whether the service account lacks a right.
pub(crate) fn is_denied(error: &CallError) -> bool {
    error.code.as_deref() == Some(FORBIDDEN)
}

/// How to correct it, in full sentences.
pub(crate) fn known_help(error: &CallError) -> Option<&'static str> {
    Some(match error.code.as_deref()? {
        FORBIDDEN => {
            "Allow the pod's service account to patch its own pod: a Role with the verb \"patch\" on \"pods\", as in \
             config/kubernetes, and a RoleBinding."
        }
        UNAUTHORIZED => {
            "Check that the token is that of the pod's service account (automountServiceAccountToken) and has not expired."
        }
        NOT_IN_A_POD => {
            "Set POD_NAME from metadata.name, and automountServiceAccountToken: true; outside a pod, configure `pod`, \
             `namespace`, `server`, `ca_file` and `token_file`."
        }
        UNREACHABLE => {
            "Check that a NetworkPolicy lets this pod reach the API server, and that `ca_file` is the cluster's."
        }
        _ => return None,
    })
}
