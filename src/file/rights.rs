//! Which other users can read or write a file, from its mode, owner and group.
//!
//! A group that this process is in counts as its own: `0640 root:mirrorvip` is the usual way to give a service its key.
//! The group `root` counts as root. Access control lists are not looked into, and show in the group's bits.

use rustix::process::{getegid, geteuid, getgroups};

const GROUP_READS: u32 = 0o040;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Which other users may read a file with this mode and group, in words.
pub(crate) fn readable_by(mode: u32, group: u32) -> Option<String> {
    allowed(mode, group, OTHERS_READ, GROUP_READS)
}

/// Which other users may write a file with this mode and group, in words.
pub(crate) fn writable_by(mode: u32, group: u32) -> Option<String> {
    allowed(mode, group, OTHERS_WRITE, GROUP_WRITES)
}

/// Which other users may replace files in a directory with this mode, owner and group, in words. In a sticky directory,
/// such as `/tmp`, none can.
pub(crate) fn open_to_writers(mode: u32, owner: u32, group: u32) -> Option<String> {
    let own = geteuid();
    if owner != 0 && owner != own.as_raw() && !own.is_root() {
        return Some(format!("it belongs to user {owner}"));
    }
    if mode & STICKY != 0 {
        return None;
    }
    writable_by(mode, group).map(|writers| format!("{writers} may write in it"))
}

fn allowed(mode: u32, group: u32, others: u32, members: u32) -> Option<String> {
    if mode & others != 0 {
        Some("every user of this machine".to_owned())
    } else if mode & members != 0 && !is_own_group(group) {
        Some(format!("group {group}"))
    } else {
        None
    }
}

/// Root does not know which groups the daemon will be in.
fn is_own_group(group: u32) -> bool {
    group == 0
        || geteuid().is_root()
        || group == getegid().as_raw()
        || getgroups().is_ok_and(|groups| groups.iter().any(|own| own.as_raw() == group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_and_foreign_groups_count() {
        assert_eq!(readable_by(0o640, 0), None);
        assert_eq!(readable_by(0o640, getegid().as_raw()), None);
        assert_eq!(readable_by(0o644, 0).as_deref(), Some("every user of this machine"));
        assert_eq!(writable_by(0o664, 0), None);
        assert_eq!(writable_by(0o666, 0).as_deref(), Some("every user of this machine"));
    }

    #[test]
    fn in_a_sticky_directory_no_user_replaces_anothers_file() {
        let own = geteuid().as_raw();
        assert_eq!(open_to_writers(0o1777, own, 0), None);
        assert!(open_to_writers(0o777, own, 0).is_some());
        assert_eq!(open_to_writers(0o755, 0, 0), None);
    }
}
