//! Every key that a configuration may contain: the one table that the reader, its suggestions and the reference in the
//! documentation share. The kinds of steering tables declare their own keys.
//!
//! The reader takes defaults from here and refuses other keys, so that the documentation made from this table matches the
//! code.

use super::Tables;

/// One key of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The table it belongs to, as a dotted path; empty for the top level.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What happens when it is not written.
    pub when_absent: WhenAbsent,
    /// What it sets, with its limits: a lower-case fragment.
    pub meaning: &'static str,
}

/// What the absence of a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAbsent {
    /// The configuration is refused.
    Refused,
    /// As if this were written: a value in TOML.
    Means(&'static str),
    /// The feature is off.
    Off,
}

/// Steering tables of `[[mirror]]` that this release does not have. They are refused by name, because a daemon that ignored
/// them would seem to steer. A trailing `*` stands for any ending.
const LATER_RELEASE: &[&str] = &["azure*"];

/// Tables of which there may be several, besides the steering tables: written in double brackets.
const LISTS: &[&str] = &["mirror", "mirror.peer"];

/// Every key that a configuration with these steering tables may hold, in the order in which the documentation lists them.
#[derive(Clone, Debug)]
pub struct Keys {
    keys: Vec<Key>,
    lists: Vec<&'static str>,
}

use WhenAbsent::{Means, Off, Refused};

#[rustfmt::skip] // a table reads best with a row a line
const KEYS: &[Key] = &[
    key("", "state_directory", Means(r#""/var/lib/mirrorvip""#), "where the last role and epoch of each mirror are remembered: an absolute path"),

    key("health", "listen", Means(r#"["0.0.0.0:8080"]"#), "address of the status page that load balancers poll, or a list of addresses"),
    key("health", "agent_check", Off, "address for HAProxy's agent check"),
    key("health", "allowed_networks", Means("[]"), "networks whose clients may ask, such as 10.0.0.0/8; empty means all"),
    key("health", "proxy_protocol", Means("false"), "whether requests may begin with a PROXY protocol header, version 1 or 2"),
    key("health", "header_timeout", Means(r#""2s""#), "how long a client may take to send the head of its request, 10ms to 60s"),
    key("health", "request_timeout", Means(r#""5s""#), "how long a connection may last in total, at least `header_timeout` and at most 300s"),
    key("health", "max_connections", Means("1024"), "how many connections may wait for their client at once, 16 to 65536; beyond that the source with the most is closed first"),
    key("health", "unasked_warning", Means(r#""60s""#), "warn when a mirror that serves has not been asked for this long, 1s to 86400s; \"0s\" never warns"),
    key("health", "drain", Means(r#""0s""#), "how long the page answers 503 at a stop before the port closes, at most 300s"),
    key("health.tls", "certificate", Refused, "the certificate chain, leaf first: a PEM file (absolute path or credential)"),
    key("health.tls", "key", Refused, "the private key: a PEM file (absolute path or credential)"),

    key("admin", "listen", Means(r#""127.0.0.1:9180""#), "address for people and monitoring; any but loopback needs `tls` or `token_file`"),
    key("admin", "token_file", Off, "the file with the bearer token that every request must carry (absolute path or credential)"),
    key("admin.tls", "certificate", Refused, "the certificate chain, leaf first: a PEM file (absolute path or credential)"),
    key("admin.tls", "key", Refused, "the private key: a PEM file (absolute path or credential)"),

    key("mirror", "name", Refused, "its name in logs, metrics and paths: 1 to 64 of A-Z a-z 0-9 _ . -"),
    key("mirror", "paths", Means(r#"["/csp/bin", "/csp", "/csp/user"]"#), "path prefixes at which its status page answers; must be written when there are several mirrors"),
    key("mirror", "interval", Means(r#""1s""#), "how often the instance is asked, 20ms to 60s"),
    key("mirror", "timeout", Means(r#""2s""#), "how long one question may take, 10ms to 300s"),
    key("mirror", "stale_after", Means(r#""4s""#), "how long an answer is valid, counted from the question: at least `interval` + `timeout`, below `qos_timeout`"),
    key("mirror", "qos_timeout", Means(r#""8s""#), "the mirror's own quality of service timeout, as set in the database, 100ms to 600s"),
    key("mirror", "rise", Means("1"), "how many times in a row the instance must report primary before the page says SUCCESS, 1 to 10"),
    key("mirror", "member", Means(r#""auto""#), "this member's name as the owner of records, unique per member: 1 to 64 of A-Z a-z 0-9 _ . -; `auto` is the host name"),
    key("mirror", "peers", Off, "`\"none\"` says that there is no other member to ask; where steering moves traffic, either this or [[mirror.peer]] must be written"),
    key("mirror", "peer_key_file", Off, "the file with the secret that all members share, 32 to 4096 bytes (absolute path or credential): peers' answers that are not signed with it are ignored"),
    key("mirror", "superseded", Means(r#""refuse""#), "what the page says while a peer that was promoted later serves: `refuse` (FAILED) or `warn` (what the instance says)"),
    key("mirror", "drift_interval", Means(r#""30s""#), "how often each steering table reads its object when nothing happens, 5s to 300s; above 40s its connections are cold at a failover"),

    key("mirror.probe.qlist", "instance", Refused, "the instance's name, as `iris list` prints it"),
    key("mirror.probe.qlist", "command", Means(r#""iris""#), "`iris`, `ccontrol` or an absolute path"),
    key("mirror.probe.qlist", "environment", Means("[]"), "names of environment variables that the command gets besides the usual ones"),
    key("mirror.probe.qlist", "wake_on", Means("[]"), WAKE_ON),
    key("mirror.probe.gateway", "url", Refused, "address of the Web Gateway's mirror_status.cxw, http or https"),
    key("mirror.probe.gateway", "ca_file", Off, CA_FILE),
    key("mirror.probe.gateway", "wake_on", Means("[]"), WAKE_ON),
    key("mirror.probe.metrics", "url", Refused, "address of the instance's /api/monitor/metrics, http or https"),
    key("mirror.probe.metrics", "ca_file", Off, CA_FILE),
    key("mirror.probe.metrics", "wake_on", Means("[]"), WAKE_ON),
    key("mirror.probe.exec", "command", Refused, "the command and its arguments, as a list; no shell. Exit code 0 means primary, 1 not primary, any other no evidence"),
    key("mirror.probe.exec", "environment", Means("[]"), "names of environment variables that the command gets besides the usual ones"),
    key("mirror.probe.exec", "wake_on", Means("[]"), WAKE_ON),
    key("mirror.probe.file", "path", Refused, "absolute path of a file whose first line is a role word, rewritten more often than `stale_after`"),
    key("mirror.probe.file", "wake_on", Means("[]"), WAKE_ON),

    key("mirror.peer", "address", Refused, "the other member's IP address, instance id or host name, as it stands in pools and records"),
    key("mirror.peer", "page", Refused, "address of the other member's status page, http or https"),
    key("mirror.peer", "ca_file", Off, CA_FILE),
    key("mirror.peer", "member", Off, "that member's name, as its own `member` says: an answer from any other member there is an error"),
];

const WAKE_ON: &str =
    "absolute path of a log, or a list: a new line about mirroring triggers a probe at once";
const CA_FILE: &str =
    "absolute path of a PEM file with the authorities to trust for https; those of the system when absent";

const fn key(
    section: &'static str,
    name: &'static str,
    when_absent: WhenAbsent,
    meaning: &'static str,
) -> Key {
    Key { section, name, when_absent, meaning }
}

// === impl Keys ===

impl Keys {
    /// The keys of every table, those of the steering tables last.
    pub fn of<T: Tables>() -> Self {
        let tables = T::kinds();
        let keys = KEYS.iter().chain(tables.iter().flat_map(|table| table.keys)).copied().collect();
        let lists = LISTS.iter().copied().chain(tables.iter().map(|table| table.section)).collect();
        Self { keys, lists }
    }

    /// All of them, in their order.
    pub fn all(&self) -> &[Key] {
        &self.keys
    }

    /// The row of a key that the reader asks for.
    ///
    /// # Panics
    ///
    /// When the table lacks it: a mistake in the reader, which reads the same keys whatever the file says.
    pub(super) fn find(&self, section: &str, name: &str) -> &Key {
        self.keys
            .iter()
            .find(|key| key.section == section && key.name == name)
            .expect("the reader asks for keys of the table only; a test reads each of them")
    }

    /// Names that may be written in `section`: keys first, then tables.
    pub(super) fn names_in(&self, section: &str) -> Vec<&'static str> {
        let keys = self.keys.iter().filter(|key| key.section == section).map(|key| key.name);
        let tables = self.keys.iter().filter_map(|key| child_of(section, key.section));
        let mut names: Vec<_> = keys.collect();
        for table in tables {
            if !names.contains(&table) {
                names.push(table);
            }
        }
        names
    }

    /// Sections that take a key of this name.
    pub(super) fn sections_with(&self, name: &str) -> impl Iterator<Item = &'static str> {
        self.keys.iter().filter(move |key| key.name == name).map(|key| key.section)
    }

    /// A section's header in a file.
    pub(crate) fn title(&self, section: &str) -> String {
        match section {
            "" => "the top level".to_owned(),
            _ if self.lists.contains(&section) => format!("[[{section}]]"),
            _ => format!("[{section}]"),
        }
    }
}

/// Whether a table of `[[mirror]]` belongs to a later release.
pub(super) fn is_of_later_release(table: &str) -> bool {
    LATER_RELEASE.iter().any(|known| match known.strip_suffix('*') {
        Some(stem) => table.starts_with(stem),
        None => table == *known,
    })
}

/// The first step from `section` down to `descendant`, if it is one.
fn child_of(section: &str, descendant: &'static str) -> Option<&'static str> {
    let below =
        if section.is_empty() { descendant } else { descendant.strip_prefix(section)?.strip_prefix('.')? };
    below.split('.').next().filter(|child| !child.is_empty())
}
