//! Why this process may not read or execute a file, and the command that allows it.
//!
//! Checked in this order: the directories of the path, the mount's `noexec`, owner, group and mode. If all of these allow it,
//! `SELinux` or the sandbox of a systemd unit refuses. Access control lists show in the group's bits.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use rustix::process::{getegid, geteuid, getgroups};

/// The longest table of users or groups that is read.
const TABLE: u64 = 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Read,
    /// To run a file, or to pass through a directory.
    Execute,
}

/// Whose access is refused.
struct User {
    id: u32,
    name: String,
    /// Its primary group, by name.
    group: String,
    groups: Vec<u32>,
}

/// What decides about access to a file.
struct Rights {
    owner: u32,
    group: u32,
    group_name: String,
    mode: u32,
}

/// How this process may read `path`, which it was refused: full sentences with a command.
pub(crate) fn to_read(path: &Path) -> String {
    let user = User::own();
    let advice = directory_advice(path, &user).or_else(|| grant(path, &user, &rights(path)?, Want::Read));
    match advice {
        Some(advice) => format!("This process runs as user {}: {advice}.", user.name),
        None => format!(
            "This process runs as user {}. The file's permissions allow it: {}.",
            user.name,
            confinement(path)
        ),
    }
}

/// Why this process may not execute `path`, and what allows it: a fragment with a command.
pub(crate) fn to_execute(path: &Path) -> String {
    let user = User::own();
    if let Some(advice) = directory_advice(path, &user) {
        return advice;
    }
    if path.is_dir() {
        return "it is a directory".to_owned();
    }
    if is_noexec(path) {
        return format!(
            "its file system is mounted noexec; `findmnt -T {path}` names the mount, and a unit's ExecPaths= allows a file again",
            path = path.display()
        );
    }
    rights(path)
        .and_then(|rights| grant(path, &user, &rights, Want::Execute))
        .unwrap_or_else(|| format!("its permissions allow it, but {}", confinement(path)))
}

/// The name of this process's user.
pub(crate) fn own_user() -> String {
    User::own().name
}

/// How to open the first directory of `path` that this process may not pass.
fn directory_advice(path: &Path, user: &User) -> Option<String> {
    let mut directories: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
    directories.retain(|directory| !directory.as_os_str().is_empty());
    let closed =
        directories.into_iter().rev().find(|directory| access(directory, Access::EXEC_OK).is_err())?;
    let advice = grant(&closed, user, &rights(&closed)?, Want::Execute)?;
    Some(format!("directory {}: {advice}", closed.display()))
}

/// How to give `user` the right; `None` if the file's permissions give it already.
fn grant(path: &Path, user: &User, rights: &Rights, want: Want) -> Option<String> {
    let (bit, letter) = match want {
        Want::Read => (4, 'r'),
        Want::Execute => (1, 'x'),
    };
    let has = |shift: u32| rights.mode >> shift & bit != 0;
    let Rights { owner, group, group_name, .. } = rights;
    let path = path.display();
    if user.id == 0 {
        // Root reads everything, and runs what anyone may run.
        let runs = want == Want::Read || [6, 3, 0].into_iter().any(has);
        return (!runs).then(|| format!("it is not executable; `chmod +x {path}`"));
    }
    if *owner == user.id {
        return (!has(6)).then(|| format!("its owner lacks the right; `chmod u+{letter} {path}`"));
    }
    if user.groups.contains(group) {
        return (!has(3)).then(|| format!("group {group_name} lacks the right; `chmod g+{letter} {path}`"));
    }
    if has(0) {
        return None;
    }
    if has(3) && *group != 0 {
        return Some(format!(
            "it is open to group {group_name}; `usermod -aG {group_name} {}`, then restart mirrorvip",
            user.name
        ));
    }
    Some(format!("allow its group; `chgrp {} {path} && chmod g+{letter} {path}`", user.group))
}

/// What refuses besides permissions, and where to see that.
fn confinement(path: &Path) -> String {
    let enforcing = fs::read("/sys/fs/selinux/enforce").is_ok_and(|state| state.starts_with(b"1"));
    if enforcing {
        return format!(
            "SELinux is enforcing: `ausearch -m AVC -ts recent` shows what it denied, `restorecon -v {}` restores the label",
            path.display()
        );
    }
    // Of every unit's processes.
    if std::env::var_os("INVOCATION_ID").is_some() {
        return "the sandbox of the systemd unit may refuse it: see `systemctl show mirrorvip -p NoExecPaths -p InaccessiblePaths \
                -p ProtectHome`, and change it with `systemctl edit mirrorvip`"
            .to_owned();
    }
    "SELinux, AppArmor or the container's policy may refuse it: `journalctl -k` shows what they denied"
        .to_owned()
}

fn is_noexec(path: &Path) -> bool {
    statvfs(path).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

fn rights(path: &Path) -> Option<Rights> {
    let found = fs::metadata(path).ok()?;
    let group = found.gid();
    Some(Rights { owner: found.uid(), group, group_name: name_in("/etc/group", group), mode: found.mode() })
}

/// The name that goes with a number in `/etc/passwd` or `/etc/group`; the number itself where it is not there.
fn name_in(table: &str, id: u32) -> String {
    let text = super::read_bounded(Path::new(table), TABLE).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(id)).then_some(name)
    });
    let fits = |name: &&str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    named.filter(fits).map_or_else(|| id.to_string(), str::to_owned)
}

// === impl User ===

impl User {
    fn own() -> Self {
        let (id, group) = (geteuid().as_raw(), getegid().as_raw());
        let mut groups = vec![group];
        groups.extend(getgroups().unwrap_or_default().iter().map(|group| group.as_raw()));
        Self { id, name: name_in("/etc/passwd", id), group: name_in("/etc/group", group), groups }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(owner: u32, group: u32, mode: u32, want: Want) -> Option<String> {
        let user = User { id: 990, name: "mirrorvip".into(), group: "mirrorvip".into(), groups: vec![990] };
        let rights = Rights { owner, group, group_name: "irisusr".into(), mode };
        grant(Path::new("/f"), &user, &rights, want)
    }

    #[test]
    fn command_gives_the_right_that_is_missing() {
        let closed = "allow its group; `chgrp mirrorvip /f && chmod g+r /f`";
        assert_eq!(advice(0, 0, 0o600, Want::Read).as_deref(), Some(closed));
        assert_eq!(
            advice(0, 0, 0o640, Want::Read).as_deref(),
            Some(closed),
            "no user is added to the group root"
        );
        let group = "it is open to group irisusr; `usermod -aG irisusr mirrorvip`, then restart mirrorvip";
        assert_eq!(advice(7, 51, 0o750, Want::Execute).as_deref(), Some(group));
        let own = "its owner lacks the right; `chmod u+r /f`";
        assert_eq!(advice(990, 51, 0o077, Want::Read).as_deref(), Some(own));
        let member = "group irisusr lacks the right; `chmod g+x /f`";
        assert_eq!(advice(7, 990, 0o705, Want::Execute).as_deref(), Some(member));
    }

    #[test]
    fn permissions_that_allow_it_are_not_blamed() {
        for (owner, group, mode) in [(0, 0, 0o755), (990, 0, 0o500), (0, 990, 0o750)] {
            assert_eq!(advice(owner, group, mode, Want::Execute), None, "{mode:o}");
        }
    }

    #[test]
    fn noexec_mount_is_named() {
        // Of a mount that every Linux has.
        if is_noexec(Path::new("/proc/version")) {
            assert!(to_execute(Path::new("/proc/version")).contains("mounted noexec"));
        }
        assert_eq!(name_in("/etc/passwd", 0), "root");
        assert_eq!(name_in("/nonexistent", 7), "7");
    }
}
