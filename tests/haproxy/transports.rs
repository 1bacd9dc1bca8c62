//! The same page in other clothes: checks over TLS, and checks with a PROXY header, as HAProxy sends them where
//! the servers themselves expect it.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::balancer::Checks;
use crate::stage::Stage;

#[test]
fn checks_with_a_proxy_header() {
    follows_a_failover("proxy_protocol = true", "check-send-proxy");
}

#[test]
fn checks_with_a_proxy_header_of_version_2() {
    follows_a_failover("proxy_protocol = true", "send-proxy-v2 check-send-proxy");
}

#[test]
fn checks_over_tls() {
    let identity = Identity::make();
    follows_a_failover(&identity.tls(), &identity.check());
}

#[test]
fn checks_over_tls_with_a_proxy_header() {
    let identity = Identity::make();
    let health = format!("proxy_protocol = true\n{}", identity.tls());
    follows_a_failover(&health, &format!("check-send-proxy {}", identity.check()));
}

/// HAProxy, with these further words for each server, finds the primary, and the next one.
fn follows_a_failover(health: &str, words: &str) {
    let stage = Stage::set(health, Checks::QUICK, |name, member| {
        let (database, page) = (member.database.address, member.page);
        format!("{name} {database} check addr {} port {} {words}", page.ip(), page.port())
    });
    assert_eq!(stage.balancer.server("a").check_status(), "L7OK");
    assert_eq!(stage.balancer.server("b").check_status(), "L7RSP", "it understood, and said no");
    stage.a.becomes("Backup");
    stage.balancer.wait_until_down("a");
    stage.b.becomes("Primary");
    assert_eq!(stage.balancer.wait_until_up("b").check_status(), "L7OK");
}

/// A certificate that vouches for itself.
struct Identity(TempDir);

// === impl Identity ===

impl Identity {
    fn make() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let made = rcgen::generate_simple_self_signed(["mirrorvip.test".to_owned()]).expect("a certificate");
        let write = |name: &str, text: String| {
            fs::write(directory.path().join(name), text).expect("the test's directory is writable");
        };
        write("certificate.pem", made.cert.pem());
        write("key.pem", made.signing_key.serialize_pem());
        Self(directory)
    }

    /// The daemons' table.
    fn tls(&self) -> String {
        let path = |name: &str| self.path().join(name).display().to_string();
        let (certificate, key) = (path("certificate.pem"), path("key.pem"));
        format!("[health.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"")
    }

    /// HAProxy's words.
    fn check(&self) -> String {
        format!("check-ssl verify required ca-file {}", self.path().join("certificate.pem").display())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}
