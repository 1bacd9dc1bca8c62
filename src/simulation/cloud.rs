//! A cloud without AWS: load balancers, hosted zones, route tables and instance metadata on loopback, for the AWS SDK,
//! boto3 and the AWS command line.
//!
//! For the demo and for tests. [`SimulatedCloud`] runs on its own thread: one port for the APIs of all services, which the
//! scope of the signature selects, and one port per member for its instance metadata. Its load balancers check the
//! members' real ports. Faults can be switched on and off while it runs. Its journal records every change, its caller and
//! its effect. Nothing here knows the daemon.
//!
//! # Like AWS
//!
//! | what | how |
//! |---|---|
//! | targets | keyed by id and port; registering, initial, healthy, unhealthy, draining; one pass for a new one, thresholds for the others |
//! | deregistering | of an absent target succeeds; a target that is registered again while it drains starts over |
//! | no healthy target | all get traffic (fail open) |
//! | batches of records | whole or not at all, checked against the records as listed, with the service's messages; limits |
//! | reads | of load balancers and route tables may be behind the last change, when [`SimulatedCloud::lag`] says so |
//! | routes | black holes, when [`SimulatedCloud::detach`] says so |
//! | changes of records | listed at once, resolved when INSYNC; `PriorRequestNotComplete` while one is processed |
//! | requests | carried out once they have arrived, whether or not the client waits |
//! | errors | codes and statuses of each service, for throttles, rights, credentials, regions, server errors |
//! | CloudWatch | Query, JSON and CBOR encodings, whichever the client prefers |
//! | instance metadata | version 2 only: a token with a life time, 401 without; credentials of a role that expire |
//!
//! # Unlike AWS
//!
//! - Signatures are not checked, only access key, session token and region; Route 53 and
//!   the security token service take any region.
//! - Time may run faster: [`Settings::second`]. Nothing throttles but faults.
//! - Deregistering without a port does nothing. AWS takes the group's port if the target was registered so;
//!   clients that rely on it fail with any other port.
//! - One load balancer per target group, one node that checks, one availability zone; health checks by HTTP
//!   and TCP; addresses are mapped to real ones with [`SimulatedCloud::place`].
//! - Nothing is created or deleted by API; answers are never paged but for records. Actions that are not
//!   listed in the services' modules answer `InvalidAction`.
//! - Records: no geographic or CIDR routing; a swap's values are compared in any order; health checks of
//!   records are kept and not evaluated. Whether AWS, too, reports only the DELETE when a swap is lost, and not the CREATE
//!   after it, is not known; in both cases the message contains the text about the DELETE.
//!
//! # Modules
//!
//! `pool`, `record`, `zone`, `ec2` are the state machines; `fault` and `journal` inject and record;
//! `api`, `xml` are the wire; `elbv2`, `classic_elb`, `route53`, `ec2`, `cloudwatch`, `sts` join the
//! two; all of these do no I/O. `state` is all state behind one lock; `server`, `imds` and `checks` do the I/O.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod api;
mod checks;
mod classic_elb;
mod cloudwatch;
mod dispatch;
mod ec2;
mod elbv2;
mod fault;
mod imds;
mod inspect;
mod journal;
mod objects;
mod pool;
mod record;
mod route53;
mod server;
mod settings;
mod state;
mod sts;
mod xml;
mod zone;

pub use fault::{Effect, Fault, FaultId};
pub use inspect::TargetHealth;
pub use journal::{Call, Mutation};
pub use objects::Datum;
pub use pool::{Failure, Health, Target};
pub use record::{Alias, RecordSet};
pub use settings::{ClassicBalancer, HealthCheck, Kind, Member, Service, Settings, TargetGroup, TargetType};

use imds::Metadata;
use objects::PoolName;
use server::Api;
use state::Shared;

/// A running cloud; it ends when this is dropped.
pub struct SimulatedCloud {
    shared: Arc<Shared>,
    api: SocketAddr,
    /// In the order of the members.
    metadata: Vec<(String, SocketAddr)>,
    runtime: tokio::runtime::Handle,
    tasks: TaskTracker,
    stopping: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl SimulatedCloud {
    /// Starts a cloud without any load balancer, zone or table.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let members = settings.members.clone();
        let shared = Arc::new(Shared::new(settings));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let tasks = TaskTracker::new();
        let stopping = CancellationToken::new();

        let (listener, api) = listen()?;
        serve(&runtime, &tasks, listener, Api(Arc::clone(&shared)))?;
        let mut metadata = Vec::with_capacity(members.len());
        for member in members {
            let (listener, address) = listen()?;
            metadata.push((member.name.clone(), address));
            serve(&runtime, &tasks, listener, Metadata::new(Arc::clone(&shared), member))?;
        }
        let stop = stopping.clone();
        let thread = std::thread::Builder::new().name("simulated-cloud".to_owned()).spawn(move || {
            // Tasks that still run end with the runtime.
            runtime.block_on(stop.cancelled());
        })?;
        Ok(Self { shared, api, metadata, runtime: handle, tasks, stopping, thread: Some(thread) })
    }

    /// The address of the APIs, for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.api)
    }

    /// The address of a member's instance metadata service.
    ///
    /// # Panics
    ///
    /// If there is no such member.
    pub fn imds(&self, member: &str) -> SocketAddr {
        let found = self.metadata.iter().find(|(name, _)| name == member);
        found.unwrap_or_else(|| panic!("the simulated cloud has no member {member}")).1
    }

    /// The environment of a member with access keys of its own.
    pub fn environment(&self, member: &str) -> Vec<(String, String)> {
        let (key, secret) = {
            let state = self.shared.lock();
            let member = state.objects.settings.member(member);
            (member.access_key(), member.secret_key())
        };
        let mut environment = self.role_environment(member);
        environment.push(("AWS_ACCESS_KEY_ID".to_owned(), key));
        environment.push(("AWS_SECRET_ACCESS_KEY".to_owned(), secret));
        environment
    }

    /// The environment of a member whose credentials come from its instance role.
    pub fn role_environment(&self, member: &str) -> Vec<(String, String)> {
        let region = self.shared.lock().objects.settings.region.clone();
        let imds = format!("http://{}", self.imds(member));
        let pairs = [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds),
            ("AWS_REGION", region.clone()),
            ("AWS_DEFAULT_REGION", region),
            // The configuration of this machine must have no effect.
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value)).to_vec()
    }

    fn check(&self, pool: PoolName) {
        self.tasks.spawn_on(checks::run(Arc::clone(&self.shared), pool), &self.runtime);
    }
}

impl Drop for SimulatedCloud {
    fn drop(&mut self) {
        self.stopping.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the simulated cloud panicked");
        }
    }
}

impl std::fmt::Debug for SimulatedCloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedCloud").field("api", &self.api).finish_non_exhaustive()
    }
}

fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn serve<S: server::Serve>(
    runtime: &tokio::runtime::Runtime,
    tasks: &TaskTracker,
    listener: TcpListener,
    server: S,
) -> io::Result<()> {
    let _entered = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tasks.spawn_on(server::accept(listener, Arc::new(server), tasks.clone()), runtime.handle());
    Ok(())
}
