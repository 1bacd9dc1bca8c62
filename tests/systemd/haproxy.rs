//! HAProxy in the container of the daemon, polling every 100 ms, and its statistics.

use crate::support::docker::Container;
use crate::support::eventually;
use crate::support::haproxy::Server;

/// As many servers at one port, so that checks are under way at every moment.
const SERVERS: [&str; 4] = ["a", "b", "c", "d"];

/// All servers stay up after any failure: HAProxy counts failed checks of servers that are up. A check has the two
/// seconds that load balancers give it.
const CONFIGURATION: &str = "\
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
    timeout check 2s
frontend statistics
    bind 127.0.0.1:9000
    stats enable
    stats uri /
backend iris
    option httpchk GET /csp/bin/mirrorstatus.cxw
    http-check expect string SUCCESS
    default-server inter 100ms fall 10000 rise 1
";

/// HAProxy's service in a container.
pub(crate) struct Balancer<'a>(&'a Container<'a>);

/// What the statistics say of all servers.
pub(crate) struct Statistics(Vec<Server>);

// === impl Balancer ===

impl<'a> Balancer<'a> {
    /// Starts to poll, and waits until each server has been found up.
    pub(crate) fn start(container: &'a Container<'a>) -> Self {
        let servers = SERVERS.map(|name| format!("    server {name} 127.0.0.1:8080 check\n")).concat();
        container.write("/etc/haproxy/haproxy.cfg", "644", &(CONFIGURATION.to_owned() + &servers));
        container.exec(&["systemctl", "restart", "haproxy"]);
        let balancer = Self(container);
        balancer.wait_for_success();
        balancer
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let csv = self.0.exec(&["curl", "--silent", "--fail", "http://127.0.0.1:9000/;csv"]);
        let servers = Server::read_all(&csv);
        assert_eq!(servers.len(), SERVERS.len(), "{csv}");
        Statistics(servers)
    }

    /// Waits until the last check of every server succeeded.
    pub(crate) fn wait_for_success(&self) {
        eventually("HAProxy sees SUCCESS", || self.statistics().all_succeed());
    }
}

// === impl Statistics ===

impl Statistics {
    /// Checks that failed since HAProxy started, of all servers together.
    pub(crate) fn failed(&self) -> u64 {
        self.0.iter().map(Server::failed_checks).sum()
    }

    /// The servers, for messages of failing tests.
    pub(crate) fn outcomes(&self) -> &[Server] {
        &self.0
    }

    fn all_succeed(&self) -> bool {
        self.0.iter().all(|server| server.is_up() && server.check_status() == "L7OK")
    }
}
