//! The `exec` probe: any command whose exit code is the role.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | primary |
//! | 1 | not primary; a role word as the first line of output names the role, such as `backup` |
//! | 126 | not permitted: what shells, `env` and `timeout` return for a command that cannot be executed |
//! | 127 | command missing, in the same programs |
//! | any other, or a signal | no evidence |
//!
//! A role word that contradicts the exit code is no evidence either. Output that is no role word is
//! ignored. The command is a list of arguments and no shell reads it.
//!
//! `PostgreSQL`: `psql` exits with 1 when the statement fails, as this one does on a standby, and with 2 when
//! it cannot connect.
//!
//! ```toml
//! [mirror.probe.exec]
//! command = ["psql", "-XqAt", "-d", "postgres", "-c", "select 1 / (not pg_is_in_recovery())::int"]
//! environment = ["PGHOST", "PGUSER", "PGPASSFILE"]
//! ```
//!
//! Oracle Data Guard: a script, because `sqlplus` exits with 1 when it cannot log in, which must not count as a definite
//! answer.
//!
//! ```toml
//! [mirror.probe.exec]
//! command = ["/usr/local/bin/dataguard-role"]
//! environment = ["ORACLE_HOME", "ORACLE_SID"]
//! ```
//!
//! ```sh
//! #!/bin/sh
//! role=$("$ORACLE_HOME/bin/sqlplus" -S -L / as sysdba <<'END'
//! whenever oserror exit 2
//! whenever sqlerror exit 2
//! set heading off feedback off pagesize 0
//! select database_role from v$database;
//! END
//! ) || exit 2
//! case $role in
//!     PRIMARY) exit 0 ;;
//!     "PHYSICAL STANDBY") echo backup; exit 1 ;;
//!     "LOGICAL STANDBY" | "SNAPSHOT STANDBY") exit 1 ;;
//!     *) exit 2 ;;
//! esac
//! ```

use std::fmt;
use std::time::Duration;

use super::{EVIDENCE_LENGTH, Reading};
use crate::child::{Call, Finished, Runner};
use crate::observation::{NoEvidence, OtherRole, Outcome, Role};
use crate::text::printable;

/// Asks by running a command.
#[derive(Debug)]
pub struct Exec {
    call: Call,
    timeout: Duration,
    runner: Runner,
}

// === impl Exec ===

impl Exec {
    /// A probe that runs `command`, a program and its arguments.
    pub(super) fn new(command: &[String], environment: &[String], timeout: Duration) -> Self {
        let (program, arguments) = command
            .split_first()
            .map_or_else(Default::default, |(program, rest)| (program.clone(), rest.to_vec()));
        let environment = environment.to_vec();
        let call = Call { program, arguments, environment, variables: Vec::new() };
        Self { call, timeout, runner: Runner::new() }
    }

    pub(super) async fn ask(&mut self) -> Reading {
        match self.runner.run(&self.call, self.timeout).await {
            Ok(finished) => read(&finished),
            Err(cause) => Reading::silent(cause),
        }
    }
}

impl fmt::Display for Exec {
    /// Without the arguments, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.call.program)
    }
}

fn read(finished: &Finished) -> Reading {
    let output = String::from_utf8_lossy(&finished.stdout);
    let first_line = output.lines().next().unwrap_or_default().trim();
    let described = match first_line {
        "" => finished.describe(),
        _ => format!("{}, printed `{first_line}`", finished.describe()),
    };
    let evidence = printable(&described, EVIDENCE_LENGTH);
    Reading::fresh(rule(finished.status.code(), first_line, &evidence), evidence.clone())
}

/// What an exit code, `None` for a signal, and a first line of output mean.
fn rule(code: Option<i32>, first_line: &str, evidence: &str) -> Outcome {
    let contradiction = || Err(NoEvidence::Unrecognised(format!("the command {evidence}")));
    match (code, Role::from_word(first_line)) {
        (Some(0), None | Some(Role::Primary)) => Ok(Role::Primary),
        (Some(0), Some(_)) => contradiction(),
        (Some(1), None) => Ok(Role::Other(OtherRole::NotPrimary)),
        (Some(1), Some(Role::Primary)) => contradiction(),
        (Some(1), Some(role)) => Ok(role),
        (Some(126), _) => Err(NoEvidence::Denied(format!("the command {evidence}"))),
        (Some(127), _) => Err(NoEvidence::CommandMissing(format!("the command {evidence}"))),
        (Some(_) | None, _) => Err(NoEvidence::Failed(format!("the command {evidence}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_rules() {
        let check = |code, line, expected: &str| {
            let ruled = match rule(code, line, "did so") {
                Ok(role) => role.word(),
                Err(cause) => cause.word(),
            };
            assert_eq!(ruled, expected, "code {code:?}, line {line:?}");
        };
        check(Some(0), "", "primary");
        check(Some(0), "primary", "primary");
        check(Some(0), "1", "primary");
        check(Some(0), "Backup", "unrecognised");
        check(Some(1), "", "not-primary");
        check(Some(1), "ERROR: division by zero", "not-primary");
        check(Some(1), "backup", "backup");
        check(Some(1), "DISASTER-RECOVERY", "disaster-recovery");
        check(Some(1), "primary", "unrecognised");
        check(Some(2), "primary", "failed");
        check(Some(126), "", "denied");
        check(Some(127), "", "command-missing");
        check(Some(255), "", "failed");
        check(None, "primary", "failed");
    }
}
