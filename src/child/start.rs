//! Finding and starting a command, and saying what is wrong when it does not start.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fmt};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::Pid;

use super::{Running, guard};
use crate::observation::NoEvidence;
use crate::text::printable;
use crate::{descriptors, file};

/// Environment variables that every command gets: a non-root installation of IRIS finds its instances
/// through `IRISSYS`. The rest is dropped, so that the daemon's own variables, such as credentials, do not reach a command
/// that does not name them.
const INHERITED: [&str; 3] = ["IRISSYS", "PATH", "HOME"];

/// How much of a path or of `PATH` is shown, in characters.
const SHOWN: usize = 200;

/// How much of the reason is shown, which may name the path twice.
const EXPLAINED: usize = 600;

/// A command line.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// A name that is looked up in `PATH`, or a path.
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    /// Names of environment variables that it gets besides the usual ones.
    pub(crate) environment: Vec<String>,
    /// Further variables with their values, which win over inherited ones.
    pub(crate) variables: Vec<(&'static str, String)>,
}

// === impl Call ===

impl Call {
    /// Starts the command. Blocks for as long as the file system that it lies on takes.
    pub(super) fn start(&self) -> Result<Running, NoEvidence> {
        let path = find(&self.program, env::var_os("PATH"))?;
        guard::ensure();
        let kept = INHERITED.into_iter().chain(self.environment.iter().map(String::as_str));
        Command::new(&path)
            .args(&self.arguments)
            .env_clear()
            .envs(kept.filter_map(|name| Some((name, env::var_os(name)?))))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .inspect(|child| descriptors::give_back(Pid::from_child(child)))
            .map(Running::new)
            .map_err(|error| explain(&path, &error))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}

/// The file that `program` names. Looked up here and not by the system, so that an error can name the searched
/// directories. Relative entries of `PATH` are skipped: they depend on the daemon's working directory.
fn find(program: &str, search: Option<OsString>) -> Result<PathBuf, NoEvidence> {
    if program.contains('/') {
        return Ok(PathBuf::from(program));
    }
    let search = search.unwrap_or_default();
    let mut forbidden = None;
    for directory in env::split_paths(&search).filter(|directory| directory.is_absolute()) {
        let candidate = directory.join(program);
        if !fs::metadata(&candidate).is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        match access(&candidate, Access::EXEC_OK) {
            Ok(()) => return Ok(candidate),
            Err(_) => forbidden = forbidden.or(Some(candidate)),
        }
    }
    Err(match forbidden {
        Some(path) => explain(&path, &Errno::ACCESS.into()),
        None => NoEvidence::CommandMissing(format!(
            "command `{}` is not in PATH ({}); set `command` to its absolute path",
            printable(program, SHOWN),
            printable(&search.to_string_lossy(), SHOWN),
        )),
    })
}

/// What went wrong at the start of `path`, and how to fix it.
fn explain(path: &Path, error: &io::Error) -> NoEvidence {
    let shown = printable(&path.to_string_lossy(), SHOWN);
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) if path.exists() => NoEvidence::CommandMissing(match interpreter(path) {
            Some(interpreter) => format!("{shown} names the interpreter {interpreter}, which does not exist"),
            None => format!("{shown} needs a program loader that does not exist here"),
        }),
        Some(Errno::NOENT | Errno::NOTDIR) => {
            NoEvidence::CommandMissing(format!("{shown} does not exist; set `command` to a path that does"))
        }
        Some(Errno::NOEXEC) => NoEvidence::CommandMissing(format!(
            "{shown} is not a program for this machine; a script must begin with a line such as `#!/bin/sh`"
        )),
        Some(Errno::ACCESS | Errno::PERM) => NoEvidence::Denied(format!(
            "user {} may not execute {shown}: {}",
            file::own_user(),
            printable(&file::to_execute(path), EXPLAINED)
        )),
        _ => NoEvidence::Failed(format!("failed to start {shown}: {error}")),
    }
}

/// The interpreter that a script names in its first line.
fn interpreter(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    Some(printable(line.split_whitespace().next()?, SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_command_names_the_searched_directories() {
        let search = || Some("/nowhere:/usr/nowhere".into());
        let Err(NoEvidence::CommandMissing(text)) = find("iris", search()) else { panic!("not found") };
        assert_eq!(
            text,
            "command `iris` is not in PATH (/nowhere:/usr/nowhere); set `command` to its absolute path"
        );
    }

    #[test]
    fn relative_entries_of_path_are_passed_over() {
        // Integration tests run in the package's root, where `src/lib.rs` can be found.
        assert!(find("Cargo.toml", Some(".:".into())).is_err());
        assert!(
            matches!(find("sh", Some("::relative:/bin:/usr/bin".into())), Ok(path) if path.is_absolute())
        );
    }

    #[test]
    fn passing_shortages_are_not_blamed_on_the_set_up() {
        for errno in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TXTBSY] {
            let explained = explain(Path::new("/bin/sh"), &errno.into());
            assert!(matches!(explained, NoEvidence::Failed(_)), "{errno}: {explained:?}");
        }
    }
}
