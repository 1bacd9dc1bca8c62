//! HAProxy's agent check: the lines themselves, and what a real HAProxy makes of them.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mirrorvip::config::Health;
use mirrorvip::observation::{OtherRole, Role};

use super::harness::{FOR_EVER, Rig, ask, ask_and_shut, connect, eventually, read_all, settings};

fn with_agent(mirrors: &[(&str, &str)], settings: Health) -> (Rig, SocketAddr) {
    let agent_check = Some("127.0.0.1:0".parse().unwrap());
    let rig = Rig::start(Health { agent_check, ..settings }, mirrors);
    let address = rig.server().agent_check_address().unwrap();
    (rig, address)
}

#[test]
fn one_mirror_is_answered_at_once() {
    let (rig, address) = with_agent(&[("PROD", "/csp/bin")], settings());
    let line = || read_all(connect(address));
    assert_eq!(line(), "down #starting\n");
    rig.says(0, Ok(Role::Primary));
    assert_eq!(line(), "up ready\n");
    assert_eq!(ask(address, "whatever agent-send says\n"), "up ready\n");
    assert_eq!(ask_and_shut(address, ""), "up ready\n");
    rig.says(0, Ok(Role::Backup));
    assert_eq!(line(), "down #backup\n");
    rig.says(0, Ok(Role::Other(OtherRole::NotMember)));
    assert_eq!(line(), "maint\n");
    rig.stopping();
    assert_eq!(line(), "drain\n");
    assert!(rig.server().checkers().asked("PROD").is_some(), "its clients direct writers");
}

#[test]
fn with_several_the_client_names_the_mirror() {
    let (rig, address) = with_agent(&[("A", "/a"), ("B", "/b")], settings());
    rig.says(0, Ok(Role::Backup));
    rig.says(1, Ok(Role::Primary));
    assert_eq!(ask(address, "A\n"), "down #backup\n");
    assert_eq!(ask(address, "b\r\n"), "up ready\n");
    assert_eq!(ask_and_shut(address, "B"), "up ready\n");
    let unknown = "down #agent-send must name the mirror\n";
    for request in [&b"C\n"[..], b"\n", &[b'a'; 300], b"\xff\n"] {
        assert_eq!(ask(address, request), unknown, "{}", request.escape_ascii());
    }
    assert_eq!(ask_and_shut(address, ""), unknown);
}

#[test]
fn a_line_without_its_end_counts_at_the_deadline() {
    let header_timeout = Duration::from_millis(200);
    let (rig, address) = with_agent(&[("A", "/a"), ("B", "/b")], Health { header_timeout, ..settings() });
    rig.says(1, Ok(Role::Primary));
    eventually("answer to a line that came in time", || ask(address, "B") == "up ready\n");
    assert_eq!(read_all(connect(address)), "down #agent-send must name the mirror\n");
}

#[test]
fn strangers_learn_nothing() {
    let allowed_networks = vec!["10.0.0.0/8".parse().unwrap()];
    let (_rig, address) = with_agent(&[("PROD", "/")], Health { allowed_networks, ..settings() });
    assert_eq!(read_all(connect(address)), "");
}

#[test]
fn a_real_haproxy_follows_every_line() {
    let (rig, agent) = with_agent(&[("PROD", "/csp/bin")], settings());
    let Some(haproxy) = HaProxy::start(rig.address(), agent) else {
        eprintln!("haproxy is not installed: nothing proved");
        return;
    };
    let becomes = |what: &str| eventually(what, || haproxy.status().starts_with(what));
    rig.says(0, Ok(Role::Primary));
    becomes("UP");
    rig.says(0, Ok(Role::Backup));
    becomes("DOWN");
    rig.says(0, Ok(Role::Primary));
    becomes("UP");
    rig.stopping();
    becomes("DRAIN");
    rig.restarted();
    rig.says(0, Ok(Role::Primary));
    becomes("UP");
    rig.says(0, Ok(Role::Other(OtherRole::NotMember)));
    becomes("MAINT");
    rig.says(0, Ok(Role::Backup));
    becomes("MAINT");
    rig.says(0, Ok(Role::Primary));
    becomes("UP");
}

/// An HAProxy with one server whose health check, of the TCP port, always passes: the agent decides.
struct HaProxy {
    child: Child,
    directory: tempfile::TempDir,
}

impl HaProxy {
    fn start(server: SocketAddr, agent: SocketAddr) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let socket = Self::socket(directory.path());
        let text = format!(
            "global\n  stats socket {} mode 600\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 5s\n  \
             timeout server 5s\nlisten mirror\n  bind {}\n  \
             server member {server} check inter 50ms agent-check agent-addr {} agent-port {} agent-inter 50ms\n",
            socket.display(),
            directory.path().join("front").display(),
            agent.ip(),
            agent.port(),
        );
        let config = directory.path().join("haproxy.cfg");
        std::fs::write(&config, text).unwrap();
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let spawned = Command::new("haproxy")
            .args(["-q", "-db", "-f"])
            .arg(&config)
            .env("PATH", path)
            .stdin(Stdio::null())
            .spawn();
        let child = match spawned {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            other => other.unwrap(),
        };
        let started = Self { child, directory };
        eventually("haproxy", || UnixStream::connect(&socket).is_ok());
        Some(started)
    }

    fn socket(directory: &Path) -> PathBuf {
        directory.join("stats")
    }

    /// Column `status` of HAProxy's statistics of the server.
    fn status(&self) -> String {
        let mut socket = UnixStream::connect(Self::socket(self.directory.path())).unwrap();
        socket.set_read_timeout(Some(FOR_EVER)).unwrap();
        socket.write_all(b"show stat\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let row = text.lines().find(|line| line.starts_with("mirror,member,")).expect("the server has a row");
        row.split(',').nth(17).expect("status is the 18th column").to_owned()
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().expect("it was killed just now");
        }
    }
}
