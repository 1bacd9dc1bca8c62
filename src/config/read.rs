//! From parsed TOML to a [`Config`]: one function for each table, in the order of the file.
//!
//! Every function reads all its keys before it gives up on one, so that all problems are reported together.

mod steering;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::cloud_value as cloud;
use super::diagnostic::{Problem, Problems, Reported};
use super::rules::{self, Claims, ObjectClaims, Timing};
use super::section::{Section, Value, all, values};
use super::value;
use super::{Admin, Config, Health, HttpTarget, Mirror, Probe, Tables, Tls};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The tables of which a mirror has exactly one, and how each is read.
const PROBES: [(&str, ReadProbe); 5] = [
    ("mirror.probe.qlist", qlist),
    ("mirror.probe.gateway", |section| http_target(section).map(Probe::Gateway)),
    ("mirror.probe.metrics", |section| http_target(section).map(Probe::Metrics)),
    ("mirror.probe.exec", exec),
    ("mirror.probe.file", file),
];

type ReadProbe = fn(&Section<'_>) -> Result<Probe, Reported>;

pub(super) fn config<T: Tables>(root: &Section<'_>, problems: &Problems) -> Result<Config<T>, Reported> {
    let mut claims = Claims::new(problems);
    let mut objects = ObjectClaims::new(problems);
    let state_directory = root.or_default("state_directory", value::absolute_path);
    let health = root.table("health").and_then(|section| health(&section, &mut claims));
    let admin = root.table("admin").and_then(|section| admin(&section, &mut claims));
    let mirrors =
        root.tables("mirror").and_then(|sections| mirrors(root, &sections, &mut claims, &mut objects));
    Ok(Config { state_directory: state_directory?.value, health: health?, admin: admin?, mirrors: mirrors? })
}

fn health(section: &Section<'_>, claims: &mut Claims<'_>) -> Result<Health, Reported> {
    let listen = section.or_default("listen", |value| {
        let addresses = value.one_or_many(value::address)?;
        if addresses.is_empty() {
            return Err(
                value.refuse("`listen` is empty", "Write at least one address, such as \"0.0.0.0:8080\".")
            );
        }
        Ok(addresses)
    });
    let agent_check = section.optional("agent_check", value::address);
    let tls = tls(section, "health.tls");
    let allowed_networks = section.or_default("allowed_networks", |value| value.one_or_many(value::network));
    let proxy_protocol = section.or_default("proxy_protocol", value::boolean);
    let header_timeout =
        section.or_default("header_timeout", |value| value::duration(value, 10 * MILLISECOND..=MINUTE));
    let request_timeout =
        section.or_default("request_timeout", |value| value::duration(value, 10 * MILLISECOND..=5 * MINUTE));
    let max_connections = section.or_default("max_connections", |value| value::integer(value, 16..=65_536));
    let unasked_warning =
        section.or_default("unasked_warning", |value| value::duration_or_zero(value, SECOND..=DAY));
    let drain = section.or_default("drain", |value| value::duration(value, Duration::ZERO..=5 * MINUTE));

    for address in listen.iter().flat_map(|listen| &listen.value) {
        claims.address("health.listen", address);
    }
    if let Ok(Some(address)) = &agent_check {
        claims.address("health.agent_check", address);
    }
    if let (Ok(header), Ok(request)) = (&header_timeout, &request_timeout) {
        rules::check_deadlines(section, header, request);
    }
    Ok(Health {
        listen: values(listen?),
        agent_check: agent_check?.map(|address| address.value),
        tls: tls?,
        allowed_networks: values(allowed_networks?),
        proxy_protocol: proxy_protocol?.value,
        header_timeout: header_timeout?.value,
        request_timeout: request_timeout?.value,
        // A u32 of at most 65536.
        max_connections: max_connections?.value as usize,
        unasked_warning: unasked_warning?.value,
        drain: drain?.value,
    })
}

fn admin(section: &Section<'_>, claims: &mut Claims<'_>) -> Result<Admin, Reported> {
    let listen = section.or_default("listen", value::address);
    let tls = tls(section, "admin.tls");
    let token_file = section.optional("token_file", value::secret_path);

    if let Ok(address) = &listen {
        claims.address("admin.listen", address);
    }
    let listen = listen?;
    let admin = Admin { listen: listen.value, tls: tls?, token_file: token_file?.map(|file| file.value) };
    rules::check_admin(section, &admin, &listen);
    Ok(admin)
}

fn tls(parent: &Section<'_>, name: &'static str) -> Result<Option<Tls>, Reported> {
    let Some(section) = parent.optional_table(name)? else { return Ok(None) };
    let certificate = section.required("certificate", value::secret_path);
    let key = section.required("key", value::secret_path);
    Ok(Some(Tls { certificate: certificate?.value, key: key?.value }))
}

fn mirrors<T: Tables>(
    root: &Section<'_>,
    sections: &[Section<'_>],
    claims: &mut Claims<'_>,
    objects: &mut ObjectClaims<'_>,
) -> Result<Vec<Mirror<T>>, Reported> {
    if sections.is_empty() {
        return Err(root.report(
            Problem::new(None, "no [[mirror]] is configured")
                .with_help(
                    "Write [[mirror]] with a `name`, and [mirror.probe.qlist] with the `instance` to ask.",
                )
                .needs_whole_text(),
        ));
    }
    let alone = sections.len() == 1;
    all(sections.iter().map(|section| mirror(section, alone, claims, objects)))
}

fn mirror<T: Tables>(
    section: &Section<'_>,
    alone: bool,
    claims: &mut Claims<'_>,
    objects: &mut ObjectClaims<'_>,
) -> Result<Mirror<T>, Reported> {
    let name = section.required("name", value::mirror_name);
    let read_paths = |value: &Value<'_>| {
        let paths = value.one_or_many(value::path_prefix)?;
        if paths.is_empty() {
            return Err(value.refuse("`paths` is empty", "Write at least one path, such as \"/csp/bin\"."));
        }
        Ok(paths)
    };
    // The default paths can be those of one mirror only.
    let paths =
        if alone { section.or_default("paths", read_paths) } else { section.required("paths", read_paths) };
    let interval = section.or_default("interval", |value| value::duration(value, 20 * MILLISECOND..=MINUTE));
    let timeout =
        section.or_default("timeout", |value| value::duration(value, 10 * MILLISECOND..=5 * MINUTE));
    let stale_after =
        section.or_default("stale_after", |value| value::duration(value, 10 * MILLISECOND..=10 * MINUTE));
    let qos_timeout =
        section.or_default("qos_timeout", |value| value::duration(value, 100 * MILLISECOND..=10 * MINUTE));
    let rise = section.or_default("rise", |value| value::integer(value, 1..=10));
    let member = section.or_default("member", cloud::member);
    let superseded = section.or_default("superseded", cloud::superseded);
    // At most half of the time before which credentials are renewed: then none expire between two reads.
    let drift_interval =
        section.or_default("drift_interval", |value| value::duration(value, 5 * SECOND..=5 * MINUTE));
    let probe = section.table("mirror.probe").and_then(|section| probe(&section));
    let peers = steering::peers(section);
    let no_peers = section.optional("peers", cloud::no_peers);
    let peer_key_file = section.optional("peer_key_file", value::secret_path);
    let targets = steering::targets(section, objects);
    objects.next_mirror();

    if let Ok(name) = &name {
        claims.name(name);
    }
    for path in paths.iter().flat_map(|paths| &paths.value) {
        claims.path(path);
    }
    if let (Ok(interval), Ok(timeout), Ok(stale_after), Ok(qos_timeout)) =
        (&interval, &timeout, &stale_after, &qos_timeout)
    {
        rules::check_timing(section, &Timing { interval, timeout, stale_after, qos_timeout });
    }
    if let (Ok(peers), Ok(no_peers), Ok(targets)) = (&peers, &no_peers, &targets) {
        rules::check_peers(section, peers, no_peers.as_ref(), targets);
    }
    let (probe, wake_on) = probe?;
    no_peers?;
    Ok(Mirror {
        name: name?.value,
        paths: values(paths?),
        interval: interval?.value,
        timeout: timeout?.value,
        stale_after: stale_after?.value,
        qos_timeout: qos_timeout?.value,
        rise: NonZeroU32::new(rise?.value).expect("the range begins at 1"),
        probe,
        wake_on,
        member: member?.value,
        peers: peers?,
        peer_key_file: peer_key_file?.map(|file| file.value),
        superseded: superseded?.value,
        drift_interval: drift_interval?.value,
        targets: targets?,
    })
}

/// The one probe, and what wakes it.
fn probe(section: &Section<'_>) -> Result<(Probe, Vec<PathBuf>), Reported> {
    let written = all(PROBES.iter().map(|(name, read)| Ok((section.optional_table(name)?, read))))?;
    let written: Vec<_> = written.into_iter().filter_map(|(section, read)| Some((section?, read))).collect();
    let probes = all(written.iter().map(|(section, read)| {
        let probe = read(section);
        let wake_on = section.or_default("wake_on", |value| value.one_or_many(value::absolute_path));
        Ok((probe?, values(wake_on?)))
    }));
    if let [(first, _), (second, _), ..] = written.as_slice() {
        return Err(section.report(
            Problem::new(second.span(), format!("[{}] is a second probe", second.name()))
                .related(first.span(), "the first one")
                .with_help("A mirror has one probe: keep one of them."),
        ));
    }
    probes?.pop().ok_or_else(|| {
        section.unknown().unwrap_or_else(|| {
            let tables = PROBES.map(|(name, _)| format!("[{name}]")).join(", ");
            section.report(
                Problem::new(section.span(), "[[mirror]] has no probe")
                    .with_help(format!("Write one of these tables below it: {tables}."))
                    .needs_whole_text(),
            )
        })
    })
}

fn qlist(section: &Section<'_>) -> Result<Probe, Reported> {
    let instance = section.required("instance", value::instance);
    let command = section.or_default("command", value::program);
    let environment = environment(section);
    Ok(Probe::Qlist { instance: instance?.value, command: command?.value, environment: environment? })
}

fn exec(section: &Section<'_>) -> Result<Probe, Reported> {
    let command = section.required("command", value::command_line);
    let environment = environment(section);
    Ok(Probe::Exec { command: command?.value, environment: environment? })
}

fn file(section: &Section<'_>) -> Result<Probe, Reported> {
    let path = section.required("path", value::absolute_path);
    Ok(Probe::File { path: path?.value })
}

fn http_target(section: &Section<'_>) -> Result<HttpTarget, Reported> {
    let url = section.required("url", value::url);
    let ca_file = section.optional("ca_file", value::absolute_path);
    let (url, ca_file) = (url?, ca_file?);
    rules::check_ca_file(section, &url, ca_file.as_ref());
    Ok(HttpTarget { url: url.value, ca_file: ca_file.map(|file| file.value) })
}

fn environment(section: &Section<'_>) -> Result<Vec<String>, Reported> {
    section.or_default("environment", |value| value.one_or_many(value::variable)).map(values)
}
