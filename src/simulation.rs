//! A mirror without IRIS: three simulated instances that fail over as a real mirror does.
//!
//! For the demo, tests and benches. [`Mirror`] is PURE and computes the state of each instance. [`FakeIris`] is the `iris`
//! command of one instance, a real executable in its own directory. [`SimulatedMirror`] joins the two: the commands print
//! and the logs record what the mirror decides. It starts no task and reads the clock only for dates in its output; the
//! caller passes the time. This module does not know the daemon, and [`cloud`], a cloud without AWS, does not know the
//! mirror.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;

pub mod cloud;
mod event;
mod fake_iris;
mod instance;
mod mirror;

pub use event::{Change, Event, Refused, Timing};
pub use fake_iris::{FakeIris, FakeIrisError, Mode};
pub use instance::{Instance, LogLine, MemberId, MemberType, Status};
pub use mirror::Mirror;

/// Name of each simulated instance: every member runs an instance `IRIS`, as the container images do.
pub const INSTANCE_NAME: &str = "IRIS";

/// A [`Mirror`] whose members print what it says: each has an `iris` command and a `messages.log`.
#[derive(Debug)]
pub struct SimulatedMirror {
    mirror: Mirror,
    commands: [FakeIris; 3],
    running_since: [String; 3],
    clock: Clock,
}

/// Why the simulation could not apply an event.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The mirror is in no state for this event.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A file of a simulated instance could not be written.
    #[error("failed to write the output of the simulated instance {member}")]
    Write {
        /// Whose file.
        member: MemberId,
        /// Why.
        source: io::Error,
    },
}

impl SimulatedMirror {
    /// A mirror at rest (A primary, B backup, C connected) whose members live in `directory/a`, `/b`, `/c`.
    pub fn new(directory: &Path, timing: Timing, clock: Clock) -> Result<Self, FakeIrisError> {
        let create = |member: MemberId| FakeIris::new(&directory.join(member.directory()), INSTANCE_NAME);
        let commands = [create(MemberId::A)?, create(MemberId::B)?, create(MemberId::C)?];
        let since = date(&clock);
        let simulated = Self {
            mirror: Mirror::new(timing),
            commands,
            running_since: [since.clone(), since.clone(), since],
            clock,
        };
        for member in MemberId::ALL {
            let instance = simulated.mirror.instance(member);
            simulated.write_instance(member, instance, instance).map_err(|source| FakeIrisError::Write {
                path: simulated.commands[member.index()].directory().to_owned(),
                source,
            })?;
        }
        Ok(simulated)
    }

    /// The `iris` command of a member.
    pub fn iris(&self, member: MemberId) -> &FakeIris {
        &self.commands[member.index()]
    }

    /// The mirror's state.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Applies an event at `now`; see [`Mirror::handle`].
    pub fn handle(&mut self, now: Duration, event: Event) -> Result<Vec<Change>, SimulationError> {
        let changes = self.mirror.handle(now, event)?;
        self.write(&changes)?;
        Ok(changes)
    }

    /// Applies what is due up to `now`; see [`Mirror::advance`].
    pub fn advance(&mut self, now: Duration) -> Result<Vec<Change>, SimulationError> {
        let changes = self.mirror.advance(now);
        self.write(&changes)?;
        Ok(changes)
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), SimulationError> {
        for change in changes {
            let member = change.member();
            let written = match change {
                Change::Became { from, to, .. } => {
                    if from.status == Status::Down || to.status == Status::Down {
                        self.running_since[member.index()] = date(&self.clock);
                    }
                    self.write_instance(member, *from, *to)
                }
                Change::Logged { line, .. } => self.commands[member.index()].log(&self.clock, line),
            };
            written.map_err(|source| SimulationError::Write { member, source })?;
        }
        Ok(())
    }

    fn write_instance(&self, member: MemberId, from: Instance, to: Instance) -> io::Result<()> {
        let command = self.iris(member);
        // In this order a command that answers again never prints an old line.
        if to.hung && !from.hung {
            command.set_mode(Mode::Hang)?;
        }
        command.set_line(&to.qlist_line(
            INSTANCE_NAME,
            command.directory(),
            &self.running_since[member.index()],
        ))?;
        if from.hung && !to.hung {
            command.set_mode(Mode::Answer)?;
        }
        Ok(())
    }
}

/// The present time in the format of `ctime`, as `iris qlist` prints it.
fn date(clock: &Clock) -> String {
    clock.now().to_utc().to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string()
}

#[cfg(test)]
mod tests;
