//! What a new configuration removes from the present one: protection, an address or path that load balancers poll, a
//! mirror, or what a promotion of it needs. PURE.
//!
//! A file that is cut off in the middle can be valid TOML, and its lost keys have defaults. TOML cannot distinguish that
//! from an intended change, so a reload that removes something is applied with care.

use std::net::SocketAddr;

use super::steering::Superseded;
use super::{Admin, Config, Health, Mirror, Tables};

/// What `new` removes from `old`: places in the configuration; empty if nothing.
pub fn removed<T: Tables>(old: &Config<T>, new: &Config<T>) -> Vec<String> {
    let mut removed = health(&old.health, &new.health);
    removed.extend(admin(&old.admin, &new.admin));
    for mirror in &old.mirrors {
        match new.mirrors.iter().find(|other| other.name == mirror.name) {
            Some(other) => removed.extend(of_mirror(mirror, other)),
            None => removed.push(format!("mirror {}", mirror.name)),
        }
    }
    removed
}

fn health(old: &Health, new: &Health) -> Vec<String> {
    let mut removed = Vec::new();
    if old.tls.is_some() && new.tls.is_none() {
        removed.push("[health.tls]".to_owned());
    }
    let still_closed = !new.allowed_networks.is_empty()
        && new
            .allowed_networks
            .iter()
            .all(|network| old.allowed_networks.iter().any(|known| known.contains(network)));
    if !old.allowed_networks.is_empty() && !still_closed {
        removed.push("[health] allowed_networks".to_owned());
    }
    if opens(&old.listen, &new.listen) {
        removed.push("[health] listen on loopback alone".to_owned());
    }
    for address in old.listen.iter().filter(|address| !new.listen.contains(address)) {
        removed.push(format!("[health] listen {address}"));
    }
    if let Some(address) = old.agent_check.filter(|_| new.agent_check.is_none()) {
        removed.push(format!("[health] agent_check {address}"));
    }
    removed
}

fn admin(old: &Admin, new: &Admin) -> Vec<String> {
    let mut removed = Vec::new();
    if old.tls.is_some() && new.tls.is_none() {
        removed.push("[admin.tls]".to_owned());
    }
    if old.token_file.is_some() && new.token_file.is_none() {
        removed.push("[admin] token_file".to_owned());
    }
    if opens(&[old.listen], &[new.listen]) {
        removed.push("[admin] listen on loopback alone".to_owned());
    }
    removed
}

/// Whether a listener that only this machine could reach becomes reachable from others.
fn opens(old: &[SocketAddr], new: &[SocketAddr]) -> bool {
    let closed = |addresses: &[SocketAddr]| addresses.iter().all(|address| address.ip().is_loopback());
    closed(old) && !closed(new)
}

fn of_mirror<T: Tables>(old: &Mirror<T>, new: &Mirror<T>) -> Vec<String> {
    let mut removed = Vec::new();
    if old.peer_key_file.is_some() && new.peer_key_file.is_none() {
        removed.push("peer_key_file".to_owned());
    }
    if old.superseded == Superseded::Refuse && new.superseded == Superseded::Warn {
        removed.push("superseded = \"refuse\"".to_owned());
    }
    for path in old.paths.iter().filter(|path| !new.paths.contains(path)) {
        removed.push(format!("path {path}"));
    }
    for peer in &old.peers {
        if !new.peers.iter().any(|other| other.address == peer.address) {
            removed.push(format!("peer {}", peer.address));
        }
    }
    let tables = |mirror: &Mirror<T>| mirror.targets.iter().map(Tables::table).collect::<Vec<_>>();
    let mut left = tables(new);
    for table in tables(old) {
        match left.iter().position(|other| *other == table) {
            Some(position) => drop(left.swap_remove(position)),
            None => removed.push(table),
        }
    }
    removed.into_iter().map(|what| format!("{what} of mirror {}", old.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Config, parse};

    const WHOLE: &str = r#"
[health]
listen = ["127.0.0.1:8080"]
allowed_networks = ["10.0.0.0/8"]
tls = { certificate = "/h.crt", key = "/h.key" }

[admin]
listen = "127.0.0.1:9180"
token_file = "/token"
tls = { certificate = "/h.crt", key = "/h.key" }

[[mirror]]
name = "A"
paths = "/a"
peer_key_file = "/key"
probe.file.path = "/a.role"
[[mirror.peer]]
address = "10.0.0.2"
page = "http://10.0.0.2/a/mirror_status.cxw"
[[mirror.hook]]
command = ["/bin/true"]

[[mirror]]
name = "B"
paths = "/b"
probe.file.path = "/b.role"
"#;

    fn read(text: &str) -> Config {
        parse(text, "test").unwrap_or_else(|report| panic!("{}", report.render(false)))
    }

    #[test]
    fn each_line_that_protects_is_named_when_it_goes() {
        let old = read(WHOLE);
        let check = |from: &str, to: &str, expected: &[&str]| {
            assert!(WHOLE.contains(from), "{from}");
            assert_eq!(removed(&old, &read(&WHOLE.replacen(from, to, 1))), expected, "{from} → {to}");
        };
        check("", "", &[]);
        check("10.0.0.0/8\"", "10.1.0.0/16\"", &[]);
        check("10.0.0.0/8\"", "10.0.0.0/8\", \"192.0.2.1\"", &["[health] allowed_networks"]);
        check("allowed_networks = [\"10.0.0.0/8\"]", "", &["[health] allowed_networks"]);
        check("tls = { certificate = \"/h.crt\", key = \"/h.key\" }", "", &["[health.tls]"]);
        check(
            "127.0.0.1:8080",
            "0.0.0.0:8080",
            &["[health] listen on loopback alone", "[health] listen 127.0.0.1:8080"],
        );
        check("127.0.0.1:9180", "0.0.0.0:9180", &["[admin] listen on loopback alone"]);
        check(
            "token_file = \"/token\"\ntls = { certificate = \"/h.crt\", key = \"/h.key\" }",
            "",
            &["[admin.tls]", "[admin] token_file"],
        );
        check("peer_key_file = \"/key\"", "", &["peer_key_file of mirror A"]);
        check(
            "peer_key_file",
            "superseded = \"warn\"\npeer_key_file",
            &["superseded = \"refuse\" of mirror A"],
        );
        check("paths = \"/a\"", "paths = [\"/c\", \"/a\"]", &[]);
        check("paths = \"/a\"", "paths = \"/c\"", &["path /a of mirror A"]);
        check("address = \"10.0.0.2\"", "address = \"10.0.0.3\"", &["peer 10.0.0.2 of mirror A"]);
        check("\"/bin/true\"", "\"/bin/false\"", &[]);
    }

    /// Every place at which the text can be cut off and remain a configuration.
    #[test]
    fn whatever_a_cut_takes_away_is_named() {
        let old = read(WHOLE);
        let mut cuts = 0;
        for end in 0..WHOLE.trim_end().len() {
            let Ok(cut) = parse(&WHOLE[..end], "test") else { continue };
            cuts += 1;
            // A path that is cut off is another path, which nothing can tell; but a quote is missing then.
            assert!(!removed(&old, &cut).is_empty() || cut == old, "cut off after {:?}", &WHOLE[..end]);
        }
        assert!(cuts > 5, "{cuts}");
    }
}
