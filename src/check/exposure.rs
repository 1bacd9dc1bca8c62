//! Checks what the configuration lets others on the network read or forge, and which clients it excludes. PURE.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Finding;
use crate::config::{Admin, Health, crosses_in_the_clear};
use crate::provider::{Config, Mirror};

/// Length of the prefix of IPv4-mapped IPv6 addresses, `::ffff:0:0/96`.
const MAPPED_PREFIX: u8 = 96;

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(token(&config.admin));
    findings
        .extend(config.health.allowed_networks.iter().filter_map(|network| matches(network, &config.health)));
    for mirror in &config.mirrors {
        findings.extend(peers(mirror));
    }
    findings
}

/// A token that crosses the network unencrypted.
fn token(admin: &Admin) -> Option<Finding> {
    let in_the_clear = admin.token_file.is_some() && admin.tls.is_none();
    (in_the_clear && !admin.listen.ip().to_canonical().is_loopback()).then(|| {
        Finding::warning(
            format!("[admin] listen {}", admin.listen),
            "accepts the bearer token without TLS: it can be read on the network",
        )
        .help("Write [admin.tls], or listen = \"127.0.0.1:9180\" if no other machine asks.")
    })
}

/// An IPv6 network that seems to contain IPv4 clients and does not: addresses of IPv4 clients are compared as IPv4
/// addresses, never in their mapped form.
fn matches(network: &IpNet, health: &Health) -> Option<Finding> {
    let IpNet::V6(network) = network else { return None };
    let subject = format!("[health] allowed_networks {network}");
    if let Some(meant) = as_ipv4(*network) {
        return Some(
            Finding::warning(subject, "matches no client: IPv4 addresses are compared as IPv4 addresses")
                .help(format!("Write \"{meant}\".")),
        );
    }
    let ipv4_comes =
        health.proxy_protocol || health.listen.iter().any(|address| address.ip().to_canonical().is_ipv4());
    let ipv4_may = health.allowed_networks.iter().any(|network| matches!(network, IpNet::V4(_)));
    (ipv4_comes && !ipv4_may).then(|| {
        Finding::warning(
            subject,
            "matches no IPv4 client, and no other network does: all of them are refused",
        )
        .help("Add the IPv4 networks of the checkers, or \"0.0.0.0/0\" for all.")
    })
}

/// The IPv4 network of an IPv6 network of mapped addresses.
fn as_ipv4(network: Ipv6Net) -> Option<Ipv4Net> {
    let length = network.prefix_len().checked_sub(MAPPED_PREFIX)?;
    Ipv4Net::new(network.network().to_ipv4_mapped()?, length).ok()
}

/// Peers whose answers an attacker on the network can forge.
fn peers(mirror: &Mirror) -> Option<Finding> {
    if mirror.peer_key_file.is_some() {
        return None;
    }
    let open: Vec<_> = mirror.peers.iter().filter(|peer| crosses_in_the_clear(&peer.page.url)).collect();
    let names = open.iter().map(|peer| peer.address.as_str()).collect::<Vec<_>>().join(", ");
    (!open.is_empty()).then(|| {
        Finding::warning(
            format!("mirror {}, peers {names}", mirror.name),
            "are asked over plain HTTP, and their answers are not signed: an attacker on the network can make \
             this member refuse, or serve in addition to another",
        )
        .help(
            "Make a secret with `openssl rand -hex 32` and name its file in `peer_key_file` of [[mirror]] on every \
             member, or give `page` an https address.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said about a configuration with these lines in `[health]`, `[admin]` and `[[mirror]]`.
    fn found(health: &str, admin: &str, mirror: &str) -> Vec<Finding> {
        let text = format!(
            "[health]\n{health}\n[admin]\n{admin}\n[[mirror]]\nname = \"PROD\"\nmember = \"a\"\n{mirror}\n\
             [mirror.probe.qlist]\ninstance = \"IRIS\"\n"
        );
        findings(
            &crate::provider::parse(&text, "test")
                .unwrap_or_else(|report| panic!("{}", report.render(false))),
        )
    }

    fn one(found: &[Finding], subject: &str, words: &str) {
        let [finding] = found else { panic!("one finding about {subject}: {found:#?}") };
        assert_eq!(finding.subject, subject);
        assert_eq!(finding.severity, super::super::Severity::Warning);
        let help = finding.help.as_deref().expect("a warning says what to do");
        assert!(finding.message.contains(words) || help.contains(words), "no `{words}`: {finding:#?}");
    }

    #[test]
    fn nothing_is_exposed_by_default() {
        assert_eq!(found("", "", ""), []);
    }

    #[test]
    fn token_in_the_clear() {
        let token = "token_file = \"/etc/mirrorvip/token\"";
        let beyond = format!("{token}\nlisten = \"0.0.0.0:9180\"");
        one(&found("", &beyond, ""), "[admin] listen 0.0.0.0:9180", "without TLS");
        assert_eq!(found("", token, ""), [], "loopback");
        let tls = format!("{beyond}\n[admin.tls]\ncertificate = \"/a\"\nkey = \"/b\"");
        assert_eq!(found("", &tls, ""), []);
    }

    #[test]
    fn networks_without_ipv4_clients() {
        let allowed = |networks: &str| found(&format!("allowed_networks = [{networks}]"), "", "");
        let subject = |network: &str| format!("[health] allowed_networks {network}");
        one(&allowed("\"::ffff:10.0.0.0/104\""), &subject("::ffff:10.0.0.0/104"), "\"10.0.0.0/8\"");
        one(
            &allowed("\"::ffff:10.0.0.9\", \"10.0.0.0/24\""),
            &subject("::ffff:10.0.0.9/128"),
            "\"10.0.0.9/32\"",
        );
        one(&allowed("\"::/0\""), &subject("::/0"), "\"0.0.0.0/0\"");
        one(&allowed("\"2001:db8::/32\""), &subject("2001:db8::/32"), "no IPv4 client");
        assert_eq!(allowed("\"::/0\", \"0.0.0.0/0\""), []);
        assert_eq!(allowed("\"10.0.0.0/8\""), []);
        let six = "listen = \"[::]:8080\"\nallowed_networks = \"::/0\"";
        assert_eq!(found(six, "", ""), [], "only IPv6 clients come");
        let relayed = format!("{six}\nproxy_protocol = true");
        one(&found(&relayed, "", ""), &subject("::/0"), "no IPv4 client");
    }

    #[test]
    fn peers_without_key_and_tls() {
        let peer = |page: &str| format!("[[mirror.peer]]\naddress = \"10.0.0.2\"\npage = \"{page}\"\n");
        let open = peer("http://10.0.0.2:8080/csp/bin/mirrorstatus.cxw");
        one(&found("", "", &open), "mirror PROD, peers 10.0.0.2", "peer_key_file");
        let key = format!("peer_key_file = \"/etc/mirrorvip/peer.key\"\n{open}");
        assert_eq!(found("", "", &key), []);
        for page in ["https://10.0.0.2/csp/bin/mirrorstatus.cxw", "http://[::1]:8080/x", "http://localhost/x"]
        {
            assert_eq!(found("", "", &peer(page)), [], "{page}");
        }
    }
}
