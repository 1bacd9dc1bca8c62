//! Files and directories: can this user read and write what the daemon must?

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::{Finding, Kind};
use crate::admin::Token;
use crate::clock::Clock;
use crate::config::{Admin, Config, Mirror, Tls};
use crate::file::{self, Directory, ReadError};
use crate::text::chain;
use crate::tls;

/// Who renews by hand wants to know a month ahead.
const RENEW_WITHIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The logs that wake the probe: absent is allowed, unreadable is not.
pub(super) fn wake_on(mirror: &Mirror) -> Vec<Finding> {
    let look = |path: &std::path::PathBuf| {
        let subject = format!("mirror {}, wake_on {}", mirror.name, path.display());
        match file::open(path) {
            Ok(_) => Finding::good(subject, "readable"),
            Err(ReadError::NotRegular | ReadError::TooLong { .. }) => Finding::error(
                Kind::Configuration,
                subject,
                "is not a file, so that no line in it can wake the probe",
            )
            .help("Name the log itself, such as /usr/irissys/mgr/messages.log."),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Finding::warning(
                subject,
                "does not exist (yet): until it does, a change of role is seen by the timer only",
            )
            .help("Name messages.log in the instance's manager directory; Caché calls it cconsole.log."),
            Err(ReadError::Io(error)) => Finding::error(
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
            return Finding::error(kind_of(&error), subject, format!("failed to {}", chain(&error)))
                .explain("certificate");
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
        return Some(Finding::error(kind_of(&error), subject, chain(&error)).explain("secret-file"));
    }
    let exposed = secret(path, &subject, "the token");
    Some(exposed.unwrap_or_else(|| Finding::good(subject, "usable, and not for everybody to read")))
}

/// Private keys and shared secrets that others can read; what else is wrong with them is found elsewhere.
pub(super) fn secrets(config: &Config) -> Vec<Finding> {
    let tls = [("[health.tls]", &config.health.tls), ("[admin.tls]", &config.admin.tls)];
    let keys = tls.into_iter().filter_map(|(table, files)| {
        let key = &files.as_ref()?.key;
        secret(key, &format!("{table} {}", key.display()), "the private key")
    });
    let shared = config.mirrors.iter().filter_map(|mirror| {
        let path = mirror.peer_key_file.as_ref()?;
        let subject = format!("mirror {}, peer_key_file {}", mirror.name, path.display());
        secret(path, &subject, "the secret that the members share")
    });
    keys.chain(shared).collect()
}

/// A finding if other users can read the file at `path`. A group that this process is in may: that is how a service is
/// given its key.
fn secret(path: &Path, subject: &str, what: &str) -> Option<Finding> {
    // The service manager makes these, for the one service: the mode shows the mask of an access control list.
    if path.starts_with("/run/credentials") {
        return None;
    }
    let found = fs::metadata(path).ok()?;
    let readers = file::readable_by(found.mode(), found.gid())?;
    let help = format!(
        "Keep it for root and the daemon's group: `chown root:mirrorvip {path} && chmod 640 {path}`.",
        path = path.display()
    );
    Some(Finding::warning(subject, format!("{readers} can read {what}")).help(help))
}

/// The configuration's file, if others can write it.
pub(super) fn configuration(path: &Path) -> Option<Finding> {
    let found = fs::metadata(path).ok()?;
    let subject = format!("configuration {}", path.display());
    let help = format!(
        "It names the commands that the daemon runs: `chmod go-w {path}`, and let root own it.",
        path = path.display()
    );
    if let Some(writers) = file::writable_by(found.mode(), found.gid()) {
        return Some(Finding::warning(subject, format!("{writers} can change it")).help(help));
    }
    let directory = fs::metadata(path.parent()?).ok()?;
    let exposure = file::open_to_writers(directory.mode(), directory.uid(), directory.gid())?;
    Some(Finding::warning(subject, format!("others can replace it: of its directory, {exposure}")).help(help))
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
    match Directory::open(path).and_then(|directory| directory.try_writing().map(|()| directory.exposure())) {
        Ok(None) => Finding::good(subject, "writable"),
        Ok(Some(exposure)) => {
            Finding::warning(subject, format!("others can replace the daemon's memory: {exposure}"))
                .help(format!("Give it to the daemon's user alone: `chmod 750 {}`.", path.display()))
        }
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
