//! `--keep`: the demo goes on, and whoever sits before it triggers what happens next.
//!
//! Commands are lines, from standard input and from a FIFO in the demo's directory, so that they can also
//! be given without a terminal: `echo f > DIRECTORY/command`. The end of standard input ends nothing.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::report::{Reporter, Sight};
use super::stage::Stage;
use super::timeline::BAD;
use super::{DemoError, PAGE_PATH};
use crate::simulation::{Event, MemberId, MemberType, SimulationError, Status};

/// Longest command that is read, in bytes.
const LONGEST_COMMAND: u64 = 64;
/// A turn of waiting for a command: the stage only turns with a deadline.
const WATCH: Duration = Duration::from_secs(3_600);
/// Rest after an error of the FIFO.
const READ_PAUSE: Duration = Duration::from_millis(200);

const HELP: &str = "  f  orderly failover     c  crash of the primary's host   h  primary hangs
  p  promote async member r  repair everything             q  quit";

/// Something that the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Failover,
    Crash,
    Hang,
    Promote,
    Repair,
    Quit,
}

/// Explains what runs where, and carries out commands until one of them is to quit.
pub(crate) async fn take(stage: &mut Stage<'_>) -> Result<(), DemoError> {
    stage.tolerate_ended_daemons();
    let fifo = open_fifo(stage)?;
    read_standard_input(stage.reporter())?;
    stage.observe(|reporter| read_fifo(fifo, reporter));
    stage.timeline().heading("Kept running: A and B are repaired").map_err(DemoError::Output)?;
    repair(stage).await?;
    explain(stage).map_err(DemoError::Output)?;
    loop {
        match stage.until("a command", WATCH, |stage| !stage.board.commands.is_empty()).await {
            Ok(()) => {}
            Err(DemoError::NotInTime { .. }) => continue,
            Err(error) => return Err(error),
        }
        while let Some(line) = stage.board.commands.pop_front() {
            match Command::parse(&line) {
                Some(Command::Quit) => return Ok(()),
                Some(command) => carry_out(stage, command).await?,
                None => stage.timeline().text(HELP).map_err(DemoError::Output)?,
            }
        }
    }
}

async fn carry_out(stage: &mut Stage<'_>, command: Command) -> Result<(), DemoError> {
    let primary = stage.primary();
    let done = match (command, primary) {
        (Command::Failover, Some(primary)) => stage.simulate(Event::Stop(primary)),
        (Command::Crash, Some(primary)) => {
            stage.kill(primary).await?;
            stage.simulate(Event::Crash(primary))
        }
        (Command::Hang, Some(primary)) => stage.simulate(Event::Hang(primary)),
        (Command::Promote, _) => stage.simulate(Event::Promote(promotable(stage))),
        (Command::Repair | Command::Quit, _) => repair(stage).await,
        (Command::Failover | Command::Crash | Command::Hang, None) => {
            return stage.tell("you", "there is no primary that could fail: wait, repair or promote");
        }
    };
    match done {
        Err(DemoError::Simulation(SimulationError::Refused(refused))) => {
            let now = stage.now();
            stage.timeline().event(now, "mirror", BAD, &refused.to_string()).map_err(DemoError::Output)
        }
        done => done,
    }
}

/// The disaster recovery member that runs; C when there is none, to be refused with the reason.
fn promotable(stage: &Stage<'_>) -> MemberId {
    let runs = |&member: &MemberId| {
        let instance = stage.instance(member);
        instance.member_type == MemberType::DisasterRecovery && instance.status != Status::Down
    };
    MemberId::ALL.into_iter().find(runs).unwrap_or(MemberId::C)
}

/// Starts what does not run. Members then find their roles by themselves.
async fn repair(stage: &mut Stage<'_>) -> Result<(), DemoError> {
    for member in MemberId::ALL {
        stage.restart(member).await?;
        match stage.simulate(Event::Start(member)) {
            // It runs: nothing to repair.
            Ok(()) | Err(DemoError::Simulation(SimulationError::Refused(_))) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn explain(stage: &mut Stage<'_>) -> io::Result<()> {
    let members = MemberId::ALL.map(|id| {
        let (page, admin) = (stage.member(id).page(), stage.member(id).admin());
        format!(
            "  {id}  curl -i http://{page}{PAGE_PATH}\n     curl -i http://{page}/primary\n     \
             curl http://{admin}/status\n"
        )
    });
    let balancer = stage.balancer();
    let (address, port, fifo) = (balancer.ip(), balancer.port(), fifo_path(stage));
    stage.timeline().text(&format!(
        "\n{}  Whom clients reach:  nc {address} {port}\n\n  Commands, here with Enter or by\n  \
         echo f > {}\n{HELP}",
        members.concat(),
        fifo.display(),
    ))
}

fn fifo_path(stage: &Stage<'_>) -> PathBuf {
    stage.directory().join("command")
}

fn open_fifo(stage: &Stage<'_>) -> Result<pipe::Receiver, DemoError> {
    let path = fifo_path(stage);
    let open = || {
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR)?;
        // Open for writing as well: else it would be at its end each time a writer closes it.
        pipe::OpenOptions::new().read_write(true).open_receiver(&path)
    };
    open().map_err(|source| DemoError::SetUp { what: "open the FIFO for commands", source })
}

async fn read_fifo(mut fifo: pipe::Receiver, reporter: Reporter) {
    let mut line = Vec::new();
    loop {
        match fifo.read_u8().await {
            Ok(b'\n') => {
                let command = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
                reporter.tell(reporter.now(), Sight::Command(command)).await;
            }
            Ok(byte) if (line.len() as u64) < LONGEST_COMMAND => line.push(byte),
            Ok(_) => {}
            Err(_) => tokio::time::sleep(READ_PAUSE).await,
        }
    }
}

/// Reads standard input on a thread of its own, which ends with the process: a blocked read of a terminal
/// cannot be cancelled, and a runtime would wait for it at its end.
fn read_standard_input(reporter: Reporter) -> Result<(), DemoError> {
    let read = move || {
        let mut input = io::stdin().lock();
        let mut line = Vec::new();
        loop {
            line.clear();
            match input.by_ref().take(LONGEST_COMMAND).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let command = String::from_utf8_lossy(&line).trim().to_owned();
                    if reporter.tell_blocking(Sight::Command(command)).is_err() {
                        return;
                    }
                }
            }
        }
    };
    let spawned = std::thread::Builder::new().name("commands".to_owned()).spawn(read);
    let what = "start a thread for standard input";
    spawned.map(drop).map_err(|source| DemoError::SetUp { what, source })
}

impl Command {
    /// Reads a command by its first letter, so that `failover` is `f`.
    fn parse(line: &str) -> Option<Self> {
        match line.trim().chars().next()?.to_ascii_lowercase() {
            'f' => Some(Self::Failover),
            'c' => Some(Self::Crash),
            'h' => Some(Self::Hang),
            'p' => Some(Self::Promote),
            'r' => Some(Self::Repair),
            'q' => Some(Self::Quit),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_by_their_first_letter() {
        assert_eq!(Command::parse(" f\r"), Some(Command::Failover));
        assert_eq!(Command::parse("Quit"), Some(Command::Quit));
        assert_eq!(Command::parse(""), None);
        assert_eq!(Command::parse("?"), None);
    }
}
