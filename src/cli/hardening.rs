//! Keeps what a daemon holds from the commands that it runs, and from others of its user.
//!
//! Its memory and environment hold tokens, keys and credentials of AWS, and a probe or a hook is a program of somebody
//! else that runs as the same user. By default it could read `/proc/PID/environ` and `/proc/PID/mem` of its parent and
//! open its descriptors through `/proc/PID/fd`.
//!
//! - The process is *not dumpable* (`PR_SET_DUMPABLE`, `man 2 prctl`): those files belong to root, and nobody else may
//!   attach a debugger. There is no core dump either. A command that is executed is dumpable again by itself.
//! - Descriptors that the starter left open are closed when a command is executed, as are all that this program opens.
//!
//! What the environment of a command holds is the business of [`child`](crate::child). Files that the user may read are
//! not kept from a command of that user by anything here.

use crate::child::guard;

use super::Failure;

/// The first descriptor that is no standard one.
const FIRST: i32 = 3;

/// To be called before a secret is read, and after the sockets of the service manager were taken.
pub(super) fn protect() -> Result<(), Failure> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| Failure::io(error.into(), "failed to keep the memory from other processes"))?;
    close_fds::set_fds_cloexec(FIRST, &[]);
    guard::want();
    Ok(())
}
