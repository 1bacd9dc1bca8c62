//! Clients that others wrote: curl and netcat. Each test is about what that client does in its own way; where
//! the client is not installed, it says so and proves nothing.

use std::io::Write;
use std::process::{Command, Stdio};

use super::harness::{CHECK, SUCCESS, serving, settings};

fn run(command: &str, arguments: &[&str], input: &str) -> Option<String> {
    let spawned = Command::new(command)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("{command} is not installed: nothing proved");
            return None;
        }
        other => other.unwrap(),
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command} {arguments:?}: {}", output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn curl() {
    let rig = serving(settings());
    let url = format!("http://{}/csp/bin/mirrorstatus.cxw", rig.address());
    for way in [&["--http1.1"][..], &["--http1.0"], &["--http2"], &["-H", "Connection: keep-alive"]] {
        let arguments = [&["-sSi", "--max-time", "30", &url], way].concat();
        if let Some(answer) = run("curl", &arguments, "") {
            assert_eq!(answer, SUCCESS, "{way:?}");
        }
    }
    if let Some(answer) = run("curl", &["-sSI", "--max-time", "30", &url], "") {
        assert_eq!(answer, SUCCESS.strip_suffix("SUCCESS").unwrap());
    }
    let upload = ["-sS", "--max-time", "30", "-o", "/dev/null", "-w", "%{http_code}", "--data", "@-", &url];
    if let Some(code) = run("curl", &upload, &"x".repeat(50_000)) {
        assert_eq!(code, "405");
    }
}

#[test]
fn netcat() {
    let rig = serving(settings());
    let (host, port) = (rig.address().ip().to_string(), rig.address().port().to_string());
    for input in [CHECK, CHECK.trim_end()] {
        if let Some(answer) = run("nc", &["-N", "-w", "30", &host, &port], input) {
            assert_eq!(answer, SUCCESS);
        }
    }
}
