//! Files and directories: can this user read and write what the daemon must?

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::{Finding, Kind, chain};
use crate::admin::Token;
use crate::clock::Clock;
use crate::config::{Admin, Config, Mirror, Tls};
use crate::tls;

/// Who renews by hand wants to know a month ahead.
const RENEW_WITHIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The logs that wake the probe: absent is allowed, unreadable is not.
pub(super) fn wake_on(mirror: &Mirror) -> Vec<Finding> {
    let look = |path: &std::path::PathBuf| {
        let subject = format!("mirror {}, wake_on {}", mirror.name, path.display());
        match fs::File::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => Finding::good(subject, "readable"),
            Ok(_) => Finding::error(
                Kind::Configuration,
                subject,
                "is not a file, so that no line in it can wake the probe",
            )
            .help("Name the log itself, such as /usr/irissys/mgr/messages.log."),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::warning(
                subject,
                "does not exist (yet): until it does, a change of role is seen by the timer only",
            )
            .help("Name messages.log in the instance's manager directory; Caché calls it cconsole.log."),
            Err(error) => Finding::error(
                kind(&error),
                subject,
                format!("cannot be read ({error}): a change of role is seen by the timer only"),
            )
            .help("Add this user to the group that owns the log, or allow it by an access control list."),
        }
    };
    mirror.wake_on.iter().map(look).collect()
}

/// Certificates of both listeners: do they load, and for how long are they good?
pub(super) fn certificates(config: &Config, clock: &Clock) -> Vec<Finding> {
    [("[health.tls]", &config.health.tls), ("[admin.tls]", &config.admin.tls)]
        .into_iter()
        .filter_map(|(table, files)| files.as_ref().map(|files| certificate(table, files, clock)))
        .collect()
}

fn certificate(table: &str, files: &Tls, clock: &Clock) -> Finding {
    let subject = format!("{table} {}", files.certificate.display());
    let certificate = match tls::load(files).and_then(|_| tls::inspect(files)) {
        Ok(certificate) => certificate,
        Err(error) => {
            return Finding::error(kind_of(&error), subject, format!("failed to {}", chain(&error)));
        }
    };
    let now = clock.now().to_utc();
    let left = certificate.not_after.duration_since(now);
    if now < certificate.not_before {
        Finding::error(
            Kind::Configuration,
            subject,
            format!("is not valid before {}", certificate.not_before),
        )
    } else if left.is_negative() {
        Finding::error(
            Kind::Configuration,
            subject,
            format!("ended at {}: clients refuse it", certificate.not_after),
        )
        .help("Renew it; the running daemon takes the new files up by itself.")
    } else if left.unsigned_abs() < RENEW_WITHIN {
        Finding::warning(
            subject,
            format!("ends in {} days, at {}", left.as_hours() / 24, certificate.not_after),
        )
        .help("Renew it; the running daemon takes the new files up by itself.")
    } else {
        Finding::good(subject, format!("loads, and is valid until {}", certificate.not_after))
    }
}

/// The token file: usable, and nobody else's to read.
pub(super) fn token(admin: &Admin) -> Option<Finding> {
    let path = admin.token_file.as_ref()?;
    let subject = format!("[admin] token_file {}", path.display());
    if let Err(error) = Token::load(path) {
        return Some(Finding::error(kind_of(&error), subject, chain(&error)));
    }
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or_default();
    Some(if mode & 0o004 == 0 {
        Finding::good(subject, "usable, and not for everybody to read")
    } else {
        Finding::warning(&subject, "every user of this machine can read the token")
            .help(format!("Take that right away: `chmod o-r {}`.", path.display()))
    })
}

/// The state directory: without it the daemon runs, and forgets the epoch at a restart.
pub(super) fn state_directory(path: &Path) -> Finding {
    let subject = format!("state_directory {}", path.display());
    let consequence = "the daemon will run, and forget at a restart which promotion it saw last";
    if !path.exists() {
        // Whoever may not make the directory need not be the daemon's user, for whom packages make it.
        return Finding::warning(
            subject,
            format!("does not exist; unless the daemon may make it, {consequence}"),
        )
        .help(format!(
            "Make it for the daemon's user: `install -d -o mirrorvip -g mirrorvip -m 750 {}`.",
            path.display()
        ));
    }
    let probe = path.join(".mirrorvip-check");
    match fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)) {
        Ok(()) => Finding::good(subject, "writable"),
        Err(error) => Finding::warning(subject, format!("cannot be written ({error}): {consequence}"))
            .help("Give it to the daemon's user, or name another directory."),
    }
}

/// What kind of repair a file needs that the configuration names and that cannot be used.
fn kind_of(error: &dyn std::error::Error) -> Kind {
    let denied = |cause: &io::Error| cause.kind() == io::ErrorKind::PermissionDenied;
    match error.source().and_then(|cause| cause.downcast_ref()) {
        Some(cause) if denied(cause) => Kind::Permission,
        Some(_) | None => Kind::Configuration,
    }
}

pub(super) fn kind(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Kind::Permission,
        _ => Kind::Unavailable,
    }
}
