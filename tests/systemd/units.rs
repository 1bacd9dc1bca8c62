//! The units as systemd's own tools judge them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::docker::output_of;

const SERVICE: &str = include_str!("../../systemd/mirrorvip.service");

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// The unit with a drop-in, as a directory of its own. The binary is the one under test.
fn unit(directory: &Path, drop_in: Option<&str>) -> PathBuf {
    let installed = "/usr/bin/mirrorvip";
    let here = env!("CARGO_BIN_EXE_mirrorvip");
    let read = |name: &str| {
        let path = self::directory().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let text = read("mirrorvip.service") + &drop_in.map(read).unwrap_or_default();
    fs::write(directory.join("mirrorvip.service"), text.replace(installed, here)).expect("writable");
    fs::write(directory.join("mirrorvip.socket"), read("mirrorvip.socket")).expect("writable");
    directory.join("mirrorvip.service")
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    for drop_in in [None, Some("sandbox-hard.conf"), Some("sandbox-iris.conf")] {
        let own = tempfile::tempdir().expect("a temporary directory");
        let service = unit(own.path(), drop_in);
        // The manual page is installed by packages.
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", "--recursive-errors=no"]);
        let output = verify.arg(&service).arg(own.path().join("mirrorvip.socket")).output();
        let output = output.expect("systemd-analyze is installed (tests/run does it)");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaint.trim().is_empty(), "{drop_in:?}: {complaint}");
    }
}

/// The thresholds are systemd's exposure level times ten: 12 is 1.2.
#[test]
fn the_sandboxes_leave_little_exposed() {
    for (drop_in, threshold) in [("sandbox-hard.conf", 12), ("sandbox-iris.conf", 25)] {
        let own = tempfile::tempdir().expect("a temporary directory");
        let service = unit(own.path(), Some(drop_in));
        let threshold = format!("--threshold={threshold}");
        let mut security = Command::new("systemd-analyze");
        let text =
            output_of(security.args(["security", "--no-pager", "--offline=true", &threshold]).arg(&service));
        assert!(text.contains("Overall exposure level for mirrorvip.service"), "{text}");
    }
}

#[test]
fn the_socket_is_where_the_example_listens() {
    let socket = fs::read_to_string(directory().join("mirrorvip.socket")).expect("it is there");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/mirrorvip.toml");
    let config = mirrorvip::config::load(&example).expect("the example is valid");
    for address in config.health.listen {
        assert!(socket.contains(&format!("\nListenStream={address}\n")), "{address}");
    }
}

#[test]
fn the_service_is_supervised_for_ever() {
    for line in
        ["Type=notify", "Restart=always", "StartLimitIntervalSec=0", "WatchdogSec=5s", "User=mirrorvip"]
    {
        assert!(SERVICE.lines().any(|found| found == line), "{line}");
    }
}
