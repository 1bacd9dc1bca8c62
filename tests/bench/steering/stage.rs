//! The simulated cloud of the measurements of steering, and the members in it: each has an instance that reports
//! the role that the measurement wants, and can have a daemon.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mirrorvip::clock::{Clock, Timestamp};
use mirrorvip::simulation::cloud::{Member, Settings, SimulatedCloud, Target, TargetGroup};
use mirrorvip::simulation::{FakeIris, LogLine};
use serde_json::Value;

use crate::daemon;
use crate::process::{Process, free_address, now};

/// Who was primary before: every object leads there at first.
pub(crate) const OLD: &str = "old";
/// The record of every zone.
pub(crate) const RECORD: &str = "db.example.internal";
/// The port of every target.
pub(crate) const PORT: u16 = 1972;

/// The port that load balancers check, as the cloud knows it.
const PAGE: u16 = 8080;
/// How long what involves no fault may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two polls of the daemon or the cloud.
const PAUSE: Duration = Duration::from_millis(5);

/// What directs clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A target group with the primary alone.
    TargetGroup,
    /// A record in a hosted zone.
    Record,
}

/// One object of the cloud, made for one measurement.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    /// The group's ARN or the zone's id.
    pub(crate) id: String,
}

/// The cloud, and where the files of this measurement are.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) cloud: SimulatedCloud,
    directory: PathBuf,
    /// The daemon's program.
    program: PathBuf,
}

/// A member's host.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    iris: FakeIris,
    directory: PathBuf,
    page: SocketAddr,
    admin: SocketAddr,
}

// === impl Object ===

impl Object {
    /// The table of the configuration that makes it follow. Values are `"auto"`, as on real instances.
    pub(crate) fn table(&self, owned: &[String]) -> String {
        let id = &self.id;
        match self.kind {
            Kind::TargetGroup => format!(
                "[[mirror.elbv2]]\ntarget_group_arn = \"{id}\"\npool = \"primary-only\"\nport = {PORT}\n\
                 owned_targets = {owned:?}\n"
            ),
            Kind::Record => {
                format!(
                    "[[mirror.route53]]\nhosted_zone_id = \"{id}\"\nrecord = \"{RECORD}\"\ntype = \"A\"\n"
                )
            }
        }
    }
}

// === impl Stage ===

impl Stage {
    /// Starts a cloud with these members and [`OLD`], whose second takes `second`.
    pub(crate) fn start(
        program: &Path,
        directory: &Path,
        names: &[String],
        second: Duration,
    ) -> Result<Self> {
        let names = std::iter::once(OLD).chain(names.iter().map(String::as_str));
        let members = (1..).zip(names).map(|(number, name)| Member::numbered(name, number)).collect();
        let cloud = SimulatedCloud::start(Settings { members, second, ..Settings::default() })
            .context("failed to start the simulated cloud")?;
        Ok(Self { cloud, directory: directory.to_owned(), program: program.to_owned() })
    }

    /// A new object that leads to the old primary.
    pub(crate) fn object(&self, kind: Kind) -> Result<Object> {
        let old = self.address(OLD)?.to_string();
        let id = match kind {
            Kind::TargetGroup => {
                let arn = self.cloud.create_target_group(TargetGroup::network("iris"));
                self.cloud.register(&arn, Target { id: old, port: PORT });
                arn
            }
            Kind::Record => {
                let zone = self.cloud.create_zone("example.internal");
                self.cloud.create_record(&zone, RECORD, "A", 5, &[&old]);
                zone
            }
        };
        Ok(Object { kind, id })
    }

    /// A member's address.
    pub(crate) fn address(&self, name: &str) -> Result<IpAddr> {
        let members = self.cloud.settings().members;
        let member = members.into_iter().find(|member| member.name == name);
        Ok(member.with_context(|| format!("there is no member {name}"))?.address)
    }

    /// When the cloud accepted that `object` leads to `member`.
    pub(crate) fn accepted(&self, object: &Object, member: &str) -> Option<Timestamp> {
        let (ours, action) = match object.kind {
            Kind::TargetGroup => (object.id.clone(), "RegisterTargets"),
            Kind::Record => (format!("{}/{RECORD}", object.id), "ChangeResourceRecordSets"),
        };
        let mutations = self.cloud.mutations();
        let found = mutations.iter().find(|mutation| {
            mutation.member == member && mutation.action == action && mutation.object.starts_with(&ours)
        });
        Some(found?.applied)
    }

    /// Waits for that.
    pub(crate) fn wait_until_accepted(&self, object: &Object, member: &str) -> Result<Timestamp> {
        wait_for("the cloud accepts the change", || Ok(self.accepted(object, member)))
    }
}

// === impl Node ===

impl Node {
    /// A member whose instance is the backup; no daemon runs there.
    pub(crate) fn new(stage: &Stage, name: &str) -> Result<Self> {
        let directory = stage.directory.join(name);
        let iris = FakeIris::new(&directory, "IRIS")?;
        let (page, admin) = (free_address()?, free_address()?);
        stage.cloud.place(name, PAGE, page);
        let node = Self { name: name.to_owned(), iris, directory, page, admin };
        node.rest()?;
        Ok(node)
    }

    /// The command that asks its instance.
    pub(crate) fn command(&self) -> PathBuf {
        self.iris.command()
    }

    /// Its instance becomes the backup.
    pub(crate) fn rest(&self) -> Result<()> {
        Ok(self.iris.set_role("Failover", "Backup")?)
    }

    /// Its instance becomes the primary and says so in its log; when that began.
    pub(crate) fn promote(&self) -> Result<Timestamp> {
        let text = "Becoming primary mirror server".to_owned();
        let entry = LogLine { severity: 0, facility: "Utility.Event", text };
        let clock = Clock::system();
        let began = clock.now();
        self.iris.set_role("Failover", "Primary")?;
        self.iris.log(&clock, &entry)?;
        Ok(began)
    }

    /// Starts its daemon, which remembers nothing, with these steering tables.
    pub(crate) fn start(&self, stage: &Stage, tables: &str, peers: &[&Self]) -> Result<Process> {
        let memory = self.directory.join("state");
        if memory.exists() {
            fs::remove_dir_all(&memory)?;
        }
        fs::create_dir(&memory)?;
        let Self { name, iris, page, admin, .. } = self;
        let mut text = format!(
            "state_directory = \"{memory}\"\n[health]\nlisten = [\"{page}\"]\n[admin]\nlisten = \"{admin}\"\n\
             [[mirror]]\nname = \"PROD\"\nmember = \"{name}\"\n\
             [mirror.probe.qlist]\ninstance = \"{instance}\"\ncommand = \"{command}\"\nwake_on = \"{log}\"\n",
            memory = memory.display(),
            instance = iris.instance(),
            command = iris.command().display(),
            log = iris.messages_log().display(),
        );
        for peer in peers {
            write!(
                text,
                "[[mirror.peer]]\naddress = \"{}\"\npage = \"http://{}/csp/bin/mirror_status.cxw\"\n",
                stage.address(&peer.name)?,
                peer.page,
            )?;
        }
        text += tables;
        let path = self.directory.join("mirrorvip.toml");
        fs::write(&path, text)?;
        let path = path.to_str().context("a path that is not UTF-8")?;
        let mut environment = stage.cloud.role_environment(name);
        // What goes wrong here is done on purpose.
        environment.push(("RUST_LOG".to_owned(), "off".to_owned()));
        Process::start_with(&stage.program, &["run", "--config", path], &environment, None, self.page)
    }

    /// Waits until the daemon has asked the instance.
    pub(crate) fn wait_until_ready(&self) -> Result<()> {
        daemon::wait_until_ready(self.page)
    }

    /// Waits until nothing is left to do for the daemon.
    pub(crate) fn wait_until_fulfilled(&self) -> Result<()> {
        self.wait_until_each("has nothing left to do", |target| target["state"] == "fulfilled")
    }

    /// Waits until everything has been seen to lead to this member in its last promotion.
    pub(crate) fn wait_until_led(&self) -> Result<()> {
        self.wait_until_each("is led to", |target| target["ladder"]["fulfilled"].is_string())
    }

    /// Waits until each of the daemon's steering targets is `so`.
    fn wait_until_each(&self, what: &str, so: impl Fn(&Value) -> bool) -> Result<()> {
        wait_for(&format!("{} {what}", self.name), || {
            let mirror = self.mirror()?;
            let targets = mirror["steering"].as_array().context("a status without steering")?;
            Ok(targets.iter().all(&so).then_some(()))
        })
    }

    /// When the daemon's page flipped in its last promotion, by the ladder of its only steering target.
    pub(crate) fn page_flipped(&self) -> Result<jiff::Timestamp> {
        let mirror = self.mirror()?;
        let flipped = mirror["steering"][0]["ladder"]["page_flipped"].as_str();
        Ok(flipped.context("a ladder without the page's flip")?.parse()?)
    }

    /// What the daemon says of its only steering target, for people.
    pub(crate) fn describe(&self) -> Result<String> {
        let target = &self.mirror()?["steering"][0];
        Ok(format!(
            "{}: {}, reason {}, calls {}",
            self.name, target["state"], target["reason"], target["calls"]
        ))
    }

    fn mirror(&self) -> Result<Value> {
        Ok(daemon::status(self.admin)?["mirrors"][0].take())
    }
}

/// Waits until `condition` gives something.
fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = now() + PATIENCE;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if now() >= deadline {
            bail!("waited {PATIENCE:?} without result: {what}");
        }
        std::thread::sleep(PAUSE);
    }
}
