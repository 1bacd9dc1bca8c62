//! The content of `docs/reference` and of the manual pages, generated from the program's own tables. PURE.
//!
//! This module has the tables of exit codes, signals, environment and files. Keys come from
//! [`provider::known_keys`](crate::provider::known_keys), metrics from [`METRICS`](crate::admin::metrics::METRICS), verbs and
//! options from the command line's own definition. `UPDATE_EXPECT=1 cargo nextest run --lib reference` rewrites the files.

use super::Exit;
use crate::config::{Key, Keys};
use crate::provider::Table;

#[cfg(test)]
mod markdown;
#[cfg(test)]
mod tests;

/// Every exit code.
pub(super) const EXITS: [Exit; 8] = [
    Exit::Ok,
    Exit::Usage,
    Exit::Unavailable,
    Exit::Software,
    Exit::System,
    Exit::Permission,
    Exit::Config,
    Exit::Interrupted,
];

/// What an exit code means, and what to do: sentences.
pub(super) const fn meaning(exit: Exit) -> (&'static str, &'static str) {
    match exit {
        Exit::Ok => ("Success.", "Nothing."),
        Exit::Usage => ("The command line is wrong.", "Read `mirrorvip COMMAND --help`."),
        Exit::Unavailable => (
            "Something required does not answer (the instance, the running daemon, a cloud service), or an address is in use.",
            "Run `mirrorvip check`: it names what does not answer.",
        ),
        Exit::Software => ("A bug in mirrorvip.", "Report it with the output of the command."),
        Exit::System => (
            "The operating system failed.",
            "Read the message: it contains the system's error, such as a full disk.",
        ),
        Exit::Permission => (
            "The user may not do this.",
            "Run it as the daemon's user (`sudo -u mirrorvip ...`) or as root; `mirrorvip check` names the file or the right.",
        ),
        Exit::Config => {
            ("The configuration is wrong.", "Run `mirrorvip check`: it shows every problem with its line.")
        }
        Exit::Interrupted => ("The user interrupted the command, or did not confirm it.", "Nothing."),
    }
}

/// Signals of `run` and their effect.
pub(super) const SIGNALS: [(&str, &str); 3] = [
    (
        "TERM, INT",
        "Shuts down cleanly: pages refuse, `drain` passes, ports close, the state is written. Inherited sockets are \
         left to the next process unless `drain` is set. A second signal stops at once.",
    ),
    (
        "HUP",
        "Reloads the configuration. On any error the old configuration stays in force, and the log says why.",
    ),
    ("USR1", "Asks every instance at once, without waiting for the interval."),
];

/// Variables of the environment with their effect, grouped by what sets or reads them. Names that belong together are
/// separated by commas.
#[rustfmt::skip] // one row per line
pub(super) const ENVIRONMENT: &[(&str, &[(&str, &str)])] = &[
    ("Set by an administrator", &[
        ("MIRRORVIP_CONFIG_TOML", "The whole configuration as TOML text, not a path. Used instead of the default file unless `--config` is given."),
        ("RUST_LOG", "What to log: a level such as `debug`, or directives such as `info,mirrorvip::steer=debug`. `--log` overrides it."),
        ("NO_COLOR, CLICOLOR, CLICOLOR_FORCE", "Whether output has colour with `--color auto`: any value of `NO_COLOR` switches it off."),
        ("PATH", "The directories in which commands of probes and hooks are searched. Commands inherit it."),
        ("COLUMNS, LINES", "The size of the terminal, if the terminal does not report it."),
        ("HOME, IRISSYS", "Inherited by the commands of probes and hooks. A non-root installation of IRIS finds its instances through `IRISSYS`."),
        ("SSL_CERT_FILE, SSL_CERT_DIR", "Authorities to trust for https where the configuration names no `ca_file`, instead of the system's."),
        ("SUDO_USER, LOGNAME, USER", "The first one that is set is recorded as the user of `mirrorvip take`."),
    ]),
    ("Set by the service manager", &[
        ("NOTIFY_SOCKET", "Where the daemon reports readiness, reloads and its status."),
        ("WATCHDOG_USEC, WATCHDOG_PID", "How often the service manager expects a sign of life, and from which process."),
        ("LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES", "Listening sockets that are passed to the daemon, so that a restart refuses no check."),
        ("INVOCATION_ID", "Set if the service manager started the command: then `check` names its sandbox where access is refused."),
        ("CREDENTIALS_DIRECTORY", "The directory of secrets from `LoadCredential=`. The configuration names them `${CREDENTIALS_DIRECTORY}/NAME`; without the variable the directory of mirrorvip.service is used."),
        ("JOURNAL_STREAM", "Set if standard error leads to the journal: then `--log-format auto` writes fields of the journal."),
    ]),
    ("Set by Kubernetes or the pod's manifest", &[
        ("POD_NAME", "The pod whose label is set where `pod` is `auto`; if unset, the host name."),
        ("KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT_HTTPS, KUBERNETES_SERVICE_PORT", "The API server, where `server` is not configured."),
    ]),
    ("Read by the AWS SDK", &[
        ("AWS_ENDPOINT_URL", "Asks every AWS service at this address, such as that of a simulator or a VPC endpoint. The same as `endpoint_url` in the shared configuration file."),
        ("AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2, AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING, AWS_ENDPOINT_URL_ROUTE_53, AWS_ENDPOINT_URL_CLOUDWATCH, AWS_ENDPOINT_URL_STS", "The same for one service. It overrides `AWS_ENDPOINT_URL`."),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "`true` ignores the endpoints above."),
        ("AWS_REGION, AWS_DEFAULT_REGION", "The region for services without a region (Route 53, STS), where no table names one."),
        ("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN", "Credentials. Prefer an instance role, which needs none of these."),
        ("AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE", "The profile, and the files that contain it."),
        ("AWS_ROLE_ARN, AWS_ROLE_SESSION_NAME, AWS_WEB_IDENTITY_TOKEN_FILE", "A role for a web identity token, as used by EKS service accounts."),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "Credentials of an ECS task or an EKS pod."),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT, AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE, AWS_EC2_METADATA_DISABLED", "The address of the instance metadata service, or whether it is disabled."),
        ("AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT", "`true` asks FIPS or dual-stack endpoints."),
    ]),
    ("Set by mirrorvip for the command of `[[mirror.hook]]`", &[
        ("MIRRORVIP_EVENT", "`promotion` or `demotion`."),
        ("MIRRORVIP_MIRROR, MIRRORVIP_MEMBER", "The mirror's name in the configuration; this member's name."),
        ("MIRRORVIP_EPOCH", "Number of the promotion; for a demotion, of the promotion that it ends."),
        ("MIRRORVIP_ORIGIN", "How serving began: `promoted`, `resumed` or `found`."),
        ("MIRRORVIP_ROLE, MIRRORVIP_REASON", "What the instance reported: the role in one word; the same for people."),
    ]),
];

/// Files and directories.
pub(super) const FILES: [(&str, &str); 9] = [
    ("/etc/mirrorvip/mirrorvip.toml", "The configuration, see mirrorvip.toml(5)."),
    (
        "/var/lib/mirrorvip/NAME.json",
        "The last role, epoch and term of the mirror NAME. `state_directory` names another directory.",
    ),
    ("/var/lib/mirrorvip/daemon-id", "The identifier of this daemon. Never copy it to another machine."),
    ("/var/lib/mirrorvip/lock", "Held by the process that may write in this directory."),
    ("DIRECTORY/NAME.role, DIRECTORY/publish.lock", "What `mirrorvip publish DIRECTORY` writes."),
    ("/run/credentials/mirrorvip.service/", "Secrets from `LoadCredential=` of the unit."),
    (
        "/usr/lib/systemd/system/mirrorvip.service, mirrorvip.socket",
        "The units. Change them with `systemctl edit`.",
    ),
    ("/usr/share/mirrorvip/", "Drop-ins that close what a kind of probe does not need."),
    ("/usr/share/doc/mirrorvip/", "Documentation, the policy for AWS and other examples."),
];

/// Commands to copy, and what they are for.
pub(super) const EXAMPLES: [(&str, &str); 9] = [
    ("sudo -u mirrorvip mirrorvip check", "Try everything that the daemon will need, as its user."),
    ("mirrorvip status", "Show the current state and decisions."),
    (
        "mirrorvip explain superseded",
        "Read what a word of `status`, `check` or the log means and what to do.",
    ),
    ("sudo -u mirrorvip mirrorvip probe --mirror PROD", "Ask the instance once and show its answer."),
    ("mirrorvip plan", "Show the API calls that a promotion would make, and send none."),
    ("mirrorvip iam-policy > policy.json", "Print the rights that this configuration needs in AWS."),
    ("sudo systemctl reload mirrorvip", "Put a changed configuration in force."),
    (
        "journalctl -u mirrorvip MIRRORVIP_MIRROR=PROD -p warning",
        "Read the warnings and errors about one mirror.",
    ),
    (
        "sudo mirrorvip take --mirror PROD --reason \"db2 is lost, ticket 4711\"",
        "Direct clients to this member by an operator's decision.",
    ),
];

/// A complete configuration of one of two members behind a network load balancer.
pub(super) const EXAMPLE: &str = r#"[health]
listen = ["0.0.0.0:8080"]

[[mirror]]
name = "PROD"
member = "db1"

[mirror.probe.qlist]
instance = "IRIS"
wake_on = "/usr/irissys/mgr/messages.log"

[[mirror.peer]]
address = "10.0.2.12"
page = "http://10.0.2.12:8080/csp/bin/mirror_status.cxw"
member = "db2"

[[mirror.elbv2]]
target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/iris/0123456789abcdef"
port = 1972
"#;

/// The tables of the configuration with their keys, in the order of the table of keys.
pub(super) fn sections() -> Vec<(String, Vec<Key>)> {
    let keys = Keys::of::<Table>();
    let mut sections: Vec<(&str, Vec<Key>)> = Vec::new();
    for key in keys.all() {
        match sections.iter_mut().find(|(section, _)| *section == key.section) {
            Some((_, keys)) => keys.push(*key),
            None => sections.push((key.section, vec![*key])),
        }
    }
    let heading =
        |section: &str| if section.is_empty() { "Top level".to_owned() } else { keys.title(section) };
    sections.into_iter().map(|(section, keys)| (heading(section), keys)).collect()
}
