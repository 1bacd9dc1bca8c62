//! A systemd that has booted, with the units as they are shipped: what HAProxy sees while the service is restarted,
//! killed, frozen, misconfigured and out of memory.

use std::path::Path;

use serde_json::Value;

use super::haproxy::Balancer;
use super::units::complaints;
use crate::support::docker::{Container, Docker};
use crate::support::eventually;

const CONFIG: &str = "\
[health]
listen = [\"0.0.0.0:8080\"]

[[mirror]]
name = \"PROD\"

[mirror.probe.qlist]
instance = \"IRIS\"
";

/// `iris qlist`, with what a test may have it do besides: once, when there is a file of that name.
const IRIS: &str = "\
#!/bin/sh
if mv /run/iris/hog /run/iris/hogged 2>/dev/null; then
    echo 0 >/proc/$$/oom_score_adj
    head -c 1G /dev/zero | tail -c 1G >/dev/null || exit 9
fi
cat /usr/irissys/qlist
";

/// A member whose instance is the primary, with the service enabled and running.
fn member(docker: &Docker) -> Container<'_> {
    let container = docker.boot();
    container
        .shell("useradd --system --no-create-home --shell /usr/sbin/nologin mirrorvip; groupadd irisusr");
    container.copy(Path::new(env!("CARGO_BIN_EXE_mirrorvip")), "/usr/bin/mirrorvip");
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    for unit in ["mirrorvip.service", "mirrorvip.socket"] {
        container.copy(&units.join(unit), &format!("/usr/lib/systemd/system/{unit}"));
    }
    for drop_in in ["sandbox-hard.conf", "sandbox-iris.conf"] {
        container.copy(&units.join(drop_in), &format!("/root/{drop_in}"));
    }
    container.write("/usr/bin/iris", "755", IRIS);
    container.shell("install -d -o mirrorvip /run/iris");
    role(&container, "Primary");
    container
}

/// What `iris qlist` prints: for the group of IRIS alone, as its shared memory is.
fn role(container: &Container<'_>, status: &str) {
    let line = format!(
        "IRIS^/usr/irissys^2024.1^running, since Sat^iris.cpf^1972^0^0^ok^IRIS^Failover^{status}^/usr\n"
    );
    container.write("/usr/irissys/qlist.new", "644", &line);
    container.exec(&["mv", "/usr/irissys/qlist.new", "/usr/irissys/qlist"]);
}

fn start(container: &Container<'_>) {
    container.write("/etc/mirrorvip/mirrorvip.toml", "644", CONFIG);
    container
        .shell("systemctl daemon-reload; systemctl enable --quiet --now mirrorvip.socket mirrorvip.service");
}

/// A property of the service, as systemd knows it.
fn property(container: &Container<'_>, name: &str) -> String {
    container.property("mirrorvip.service", name)
}

/// Waits until another process than `old` is the service, and is ready.
fn wait_for_another(container: &Container<'_>, old: &str) {
    eventually(&format!("another process: {}", container.journal()), || {
        let (pid, state) = (container.pid(), property(container, "ActiveState"));
        pid != old && pid != "0" && state == "active"
    });
}

/// Waits until this process has been checked.
fn wait_for_checks(container: &Container<'_>) {
    eventually("checks of this process", || {
        container.status().unwrap_or_default()["mirrors"][0]["last_checked_at"].is_string()
    });
}

fn sandbox(container: &Container<'_>, drop_in: &str) {
    container.shell(&format!(
        "install -D -m 644 /root/{drop_in} /etc/systemd/system/mirrorvip.service.d/sandbox.conf
         systemctl daemon-reload
         systemctl restart mirrorvip.service"
    ));
}

#[test]
fn a_primarys_checks_survive_what_the_service_goes_through() {
    let docker = Docker::with_debian();
    let container = member(&docker);

    // Installed, not configured: nothing runs, nothing failed, no port is open.
    container.shell("systemctl daemon-reload; systemctl start mirrorvip.socket mirrorvip.service");
    assert_eq!(property(&container, "ActiveState"), "inactive");
    assert_eq!(container.exec(&["systemctl", "is-system-running"]), "running");
    start(&container);
    assert_eq!(container.status_text(), "PROD: SUCCESS, the instance is primary, epoch 1");
    let balancer = Balancer::start(&container);
    let failed = || balancer.statistics().failed();
    let before = failed();

    // Restarts, and new binaries.
    for _ in 0..5 {
        let pid = container.pid();
        container.shell("cp /usr/bin/mirrorvip /usr/bin/new; mv /usr/bin/new /usr/bin/mirrorvip");
        container.exec(&["systemctl", "restart", "mirrorvip.service"]);
        wait_for_another(&container, &pid);
        wait_for_checks(&container);
        balancer.wait_for_success();
    }
    let statistics = balancer.statistics();
    assert_eq!(statistics.failed(), before, "{:?}: {}", statistics.outcomes(), container.journal());

    // A configuration with an error, and its repair.
    let pid = container.pid();
    container.write("/etc/mirrorvip/mirrorvip.toml", "644", "[health]\nlisten = \"nowhere\"\n");
    container.exec(&["systemctl", "reload", "mirrorvip.service"]);
    eventually("the status of a refused reload", || {
        container.status_text().starts_with("the new configuration was refused")
    });
    container.write("/etc/mirrorvip/mirrorvip.toml", "644", CONFIG);
    container.exec(&["systemctl", "reload", "mirrorvip.service"]);
    eventually("the status of a good reload", || container.status_text().starts_with("PROD: SUCCESS"));
    assert_eq!(container.pid(), pid);
    balancer.wait_for_success();
    assert_eq!(failed(), before, "{}", container.journal());

    // The bounds of the whole service.
    for (name, value) in [("MemoryMax", "536870912"), ("TasksMax", "256"), ("LimitNOFILE", "65536")] {
        assert_eq!(property(&container, name), value, "{name}");
    }
    let tasks: u64 = property(&container, "TasksCurrent").parse().expect("a number");
    let memory: u64 = property(&container, "MemoryCurrent").parse().expect("bytes");
    println!("{tasks} tasks, {memory} bytes with two processes and the page cache of a debug build");
    assert!(tasks < 64, "{tasks}");

    // Killed: clients whose answer is under way lose it, and none is refused.
    container.exec(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "mirrorvip.service"]);
    wait_for_another(&container, &pid);
    balancer.wait_for_success();
    let killed = failed() - before;
    assert!(killed <= 4, "{killed} checks failed, more than were under way: {}", container.journal());

    // Frozen: the watchdog bites.
    let (before, pid) = (failed(), container.pid());
    container.exec(&["kill", "-STOP", &pid]);
    eventually("the watchdog", || property(&container, "NRestarts") == "2");
    wait_for_another(&container, &pid);
    balancer.wait_for_success();
    let frozen = failed() - before;
    assert!(frozen > 0, "a frozen daemon does not answer");
    assert!(container.journal().contains("Watchdog timeout"), "{}", container.journal());

    // Out of memory: the probe is killed, as the biggest, and the daemon goes on.
    let (before, pid) = (failed(), container.pid());
    container.exec(&["systemctl", "set-property", "--runtime", "mirrorvip.service", "MemoryMax=100M"]);
    container.shell("touch /run/iris/hog; chown mirrorvip /run/iris/hog");
    eventually("the probe is out of memory", || {
        container.try_exec(&["test", "-e", "/run/iris/hogged"]).status.success()
    });
    eventually("an answer without a role", || {
        let status = container.status().unwrap_or_default();
        status["mirrors"][0]["probes"]["no_evidence"].as_u64() > Some(0)
    });
    assert_eq!(container.pid(), pid);
    balancer.wait_for_success();
    assert_eq!(failed(), before, "the last answer bridged it: {}", container.journal());

    // Out of memory, and the daemon is the one: it is started again.
    // The kernel prefers it to the probe, which sets its own preference back.
    container.shell(&format!("rm /run/iris/hogged; echo 1000 >/proc/{pid}/oom_score_adj"));
    container.shell("touch /run/iris/hog; chown mirrorvip /run/iris/hog");
    wait_for_another(&container, &pid);
    balancer.wait_for_success();
    let starved = failed() - before;
    assert!(starved <= 4, "{starved} checks failed, more than were under way: {}", container.journal());
    println!("failed checks of four servers: killed {killed}, frozen {frozen}, out of memory {starved}");

    // Both stopped: no process answers, and systemd does not start it again for a check.
    container.exec(&["systemctl", "stop", "mirrorvip.socket", "mirrorvip.service"]);
    assert!(!container.try_exec(&["curl", "--silent", "http://127.0.0.1:8080/live"]).status.success());
    assert_eq!(property(&container, "ActiveState"), "inactive");
}

#[test]
fn the_sandboxes_let_through_what_their_probes_need() {
    let docker = Docker::with_debian();
    let container = member(&docker);
    container.shell("chgrp irisusr /usr/irissys/qlist; chmod 640 /usr/irissys/qlist");
    container.write("/etc/mirrorvip/token", "600", "0123456789abcdef0123456789abcdef\n");
    container.write(
        "/etc/systemd/system/mirrorvip.service.d/secrets.conf",
        "644",
        "[Service]\nLoadCredential=token:/etc/mirrorvip/token\n",
    );
    let config = CONFIG.to_owned().replace(
        "[[mirror]]",
        "[admin]\nlisten = \"127.0.0.1:9180\"\ntoken_file = \"${CREDENTIALS_DIRECTORY}/token\"\n\n[[mirror]]",
    );
    container.write("/etc/mirrorvip/mirrorvip.toml", "644", &config);
    sandbox(&container, "sandbox-iris.conf");
    assert_eq!(container.status_text(), "PROD: SUCCESS, the instance is primary, epoch 1");

    // The daemon and root read the secret, and no other user can.
    let status: Value =
        serde_json::from_str(&container.exec(&["mirrorvip", "status", "--json"])).expect("JSON");
    assert_eq!(status["mirrors"][0]["state"], "primary");
    let unauthorized = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
    assert_eq!(container.exec(&[&unauthorized[..], &["http://127.0.0.1:9180/status"]].concat()), "401");

    // The journal has fields.
    let entry = container.exec(&["journalctl", "--output=json", "MIRRORVIP_TO=primary", "--lines=1"]);
    let entry: Value = serde_json::from_str(&entry).expect("JSON");
    assert_eq!((&entry["MIRRORVIP_MIRROR"], &entry["PRIORITY"]), (&"PROD".into(), &"6".into()));
    assert_eq!(entry["_SYSTEMD_UNIT"], "mirrorvip.service");
    let message = entry["MESSAGE"].as_str().expect("a line");
    assert!(message.starts_with("state changed mirror=PROD from=starting to=primary"), "{message}");

    confined(&container, 25);

    let file = CONFIG.replace("qlist]\ninstance = \"IRIS\"", "file]\npath = \"/run/role/role\"");
    container.write("/etc/mirrorvip/mirrorvip.toml", "644", &file);
    let publisher = "[Service]\nExecStart=sh -c 'mkdir -p /run/role; while echo primary >/run/role/role; do sleep 0.2; done'\n";
    container.write("/etc/systemd/system/publisher.service", "644", publisher);
    container.shell("systemctl daemon-reload; systemctl start publisher");
    sandbox(&container, "sandbox-hard.conf");
    eventually("SUCCESS by the file", || container.status_text().starts_with("PROD: SUCCESS"));
    confined(&container, 12);

    // Another port, changed as docs/install.md describes.
    container.write(
        "/etc/systemd/system/mirrorvip.socket.d/port.conf",
        "644",
        "[Socket]\nListenStream=\nListenStream=0.0.0.0:8081\n",
    );
    container.write("/etc/mirrorvip/mirrorvip.toml", "644", &file.replace(":8080", ":8081"));
    container.shell("systemctl stop mirrorvip.socket mirrorvip.service");
    container.shell("systemctl daemon-reload; systemctl start mirrorvip.socket mirrorvip.service");
    assert_eq!(
        container.exec(&["curl", "--silent", "http://127.0.0.1:8081/csp/bin/mirror_status.cxw"]),
        "SUCCESS"
    );
    let passed =
        container.exec(&["journalctl", "--unit=mirrorvip", "--output=cat", "MIRRORVIP_INHERITED=true"]);
    assert!(passed.lines().last().is_some_and(|line| line.contains("0.0.0.0:8081")), "{passed}");

    // Without a sandbox, programs of an installation may be set-user-id.
    container.write("/etc/mirrorvip/mirrorvip.toml", "644", &CONFIG.replace(":8080", ":8081"));
    container.shell("chmod 644 /usr/irissys/qlist; rm /etc/systemd/system/mirrorvip.service.d/*");
    container.shell("systemctl daemon-reload; systemctl restart mirrorvip.service");
    assert!(container.status_text().starts_with("PROD: SUCCESS"), "{}", container.journal());
    assert_eq!(privileges(&container), "NoNewPrivs:\t0");
}

/// What systemd says of the service that runs; `threshold` is its exposure level times ten.
fn confined(container: &Container<'_>, threshold: u8) {
    assert_eq!(privileges(container), "NoNewPrivs:\t1");
    let threshold = format!("--threshold={threshold}");
    container.exec(&["systemd-analyze", "security", "--no-pager", &threshold, "mirrorvip.service"]);
    let verify = ["systemd-analyze", "verify", "--man=no", "mirrorvip.service", "mirrorvip.socket"];
    let output = container.try_exec(&verify);
    assert_eq!(complaints(&output), Vec::<String>::new());
}

fn privileges(container: &Container<'_>) -> String {
    let pid = container.pid();
    container.exec(&["grep", "NoNewPrivs:", &format!("/proc/{pid}/status")])
}
