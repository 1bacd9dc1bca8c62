//! Programs of the Python environment that `tests/run` installs, and a boto3 that makes calls for a test.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of this module")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A Python process that makes calls by boto3.
pub struct Boto3 {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// A program of the Python environment.
pub fn program(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/.venv/bin").join(name);
    assert!(path.exists(), "{} is not there: run `tests/run`, which installs it", path.display());
    path
}

/// A script of `tests/python`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name)
}

/// A command with the environment of a member of the cloud and nothing else of ours.
pub fn command(program: PathBuf, environment: Vec<(String, String)>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("AWS_PAGER", "").envs(environment);
    command
}

// === impl Boto3 ===

impl Boto3 {
    /// Starts the process with this environment.
    pub fn start(environment: Vec<(String, String)>) -> Self {
        let mut child = command(program("python"), environment)
            .arg(script("calls.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, requests, answers }
    }

    /// Makes one call; what came of it.
    pub fn call(&mut self, service: &str, method: &str, parameters: &Value) -> Value {
        let line = serde_json::json!([service, method, parameters]);
        let requests = self.requests.as_mut().expect("it is open until the end");
        writeln!(requests, "{line}").expect("Python reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("Python writes");
        serde_json::from_str(&answer).expect("Python writes JSON, unless it failed: see above")
    }

    /// Makes one call that must succeed; its answer.
    pub fn ok(&mut self, service: &str, method: &str, parameters: &Value) -> Value {
        let mut outcome = self.call(service, method, parameters);
        assert!(outcome.get("ok").is_some(), "{service} {method}: {outcome}");
        outcome["ok"].take()
    }
}

impl Drop for Boto3 {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
