//! Protects the daemon's memory and descriptors from the commands that it runs and from other processes of its user.
//!
//! Its memory and environment hold tokens, keys and AWS credentials. A probe or a hook is foreign code that runs as the same
//! user: by default it could read `/proc/PID/environ` and `/proc/PID/mem` of its parent and open its descriptors through
//! `/proc/PID/fd`.
//!
//! - The process is *not dumpable* (`PR_SET_DUMPABLE`, `man 2 prctl`): those files belong to root, only root may attach a
//!   debugger, and there is no core dump. An executed command is dumpable again.
//! - All descriptors, inherited ones too, are closed when a command is executed.
//!
//! [`child`](crate::child) builds the environment of a command. Files that the user may read stay readable for a command.

use crate::child::guard;

use super::Failure;

/// The first descriptor after the standard ones.
const FIRST: i32 = 3;

/// Must be called before a secret is read, and after the sockets of the service manager were taken.
pub(super) fn protect() -> Result<(), Failure> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| Failure::io(error.into(), "failed to protect the memory from other processes"))?;
    close_fds::set_fds_cloexec(FIRST, &[]);
    guard::want();
    Ok(())
}
