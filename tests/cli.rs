//! The command line from outside: what is printed, where, in which colour, and the exit code.
//!
//! Golden transcripts are in `tests/cli/`; see [`support::transcript`] for how to renew them.

mod support;

#[path = "cli/check.rs"]
mod check;
#[path = "cli/probe.rs"]
mod probe;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/status.rs"]
mod status;
#[path = "cli/take.rs"]
mod take;
#[path = "cli/terminal.rs"]
mod terminal;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use support::node::{Node, change};
use support::transcript::Transcript;
use support::{as_ordinary_user, mirrorvip, open_to_all};

const VERBS: [&str; 10] =
    ["run", "check", "probe", "publish", "status", "take", "explain", "healthcheck", "completions", "man"];

#[test]
fn help_and_version_are_no_errors() {
    let mut transcript = Transcript::new("help");
    transcript.run(mirrorvip().arg("--version"));
    transcript.run(mirrorvip().arg("--help"));
    transcript.run(mirrorvip().arg("-h"));
    for verb in VERBS {
        transcript.run(mirrorvip().args([verb, "--help"]));
    }
    transcript.check();
}

#[test]
fn wrong_usage_is_64() {
    let node = Node::primary();
    let config = node.config_file();
    node.write(&node.config());
    let mut transcript = Transcript::new("usage");
    transcript.hide(node.path().to_string_lossy(), "DIR");
    transcript.run(&mut mirrorvip());
    transcript.run(mirrorvip().arg("start"));
    transcript.run(mirrorvip().args(["run", "--daemonize"]));
    transcript.run(mirrorvip().args(["check", "--color", "sometimes"]));
    transcript.run(mirrorvip().args(["completions", "tcsh"]));
    transcript.run(mirrorvip().args(["explain", "superceded"]));
    transcript.run(mirrorvip().args(["explain", "xyzzy"]));
    transcript.run(mirrorvip().args(["man", "mirrorvip.conf"]));
    transcript.run(mirrorvip().args(["probe", "--mirror", "TEST", "--config"]).arg(&config));
    transcript.run(mirrorvip().args(["run", "--log", "prod=loud", "--config"]).arg(&config));
    let variable = mirrorvip().env("RUST_LOG", "prod=loud").args(["run", "--config"]).arg(&config).output();
    let variable = variable.unwrap();
    assert_eq!(variable.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&variable.stderr).contains("RUST_LOG=prod=loud"));
    transcript.check();
}

#[test]
fn configurations_that_cannot_be_used_are_78_and_forbidden_ones_77() {
    let node = Node::primary();
    let config = node.config_file();
    let mut transcript = Transcript::new("config");
    transcript.hide(node.path().to_string_lossy(), "DIR");
    for verb in ["run", "check", "probe", "status"] {
        transcript.run(mirrorvip().args([verb, "--config"]).arg(&config));
    }
    transcript.run(mirrorvip().args(["check", "--config"]).arg(node.path()));
    fs::write(&config, b"[health]\n# \xff\n").unwrap();
    transcript.run(mirrorvip().args(["check", "--config"]).arg(&config));

    let wrong = change(&node.config(), "interval = \"100ms\"", "intervall = \"100ms\"");
    let wrong = change(&wrong, "127.0.0.1:0\"\n\n[[mirror]]", "0.0.0.0:9180\"\n\n[[mirror]]");
    fs::write(&config, wrong).unwrap();
    for verb in ["run", "check", "probe", "status"] {
        transcript.run(mirrorvip().args([verb, "--config"]).arg(&config));
    }
    transcript.run(mirrorvip().args(["check", "--json", "--config"]).arg(&config));
    let variable = "[health]\nlisten = 8080\n";
    transcript.run(mirrorvip().arg("check").env("MIRRORVIP_CONFIG_TOML", variable));

    open_to_all(&config, 0o000);
    let output = as_ordinary_user(node.path()).args(["check", "--config"]).arg(&config).output().unwrap();
    assert_eq!(output.status.code(), Some(77));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("Permission denied") && complaint.contains("help: "), "{complaint}");
    transcript.check();
}

#[test]
fn completions_are_scripts_that_the_shells_take() {
    for (shell, sign) in
        [("bash", "complete -F _mirrorvip"), ("zsh", "#compdef mirrorvip"), ("fish", "complete -c mirrorvip")]
    {
        let output = mirrorvip().args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains(sign), "{shell}: {script}");
        for verb in VERBS {
            assert!(script.contains(verb), "{shell} does not complete {verb}");
        }
        // Fish gets no values of arguments without a name from clap.
        assert!(shell == "fish" || script.contains("no-member-serves"), "{shell} does not complete words");
        // Only bash is everywhere; the others check theirs where they are installed.
        let dry = Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn();
        match dry {
            Ok(mut dry) => {
                dry.stdin.take().expect("it is piped").write_all(script.as_bytes()).unwrap();
                assert!(dry.wait().unwrap().success(), "{shell} -n refuses the script");
            }
            Err(error) => assert!(shell != "bash", "failed to start bash: {error}"),
        }
    }
}

/// A manual page as `man` shows it, without a warning. Lines are filled and justified, so blanks count once.
fn manual(page: &[&str]) -> String {
    let page = mirrorvip().arg("man").args(page).output().expect("it runs");
    assert!(page.status.success());
    let mut man = Command::new("man")
        .args(["--warnings", "--local-file", "-"])
        .env("MANWIDTH", "100")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("man is among what tests/run installs");
    man.stdin.take().expect("it is piped").write_all(&page.stdout).expect("man reads");
    let rendered = man.wait_with_output().expect("our child");
    assert_eq!(String::from_utf8_lossy(&rendered.stderr), "", "warnings about the page");
    let text = String::from_utf8(rendered.stdout).expect("it is text");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_manual_page_is_one_and_has_every_verb() {
    let text = manual(&[]);
    for verb in VERBS {
        assert!(text.contains(&format!("MIRRORVIP {}", verb.to_uppercase())), "no section for {verb}");
    }
    for section in [
        "EXIT STATUS 0 Success.",
        "SIGNALS",
        "ENVIRONMENT",
        "FILES",
        "EXAMPLES",
        "SEE ALSO mirrorvip.toml(5)",
    ] {
        assert!(text.contains(section), "no section {section}");
    }
    for word in
        ["AWS_ENDPOINT_URL_ROUTE_53", "NO_COLOR", "MIRRORVIP_CONFIG_TOML", "/etc/mirrorvip/mirrorvip.toml"]
    {
        assert!(text.contains(word), "the page does not name {word}");
    }
}

#[test]
fn the_configuration_has_a_manual_page_with_every_key() {
    let text = manual(&["mirrorvip.toml"]);
    for key in mirrorvip::provider::known_keys() {
        assert!(text.contains(key.name), "no {}", key.name);
    }
    for word in
        ["MIRRORVIP.TOML(5)", "[[mirror.route53]]", "Default: \"1s\".", "EXAMPLE", "SEE ALSO mirrorvip(1)"]
    {
        assert!(text.contains(word) || text.contains(&word.to_lowercase()), "no {word}: {text}");
    }
}

#[test]
fn explain_prints_a_page_of_the_runbook_and_suggests_words() {
    let explain = |words: &[&str]| mirrorvip().arg("explain").args(words).output().unwrap();
    let page = explain(&["timed-out"]);
    assert!(page.status.success());
    let text = String::from_utf8(page.stdout).unwrap();
    assert!(text.contains("What to do") && text.contains("    time sudo -u mirrorvip iris qlist"), "{text}");
    assert!(!text.contains('\u{1b}'), "plain in a pipe");
    let coloured = mirrorvip().args(["explain", "timed-out", "--color", "always"]).output().unwrap();
    assert!(String::from_utf8_lossy(&coloured.stdout).contains("\u{1b}[1mWhat to do"));
    let message = explain(&["the watchdog is not fed: the service manager will restart the daemon"]);
    assert!(String::from_utf8_lossy(&message.stdout).starts_with("watchdog\n"));
    let list = String::from_utf8(explain(&[]).stdout).unwrap();
    assert!(list.contains("two-serve") && list.contains("Causes of no evidence"), "{list}");
}

/// A reader that has seen enough, as `| head -1`, is no error, and what was about to be printed is dropped.
#[test]
fn a_closed_pipe_is_no_error() {
    let node = Node::primary();
    let config = node.config_file();
    node.write(&node.config());
    for verb in [&["completions", "bash"][..], &["man"], &["probe"]] {
        let mut child = mirrorvip()
            .args(verb)
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut reader = BufReader::with_capacity(16, child.stdout.take().expect("it is piped"));
        reader.read_line(&mut line).unwrap();
        drop(reader);
        assert!(!line.is_empty());
        let mut complaint = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut complaint).unwrap();
        assert!(child.wait().unwrap().success(), "{verb:?}");
        assert_eq!(complaint, "", "{verb:?}");
    }
}
