//! HAProxy in the container of the daemon, polling every 100 ms, and what its statistics say.

use std::collections::HashMap;

use crate::support::docker::Container;
use crate::support::eventually;

/// As many servers at one port, so that checks are under way at every moment.
const SERVERS: [&str; 4] = ["a", "b", "c", "d"];

/// All servers stay up whatever fails: HAProxy counts failed checks of servers that are up. A check has the two
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

/// What all servers' lines of `show stat` say.
pub(crate) struct Statistics(Vec<HashMap<String, String>>);

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
        let mut lines = csv.trim_start_matches("# ").lines().map(|line| line.split(',').map(str::to_owned));
        let names: Vec<_> = lines.next().expect("a line of names").collect();
        let servers = lines.map(|line| names.iter().cloned().zip(line).collect::<HashMap<_, _>>());
        let servers: Vec<_> = servers.filter(|line| SERVERS.contains(&&*line["svname"])).collect();
        assert_eq!(servers.len(), SERVERS.len(), "{csv}");
        Statistics(servers)
    }

    /// Waits until the last check of every server succeeded.
    pub(crate) fn wait_for_success(&self) {
        eventually("HAProxy sees SUCCESS", || self.statistics().all_succeed().then_some(()));
    }
}

// === impl Statistics ===

impl Statistics {
    /// Checks that failed since HAProxy started, of all servers together.
    pub(crate) fn failed(&self) -> u64 {
        self.0.iter().map(|server| server["chkfail"].parse::<u64>().expect("a number")).sum()
    }

    /// How the last checks ended, for messages of failing tests: `L7OK`, `L7RSP`, `L4CON`, ...
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let told =
            |server: &HashMap<String, String>| format!("{} {}", server["check_status"], server["last_chk"]);
        self.0.iter().map(told).collect()
    }

    fn all_succeed(&self) -> bool {
        let outcome = |server: &HashMap<String, String>| {
            server["status"] == "UP" && server["check_status"].trim_start_matches("* ") == "L7OK"
        };
        self.0.iter().all(outcome)
    }
}
