//! What others on the network can read, forge or not reach, as far as the configuration says it. PURE.

use std::net::IpAddr;

use hyper::Uri;
use hyper::http::uri::Scheme;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Finding;
use crate::config::steering::Target;
use crate::config::{Admin, Config, Health, Mirror};
use crate::steer::kubernetes;

/// The IPv4 addresses as IPv6 writes them, `::ffff:0:0/96`: how many bits of one are no part of the IPv4 address.
const MAPPED_PREFIX: u8 = 96;

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(token(&config.admin));
    findings
        .extend(config.health.allowed_networks.iter().filter_map(|network| matches(network, &config.health)));
    for mirror in &config.mirrors {
        findings.extend(peers(mirror));
        findings.extend(api_servers(mirror));
    }
    findings
}

/// A token that crosses the network in the clear.
fn token(admin: &Admin) -> Option<Finding> {
    let in_the_clear = admin.token_file.is_some() && admin.tls.is_none();
    (in_the_clear && !admin.listen.ip().to_canonical().is_loopback()).then(|| {
        Finding::warning(
            format!("[admin] listen {}", admin.listen),
            "takes the bearer token without TLS: whoever can listen on the way has it, too",
        )
        .help("Write [admin.tls], or listen = \"127.0.0.1:9180\" where nobody asks from another machine.")
    })
}

/// A network that looks as if it held IPv4 clients, and holds none: addresses are compared as what they are, and never
/// in the form that IPv6 has for IPv4.
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
        .help("Add the IPv4 networks of the checkers, or \"0.0.0.0/0\" for everybody.")
    })
}

/// The IPv4 network that an IPv6 network of mapped addresses stands for.
fn as_ipv4(network: Ipv6Net) -> Option<Ipv4Net> {
    let length = network.prefix_len().checked_sub(MAPPED_PREFIX)?;
    Ipv4Net::new(network.network().to_ipv4_mapped()?, length).ok()
}

/// Peers whose answers anybody on the way can make up.
fn peers(mirror: &Mirror) -> Option<Finding> {
    if mirror.peer_key_file.is_some() {
        return None;
    }
    let open: Vec<_> = mirror.peers.iter().filter(|peer| crosses_in_the_clear(&peer.page.url)).collect();
    let names = open.iter().map(|peer| peer.address.as_str()).collect::<Vec<_>>().join(", ");
    (!open.is_empty()).then(|| {
        Finding::warning(
            format!("mirror {}, peers {names}", mirror.name),
            "are asked by plain HTTP, and their answers are not signed: whoever can change packets on the way can make \
             this member refuse, or serve beside another",
        )
        .help(
            "Make a secret with `openssl rand -hex 32` and name its file in `peer_key_file` of [[mirror]] on every \
             member, or give `page` an https address.",
        )
    })
}

/// API servers that get the service account's token in the clear.
fn api_servers(mirror: &Mirror) -> Vec<Finding> {
    let in_the_clear = |target: &Target| {
        let Target::Kubernetes(table) = target else { return None };
        let server = table.server.as_ref().filter(|server| crosses_in_the_clear(server))?;
        let subject = format!("mirror {}, {}", mirror.name, kubernetes::name(table));
        Some(
            Finding::warning(
                subject,
                format!("server = \"{server}\" gets the service account's token without TLS: whoever can listen on the way has it, too"),
            )
            .help("Write an https address, or leave `server` out to ask the one that the kubelet names."),
        )
    };
    mirror.targets.iter().filter_map(in_the_clear).collect()
}

/// Whether requests to `url` leave this machine without TLS.
fn crosses_in_the_clear(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let stays = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    url.scheme() == Some(&Scheme::HTTP) && !stays
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
            &crate::config::parse(&text, "test").unwrap_or_else(|report| panic!("{}", report.render(false))),
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

    #[test]
    fn api_server_in_the_clear() {
        let server = |server: &str| format!("[[mirror.kubernetes]]\nserver = \"{server}\"\n");
        one(&found("", "", &server("http://10.96.0.1")), "mirror PROD, kubernetes pod/(this one)", "token");
        assert_eq!(found("", "", &server("http://127.0.0.1:8001")), [], "`kubectl proxy` in the pod");
        assert_eq!(found("", "", &server("https://10.96.0.1")), []);
    }
}
