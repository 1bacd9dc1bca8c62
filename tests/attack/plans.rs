//! The attacks: how the daemon is set up for each, and what is done to it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::checkers::exchange;
use crate::floods::{self, Flood, Sources};
use crate::now;
use crate::servers::{Manner, Server};
use crate::target::{Setup, Target};
use crate::tls::{self, Identity};

/// Every attack, in the order of the table.
pub(crate) const ATTACKS: &[Attack] = &[
    Attack::new(
        "idle-flood",
        CHECKS,
        "one address opens connections as fast as it can and holds the newest 5,000",
    ),
    Attack::new("idle-flood-stranger", CHECKS, "the same from outside of `allowed_networks`"),
    Attack::new("idle-flood-many", CHECKS, "the same from 65,536 addresses that may ask"),
    Attack::new(
        "idle-flood-many-strangers",
        CHECKS,
        "the same from 65,536 addresses outside of `allowed_networks`",
    ),
    Attack::new(
        PREFIX,
        CHECKS,
        "the same from a /64 of IPv6, each connection from an address of its own; with --wire",
    ),
    Attack::new("slow", CHECKS, "200 clients send a byte a second and come again when they are closed"),
    Attack::new("partial-heads", CHECKS, "idle-flood, and each connection sends half of a request"),
    Attack::new("connect-storm", CHECKS, "one address opens and resets connections as fast as it can"),
    Attack::new("tls-idle", HANDSHAKES, "idle-flood at a page with TLS and a P-256 key"),
    Attack::new("tls-hello-p256-500", HANDSHAKES, "a replayed ClientHello, 500 a second and held; key P-256"),
    Attack::new("tls-hello-p256-5000", HANDSHAKES, "the same, 5,000"),
    Attack::new("tls-hello-rsa2048-500", HANDSHAKES, "the same, 500; key RSA-2048"),
    Attack::new("tls-hello-rsa2048-5000", HANDSHAKES, "the same, 5,000"),
    Attack::new("tls-hello-rsa4096-500", HANDSHAKES, "the same, 500; key RSA-4096"),
    Attack::new("tls-hello-rsa4096-5000", HANDSHAKES, "the same, 5,000"),
    Attack::new("descriptors", RESERVES, "soft limit 1,024 descriptors, hard 20,000; 5,000 idle clients"),
    Attack::new(
        "admin-flood",
        SCRAPES,
        "idle-flood at the admin listener, and a scrape with the token each second",
    ),
    Attack::new("wake-flood", PROBES, "`POST /probe` and SIGUSR1 as fast as possible"),
    Attack::new("endless-answer", MEMORY, "the AWS endpoint answers without end"),
    Attack::new("endless-metadata", MEMORY, "the metadata service answers without end"),
    Attack::new("endless-peer", MEMORY, "a peer answers without end"),
    Attack::new("wide-xml", THREADS, "the AWS endpoint answers one element with 140,000 attributes"),
    Attack::new("big-log", FILES, "10 GiB of zeros in place of messages.log"),
];

/// The attack that needs a route, which `tests/attack/run --wire` makes.
const PREFIX: &str = "idle-flood-prefix";

const CHECKS: &str = "no client delays another's check";
const HANDSHAKES: &str = "handshakes are bounded and expire";
const RESERVES: &str = "the probe has its descriptors";
const SCRAPES: &str = "strangers keep no client from the admin listener";
const PROBES: &str = "wake-ups are limited in rate";
const MEMORY: &str = "every answer is bounded";
const THREADS: &str = "no foreign answer delays a probe";
const FILES: &str = "reading is bounded for each wake-up";

/// Every checker is in it, and no attacker.
const ALLOWED: &str = "allowed_networks = [\"127.0.0.0/26\", \"10.66.0.0/30\"]";
const TOKEN: &str = "attack-tool-token-of-no-value";

/// One attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Which promise it tries.
    pub(crate) promise: &'static str,
    pub(crate) does: &'static str,
}

/// What is done to the daemon.
pub(crate) enum Weapon {
    /// Connections to its page.
    Page(Flood),
    Slow,
    /// Connections to its admin listener, and a scrape each second.
    Admin(Flood),
    /// Connections to its admin listener, and nothing else.
    AdminAlone(Flood),
    Wake,
    /// What it asks answers in this manner.
    Answer(Server, Manner),
    /// Its log is replaced.
    Log,
}

// === impl Attack ===

impl Attack {
    const fn new(name: &'static str, promise: &'static str, does: &'static str) -> Self {
        Self { name, promise, does }
    }

    /// Whether it can be done without what `tests/attack/run --wire` makes.
    pub(crate) fn needs_no_wire(&self) -> bool {
        self.name != PREFIX
    }

    /// Prepares files and servers; the daemon's setting, and what is done to it then.
    pub(crate) fn prepare(&self, directory: &Path) -> Result<(Setup, Weapon)> {
        let mut setup = Setup::default();
        let weapon = match self.name {
            "idle-flood" => Weapon::Page(Flood::idle()),
            "idle-flood-stranger" => {
                ALLOWED.clone_into(&mut setup.health);
                Weapon::Page(Flood::idle())
            }
            "idle-flood-many" => Weapon::Page(Flood { from: Sources::Many, ..Flood::idle() }),
            "idle-flood-many-strangers" => {
                ALLOWED.clone_into(&mut setup.health);
                Weapon::Page(Flood { from: Sources::Many, ..Flood::idle() })
            }
            PREFIX => Weapon::Page(Flood { from: Sources::Prefix, ..Flood::idle() }),
            "slow" => Weapon::Slow,
            "partial-heads" => Weapon::Page(Flood::partial()),
            "connect-storm" => Weapon::Page(Flood { hold: 0, ..Flood::idle() }),
            "descriptors" => {
                setup.descriptors = Some((1_024, 20_000));
                Weapon::Page(Flood { hold: 5_000, pace: Some(5_000), ..Flood::idle() })
            }
            "admin-flood" => {
                let path = directory.join("token");
                fs::write(&path, TOKEN)?;
                setup.admin = format!("token_file = \"{}\"", path.display());
                Weapon::Admin(Flood::idle())
            }
            "wake-flood" => Weapon::Wake,
            "endless-answer" => cloud(&mut setup, Manner::Endless)?,
            "wide-xml" => cloud(&mut setup, Manner::Wide)?,
            "endless-metadata" => metadata(&mut setup)?,
            "endless-peer" => peer(&mut setup)?,
            "big-log" => {
                let path = directory.join("messages.log");
                fs::write(&path, "")?;
                setup.probe = format!("wake_on = \"{}\"", path.display());
                Weapon::Log
            }
            name => handshakes(name, directory, &mut setup)?,
        };
        Ok((setup, weapon))
    }
}

/// Steering through an endpoint that answers in this manner.
fn cloud(setup: &mut Setup, manner: Manner) -> Result<Weapon> {
    let server = Server::start()?;
    steer(setup, "peers = \"none\"", "10.0.1.12", &server);
    Ok(Weapon::Answer(server, manner))
}

/// The same; how often the loop checks is chosen for a test of seconds.
pub(crate) fn steer(setup: &mut Setup, mirror: &str, target_id: &str, endpoint: &Server) {
    setup.mirror = format!("{}\n{mirror}\ndrift_interval = \"10s\"", setup.mirror);
    setup.tables = format!(
        "[[mirror.elbv2]]\ntarget_group_arn = \
         \"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef\"\n\
         pool = \"primary-only\"\ntarget_id = \"{target_id}\"\nport = 1972\n\
         owned_targets = [\"10.0.1.12\", \"10.0.2.12\"]\n\
         [[mirror.classic_elb]]\nload_balancer = \"iris\"\nregion = \"eu-west-1\"\npool = \"primary-only\"\n\
         instance_id = \"i-0123456789abcdef0\"\n\
         owned_instances = [\"i-0123456789abcdef0\", \"i-0123456789abcdef1\"]\n"
    );
    setup.environment = vec![
        ("AWS_ENDPOINT_URL", format!("http://{}", endpoint.address)),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "of-no-value".to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
}

fn metadata(setup: &mut Setup) -> Result<Weapon> {
    let server = Server::start()?;
    steer(setup, "peers = \"none\"", "auto", &server);
    setup.environment = vec![
        ("AWS_ENDPOINT_URL", format!("http://{}", server.address)),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", server.address)),
    ];
    Ok(Weapon::Answer(server, Manner::Endless))
}

fn peer(setup: &mut Setup) -> Result<Weapon> {
    let (endpoint, server) = (Server::start()?, Server::start()?);
    steer(setup, "", "10.0.1.12", &endpoint);
    setup.tables = format!(
        "[[mirror.peer]]\naddress = \"10.0.2.12\"\npage = \"http://{}/csp/bin/mirror_status.cxw\"\n{}",
        server.address, setup.tables
    );
    Ok(Weapon::Answer(server, Manner::Endless))
}

/// `tls-hello-KEY-COUNT` and `tls-idle`.
fn handshakes(name: &str, directory: &Path, setup: &mut Setup) -> Result<Weapon> {
    let kind: &[&str] = match name.split('-').nth(2) {
        Some("rsa2048") => &["rsa:2048"],
        Some("rsa4096") => &["rsa:4096"],
        _ => &["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
    };
    let identity = Identity::make(directory, kind)?;
    let words = tls::hello(&identity.client()?)?;
    setup.identity = Some(identity);
    if name == "tls-idle" {
        return Ok(Weapon::Page(Flood::idle()));
    }
    let count: u32 = name.rsplit('-').next().unwrap_or_default().parse().context("a name without a count")?;
    Ok(Weapon::Page(Flood { hold: usize::try_from(count)?, pace: Some(count), from: Sources::One, words }))
}

// === impl Weapon ===

impl Weapon {
    /// Does it until it is stopped; returns what was done.
    pub(crate) fn run(&self, target: &Target, stop: &AtomicBool) -> Result<String> {
        match self {
            Self::Page(flood) if flood.from == Sources::Prefix => Ok(flood.run(target.page_ipv6, stop)),
            Self::Page(flood) => Ok(flood.run(target.page, stop)),
            Self::Slow => Ok(floods::drip(target.page, stop)),
            Self::Admin(flood) => Ok(scraped(flood, target.admin, stop)),
            Self::AdminAlone(flood) => Ok(flood.run(target.admin, stop)),
            Self::Wake => Ok(wake(target, stop)),
            Self::Answer(server, manner) => {
                let before = server.sent();
                server.set(*manner);
                wait(stop);
                server.set(Manner::Polite);
                Ok(format!("{} MiB were sent", (server.sent() - before) >> 20))
            }
            Self::Log => {
                let (fresh, log) =
                    (target.directory().join("fresh"), target.directory().join("messages.log"));
                File::create(&fresh)?.set_len(10 << 30)?;
                fs::rename(fresh, log)?;
                wait(stop);
                Ok("read after it was replaced".to_owned())
            }
        }
    }
}

fn wait(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One request from next door, within two seconds.
fn ask(server: SocketAddr, request: &str) -> std::io::Result<String> {
    exchange(server, Ipv4Addr::LOCALHOST, Duration::ZERO, None, request, Duration::from_secs(2))
}

fn scraped(flood: &Flood, admin: SocketAddr, stop: &AtomicBool) -> String {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    );
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood.run(admin, stop));
        let (mut scrapes, mut answered, mut due) = (0, 0, now());
        while !stop.load(Ordering::Relaxed) {
            scrapes += 1;
            answered += u32::from(ask(admin, &request).is_ok_and(|text| text.starts_with("HTTP/1.1 200 ")));
            due = (due + Duration::from_secs(1)).max(now());
            while now() < due && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let note = flooding.join().expect("a flood's thread does not panic");
        let bold = if answered < scrapes { "**" } else { "" };
        format!("{note}; {bold}{answered} of {scrapes} scrapes answered{bold}")
    })
}

fn wake(target: &Target, stop: &AtomicBool) -> String {
    let (began, before, signals) = (now(), probes(target), AtomicU64::new(0));
    let mut posts = 0_u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                target.signal(Signal::USR1);
                signals.fetch_add(1, Ordering::Relaxed);
            }
        });
        let request =
            "POST /probe HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        while !stop.load(Ordering::Relaxed) {
            posts += u64::from(ask(target.admin, request).is_ok());
        }
    });
    let seconds = began.elapsed().as_secs().max(1);
    let probes = probes(target).saturating_sub(before) / seconds;
    let signals = signals.into_inner() / seconds;
    format!("{} posts/s, {signals} signals/s; {probes} probes/s", posts / seconds)
}

/// How many probes the daemon has made; zero if it does not say.
fn probes(target: &Target) -> u64 {
    let text = ask(target.admin, "GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    let text = text.unwrap_or_default();
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let status: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    status["mirrors"][0]["probes"]["definite"].as_u64().unwrap_or(0)
}
