//! The units as systemd's own tools judge them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
        assert_eq!(complaints(&output), Vec::<String>::new(), "{drop_in:?}");
    }
}

/// What `systemd-analyze verify` finds, but for the two settings that a systemd older than 254 passes over.
pub(crate) fn complaints(verify: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&verify.stderr);
    let is_passed_over = |line: &&str| {
        ["'RestartSteps'", "'RestartMaxDelaySec'"]
            .iter()
            .any(|key| line.ends_with(&format!("Unknown key {key} in section [Service], ignoring.")))
    };
    let (passed_over, mut found): (Vec<_>, Vec<_>) = text.lines().partition(is_passed_over);
    if !verify.status.success() && passed_over.is_empty() {
        found.push("an exit code without a word");
    }
    found.into_iter().map(str::to_owned).collect()
}

/// The thresholds are systemd's exposure level times ten: 12 is 1.2.
#[test]
fn the_sandboxes_leave_little_exposed() {
    for (drop_in, threshold) in [(None, 77), (Some("sandbox-hard.conf"), 12), (Some("sandbox-iris.conf"), 18)]
    {
        let own = tempfile::tempdir().expect("a temporary directory");
        let service = unit(own.path(), drop_in);
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
    let config = mirrorvip::provider::load(&example).expect("the example is valid");
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

/// The value of a setting, which is there once.
fn setting(name: &str) -> &'static str {
    let values: Vec<_> =
        SERVICE.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect();
    let [value] = values[..] else { panic!("one {name}=: {values:?}") };
    value
}

/// The kernel spares the daemon for the sake of the database, so the service must not be able to take what that needs.
#[test]
fn the_service_has_bounds_of_its_own_as_it_is_spared_before_others() {
    assert_eq!((setting("OOMScoreAdjust"), setting("OOMPolicy")), ("-500", "continue"));
    let number = |name: &str, unit: &str| -> u64 {
        let value = setting(name);
        value
            .strip_suffix(unit)
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("{name}={value}"))
    };
    // Daemon and SDK, and the largest of the usual commands, several times; and never what a database would miss.
    assert!((256..=1024).contains(&number("MemoryMax", "M")));
    assert!((64..=512).contains(&number("TasksMax", "")));
    // The largest `max_connections`, and no more than a kernel allows by default.
    assert_eq!(setting("LimitNOFILE"), "8192:65536");
}

#[test]
fn restarts_back_off_and_never_for_longer_than_a_check_waits() {
    let seconds = |name: &str| setting(name).strip_suffix('s').and_then(|value| value.parse::<f64>().ok());
    assert_eq!(setting("RestartSec"), "500ms");
    assert!(setting("RestartSteps").parse::<u8>().is_ok_and(|steps| steps > 0));
    assert!(seconds("RestartMaxDelaySec").is_some_and(|delay| (1.0..=10.0).contains(&delay)));
}
