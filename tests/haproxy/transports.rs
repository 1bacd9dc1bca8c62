//! The same page over other transports: checks over TLS, and checks with a PROXY header, as HAProxy sends them where
//! the servers themselves expect it.

use tempfile::TempDir;

use super::balancer::Checks;
use super::stage::Stage;
use crate::support::certificate::Certificate;

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
    let (_files, table, words) = tls();
    follows_a_failover(&table, &words);
}

#[test]
fn checks_over_tls_with_a_proxy_header() {
    let (_files, table, words) = tls();
    follows_a_failover(&format!("proxy_protocol = true\n{table}"), &format!("check-send-proxy {words}"));
}

/// HAProxy, with these further words for each server, finds the primary, and the next one.
fn follows_a_failover(health: &str, words: &str) {
    let stage = Stage::set(health, Checks::QUICK, |name, member| {
        let (database, page) = (member.database.address, member.page);
        format!("{name} {database} check addr {} port {} {words}", page.ip(), page.port())
    });
    assert_eq!(stage.balancer.server("a").check_status(), "L7OK");
    assert_eq!(stage.balancer.server("b").check_status(), "L7RSP", "it understood, and answered FAILED");
    stage.a.becomes("Backup");
    stage.balancer.wait_until_down("a");
    stage.b.becomes("Primary");
    assert_eq!(stage.balancer.wait_until_up("b").check_status(), "L7OK");
}

/// The daemons' table of a certificate, and the words with which HAProxy trusts it alone; both name files in the directory.
fn tls() -> (TempDir, String, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let table = Certificate::new().table("health", directory.path());
    let authority = directory.path().join("tls.crt");
    (directory, table, format!("check-ssl verify required ca-file {}", authority.display()))
}
