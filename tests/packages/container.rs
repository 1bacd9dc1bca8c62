//! A machine on which the package is installed as documented, upgraded under HAProxy's checks, removed and purged.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::haproxy::Balancer;
use crate::support::docker::{Container, Docker, as_root, output_of};
use crate::support::eventually;
use crate::{Packages, blocks, root};

const CONFIG: &str = "/etc/mirrorvip/mirrorvip.toml";

const INSTALL: &str = "docs/install.md";

/// For the group of IRIS alone, as its shared memory is.
const QLIST: &str =
    "IRIS^/usr/irissys^2024.1^running, since Sat^iris.cpf^1972^0^0^ok^IRIS^Failover^Primary^/usr\n";

/// What the documented commands need that the smallest Debian lacks. An editor that changes nothing: the example suits.
const SUDO: &str = "\
#!/bin/sh
if [ \"$1\" = -u ]; then
    user=$2
    shift 2
    exec runuser -u \"$user\" -- \"$@\"
fi
exec \"$@\"
";

/// Prints the user and the group, as far as they are there.
const ACCOUNTS: &str = "getent passwd mirrorvip || :; getent group mirrorvip || :";

/// A member without mirrorvip, whose instance is the primary.
fn member(docker: &Docker) -> Container<'_> {
    let container = docker.boot(Docker::BASE, &["--network", "none"]);
    container.write("/usr/local/bin/sudo", "755", SUDO);
    container.write("/usr/local/bin/sudoedit", "755", "#!/bin/sh\nexec test -w \"$1\"\n");
    container.write("/etc/apt/apt.conf.d/yes", "644", "APT::Get::Assume-Yes \"true\";\n");
    container.write("/usr/bin/iris", "755", "#!/bin/sh\ncat /usr/irissys/qlist\n");
    container.write("/usr/irissys/qlist", "640", QLIST);
    container.write("/usr/irissys/mgr/messages.log", "640", "");
    container.shell("groupadd irisusr; chgrp -R irisusr /usr/irissys");
    container
}

/// Runs the documented command for Debian with the package in the directory, and gives what it printed.
fn install(container: &Container<'_>, package: &Path) -> String {
    let directory = "/root/packages";
    container.shell(&format!("rm -rf {directory}; mkdir {directory}"));
    container.copy(package, directory);
    let commands = blocks(INSTALL, "## Install a package", "sh");
    let apt =
        commands.iter().find(|block| block.contains("apt install")).expect("a command installs with apt");
    container.shell(&format!("cd {directory}; exec 2>&1; {apt}"))
}

fn property(container: &Container<'_>, unit: &str, name: &str) -> String {
    container.exec(&["systemctl", "show", "--value", "--property", name, unit])
}

fn status_text(container: &Container<'_>) -> String {
    property(container, "mirrorvip.service", "StatusText")
}

fn pid(container: &Container<'_>) -> String {
    property(container, "mirrorvip.service", "MainPID")
}

fn journal(container: &Container<'_>) -> String {
    container.exec(&["journalctl", "--unit=mirrorvip", "--no-pager", "--output=short-precise", "--lines=60"])
}

/// Waits until another process than `old` is ready and has been checked.
fn wait_for_another(container: &Container<'_>, old: &str) {
    eventually(&format!("another process: {}", journal(container)), || {
        let status = container.try_exec(&["curl", "--silent", "http://127.0.0.1:9180/status"]).stdout;
        let status: Value = serde_json::from_slice(&status).ok()?;
        let checked = !status["mirrors"][0]["last_checked_at"].is_null();
        (checked && pid(container) != old).then_some(())
    });
}

/// Nothing runs, nothing has failed, and nothing is started by the next boot.
fn assert_idle(container: &Container<'_>) {
    assert_eq!(container.exec(&["systemctl", "is-system-running"]), "running");
    for unit in ["mirrorvip.service", "mirrorvip.socket"] {
        assert_eq!(property(container, unit, "ActiveState"), "inactive");
        assert!(!container.try_exec(&["systemctl", "is-enabled", unit]).status.success());
    }
    assert!(!container.try_exec(&["pgrep", "--exact", "mirrorvip"]).status.success());
}

/// What of mirrorvip there is in the file systems.
fn leftovers(container: &Container<'_>) -> String {
    let files = "rm -rf /root/packages; find / /run /tmp -xdev -name '*mirrorvip*'";
    container.shell(files) + &container.shell(ACCOUNTS)
}

fn commands(block: &str) -> Vec<String> {
    let lines = block.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn a_package_lives_as_readme_says() {
    let (first, later) = (Packages::build(1, ""), Packages::build(2, ""));
    let docker = Docker::start();
    let container = member(&docker);

    // Installed: it says what the documents say, and nothing runs, even when somebody starts it.
    let said = install(&container, &first.deb());
    let [configure] = &blocks(INSTALL, "## Configure and start", "sh")[..] else {
        panic!("there is one way to start")
    };
    let (_, steps) = said.split_once("What to do next").expect("it says what to do");
    let steps: Vec<_> = steps.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert!(
        steps.len() >= 5 && steps.iter().all(|step| commands(configure).contains(&(*step).to_owned())),
        "{said}"
    );
    container.exec(&["systemctl", "start", "mirrorvip.socket", "mirrorvip.service"]);
    assert_idle(&container);
    assert_eq!(container.exec(&["dpkg", "--verify", "mirrorvip"]), "");

    // Configured and started, to the letter.
    container.shell(configure);
    assert_eq!(
        status_text(&container),
        "PROD: SUCCESS, the instance is primary, epoch 1",
        "{}",
        journal(&container)
    );
    let page = "http://127.0.0.1:8080/csp/bin/mirror_status.cxw";
    assert_eq!(container.exec(&["curl", "--silent", page]), "SUCCESS");
    container.exec(&["systemd-analyze", "security", "--no-pager", "--threshold=25", "mirrorvip.service"]);

    // Upgraded under checks: the socket stays, the process is another, and nobody is refused.
    let balancer = Balancer::start(&container);
    let failed = || balancer.statistics().failed();
    let before = failed();
    container.shell(&format!("echo '# ours' >>{CONFIG}"));
    let (config, old) = (container.exec(&["cat", CONFIG]), pid(&container));
    let since = || property(&container, "mirrorvip.socket", "ActiveEnterTimestampMonotonic");
    let listening = since();
    let said = install(&container, &later.deb());
    assert!(!said.contains("What to do next"), "{said}");
    wait_for_another(&container, &old);
    balancer.wait_for_success();
    assert!(container.exec(&["dpkg-query", "--show", "mirrorvip"]).ends_with("-2"));
    assert_eq!(failed(), before, "{:?}: {}", balancer.statistics().outcomes(), journal(&container));
    assert_eq!((container.exec(&["cat", CONFIG]), since()), (config.clone(), listening));
    assert_eq!(status_text(&container), "PROD: SUCCESS, the instance is primary, epoch 1");

    // A configuration that this version refuses: the running daemon keeps running until it is corrected.
    let old = pid(&container);
    container.shell(&format!("echo 'unheard = \"of\"' >>{CONFIG}"));
    let said = container.shell("cd /root/packages; dpkg --install ./*.deb 2>&1");
    assert!(said.contains("not restarted") && said.contains("unheard"), "{said}");
    assert_eq!(pid(&container), old);
    container.write(CONFIG, "640", &format!("{config}\n"));
    container.shell(&format!("chgrp mirrorvip {CONFIG}; systemctl restart mirrorvip"));
    wait_for_another(&container, &old);
    balancer.wait_for_success();
    assert_eq!(failed(), before, "{:?}: {}", balancer.statistics().outcomes(), journal(&container));

    // Removed: stopped, and what is the administrator's stays.
    container.exec(&["systemctl", "stop", "haproxy"]);
    let commands = commands(&blocks(INSTALL, "## Upgrade and remove", "sh")[0]);
    let [remove, purge] = &commands[..] else { panic!("one command removes, one purges: {commands:?}") };
    container.shell(remove);
    assert_idle(&container);
    assert!(!container.try_exec(&["curl", "--silent", page]).status.success());
    container.shell(&format!(
        "test -e {CONFIG}; test -d /var/lib/mirrorvip; test ! -e /usr/bin/mirrorvip; id mirrorvip"
    ));

    // Purged: as if it had never been there.
    container.shell(purge);
    assert_eq!(leftovers(&container), "");
    assert_idle(&container);

    scripts_of_the_rpm(&container, &first, configure);
    from_source(&container, configure);
}

/// Debian cannot install an rpm beside its own packages: here its files are placed, and its scripts are called as rpm
/// calls them.
fn scripts_of_the_rpm(container: &Container<'_>, packages: &Packages, configure: &str) {
    let system = TempDir::new().expect("a temporary directory");
    let rpm = || {
        let mut command = as_root("rpm");
        command.arg("--root").arg(system.path());
        command
    };
    output_of(rpm().args(["--install", "--nodeps", "--noscripts"]).arg(packages.rpm()));
    assert_eq!(output_of(rpm().args(["--verify", "--nodeps", "--noscripts", "mirrorvip"])), "");
    for directory in ["etc", "usr"] {
        container.copy(&system.path().join(directory), "/");
    }
    let script = |tag: &str, versions: u8| {
        let text = output_of(rpm().args(["--query", "--queryformat", &format!("%{{{tag}}}"), "mirrorvip"]));
        container.write(&format!("/run/{tag}"), "755", &text);
        container.shell(&format!("exec 2>&1; sh /run/{tag} {versions}; rm /run/{tag}"))
    };
    assert!(script("POSTIN", 1).contains("What to do next"));
    assert_idle(container);
    container.shell(configure);
    assert_eq!(status_text(container), "PROD: SUCCESS, the instance is primary, epoch 1");

    // The later version's script, and then the earlier one's.
    let old = pid(container);
    let said = script("POSTIN", 2) + &script("PREUN", 1) + &script("POSTUN", 1);
    assert_eq!(said, "");
    eventually("another process", || (pid(container) != old).then_some(()));
    assert_eq!(property(container, "mirrorvip.socket", "ActiveState"), "active");

    script("PREUN", 0);
    container.shell("rm -rf /usr/bin/mirrorvip /usr/lib/systemd/system/mirrorvip.*");
    script("POSTUN", 0);
    assert_idle(container);

    // What is documented in place of a purge.
    let purge = &blocks(INSTALL, "## Upgrade and remove", "sh")[1];
    container.shell(purge);
    container.shell("test ! -e /etc/mirrorvip; test ! -e /var/lib/mirrorvip");
    assert_eq!(container.shell(ACCOUNTS), "");

    output_of(rpm().args(["--erase", "--nodeps", "--noscripts", "mirrorvip"]));
    let left =
        output_of(std::process::Command::new("find").arg(system.path()).args(["-name", "*mirrorvip*"]));
    assert_eq!(left, "");
    // What is left, rpm's own, belongs to root.
    output_of(as_root("find").arg(system.path()).args(["-mindepth", "1", "-delete"]));
}

/// What is documented where there is no package; the binary is built already.
fn from_source(container: &Container<'_>, configure: &str) {
    container.exec(&["mkdir", "-p", "/root/source/target/release"]);
    for directory in ["config", "systemd"] {
        container.copy(&root().join(directory), "/root/source");
    }
    container.copy(Path::new(env!("CARGO_BIN_EXE_mirrorvip")), "/root/source/target/release/mirrorvip");
    let script = &blocks(INSTALL, "## From source", "sh")[0];
    let (build, script) = script.split_once('\n').expect("several lines");
    assert!(build.starts_with("cargo build --release"), "{build}");
    container.shell(&format!("cd /root/source\n{script}\n{configure}"));
    assert_eq!(status_text(container), "PROD: SUCCESS, the instance is primary, epoch 1");
}
