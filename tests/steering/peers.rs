//! Two whole daemons that are each other's peers: what they report to each other, and what a member does about a
//! later promotion. Their instances are files that the test writes; everything else is real.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mirrorvip::clock::Clock;
use mirrorvip::config::steering::{Hook, Peer, Superseded, Target};
use mirrorvip::config::{self, Config, HttpTarget};
use mirrorvip::daemon::Daemon;
use mirrorvip::service::Service;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::support::address::{free_port, own_address};

/// No honest step takes this long on any machine; who waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

struct Member {
    role_file: PathBuf,
    config: Config,
    daemon: Daemon,
}

fn configuration(directory: &Path, name: &str, own: SocketAddr, peer: SocketAddr) -> Config {
    let (state, role) = (directory.join(name), directory.join(format!("{name}.role")));
    let text = format!(
        "state_directory = \"{}\"\n[health]\nlisten = \"{own}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[mirror]]\nname = \"PROD\"\nmember = \"{name}\"\ninterval = \"50ms\"\ntimeout = \"2s\"\n\
         stale_after = \"2500ms\"\nqos_timeout = \"3s\"\n[mirror.probe.exec]\n\
         command = [\"/bin/grep\", \"-q\", \"^primary\", \"{}\"]\n",
        state.display(),
        role.display()
    );
    let mut config = config::parse(&text, name).unwrap_or_else(|report| panic!("{}", report.render(false)));
    let url = format!("http://{peer}/csp/bin/mirrorstatus.cxw").parse().expect("an address");
    config.mirrors[0].peers = vec![Peer {
        address: format!("peer of {name}"),
        page: HttpTarget { url, ca_file: None },
        member: None,
    }];
    config
}

impl Member {
    async fn start(config: Config, directory: &Path, name: &str) -> Self {
        let role_file = directory.join(format!("{name}.role"));
        if !role_file.exists() {
            fs::write(&role_file, "backup\n").expect("the test's directory is writable");
        }
        let daemon =
            Daemon::start(config.clone(), Clock::system(), Service::none()).await.expect("the daemon starts");
        Self { role_file, config, daemon }
    }

    fn becomes(&self, role: &str) {
        fs::write(&self.role_file, format!("{role}\n")).expect("the test's directory is writable");
        self.daemon.wake();
    }

    async fn get(&self, path: &str) -> String {
        let address = self.daemon.health_addresses()[0];
        exchange(address, path).await
    }

    async fn status(&self) -> Value {
        let answer = exchange(self.daemon.admin_address(), "/status").await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        serde_json::from_str(body).expect("the status is JSON")
    }

    async fn until_state(&self, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status().await;
            let mirror = &status["mirrors"][0];
            if mirror["state"] == state {
                return;
            }
            assert!(Instant::now() < deadline, "waited in vain for {state}: {mirror:#}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until_ruling(&self, ruling: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let authority = self.status().await["mirrors"][0]["authority"].clone();
            if authority["ruling"] == ruling {
                return authority;
            }
            assert!(Instant::now() < deadline, "waited in vain for {ruling}: {authority:#}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it reports to its peers.
    async fn report(&self) -> Value {
        let answer = self.get("/PROD/peer").await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        serde_json::from_str(body).expect("the report is JSON")
    }

    async fn page(&self) -> bool {
        self.get("/csp/bin/mirrorstatus.cxw").await.ends_with("SUCCESS")
    }

    async fn restart(self, directory: &Path, name: &str) -> Self {
        let config = self.config.clone();
        self.daemon.stop().await;
        Self::start(config, directory, name).await
    }
}

async fn exchange(address: SocketAddr, path: &str) -> String {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.expect("the daemon listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the daemon reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the daemon answers");
        answer
    };
    timeout(PATIENCE, ask).await.expect("the daemon answers in time")
}

async fn pair(directory: &Path, policy: Superseded) -> (Member, Member) {
    let (a, b) = (free_port(own_address()), free_port(own_address()));
    let mut of_a = configuration(directory, "a", a, b);
    let mut of_b = configuration(directory, "b", b, a);
    (of_a.mirrors[0].superseded, of_b.mirrors[0].superseded) = (policy, policy);
    (Member::start(of_a, directory, "a").await, Member::start(of_b, directory, "b").await)
}

/// The mirror waits for its primary before it promotes another member.
async fn qos_timeout() {
    sleep(Duration::from_secs(3)).await;
}

#[tokio::test]
async fn the_page_of_the_earlier_one_refuses_until_its_own_instance_loses_the_role() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (a, b) = pair(directory.path(), Superseded::Refuse).await;
    a.until_state("not-primary").await;
    a.becomes("primary");
    a.until_state("primary").await;
    a.until_ruling("clear").await;
    let report = a.report().await;
    let expected = serde_json::json!({
        "role": "primary", "definite": true, "serving": true, "term": 1, "proven": true, "authority": "clear",
    });
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&report[key], value, "{key}: {report:#}");
    }
    assert_eq!(report["seen"], serde_json::json!({"term": 1, "member": "a"}));
    qos_timeout().await;

    // The other is promoted by force: IRIS has two that look primary to themselves.
    b.becomes("primary");
    b.until_state("primary").await;
    a.until_state("superseded").await;
    assert!(!a.page().await && b.page().await);
    assert!(
        a.get("/primary").await.contains("b (term 2) at peer of a was promoted after this member (term 1)")
    );
    b.until_ruling("clear").await;

    a.becomes("backup");
    a.until_state("not-primary").await;
    qos_timeout().await;
    a.becomes("primary");
    a.until_state("primary").await;
    b.until_state("superseded").await;
    assert!(a.page().await && !b.page().await, "and it is the later one this time");
    a.daemon.stop().await;
    b.daemon.stop().await;
}

#[tokio::test]
async fn a_daemon_that_restarts_on_either_knows_who_was_promoted_later() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (a, b) = pair(directory.path(), Superseded::Warn).await;
    a.until_state("not-primary").await;
    b.until_state("not-primary").await;
    a.becomes("primary");
    a.until_state("primary").await;
    qos_timeout().await;
    b.becomes("primary");
    b.until_state("primary").await;
    a.until_ruling("superseded").await;
    assert!(a.page().await, "it only warns");
    // Neither saw a promotion in its new process; both remember.
    let a = a.restart(directory.path(), "a").await;
    a.until_state("primary").await;
    a.until_ruling("superseded").await;
    let b = b.restart(directory.path(), "b").await;
    b.until_state("primary").await;
    b.until_ruling("clear").await;
    a.daemon.stop().await;
    b.daemon.stop().await;
}

#[tokio::test]
async fn a_reload_keeps_the_standing_and_starts_and_ends_loops() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (mut a, b) = pair(directory.path(), Superseded::Refuse).await;
    a.until_state("not-primary").await;
    a.becomes("primary");
    let ruled = a.until_ruling("clear").await;
    let hook = Hook {
        command: vec!["/bin/true".to_owned()],
        on_promotion: true,
        on_demotion: false,
        timeout: PATIENCE,
        retry: false,
        environment: Vec::new(),
    };
    let mut config = a.config.clone();
    config.mirrors[0].targets = vec![Target::Hook(hook)];
    a.daemon.reload(config).await.expect("the configuration is good");
    let status = a.status().await;
    let mirror = &status["mirrors"][0];
    assert_eq!((&mirror["state"], &mirror["authority"]), (&"primary".into(), &ruled));
    assert_eq!(mirror["steering"][0]["target"], "hook /bin/true");
    let metrics = exchange(a.daemon.admin_address(), "/metrics").await;
    assert!(metrics.contains("mirrorvip_authority{mirror=\"PROD\",authority=\"clear\"} 1"), "{metrics}");
    assert!(
        metrics
            .contains("mirrorvip_steering_drift_repaired_total{mirror=\"PROD\",target=\"hook /bin/true\"} 0")
    );

    let mut config = a.config.clone();
    config.mirrors[0].peers.clear();
    a.daemon.reload(config).await.expect("the configuration is good");
    let status = a.status().await;
    assert_eq!(status["mirrors"][0]["authority"], Value::Null);
    assert_eq!(status["mirrors"][0]["steering"], Value::Array(Vec::new()));
    assert_eq!(status["mirrors"][0]["state"], "primary", "no verdict is lost");
    a.daemon.stop().await;
    b.daemon.stop().await;
}

#[tokio::test]
async fn peers_that_ask_do_not_pass_for_a_load_balancer() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (a, b) = pair(directory.path(), Superseded::Refuse).await;
    a.becomes("primary");
    b.becomes("primary");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = a.status().await;
        let mirror = &status["mirrors"][0];
        assert_eq!(mirror["last_checked_at"], Value::Null);
        if mirror["checkers"].as_array().is_some_and(|checkers| !checkers.is_empty()) {
            break;
        }
        assert!(Instant::now() < deadline, "its peer asks");
        sleep(Duration::from_millis(10)).await;
    }
    a.daemon.stop().await;
    b.daemon.stop().await;
}
