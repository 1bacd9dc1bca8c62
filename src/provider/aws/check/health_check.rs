//! Whether a load balancer's health check asks for the page, understands the answer, and how fast. PURE.

use std::time::Duration;

use crate::finding::Finding;
use crate::health::mirror_told_at;
use crate::provider::check::Subject;

/// The shortest interval that network, application and classic load balancers have.
const FASTEST_INTERVAL: Duration = Duration::from_secs(5);
/// The lowest threshold that they have.
const LOWEST_THRESHOLD: u32 = 2;
const SECOND: Duration = Duration::from_secs(1);
/// From here on the interval is the longest part of a failover.
const SLOW_INTERVAL: Duration = Duration::from_secs(10);

/// A load balancer's health check, as it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthCheck {
    /// In capitals: `HTTP`, `HTTPS`, `TCP`, `SSL`.
    pub(crate) protocol: String,
    /// `None` is the port of each target.
    pub(crate) port: Option<u16>,
    /// Of HTTP checks.
    pub(crate) path: Option<String>,
    /// Status codes that count as healthy, such as `200`, `200,202` or `200-399`; `None` is 200 alone.
    pub(crate) matcher: Option<String>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Passed checks in a row after which a target is healthy.
    pub(crate) rise: u32,
    /// Failed checks in a row after which it is not.
    pub(crate) fall: u32,
}

/// The commands that correct a health check, ready to be pasted. Each kind of load balancer has its own.
pub(crate) trait Commands {
    /// Switches the check on.
    fn enable(&self) -> String;

    /// Turns the check that is `set` into the one that is `wanted`.
    fn change(&self, set: &HealthCheck, wanted: &HealthCheck) -> String;
}

/// Found about the check of a pool whose targets have `target_port`.
pub(crate) fn judge(
    subject: &Subject<'_>,
    check: &HealthCheck,
    target_port: Option<u16>,
    commands: &dyn Commands,
) -> Vec<Finding> {
    let change = &commands.change(check, &corrected(subject, check, target_port));
    let mut findings = Vec::new();
    match check.protocol.as_str() {
        "HTTP" | "HTTPS" => {
            findings.extend(protocol(subject, check, change));
            findings.extend(page(subject, check, change));
            findings.extend(matcher(subject, check, change));
        }
        other => findings.push(
            subject
                .error(format!(
                    "its health check is {other}: an open port is healthy on every member, so that clients reach \
                     those that are not primary"
                ))
                .help(format!("Set protocol HTTP and path {}: `{}`.", path(subject), change)),
        ),
    }
    findings.extend(port(subject, check, target_port, change));
    findings.extend(speed(subject, check, change));
    if findings.is_empty() {
        let HealthCheck { interval, rise, fall, .. } = check;
        findings.push(subject.good(format!(
            "its health check asks for this mirror's page every {interval:?}, thresholds {rise} up and {fall} down"
        )));
    }
    findings
}

/// The status codes that a matcher accepts, decided for one.
pub(crate) fn accepts(matcher: &str, status: u16) -> bool {
    matcher.split(',').any(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u16>();
        matches!((number(from), number(to)), (Ok(from), Ok(to)) if (from..=to).contains(&status))
    })
}

fn protocol(subject: &Subject<'_>, check: &HealthCheck, change: &str) -> Option<Finding> {
    let (asked, answered) = (check.protocol == "HTTPS", subject.config.health.tls.is_some());
    (asked != answered).then(|| {
        let speaks = |tls: bool| if tls { "HTTPS" } else { "HTTP" };
        let (asked, answered) = (speaks(asked), speaks(answered));
        subject
            .error(format!(
                "its health check speaks {asked} and the status page {answered}: no member is ever healthy, and the load \
                 balancer fails open to all"
            ))
            .help(format!("Set the health check's protocol to {answered} (`{change}`), or change [health.tls]."))
    })
}

fn page(subject: &Subject<'_>, check: &HealthCheck, change: &str) -> Option<Finding> {
    let mirrors = &subject.config.mirrors;
    let asked = check.path.as_deref().unwrap_or("/");
    let told = mirror_told_at(mirrors, asked).map(|index| &mirrors[index].name);
    let help = || format!("Set the path to {}: `{}`.", path(subject), change);
    match told {
        Some(name) if *name == subject.mirror.name => None,
        Some(name) => Some(
            subject
                .error(format!(
                    "its health check asks for {asked}, which is the page of mirror {name}: traffic follows that mirror"
                ))
                .help(help()),
        ),
        None => Some(
            subject
                .error(format!(
                    "its health check asks for {asked}, where no verdict is published: members are healthy whatever their \
                     role, or never"
                ))
                .help(help()),
        ),
    }
}

fn matcher(subject: &Subject<'_>, check: &HealthCheck, change: &str) -> Option<Finding> {
    let matcher = check.matcher.as_deref().unwrap_or("200");
    let help = format!("Set the success code to 200: `{change}`.");
    if [500, 503].iter().any(|refusal| accepts(matcher, *refusal)) {
        let text =
            format!("its health check takes {matcher} for healthy: members that refuse get traffic, too");
        Some(subject.error(text).help(help))
    } else if !accepts(matcher, 200) {
        let text =
            format!("its health check takes {matcher} for healthy, and the primary's page answers 200");
        Some(subject.error(text).help(help))
    } else {
        None
    }
}

fn port(
    subject: &Subject<'_>,
    check: &HealthCheck,
    target_port: Option<u16>,
    change: &str,
) -> Option<Finding> {
    let port = check.port.or(target_port)?;
    let listened: Vec<_> = subject.config.health.listen.iter().map(std::net::SocketAddr::port).collect();
    if listened.contains(&port) || listened.contains(&0) {
        return None;
    }
    let whose = if check.port.is_none() { "the port of the targets" } else { "where no status page answers" };
    let ports: Vec<_> = listened.iter().map(u16::to_string).collect();
    let ports = ports.join(" or ");
    Some(
        subject
            .error(format!(
                "its health check asks on port {port}, {whose}; the status page is on {ports}: no member is ever healthy"
            ))
            .help(format!("Set the health check's port to {ports}: `{change}`.")),
    )
}

fn speed(subject: &Subject<'_>, check: &HealthCheck, change: &str) -> Vec<Finding> {
    let HealthCheck { interval, timeout, rise, fall, .. } = check;
    let mut findings = Vec::new();
    if *interval > SLOW_INTERVAL || *rise > LOWEST_THRESHOLD {
        let saved = (*interval * *rise).saturating_sub(FASTEST_INTERVAL * LOWEST_THRESHOLD);
        findings.push(
            subject
                .warning(format!(
                    "a new primary gets traffic after {rise} checks {interval:?} apart: {saved:?} slower than necessary"
                ))
                .help(format!("Set the interval to 5 s and the healthy threshold to 2: `{change}`.")),
        );
    }
    if *fall > LOWEST_THRESHOLD {
        findings.push(
            subject
                .warning(format!(
                    "a member that refuses keeps getting connections for {fall} checks {interval:?} apart"
                ))
                .help(format!("Set the unhealthy threshold to 2: `{change}`.")),
        );
    }
    if *timeout > *interval {
        findings.push(
            subject
                .warning(format!(
                    "a check may take {timeout:?}, longer than the {interval:?} between two: a hung member is noticed late"
                ))
                .help(format!("Set the timeout below the interval; the page answers in milliseconds: `{change}`.")),
        );
    }
    findings
}

/// The page of the subject's mirror.
fn path(subject: &Subject<'_>) -> String {
    let prefix = subject.mirror.paths.first().map_or("/csp/bin", String::as_str);
    format!("{prefix}/mirror_status.cxw")
}

/// The same check without what [`judge`] finds wrong.
fn corrected(subject: &Subject<'_>, check: &HealthCheck, target_port: Option<u16>) -> HealthCheck {
    let mirrors = &subject.config.mirrors;
    let is_http = matches!(check.protocol.as_str(), "HTTP" | "HTTPS");
    let asks_for_this = check.path.as_deref().and_then(|path| mirror_told_at(mirrors, path));
    let asks_for_this = asks_for_this.is_some_and(|index| mirrors[index].name == subject.mirror.name);
    let matcher = check.matcher.as_deref().unwrap_or("200");
    let understands = accepts(matcher, 200) && ![500, 503].iter().any(|refusal| accepts(matcher, *refusal));
    let listened: Vec<_> = subject.config.health.listen.iter().map(std::net::SocketAddr::port).collect();
    let port = check.port.or(target_port);
    let answers = port.is_none_or(|port| listened.contains(&port)) || listened.contains(&0);
    let is_slow = check.interval > SLOW_INTERVAL || check.rise > LOWEST_THRESHOLD;
    let interval = if is_slow { check.interval.min(FASTEST_INTERVAL) } else { check.interval };
    HealthCheck {
        protocol: if subject.config.health.tls.is_some() { "HTTPS" } else { "HTTP" }.to_owned(),
        port: if answers { check.port } else { listened.first().copied() },
        path: if is_http && asks_for_this { check.path.clone() } else { Some(path(subject)) },
        matcher: if understands { check.matcher.clone() } else { Some("200".to_owned()) },
        interval,
        timeout: if check.timeout > interval {
            interval.saturating_sub(SECOND).max(SECOND)
        } else {
            check.timeout
        },
        rise: check.rise.min(LOWEST_THRESHOLD),
        fall: check.fall.min(LOWEST_THRESHOLD),
    }
}
