//! `--keep`: the demo goes on, and the user triggers the next failovers.
//!
//! Commands are lines from standard input or from a FIFO in the demo's directory, which needs no terminal:
//! `echo f > DIRECTORY/command`. The end of standard input does not end the demo.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::report::{Observed, Reporter};
use super::stage::Stage;
use super::timeline::BAD;
use super::{DemoError, PAGE_PATH};
use crate::simulation::{Event, MemberId, MemberType, SimulationError, Status};

/// Longest command that is read, in bytes.
const LONGEST_COMMAND: u64 = 64;
/// How long to wait for a command before waiting again: [`Stage::until`] needs a limit.
const WATCH: Duration = Duration::from_secs(3_600);
/// How long repaired members may take to become standby before commands are accepted.
const REPAIR_LIMIT: Duration = Duration::from_secs(20);
/// Rest after an error of the FIFO.
const READ_PAUSE: Duration = Duration::from_millis(200);

const HELP: &str = "  f  orderly failover     c  crash of the primary's host   h  primary hangs
  p  promote async member r  repair everything             q  quit";

/// A command of the user.
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
    stage.tolerant = true;
    let fifo = open_fifo(stage)?;
    read_standard_input(stage.reporter.clone())?;
    stage.tasks.spawn(read_fifo(fifo, stage.reporter.clone()));
    stage.timeline.heading("Kept running: A and B are repaired")?;
    repair(stage).await?;
    let standing_by = |stage: &Stage<'_>| {
        let primary = stage.primary();
        MemberId::ALL.into_iter().all(|member| Some(member) == primary || stage.is_standby(member))
    };
    match stage.until("the members to become standby", REPAIR_LIMIT, standing_by).await {
        // The user sees what is missing and can repair again.
        Ok(()) | Err(DemoError::NotInTime { .. }) => {}
        Err(error) => return Err(error),
    }
    explain(stage)?;
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
                None => stage.timeline.text(HELP)?,
            }
        }
    }
}

async fn carry_out(stage: &mut Stage<'_>, command: Command) -> Result<(), DemoError> {
    let primary = stage.primary();
    let done = match (command, primary) {
        (Command::Failover, Some(_)) if successor(stage).is_none() => {
            return stage.announce(
                "you",
                "no backup is ready to take over: use r to repair, or p to promote the async member",
            );
        }
        (Command::Failover, Some(primary)) => stage.simulate(Event::Stop(primary)),
        (Command::Crash, Some(primary)) => {
            stage.kill(primary).await?;
            stage.simulate(Event::Crash(primary))
        }
        (Command::Hang, Some(primary)) => stage.simulate(Event::Hang(primary)),
        (Command::Promote, _) => stage.simulate(Event::Promote(promotable(stage))),
        (Command::Repair | Command::Quit, _) => repair(stage).await,
        (Command::Failover | Command::Crash | Command::Hang, None) => {
            return stage.announce(
                "you",
                "there is no primary: wait for a takeover, or use r to repair or p to promote",
            );
        }
    };
    match done {
        Err(DemoError::Simulation(SimulationError::Refused(refused))) => {
            let now = stage.now();
            stage.timeline.event(now, "mirror", BAD, &refused.to_string());
            Ok(())
        }
        done => done,
    }
}

/// The member that takes over when the primary is shut down.
fn successor(stage: &Stage<'_>) -> Option<MemberId> {
    let is_ready = |&member: &MemberId| {
        let instance = stage.instance(member);
        instance.status == Status::Backup && !instance.hung
    };
    MemberId::ALL.into_iter().find(is_ready)
}

/// The running disaster recovery member; C if there is none, so that the mirror refuses with its reason.
fn promotable(stage: &Stage<'_>) -> MemberId {
    let runs = |&member: &MemberId| {
        let instance = stage.instance(member);
        instance.member_type == MemberType::DisasterRecovery && instance.status != Status::Down
    };
    MemberId::ALL.into_iter().find(runs).unwrap_or(MemberId::C)
}

/// Starts every daemon and instance that does not run. The members then find their roles themselves.
async fn repair(stage: &mut Stage<'_>) -> Result<(), DemoError> {
    for member in MemberId::ALL {
        stage.restart(member).await?;
        match stage.simulate(Event::Start(member)) {
            // It runs already.
            Ok(()) | Err(DemoError::Simulation(SimulationError::Refused(_))) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn explain(stage: &mut Stage<'_>) -> Result<(), DemoError> {
    let members = MemberId::ALL.map(|id| {
        let (page, admin) = (stage.member(id).page, stage.member(id).admin);
        format!(
            "  {id}  curl -i http://{page}{PAGE_PATH}\n     curl -i http://{page}/primary\n     \
             curl http://{admin}/status\n"
        )
    });
    let balancer = stage.balancer;
    let (address, port, fifo) = (balancer.ip(), balancer.port(), fifo_path(stage));
    let directory = stage.directory.display().to_string();
    let program = stage.member(MemberId::A).program.display().to_string();
    stage.timeline.text(&format!(
        "\n{}  Connect as a client does:  nc {address} {port}\n\n  \
         mirrorvip's commands for A, in another terminal (for B and C use b and c):\n  \
         cd {directory}\n  \
         . ./a.env\n  \
         {program} status --config a.toml\n  \
         {program} check --config a.toml\n  \
         {program} plan --config a.toml\n\n  \
         To trigger a failover, type a letter and Enter, or run\n  echo f > {}\n{HELP}",
        members.concat(),
        fifo.display(),
    ))
}

fn fifo_path(stage: &Stage<'_>) -> PathBuf {
    stage.directory.join("command")
}

fn open_fifo(stage: &Stage<'_>) -> Result<pipe::Receiver, DemoError> {
    let path = fifo_path(stage);
    let open = || {
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR)?;
        // Open for writing as well: otherwise it reports its end each time a writer closes it.
        pipe::OpenOptions::new().read_write(true).open_receiver(&path)
    };
    open().map_err(DemoError::set_up("open the FIFO for commands"))
}

async fn read_fifo(mut fifo: pipe::Receiver, reporter: Reporter) {
    let mut line = Vec::new();
    loop {
        match fifo.read_u8().await {
            Ok(b'\n') => {
                let command = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
                reporter.report(reporter.now(), Observed::Command(command)).await;
            }
            Ok(byte) if (line.len() as u64) < LONGEST_COMMAND => line.push(byte),
            Ok(_) => {}
            Err(_) => tokio::time::sleep(READ_PAUSE).await,
        }
    }
}

/// Reads standard input on its own thread, which ends with the process: a blocked read of a terminal cannot be cancelled,
/// and the runtime would wait for it at shutdown.
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
                    if !reporter.report_blocking(Observed::Command(command)) {
                        return;
                    }
                }
            }
        }
    };
    let spawned = std::thread::Builder::new().name("commands".to_owned()).spawn(read);
    let what = "start a thread for standard input";
    spawned.map(drop).map_err(DemoError::set_up(what))
}

impl Command {
    /// Parses a command by its first letter: `failover` is `f`.
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
