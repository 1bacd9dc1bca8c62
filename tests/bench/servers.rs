//! The servers to compare, each with one thread and the shortest configuration that answers a health check.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mirrorvip::simulation::FakeIris;

use crate::daemon::{Daemon, EVERY_SECOND, Lane};
use crate::process::{Core, Process, free_address};

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Name and version.
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

/// The daemon, as it answers a load balancer on the primary, with the instance asked once a second.
pub(crate) fn mirrorvip(program: &Path, directory: &Path, core: Core) -> Result<Server> {
    let iris = FakeIris::new(&directory.join("iris"), "IRIS")?;
    iris.set_role("Failover", "Primary")?;
    let lane = Lane { iris, path: "/csp/bin".to_owned() };
    let daemon = Daemon::start(program, directory, vec![lane], EVERY_SECOND, Some(core))?;
    daemon.wait_for(&daemon.lanes[0], true, Duration::from_millis(10))?;
    Ok(Server { name: version(program, "--version")?, address: daemon.page, process: daemon.process })
}

/// `http-request return`, without a log.
pub(crate) fn haproxy(directory: &Path, core: Core) -> Result<Server> {
    let program = PathBuf::from("haproxy");
    let (address, path) = (free_address()?, directory.join("haproxy.cfg"));
    let text = format!(
        "global\n  nbthread 1\n  maxconn 1000\n\
         defaults\n  mode http\n  timeout client 5s\n  timeout http-request 5s\n\
         frontend page\n  bind {address}\n  \
         http-request return status 200 content-type text/plain string SUCCESS\n"
    );
    fs::write(&path, text)?;
    let arguments = ["-db", "-f", path.to_str().context("a path that is not UTF-8")?];
    let process = Process::start(&program, &arguments, Some(core), address)?;
    Ok(Server { name: version(&program, "-v")?, address, process })
}

/// `return 200` in one worker, without a log.
pub(crate) fn nginx(directory: &Path, core: Core) -> Result<Server> {
    let program = PathBuf::from("nginx");
    let (address, path) = (free_address()?, directory.join("nginx.conf"));
    let own = directory.display();
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid {own}/nginx.pid; error_log stderr crit;\n\
         events {{ worker_connections 1024; multi_accept on; }}\n\
         http {{\n  access_log off; default_type text/plain;\n  \
         client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/fastcgi;\n  \
         uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;\n  \
         server {{ listen {address} backlog=4096; location / {{ return 200 SUCCESS; }} }}\n}}\n"
    );
    fs::write(&path, text)?;
    let arguments = ["-c", path.to_str().context("a path that is not UTF-8")?];
    let process = Process::start(&program, &arguments, Some(core), address)?;
    Ok(Server { name: version(&program, "-v")?, address, process })
}

/// Name and version, as in `HAProxy 2.6.12`.
fn version(program: &Path, option: &str) -> Result<String> {
    let output = Command::new(program)
        .arg(option)
        .output()
        .with_context(|| format!("failed to start {}", program.display()))?;
    // nginx prints it on standard error.
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let words = text.lines().next().unwrap_or_default().split([' ', '/']);
    let number = words.clone().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let number = number.unwrap_or("?").split('-').next().unwrap_or("?");
    let name = match program.file_name().and_then(|name| name.to_str()) {
        Some("haproxy") => "HAProxy",
        Some(name) => name,
        None => "?",
    };
    Ok(format!("{name} {number}"))
}
