//! What else could make the cloud follow: a call-out by boto3 or by the AWS command line, and two HTTP calls with
//! nothing around them, which is the floor.
//!
//! Each reads first and then writes, with its defaults. Credentials of the call-outs come from the instance
//! metadata, as on real instances.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::stage::{Kind, Object, PORT, RECORD, Stage};

/// How long the simulated cloud may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A program that is started when the role changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    /// A Python script.
    Boto3,
    /// A shell script.
    CommandLine,
}

/// A running call-out; it ends with this value, and all that it has started.
#[derive(Debug)]
pub(crate) struct CallOut(Child);

/// A kept connection to the cloud's APIs, and who asks.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: BufReader<TcpStream>,
    host: String,
    access_key: String,
    region: String,
    member: String,
}

// === impl Rival ===

impl Rival {
    /// Starts the call-out that leads `object` to `member`.
    pub(crate) fn start(self, stage: &Stage, object: &Object, member: &str) -> Result<CallOut> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
        let programs = root.join(".venv/bin");
        let scripts = root.join("bench/rivals");
        let (program, script) = match self {
            Self::Boto3 => (programs.join("python"), scripts.join("callout.py")),
            Self::CommandLine => ("/bin/sh".into(), scripts.join("callout.sh")),
        };
        let port = PORT.to_string();
        let (kind, name) = match object.kind {
            Kind::TargetGroup => ("group", port.as_str()),
            Kind::Record => ("record", RECORD),
        };
        let child = Command::new(&program)
            .arg(script)
            .args([kind, &object.id, name, &stage.address(member)?.to_string()])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .env("AWS_PAGER", "")
            .envs(stage.cloud.role_environment(member))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        Ok(CallOut(child))
    }
}

// === impl CallOut ===

impl CallOut {
    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Waits until it has done its work.
    pub(crate) fn finish(mut self) -> Result<()> {
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { bail!("the call-out ended with {status}") }
    }
}

impl Drop for CallOut {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // It fails only when the group has ended meanwhile.
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

// === impl Raw ===

impl Raw {
    /// Connects.
    pub(crate) fn connect(stage: &Stage, member: &str) -> Result<Self> {
        let environment = stage.cloud.environment(member);
        let value = |name: &str| {
            let found = environment.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).with_context(|| format!("no {name}"))
        };
        let endpoint = value("AWS_ENDPOINT_URL")?;
        let host = endpoint.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (access_key, region) = (value("AWS_ACCESS_KEY_ID")?, value("AWS_REGION")?);
        Ok(Self { stream: BufReader::new(stream), host, access_key, region, member: member.to_owned() })
    }

    /// Reads `object` and points it to this member.
    pub(crate) fn steer(&mut self, stage: &Stage, object: &Object) -> Result<()> {
        let (id, address) = (&object.id, stage.address(&self.member)?);
        match object.kind {
            Kind::TargetGroup => {
                let form = |action: &str, more: &str| {
                    format!("Action={action}&Version=2015-12-01&TargetGroupArn={id}{more}")
                };
                let target = format!("&Targets.member.1.Id={address}&Targets.member.1.Port={PORT}");
                self.call("POST", "/", &form("DescribeTargetHealth", ""), object.kind)?;
                self.call("POST", "/", &form("RegisterTargets", &target), object.kind)
            }
            Kind::Record => {
                let path = format!("/2013-04-01/hostedzone/{id}/rrset");
                let query = format!("{path}?name={RECORD}&type=A&maxitems=1");
                let batch = format!(
                    "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
                     <ChangeBatch><Changes><Change><Action>UPSERT</Action><ResourceRecordSet>\
                     <Name>{RECORD}</Name><Type>A</Type><TTL>5</TTL>\
                     <ResourceRecords><ResourceRecord><Value>{address}</Value></ResourceRecord></ResourceRecords>\
                     </ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
                );
                self.call("GET", &query, "", object.kind)?;
                self.call("POST", &path, &batch, object.kind)
            }
        }
    }

    /// One call. It is not signed: signatures are not checked here, and it saves this side what the others do.
    fn call(&mut self, method: &str, path: &str, body: &str, kind: Kind) -> Result<()> {
        let (content_type, service) = match kind {
            Kind::TargetGroup => ("application/x-www-form-urlencoded", "elasticloadbalancing"),
            Kind::Record => ("application/xml", "route53"),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={}/20260101/{}/{service}/aws4_request, \
             SignedHeaders=host, Signature=0\r\n\r\n{body}",
            self.host,
            body.len(),
            self.access_key,
            self.region,
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (status, length) = self.read_head()?;
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        if status != "200" {
            bail!("status {status}: {}", answer.escape_ascii());
        }
        Ok(())
    }

    /// The status code of an answer, and how long its body is.
    fn read_head(&mut self) -> Result<(String, usize)> {
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let line = line.trim_end();
            if line.is_empty() {
                return Ok((status.context("an answer without a status")?, length));
            }
            if status.is_none() {
                status = line.split(' ').nth(1).map(str::to_owned);
            } else if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.parse()?;
            }
        }
    }
}
