//! Checks that the addresses are free and that load balancers can reach them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::process::{Resource, getrlimit};

use super::{Finding, Kind, files};
use crate::config::Health;
use crate::descriptors::{RESERVED, room_for_connections};
use crate::provider::Config;

pub(super) async fn listeners(config: &Config) -> Vec<Finding> {
    let running = daemon_answers(config.admin.listen).await;
    let mut findings: Vec<_> =
        config.health.listen.iter().map(|address| listener("[health] listen", *address, running)).collect();
    findings
        .extend(config.health.agent_check.map(|address| listener("[health] agent_check", address, running)));
    findings.push(listener("[admin] listen", config.admin.listen, running));
    if config.health.listen.iter().all(|address| address.ip().is_loopback()) {
        findings.push(
            Finding::warning(
                "[health] listen",
                "only this machine can reach the status page, and no load balancer",
            )
            .help("Write listen = [\"0.0.0.0:8080\"], and allow the port in the firewall or security group."),
        );
    }
    findings
}

fn listener(subject: &str, address: SocketAddr, daemon_is_running: bool) -> Finding {
    let subject = format!("{subject} {address}");
    let Err(error) = TcpListener::bind(address) else { return Finding::good(subject, "free") };
    match error.kind() {
        io::ErrorKind::AddrInUse if daemon_is_running => {
            Finding::good(subject, "in use, as expected while mirrorvip is running")
        }
        io::ErrorKind::AddrInUse => Finding::error(Kind::Unavailable, &subject, "another program uses it")
            .help(format!(
                "`ss -ltnp 'sport = :{}'` shows which; stop it, or choose another port. If it is systemd, \
                 mirrorvip.socket holds it for the daemon, as intended.",
                address.port()
            )),
        io::ErrorKind::AddrNotAvailable => {
            // It may become one when its interface is up: no error of the configuration.
            Finding::error(Kind::Unavailable, subject, "is not an address of this machine")
                .help("`ip address` lists them; 0.0.0.0 means all of them.")
        }
        io::ErrorKind::PermissionDenied => {
            Finding::error(Kind::Permission, subject, "this user may not use a port below 1024")
                .help("Choose a port from 1024, or grant CAP_NET_BIND_SERVICE.")
        }
        _ => Finding::error(files::kind(&error), subject, format!("cannot be used: {error}")),
    }
}

/// Whether the address of the admin listener accepts connections: then the daemon itself most likely uses the addresses.
async fn daemon_answers(admin: SocketAddr) -> bool {
    let connect = tokio::net::TcpStream::connect(admin);
    matches!(tokio::time::timeout(std::time::Duration::from_secs(1), connect).await, Ok(Ok(_)))
}

/// Checks that the limit of open files allows `max_connections`. The daemon raises its soft limit to the hard limit.
pub(super) fn descriptors(health: &Health) -> Finding {
    let limit = getrlimit(Resource::Nofile).maximum;
    let room = room_for_connections(limit);
    match limit {
        Some(limit) if room < health.max_connections => Finding::warning(
            "open files",
            format!(
                "max_connections = {} needs a hard limit of {} open files; it is {limit}, which allows {room} connections",
                health.max_connections,
                health.max_connections as u64 + RESERVED
            ),
        )
        .help("Raise LimitNOFILE= of the service (`systemctl show -p LimitNOFILE mirrorvip` shows it), or lower max_connections."),
        Some(_) | None => Finding::good("open files", format!("the limit allows max_connections = {}", health.max_connections)),
    }
}
