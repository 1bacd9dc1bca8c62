//! A machine on which the package is installed as documented, upgraded under HAProxy's checks, removed and purged.

use std::path::Path;

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
    let container = docker.boot();
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

/// Waits until another process than `old` is ready and has been checked.
fn wait_for_another(container: &Container<'_>, old: &str) {
    eventually(&format!("another process: {}", container.journal()), || {
        let status = container.status().unwrap_or_default();
        status["mirrors"][0]["last_checked_at"].is_string() && container.pid() != old
    });
}

/// Nothing runs, nothing has failed, and nothing is started by the next boot.
fn assert_idle(container: &Container<'_>) {
    assert_eq!(container.exec(&["systemctl", "is-system-running"]), "running");
    for unit in ["mirrorvip.service", "mirrorvip.socket"] {
        assert_eq!(container.property(unit, "ActiveState"), "inactive");
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
fn a_package_installs_upgrades_and_is_removed_as_readme_says() {
    let (first, later) = (Packages::build(1, ""), Packages::build(2, ""));
    let docker = Docker::with_debian();
    let container = member(&docker);

    // Installed: it prints what the documents say, and nothing runs, even when the units are started.
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
        container.status_text(),
        "PROD: SUCCESS, the instance is primary, epoch 1",
        "{}",
        container.journal()
    );
    let page = "http://127.0.0.1:8080/csp/bin/mirror_status.cxw";
    assert_eq!(container.exec(&["curl", "--silent", page]), "SUCCESS");
    container.exec(&["systemd-analyze", "security", "--no-pager", "--threshold=25", "mirrorvip.service"]);

    // Upgraded under checks: the socket stays, the process is another, and no check is refused.
    let balancer = Balancer::start(&container);
    let failed = || balancer.statistics().failed();
    let before = failed();
    container.shell(&format!("echo '# ours' >>{CONFIG}"));
    let (config, old) = (container.exec(&["cat", CONFIG]), container.pid());
    let since = || container.property("mirrorvip.socket", "ActiveEnterTimestampMonotonic");
    let listening = since();
    let said = install(&container, &later.deb());
    assert!(!said.contains("What to do next"), "{said}");
    wait_for_another(&container, &old);
    balancer.wait_for_success();
    assert!(container.exec(&["dpkg-query", "--show", "mirrorvip"]).ends_with("-2"));
    assert_eq!(failed(), before, "{:?}: {}", balancer.statistics().outcomes(), container.journal());
    assert_eq!((container.exec(&["cat", CONFIG]), since()), (config.clone(), listening));
    assert_eq!(container.status_text(), "PROD: SUCCESS, the instance is primary, epoch 1");

    // A configuration that this version refuses: the running daemon keeps running until it is corrected.
    let old = container.pid();
    container.shell(&format!("echo 'unheard = \"of\"' >>{CONFIG}"));
    let said = container.shell("cd /root/packages; dpkg --install ./*.deb 2>&1");
    assert!(said.contains("not restarted") && said.contains("unheard"), "{said}");
    assert_eq!(container.pid(), old);
    container.write(CONFIG, "640", &format!("{config}\n"));
    container.shell(&format!("chgrp mirrorvip {CONFIG}; systemctl restart mirrorvip"));
    wait_for_another(&container, &old);
    balancer.wait_for_success();
    assert_eq!(failed(), before, "{:?}: {}", balancer.statistics().outcomes(), container.journal());

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
    assert_eq!(container.status_text(), "PROD: SUCCESS, the instance is primary, epoch 1");

    // The later version's script, and then the earlier one's.
    let old = container.pid();
    let said = script("POSTIN", 2) + &script("PREUN", 1) + &script("POSTUN", 1);
    assert_eq!(said, "");
    eventually("another process", || container.pid() != old);
    assert_eq!(container.property("mirrorvip.socket", "ActiveState"), "active");

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
    assert_eq!(container.status_text(), "PROD: SUCCESS, the instance is primary, epoch 1");
}
