//! The image: what is in it and what is not, and that a wrong configuration is reported as everywhere.

use super::images::{MIRRORVIP, build_mirrorvip};
use crate::support::docker::{Docker, is_root};
use crate::support::{documents, eventually};

#[test]
fn the_image_has_one_program_and_an_ordinary_user() {
    if !is_root() {
        return;
    }
    let docker = Docker::start();
    build_mirrorvip(&docker);
    let inspect = |format: &str| docker.run(&["image", "inspect", "--format", format, MIRRORVIP]);
    assert_eq!(inspect("{{.Config.User}}"), "65532:65532");
    assert_eq!(
        inspect("{{json .Config.Entrypoint}} {{json .Config.Cmd}}"),
        r#"["/usr/bin/mirrorvip"] ["run"]"#
    );
    assert_eq!(inspect("{{json .Config.Healthcheck.Test}}"), r#"["CMD","/usr/bin/mirrorvip","healthcheck"]"#);

    // What runs is what was built, as an ordinary user, on a file system that cannot be written to.
    let version = docker.run(&["run", "--rm", "--read-only", "--cap-drop=ALL", MIRRORVIP, "--version"]);
    assert_eq!(version, concat!("mirrorvip ", env!("CARGO_PKG_VERSION")));
    let shell = docker.try_run(&["run", "--rm", "--entrypoint", "/bin/sh", MIRRORVIP]);
    assert_eq!(shell.status.code(), Some(127), "there is no shell: {shell:?}");

    let wrong = "MIRRORVIP_CONFIG_TOML=[health]\nlisten = 8080\n";
    let output = docker.try_run(&["run", "--rm", "--env", wrong, MIRRORVIP]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{complaint}");
    assert!(complaint.contains("--> MIRRORVIP_CONFIG_TOML:2:10"), "{complaint}");

    let configured =
        "MIRRORVIP_CONFIG_TOML=[[mirror]]\nname = \"PROD\"\n[mirror.probe.file]\npath = \"/role\"\n";
    let container = docker.run(&["run", "--detach", "--network=none", "--env", configured, MIRRORVIP]);
    // The same that Docker calls every ten seconds; the listener answers without an instance, too.
    eventually("a healthy daemon", || {
        let check = docker.try_run(&["exec", &container, "/usr/bin/mirrorvip", "healthcheck"]);
        check.status.success()
    });
    let documents = tempfile::tempdir().expect("a temporary directory");
    let copied = documents.path().join("copied");
    docker.run(&["cp", &format!("{container}:/usr/share/doc/mirrorvip"), &copied.to_string_lossy()]);
    documents::assert_complete(&copied);

    docker.run(&["pause", &container]);
    docker.run(&["unpause", &container]);
    docker.run(&["stop", &container]);
    let ended = docker.run(&["inspect", "--format", "{{.State.ExitCode}}", &container]);
    assert_eq!(ended, "0", "it shuts down cleanly: {}", docker.run(&["logs", &container]));
}
