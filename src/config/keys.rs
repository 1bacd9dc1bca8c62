//! Every key that a configuration may hold: the one table that the reader, its suggestions and the
//! reference in the documentation share.
//!
//! The reader takes defaults from here and refuses what is not here, so that the documentation made from
//! this table cannot promise something else than the code does.

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

/// Every key that a configuration may hold, in the order in which the documentation lists them.
pub fn known_keys() -> &'static [Key] {
    KEYS
}

/// Steering tables of `[[mirror]]` that this release does not have. They are refused by name, because a
/// daemon that ignored them would look as if it steered. A trailing `*` stands for any ending.
const LATER_RELEASE: &[&str] = &["azure*"];

/// Tables of which there may be several: written in double brackets.
const LISTS: &[&str] = &[
    "mirror",
    "mirror.peer",
    "mirror.elbv2",
    "mirror.classic_elb",
    "mirror.route53",
    "mirror.route",
    "mirror.cloudwatch",
    "mirror.kubernetes",
    "mirror.hook",
];

use WhenAbsent::{Means, Off, Refused};

#[rustfmt::skip] // a table reads best with a row a line
const KEYS: &[Key] = &[
    key("", "state_directory", Means(r#""/var/lib/mirrorvip""#), "where the last role and epoch of each mirror are remembered: an absolute path"),

    key("health", "listen", Means(r#"["0.0.0.0:8080"]"#), "address of the status page that load balancers poll, or a list of addresses"),
    key("health", "agent_check", Off, "address for HAProxy's agent check"),
    key("health", "allowed_networks", Means("[]"), "networks whose clients may ask, such as 10.0.0.0/8; empty means everybody"),
    key("health", "proxy_protocol", Means("false"), "whether requests may begin with a PROXY protocol header, version 1 or 2"),
    key("health", "header_timeout", Means(r#""2s""#), "how long a client may take to send the head of its request, 10ms to 60s"),
    key("health", "request_timeout", Means(r#""5s""#), "how long a connection may last in all, at least `header_timeout` and at most 300s"),
    key("health", "max_connections", Means("1024"), "how many connections may wait for their client at once, 16 to 65536; beyond, the source with the most makes room"),
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
    key("mirror", "stale_after", Means(r#""4s""#), "how long an answer is believed, from when it was asked for: at least `interval` + `timeout`, below `qos_timeout`"),
    key("mirror", "qos_timeout", Means(r#""8s""#), "the mirror's own quality of service timeout, as set in the database, 100ms to 600s"),
    key("mirror", "rise", Means("1"), "how often in a row the instance must say that it is primary before it is served, 1 to 10"),
    key("mirror", "member", Means(r#""auto""#), "this member's name as the owner of records, different on every member: 1 to 64 of A-Z a-z 0-9 _ . -; `auto` is the host name"),
    key("mirror", "peers", Off, "`\"none\"` says that there is no other member to ask; where steering moves traffic, either this or [[mirror.peer]] must be written"),
    key("mirror", "peer_key_file", Off, "the file with the secret that all members share, 32 to 4096 bytes (absolute path or credential): answers of peers that are not signed with it count as none"),
    key("mirror", "superseded", Means(r#""refuse""#), "what the page says while a peer that was promoted later serves: `refuse` (FAILED) or `warn` (what the instance says)"),
    key("mirror", "drift_interval", Means(r#""30s""#), "how often each steering table looks at its object when nothing happens, 5s to 300s; above 40s its connections are cold when a failover comes"),

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
    key("mirror.probe.exec", "command", Refused, "the command and its arguments, as a list; no shell. Exit code 0 says primary, 1 not primary, any other nothing"),
    key("mirror.probe.exec", "environment", Means("[]"), "names of environment variables that the command gets besides the usual ones"),
    key("mirror.probe.exec", "wake_on", Means("[]"), WAKE_ON),
    key("mirror.probe.file", "path", Refused, "absolute path of a file whose first line is a role word, written anew more often than `stale_after`"),
    key("mirror.probe.file", "wake_on", Means("[]"), WAKE_ON),

    key("mirror.peer", "address", Refused, "the other member's IP address, instance id or host name, as it stands in pools and records"),
    key("mirror.peer", "page", Refused, "address of the other member's status page, http or https"),
    key("mirror.peer", "ca_file", Off, CA_FILE),
    key("mirror.peer", "member", Off, "that member's name, as its own `member` says: an answer of any other member there is an error"),

    key("mirror.elbv2", "target_group_arn", Refused, "the target group's ARN, which also names the region"),
    key("mirror.elbv2", "pool", Means(r#""all-members""#), POOL),
    key("mirror.elbv2", "target_id", Means(r#""auto""#), "this member's target: an IP address or instance id, as the group's type demands; `auto` asks the instance metadata service"),
    key("mirror.elbv2", "port", Refused, "the port that clients use, 1 to 65535"),
    key("mirror.elbv2", "owned_targets", Means("[]"), "`primary-only`: the targets of this mirror's members, which the primary may deregister; strangers stay"),
    key("mirror.elbv2", "healthy_within", Means(r#""60s""#), HEALTHY_WITHIN),

    key("mirror.classic_elb", "load_balancer", Refused, "the load balancer's name"),
    key("mirror.classic_elb", "region", Means(r#""auto""#), REGION),
    key("mirror.classic_elb", "pool", Means(r#""all-members""#), POOL),
    key("mirror.classic_elb", "instance_id", Means(r#""auto""#), "this member's instance id; `auto` asks the instance metadata service"),
    key("mirror.classic_elb", "owned_instances", Means("[]"), "`primary-only`: the instance ids of this mirror's members, which the primary may deregister; strangers stay"),
    key("mirror.classic_elb", "healthy_within", Means(r#""60s""#), HEALTHY_WITHIN),

    key("mirror.route53", "hosted_zone_id", Refused, "the hosted zone's id, such as Z0123456789ABCDEFGHIJ"),
    key("mirror.route53", "record", Refused, "the record's name, lower-case, without a final dot"),
    key("mirror.route53", "type", Refused, "the record's type: `A`, `AAAA` or `CNAME`"),
    key("mirror.route53", "value", Means(r#""auto""#), "what the record says while this member is primary: an IPv4 address, IPv6 address or name, as its type demands; `auto` (type A) asks the instance metadata service"),
    key("mirror.route53", "ttl", Means("5"), "for how many seconds resolvers may keep it, 0 to 86400"),
    key("mirror.route53", "alias_dns_name", Off, "for an alias record, in place of `value` and `ttl`: the DNS name that it points to"),
    key("mirror.route53", "alias_hosted_zone_id", Off, "for an alias record: the hosted zone of what it points to, such as the load balancer's own"),
    key("mirror.route53", "alias_evaluate_target_health", Means("false"), "for an alias record: whether Route 53 looks at the health of what it points to"),
    key("mirror.route53", "set_identifier", Off, "tells records of the same name and type apart: 1 to 128 characters"),
    key("mirror.route53", "weight", Off, "the weight of a record with a `set_identifier`, 0 to 255"),
    key("mirror.route53", "write", Means(r#""compare-and-swap""#), "`compare-and-swap` (a lost race changes nothing) or `upsert` (the last writer wins)"),

    key("mirror.route", "route_tables", Refused, "id of the route table, or a list of ids"),
    key("mirror.route", "destination", Refused, "the overlay address or network, outside the VPC's own"),
    key("mirror.route", "target", Means(r#""auto""#), "where the route leads: this member's network interface (eni-...) or instance (i-...); `auto` is the instance's primary network interface"),
    key("mirror.route", "region", Means(r#""auto""#), REGION),

    key("mirror.cloudwatch", "namespace", Means(r#""mirrorvip""#), "the metric's namespace: 1 to 255 characters, not AWS/..."),
    key("mirror.cloudwatch", "metric", Means(r#""Primary""#), "the metric's name: 1 to 255 characters"),
    key("mirror.cloudwatch", "member", Means(r#""auto""#), "value of the dimension Member; `auto` is the instance id"),
    key("mirror.cloudwatch", "region", Means(r#""auto""#), REGION),
    key("mirror.cloudwatch", "interval", Means(r#""10s""#), "how often it is published, 5s to 60s"),

    key("mirror.kubernetes", "label", Means(r#""intersystems.com/mirrorRole""#), "the label's key"),
    key("mirror.kubernetes", "pod", Means(r#""auto""#), "this member's pod; `auto` is the variable `POD_NAME`, or the host name"),
    key("mirror.kubernetes", "namespace", Means(r#""auto""#), "the pod's namespace; `auto` is that of the service account"),
    key("mirror.kubernetes", "server", Off, "address of the API server, http or https; the one that the kubelet names when absent"),
    key("mirror.kubernetes", "ca_file", Means(r#""/var/run/secrets/kubernetes.io/serviceaccount/ca.crt""#), "absolute path of a PEM file with the authorities to trust for https"),
    key("mirror.kubernetes", "token_file", Means(r#""/var/run/secrets/kubernetes.io/serviceaccount/token""#), "absolute path of the file with the service account's token, read anew for each call"),

    key("mirror.hook", "command", Refused, "the command and its arguments, as a list; no shell"),
    key("mirror.hook", "on", Means(r#"["promotion", "demotion"]"#), "when it is run: `promotion`, `demotion`, or a list of both"),
    key("mirror.hook", "timeout", Means(r#""10s""#), "how long it may take, 100ms to 300s"),
    key("mirror.hook", "retry", Means("false"), "whether a failure is tried again"),
    key("mirror.hook", "environment", Means("[]"), "names of environment variables that the command gets besides the usual ones"),
];

const POOL: &str = "`all-members` (every member is registered, the health check decides) or `primary-only`";
const HEALTHY_WITHIN: &str = "`primary-only`: how long the primary waits for its own target to be healthy before it deregisters the others, 1s to 600s";
const REGION: &str = "the region; `auto` asks the instance metadata service";

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

/// The row of a key that the reader asks for.
///
/// # Panics
///
/// When the table lacks it: a mistake in the reader, which reads the same keys whatever the file says.
pub(super) fn find(section: &str, name: &str) -> &'static Key {
    KEYS.iter()
        .find(|key| key.section == section && key.name == name)
        .expect("the reader asks for keys of the table only; a test reads each of them")
}

/// Names that may be written in `section`: keys first, then tables.
pub(super) fn names_in(section: &str) -> Vec<&'static str> {
    let keys = KEYS.iter().filter(|key| key.section == section).map(|key| key.name);
    let tables = KEYS.iter().filter_map(|key| child_of(section, key.section));
    let mut names: Vec<_> = keys.collect();
    for table in tables {
        if !names.contains(&table) {
            names.push(table);
        }
    }
    names
}

/// Sections that take a key of this name.
pub(super) fn sections_with(name: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(move |key| key.name == name).map(|key| key.section)
}

/// Whether a table of `[[mirror]]` belongs to a later release.
pub(super) fn is_of_later_release(table: &str) -> bool {
    LATER_RELEASE.iter().any(|known| match known.strip_suffix('*') {
        Some(stem) => table.starts_with(stem),
        None => table == *known,
    })
}

/// A section as it is written in a file.
pub(crate) fn title(section: &str) -> String {
    match section {
        "" => "the top level".to_owned(),
        _ if LISTS.contains(&section) => format!("[[{section}]]"),
        _ => format!("[{section}]"),
    }
}

/// The first step from `section` down to `descendant`, if it is one.
fn child_of(section: &str, descendant: &'static str) -> Option<&'static str> {
    let below =
        if section.is_empty() { descendant } else { descendant.strip_prefix(section)?.strip_prefix('.')? };
    below.split('.').next().filter(|child| !child.is_empty())
}
