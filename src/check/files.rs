//! Checks that this user can read and write the files and directories that the daemon needs.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::{Finding, Kind};
use crate::admin::Token;
use crate::clock::Clock;
use crate::config::{Admin, Tls};
use crate::file::{self, Directory, ReadError};
use crate::provider::{Config, Mirror};
use crate::text::chain;
use crate::tls;

/// A certificate that ends sooner is a warning: a month is enough to renew it by hand.
const RENEW_WITHIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The logs that wake the probe: a missing one is allowed, an unreadable one is not.
pub(super) fn wake_on(mirror: &Mirror) -> Vec<Finding> {
    let check = |path: &std::path::PathBuf| {
        let subject = format!("mirror {}, wake_on {}", mirror.name, path.display());
        match file::open(path) {
            Ok(_) => Finding::good(subject, "readable"),
            Err(ReadError::NotRegular | ReadError::TooLong { .. }) => Finding::error(
                Kind::Configuration,
                subject,
                "is not a regular file: no line in it can wake the probe",
            )
            .help("Name the log itself, such as /usr/irissys/mgr/messages.log."),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Finding::warning(
                subject,
                "does not exist: until it does, only the timer notices a change of role",
            )
            .help("Name messages.log in the instance's manager directory; Caché calls it cconsole.log."),
            Err(ReadError::Io(error)) => Finding::error(
                kind(&error),
                subject,
                format!("cannot be read ({error}): only the timer notices a change of role"),
            )
            .help(allow(path, &error)),
        }
    };
    mirror.wake_on.iter().map(check).collect()
}

/// Checks that the certificates of both listeners load, and for how long they are valid.
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
            let message = format!("failed to {}", chain(&error));
            return unusable(subject, message, kind_of(&error), &[&files.certificate, &files.key])
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
            format!("expired at {}: clients refuse it", certificate.not_after),
        )
        .help("Renew it; the running daemon loads the new files by itself.")
    } else if left.unsigned_abs() < RENEW_WITHIN {
        Finding::warning(
            subject,
            format!("expires in {} days, at {}", left.as_hours() / 24, certificate.not_after),
        )
        .help("Renew it; the running daemon loads the new files by itself.")
    } else {
        Finding::good(subject, format!("loads, and is valid until {}", certificate.not_after))
    }
}

/// Checks that the token file is usable and that no other user can read it.
pub(super) fn token(admin: &Admin) -> Option<Finding> {
    let path = admin.token_file.as_ref()?;
    let subject = format!("[admin] token_file {}", path.display());
    if let Err(error) = Token::load(path) {
        return Some(unusable(subject, chain(&error), kind_of(&error), &[path]).explain("secret-file"));
    }
    let exposed = secret(path, &subject, "the token");
    Some(exposed.unwrap_or_else(|| Finding::good(subject, "usable, and not readable by other users")))
}

/// Private keys and shared secrets that others can read; other checks find their other problems.
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

/// A finding if other users can read the file at `path`. A group of this process may read it: that is how a service gets
/// its key.
fn secret(path: &Path, subject: &str, what: &str) -> Option<Finding> {
    // The service manager creates these for the service alone; their mode shows the mask of an access control list.
    if path.starts_with("/run/credentials") {
        return None;
    }
    let found = fs::metadata(path).ok()?;
    let readers = file::readable_by(found.mode(), found.gid())?;
    let help = format!(
        "Let only root and the daemon's group read it: `sudo chown root:mirrorvip {path} && sudo chmod 640 {path}`.",
        path = path.display()
    );
    Some(Finding::warning(subject, format!("{readers} can read {what}")).help(help))
}

/// A finding if other users can change the configuration's file.
pub(super) fn configuration(path: &Path) -> Option<Finding> {
    let found = fs::metadata(path).ok()?;
    let subject = format!("configuration {}", path.display());
    let help = format!(
        "It names the commands that the daemon runs: let root own it, and `sudo chmod go-w {path}`.",
        path = path.display()
    );
    if let Some(writers) = file::writable_by(found.mode(), found.gid()) {
        return Some(Finding::warning(subject, format!("{writers} can change it")).help(help));
    }
    let directory = fs::metadata(path.parent()?).ok()?;
    let exposure = file::open_to_writers(directory.mode(), directory.uid(), directory.gid())?;
    Some(
        Finding::warning(subject, format!("others can replace it through its directory: {exposure}"))
            .help(help),
    )
}

/// Checks the state directory. Without it the daemon runs, and loses epoch and term at a restart.
pub(super) fn state_directory(path: &Path) -> Finding {
    let subject = format!("state_directory {}", path.display());
    let consequence = "the daemon will run, but lose epoch and term at a restart";
    if !path.exists() {
        // Packages create it for the daemon's user, who may be another one than the caller.
        return Finding::warning(
            subject,
            format!("does not exist; unless the daemon can create it, {consequence}"),
        )
        .help(format!(
            "Create it for the daemon's user: `sudo install -d -o mirrorvip -g mirrorvip -m 750 {}`.",
            path.display()
        ));
    }
    match Directory::open(path).and_then(|directory| directory.try_writing().map(|()| directory.exposure())) {
        Ok(None) => Finding::good(subject, "writable"),
        Ok(Some(exposure)) => {
            Finding::warning(subject, format!("others can replace the daemon's memory: {exposure}"))
                .help(format!("Let only the daemon's user write to it: `sudo chmod 750 {}`.", path.display()))
        }
        Err(error) => {
            Finding::warning(subject, format!("cannot be written ({error}): {consequence}")).help(format!(
                "Give it to the daemon's user (`sudo chown mirrorvip {}`), or name another directory.",
                path.display()
            ))
        }
    }
}

/// A finding about files that the configuration names, with the command that lets this user read them.
pub(super) fn unusable(
    subject: impl Into<String>,
    message: impl Into<String>,
    kind: Kind,
    files: &[&Path],
) -> Finding {
    let finding = Finding::error(kind, subject, message);
    let is_denied = |path: &&&Path| match file::open(path) {
        Err(ReadError::Io(error)) => error.kind() == io::ErrorKind::PermissionDenied,
        Ok(_) | Err(_) => false,
    };
    match files.iter().find(is_denied) {
        Some(path) => finding.help(file::to_read(path)),
        None => finding,
    }
}

/// How to make a file readable that gave this error.
fn allow(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => file::to_read(path),
        _ => format!("See why with `head -c 1 {}`.", path.display()),
    }
}

/// The kind of repair for an unusable file of the configuration.
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
