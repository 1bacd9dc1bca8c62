//! The kinds of steering targets, provider by provider: everything that [`steer`](crate::steer) does not know of clouds.
//!
//! [`Table`] has one variant per kind, and [`Table::kind`] is the only place that distinguishes them: other code asks a
//! table's [`Kind`].
//!
//! # Adding a kind of target
//!
//! A kind is a folder below its provider. Take a pool from [`aws::classic_elb`], anything else from [`aws::route`]:
//!
//! | file | what it holds |
//! |---|---|
//! | `table.rs` | the table as a type, and each of its keys in one declaration (`Setting`): name, meaning, default, reader; the rules between keys; what it claims for itself (`ObjectClaims`) |
//! | `plan.rs` | what was observed, the steps, and the plan from one to the other; PURE |
//! | `KIND.rs` | the calls: [`Target`](crate::steer::Target), or `Balancer` of [`steer::pool`](crate::steer::pool) for a pool; each step comes [authorized](crate::steer::Authorized) |
//! | `check.rs`, `read.rs` | for `mirrorvip check`: whether the object's settings are right (PURE), and how they are read |
//! | `kind.rs` | [`Kind`]: the names, what moves traffic, which identity and region it needs, rights, agreement, loop, preview, check |
//! | `tests.rs` | the plan's laws, and the calls as they go over the wire |
//!
//! Then:
//!
//! 1. Declare the module in its provider's file (`aws.rs`), and one line in `tables!` below: its order is that of the reference.
//! 2. Write the table's row in the guide and in README, and its metadata in the simulated cloud ([`simulation`]), so that
//!    `tests/steering` can fail it over. Tests of the tree report what is missing: each key is read, documented and has its
//!    meaning; names of tests that `lib.rs` maps exist; nothing below imports a provider.
//! 3. For a service that a provider does not speak yet, see `aws::query`: a client, deadlines, bounds of answers, and one
//!    class for every error ([`CallError`]).
//!
//! A new provider is a module beside [`aws`] with a session, an identity and rights of its own; it adds a variant to
//! [`Cloud`], a field to [`Sessions`] and to `Member`, its helps to `help`, and the caller's identity to [`check`].
//!
//! [`simulation`]: crate

use std::path::Path;
use std::pin::Pin;
use std::sync::LazyLock;

pub(crate) mod agreement;
pub mod aws;
pub mod check;
pub(crate) mod help;
pub mod hook;
pub mod kubernetes;
mod name;
mod pool;
pub mod preview;
mod start;

use self::aws::rights::Grant;
use self::check::{Found, Subject};
use self::preview::{Look, Preview};
use crate::config::reading::Declared;
use crate::config::{self, Key, Keys, LoadError, TableKind, Tables};
use crate::finding::Finding;
use crate::steer::{CallError, LoopContext};
pub(crate) use name::names;
pub(crate) use start::{Member, start};

/// The whole configuration.
pub type Config = config::Config<Table>;

/// One mirror of it.
pub type Mirror = config::Mirror<Table>;

/// Declares [`Table`] and its kinds.
macro_rules! tables {
    ($($(#[$doc:meta])* $kind:ident($table:ty),)+) => {
        /// One cloud object that directs clients.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Table {
            $($(#[$doc])* $kind($table),)+
        }

        /// Each kind, in the order in which the documentation lists them.
        const KINDS: &[TableKind<Table>] = &[
            $(TableKind {
                section: <$table as Declared>::SECTION,
                keys: <$table as Declared>::KEYS,
                read: |section, objects| <$table as Declared>::read(section, objects).map(Table::$kind),
            },)+
        ];

        impl Table {
            /// What this kind of table answers: the only match on the kind of a target.
            pub(crate) fn kind(&self) -> &dyn Kind {
                match self {
                    $(Self::$kind(table) => table,)+
                }
            }
        }
    };
}

tables! {
    /// `[[mirror.elbv2]]`: a target group.
    Elbv2(aws::elbv2::Table),
    /// `[[mirror.classic_elb]]`: a classic load balancer.
    ClassicElb(aws::classic_elb::Table),
    /// `[[mirror.route53]]`: a record.
    Route53(aws::route53::Table),
    /// `[[mirror.route]]`: an overlay address.
    Route(aws::route::Table),
    /// `[[mirror.cloudwatch]]`: a metric.
    CloudWatch(aws::cloudwatch::Table),
    /// `[[mirror.kubernetes]]`: a label.
    Kubernetes(kubernetes::Table),
    /// `[[mirror.hook]]`: a command.
    Hook(hook::Table),
}

/// Every key that a configuration may hold, in the order in which the documentation lists them.
pub fn known_keys() -> &'static [Key] {
    static KEYS: LazyLock<Keys> = LazyLock::new(Keys::of::<Table>);
    KEYS.all()
}

/// Reads a configuration from its text; `origin` names the text in the report.
pub fn parse(text: &str, origin: &str) -> Result<Config, config::Report> {
    config::parse(text, origin)
}

/// Reads a configuration from a file.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    config::load(path)
}

/// A future of a kind, boxed because each kind's is of another type.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a kind of steering target answers about one of its tables.
pub(crate) trait Kind: Send + Sync {
    /// The table's dotted path: `mirror.elbv2`.
    fn section(&self) -> &'static str;

    /// The table's name in logs, status and metrics: the kind and which object.
    fn name(&self) -> String;

    /// A longer name, for a table that shares its name with others of its mirror. It is the `nth` of them, from 1.
    fn long_name(&self, name: &str, _nth: usize) -> String {
        name.to_owned()
    }

    /// Its name in findings.
    fn subject(&self) -> String {
        self.name()
    }

    /// Whether a promotion changes through this table which member receives traffic. What a command does is not known here.
    fn moves_traffic(&self) -> bool {
        false
    }

    /// Whether it does anything at a promotion that needs write authorization.
    fn acts_on_promotion(&self) -> bool {
        self.moves_traffic()
    }

    /// Where the object is, and what is needed to reach it.
    fn cloud(&self) -> Cloud {
        Cloud::None
    }

    /// What all members must agree on; `None` when the object is a member's own business. PURE.
    fn agreement(&self) -> Option<String> {
        None
    }

    /// The rights in AWS that steering and checking the object need. PURE.
    fn rights(&self, _partition: &str) -> Vec<Grant> {
        Vec::new()
    }

    /// What `mirrorvip check` finds without a request. PURE.
    fn local_findings(&self, _mirror: &Mirror) -> Vec<Finding> {
        Vec::new()
    }

    /// Steers the object until it is cancelled.
    fn steer(&self, member: Member, around: LoopContext) -> Boxed<'static, ()>;

    /// Reads the object for `mirrorvip plan`, and changes nothing.
    fn look<'a>(
        &'a self,
        mirror: &'a Mirror,
        preview: Preview,
        sessions: &'a mut Sessions,
    ) -> Boxed<'a, Look>;

    /// Checks the object for `mirrorvip check`, and changes nothing.
    fn check<'a>(
        &'a self,
        subject: &'a Subject<'a>,
        sessions: &'a mut Sessions,
        found: &'a mut Found,
    ) -> Boxed<'a, Result<(), CallError>>;
}

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cloud {
    /// Not in a cloud that needs an identity or a region.
    None,
    /// In AWS.
    Aws(aws::Place),
}

/// Answers that the tables of one command share; nothing is asked before a table needs it.
pub(crate) struct Sessions {
    pub(crate) aws: aws::session::Session,
}

// === impl Table ===

impl Tables for Table {
    fn kinds() -> &'static [TableKind<Self>] {
        KINDS
    }

    fn table(&self) -> String {
        format!("[[{}]]", self.kind().section())
    }

    fn moves_traffic(&self) -> bool {
        self.kind().moves_traffic()
    }
}

// === impl Sessions ===

impl Sessions {
    /// Knows only what `config` says.
    pub(crate) fn new(config: &Config) -> Self {
        Self { aws: aws::session::Session::new(config) }
    }
}
