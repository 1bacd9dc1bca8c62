//! Steering tables: which cloud objects direct clients, and how this member takes part in them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// `[[mirror.peer]]`: another member of the mirror, asked before anything is taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address, as it appears in pools and records.
    pub address: String,
    /// Its status page.
    pub page: super::HttpTarget,
    /// Its name; `None` takes the name that it answers with first.
    pub member: Option<String>,
}

/// What the page of a superseded member says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Superseded {
    /// FAILED: the later promotion wins.
    #[default]
    Refuse,
    /// What the instance says; only a warning is logged.
    Warn,
}

/// One cloud object that directs clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `[[mirror.elbv2]]`
    Elbv2(Elbv2),
    /// `[[mirror.classic_elb]]`
    ClassicElb(ClassicElb),
    /// `[[mirror.route53]]`
    Route53(Route53),
    /// `[[mirror.route]]`
    Route(Route),
    /// `[[mirror.cloudwatch]]`
    CloudWatch(CloudWatch),
    /// `[[mirror.kubernetes]]`
    Kubernetes(Kubernetes),
    /// `[[mirror.hook]]`
    Hook(Hook),
}

impl Target {
    /// Whether a promotion changes through this table who receives traffic. What a command does is not known here.
    pub fn moves_traffic(&self) -> bool {
        match self {
            Self::Elbv2(Elbv2 { pool, .. }) | Self::ClassicElb(ClassicElb { pool, .. }) => {
                *pool == Pool::PrimaryOnly
            }
            Self::Route53(_) | Self::Route(_) => true,
            Self::CloudWatch(_) | Self::Kubernetes(_) | Self::Hook(_) => false,
        }
    }

    /// The table, as it is written.
    pub const fn table(&self) -> &'static str {
        match self {
            Self::Elbv2(_) => "[[mirror.elbv2]]",
            Self::ClassicElb(_) => "[[mirror.classic_elb]]",
            Self::Route53(_) => "[[mirror.route53]]",
            Self::Route(_) => "[[mirror.route]]",
            Self::CloudWatch(_) => "[[mirror.cloudwatch]]",
            Self::Kubernetes(_) => "[[mirror.kubernetes]]",
            Self::Hook(_) => "[[mirror.hook]]",
        }
    }
}

/// A value that the instance metadata service can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// `"auto"`: the instance metadata service tells.
    #[default]
    Auto,
    /// As written.
    Is(String),
}

/// Who is registered in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Every member; the health check decides who gets traffic.
    AllMembers,
    /// The primary alone.
    PrimaryOnly,
}

/// A target group of an application or network load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elbv2 {
    /// Its ARN, which also names the region.
    pub target_group_arn: String,
    /// Who is registered.
    pub pool: Pool,
    /// This member's target: an instance id or an IP address, as the group's type demands.
    pub target_id: Value,
    /// The port that clients use.
    pub port: u16,
    /// What this mirror may deregister; strangers stay. Empty in `all-members` pools.
    pub owned_targets: Vec<String>,
    /// How long a primary waits for its own target to be healthy before it deregisters the others.
    pub healthy_within: Duration,
}

/// A classic load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicElb {
    /// Its name.
    pub load_balancer: String,
    /// Its region.
    pub region: Value,
    /// Who is registered.
    pub pool: Pool,
    /// This member's instance id.
    pub instance_id: Value,
    /// Instance ids that this mirror may deregister.
    pub owned_instances: Vec<String>,
    /// As for [`Elbv2::healthy_within`].
    pub healthy_within: Duration,
}

/// Types of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name.
    Cname,
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
        })
    }
}

/// What a record says while this member is primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordValue {
    /// An address or a name, and for how many seconds it may be cached.
    Plain {
        /// The value.
        value: Value,
        /// Time to live, in seconds.
        ttl: u32,
    },
    /// An alias, such as a region's load balancer.
    Alias {
        /// The hosted zone of what it points to.
        hosted_zone_id: String,
        /// The DNS name that it points to.
        dns_name: String,
        /// Whether Route 53 looks at that target's health.
        evaluate_target_health: bool,
    },
}

/// How a record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Write {
    /// DELETE of exactly what was read and CREATE in one batch, with an epoch as fencing token.
    #[default]
    CompareAndSwap,
    /// UPSERT: the last writer wins.
    Upsert,
}

/// A record in a hosted zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route53 {
    /// The zone, without `/hostedzone/`.
    pub hosted_zone_id: String,
    /// The name, lower-case, without the final dot.
    pub record: String,
    /// Its type.
    pub record_type: RecordType,
    /// What it says while this member is primary.
    pub value: RecordValue,
    /// Tells records of the same name and type apart.
    pub set_identifier: Option<String>,
    /// The weight that goes with a set identifier.
    pub weight: Option<u8>,
    /// How it is written.
    pub write: Write,
}

/// An overlay address: a route to it in every named route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The route tables.
    pub route_tables: Vec<String>,
    /// The overlay address or network, outside the VPC's own.
    pub destination: String,
    /// Where the route leads: this member's network interface (`eni-...`) or instance (`i-...`). Automatic: the
    /// primary network interface.
    pub target: Value,
    /// The region.
    pub region: Value,
}

/// A metric that tells the verdict, for alarms and health checks on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudWatch {
    /// The metric's namespace.
    pub namespace: String,
    /// Its name.
    pub metric: String,
    /// The value of the dimension `Member`.
    pub member: Value,
    /// The region.
    pub region: Value,
    /// How often it is published.
    pub interval: Duration,
}

/// A label on this member's pod that says its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// The label's key.
    pub label: String,
    /// The pod. Automatic: the variable `POD_NAME`, or the host name.
    pub pod: Value,
    /// Its namespace. Automatic: that of the service account.
    pub namespace: Value,
    /// The API server; `None` is the one that the kubelet names.
    pub server: Option<hyper::Uri>,
    /// PEM file with the authorities to trust for it.
    pub ca_file: PathBuf,
    /// File with the service account's token, read anew for each call.
    pub token_file: PathBuf,
}

/// A command that is run at promotions and demotions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The command and its arguments; never empty.
    pub command: Vec<String>,
    /// Run it when the member has become primary.
    pub on_promotion: bool,
    /// Run it when the member has ceased to be primary.
    pub on_demotion: bool,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether a failure is tried again.
    pub retry: bool,
    /// Names of environment variables that it gets besides the usual ones.
    pub environment: Vec<String>,
}
