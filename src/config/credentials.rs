//! Secrets that the service manager hands to this service alone (`LoadCredential=`, `LoadCredentialEncrypted=`
//! of `systemd.exec(5)`).
//!
//! A path of the configuration that begins with `${CREDENTIALS_DIRECTORY}/` is in the directory that the manager created
//! for them. Nothing else is expanded: a configuration means the same wherever it is read.
//!
//! A shell has no such directory. There the directory in which systemd keeps the credentials of `mirrorvip.service` is
//! used, so that `sudo mirrorvip status` finds the token of the running daemon.

use std::env;
use std::path::{Path, PathBuf};

/// What such a path begins with.
const PREFIX: &str = "${CREDENTIALS_DIRECTORY}/";

/// Where systemd keeps the credentials of the packaged unit.
const OF_THE_UNIT: &str = "/run/credentials/mirrorvip.service";

/// The place of the credential that `text` names; `None` if it names none.
pub(super) fn resolve(text: &str) -> Option<PathBuf> {
    let directory = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    resolve_in(directory.as_deref(), text)
}

fn resolve_in(directory: Option<&Path>, text: &str) -> Option<PathBuf> {
    let name = text.strip_prefix(PREFIX)?;
    // The manager's names have neither: what leads out of the directory is no credential.
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return None;
    }
    let directory = directory.filter(|directory| directory.is_absolute());
    Some(directory.unwrap_or(Path::new(OF_THE_UNIT)).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_file_of_the_managers_directory_and_of_no_other() {
        let given = Some(Path::new("/run/credentials/x"));
        let resolve = |text| resolve_in(given, text);
        assert_eq!(resolve("${CREDENTIALS_DIRECTORY}/token"), Some("/run/credentials/x/token".into()));
        let assumed = Some("/run/credentials/mirrorvip.service/token".into());
        assert_eq!(resolve_in(None, "${CREDENTIALS_DIRECTORY}/token"), assumed);
        assert_eq!(resolve_in(Some(Path::new("here")), "${CREDENTIALS_DIRECTORY}/token"), assumed);
        for other in [
            "/etc/mirrorvip/token",
            "${CREDENTIALS_DIRECTORY}/",
            "${CREDENTIALS_DIRECTORY}/..",
            "${CREDENTIALS_DIRECTORY}/../shadow",
            "${HOME}/token",
            "/etc/${CREDENTIALS_DIRECTORY}/token",
        ] {
            assert_eq!(resolve(other), None, "{other}");
        }
    }
}
