//! What to do about routes. PURE: what the tables say and what is remembered come in, calls come out.
//!
//! | intent | a table's route | call |
//! |---|---|---|
//! | lead | absent | `CreateRoute` |
//! | lead | to somebody else, or into a black hole | `ReplaceRoute` |
//! | lead | to somebody else, after it led here in this epoch | none: somebody was promoted later |
//! | lead | here | none |
//! | lead | none, for there is no such table | none, and that is told |
//! | follow, hold | any | none: the primary sees to it |
//!
//! EC2 may answer a read from before the last write. So what was [accepted](crate::steer::accepted) a moment ago
//! is not sent again, and so that an answer out of date is not taken for another member's promotion, a route
//! counts as taken over only when it has led elsewhere for [`SETTLED_AFTER`]; until then nothing is sent. A call
//! that was accepted has led the route here, whether or not a look came in time to see that.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::clock::Timestamp;
use crate::role::Epoch;
use crate::steer::accepted::{Accepted, SETTLED_AFTER};
use crate::steer::{Intent, Plan, Progress, Step};

/// What the route is to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// An address or a network, in its canonical form.
    Network(IpNet),
    /// Anything else, for EC2 to refuse: reading the configuration lets none through.
    Unreadable(String),
}

/// Where this member wants the route to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// `eni-...`
    Interface(String),
    /// `i-...`, which must have one network interface.
    Instance(String),
}

/// Where a table's route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouteState {
    /// There is no such route.
    Nowhere,
    /// There is no such table.
    NoTable,
    /// Within the VPC: the destination is no overlay address.
    Local,
    /// There. EC2 tells both interface and instance, where there are both.
    To {
        /// `eni-...`
        interface: Option<String>,
        /// `i-...`
        instance: Option<String>,
        /// A gateway or the like.
        other: Option<String>,
        /// Whether what it leads to is there: an interface that is attached, an instance that runs.
        blackhole: bool,
    },
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// `rtb-...`
    pub(crate) id: String,
    /// Where its route leads.
    pub(crate) way: RouteState,
}

/// All named tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// This member.
    pub(crate) me: NextHop,
    /// In the configuration's order.
    pub(crate) tables: Vec<Table>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Whether there is a route to replace.
    pub(crate) replace: bool,
    /// In which table.
    pub(crate) table: String,
    /// The route's destination.
    pub(crate) destination: Destination,
    /// Where it shall lead.
    pub(crate) hop: NextHop,
}

/// What the tables showed in the present epoch: one look cannot tell a route that is still to be taken from
/// one that was taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory(Option<InEpoch>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct InEpoch {
    epoch: Epoch,
    /// The read with which the epoch began. It may be older than the promotion, so it proves nothing.
    first_read: u64,
    tables: BTreeMap<String, Seen>,
    /// Tables whose route was led here a moment ago.
    accepted: Accepted<String>,
}

/// What one table showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Whether its route led here, as a look or the acceptance of a call showed.
    led_here: bool,
    /// Since when, after that, it leads elsewhere.
    elsewhere_since: Option<Timestamp>,
}

/// The calls from what is `observed` to what `intent` wants.
pub(crate) fn plan(
    destination: &Destination,
    memory: &Memory,
    intent: &Intent,
    observed: &Observed,
    now: Timestamp,
) -> Plan<Call> {
    match intent {
        Intent::Lead { epoch, .. } => take(destination, memory.in_epoch(*epoch), observed, now),
        Intent::Follow | Intent::Hold { .. } => Plan { steps: Vec::new(), then: Progress::Fulfilled },
    }
}

fn take(
    destination: &Destination,
    memory: Option<&InEpoch>,
    observed: &Observed,
    now: Timestamp,
) -> Plan<Call> {
    let me = &observed.me;
    let mut steps = Vec::new();
    let mut troubles = Vec::new();
    let mut unseen = Vec::new();
    let may_be_unseen = |id| memory.is_some_and(|memory| memory.accepted.may_be_unseen(id, now));
    for Table { id, way } in &observed.tables {
        let call =
            |replace| Call { replace, table: id.clone(), destination: destination.clone(), hop: me.clone() };
        match way {
            RouteState::Nowhere if may_be_unseen(id) => unseen.push(id.as_str()),
            RouteState::Nowhere => steps.push(call(false)),
            RouteState::NoTable => {
                troubles.push(format!("there is no route table {id} in this account and region"));
            }
            RouteState::Local => troubles.push(format!(
                "in {id} {destination} is the VPC's own network; an overlay address lies outside of it"
            )),
            RouteState::To { blackhole, .. } if way.leads_to(me) => {
                if *blackhole {
                    troubles.push(format!(
                        "the route of {id} leads to {me}, which is not attached to an instance that runs"
                    ));
                }
            }
            RouteState::To { .. } if may_be_unseen(id) => unseen.push(id.as_str()),
            RouteState::To { .. } => match memory.and_then(|memory| memory.tables.get(id)?.elsewhere_since) {
                Some(since) => return taken_over(id, way, since.age_at(now) >= SETTLED_AFTER),
                None => steps.push(call(true)),
            },
        }
    }
    let then = if !unseen.is_empty() {
        Progress::waiting(format!("the change of {} to be seen", unseen.join(", ")))
    } else if troubles.is_empty() {
        Progress::Fulfilled
    } else {
        Progress::Blocked { why: troubles.join("; ") }
    };
    Plan { steps, then }
}

/// The route of `table` led here and leads elsewhere: no table is touched any more.
fn taken_over(table: &str, way: &RouteState, settled: bool) -> Plan<Call> {
    let then = if settled {
        Progress::LostOwnership { by: format!("{way}, to which {table} leads") }
    } else {
        Progress::waiting(format!("a second look at {table}, which leads to {way}"))
    };
    Plan { steps: Vec::new(), then }
}

// === impl Memory ===

impl Memory {
    /// Takes note of what the tables showed under `intent`. `read` numbers the reads: what was read before the
    /// epoch began, and serves to save a read, tells nothing about the epoch.
    pub(crate) fn note(&mut self, intent: &Intent, observed: &Observed, read: u64, now: Timestamp) {
        let epoch = match intent {
            Intent::Lead { epoch, .. } => *epoch,
            // Kept: the same epoch may go on after a doubt.
            Intent::Follow | Intent::Hold { .. } => return,
        };
        let current = match self.0.take() {
            Some(current) if current.epoch == epoch => self.0.insert(current),
            Some(_) | None => self.0.insert(InEpoch {
                epoch,
                first_read: read,
                tables: BTreeMap::new(),
                accepted: Accepted::default(),
            }),
        };
        if read <= current.first_read {
            return;
        }
        current.accepted.looked(now);
        for Table { id, way } in &observed.tables {
            let seen = current.tables.entry(id.clone()).or_default();
            match way {
                RouteState::To { .. } if way.leads_to(&observed.me) => {
                    *seen = Seen { led_here: true, elsewhere_since: None };
                    current.accepted.remove(id);
                }
                RouteState::To { .. } if seen.led_here => {
                    seen.elsewhere_since.get_or_insert(now);
                }
                RouteState::To { .. } => {}
                // Whoever deletes a route takes nothing over: it is created again.
                RouteState::Nowhere | RouteState::NoTable | RouteState::Local => seen.elsewhere_since = None,
            }
        }
    }

    /// EC2 has accepted that the route of `table` leads here.
    pub(crate) fn accepted(&mut self, table: &str) {
        if let Some(current) = &mut self.0 {
            current.accepted.add(table.to_owned());
            current.tables.insert(table.to_owned(), Seen { led_here: true, elsewhere_since: None });
        }
    }

    /// Forgets what `epoch` showed so far: the routes are to be taken as if for the first time.
    pub(crate) fn forget(&mut self, epoch: Epoch) {
        if self.0.as_ref().is_some_and(|current| current.epoch == epoch) {
            self.0 = None;
        }
    }

    fn in_epoch(&self, epoch: Epoch) -> Option<&InEpoch> {
        self.0.as_ref().filter(|current| current.epoch == epoch)
    }
}

// === impl Call ===

impl Call {
    /// The API action.
    pub(crate) const fn action(&self) -> &'static str {
        if self.replace { "ReplaceRoute" } else { "CreateRoute" }
    }

    /// Its parameters.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let hop = match &self.hop {
            NextHop::Interface(id) => ("NetworkInterfaceId", id),
            NextHop::Instance(id) => ("InstanceId", id),
        };
        let destination = match &self.destination {
            Destination::Network(IpNet::V6(_)) => "DestinationIpv6CidrBlock",
            Destination::Network(IpNet::V4(_)) | Destination::Unreadable(_) => "DestinationCidrBlock",
        };
        vec![
            ("RouteTableId".into(), self.table.clone()),
            (destination.into(), self.destination.to_string()),
            (hop.0.into(), hop.1.clone()),
        ]
    }
}

impl Step for Call {
    fn moves_traffic(&self) -> bool {
        true
    }

    fn stands_alone(&self) -> bool {
        true
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action())?;
        self.parameters().iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

// === impl Destination ===

impl Destination {
    /// Reads `10.99.0.1`, `10.99.0.1/32` or the same in IPv6.
    pub(crate) fn parse(text: &str) -> Self {
        let network = text.parse::<IpNet>().ok();
        match network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)) {
            Some(network) => Self::Network(network.trunc()),
            None => Self::Unreadable(text.to_owned()),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => write!(f, "{network}"),
            Self::Unreadable(text) => f.write_str(text),
        }
    }
}

// === impl NextHop ===

impl NextHop {
    /// By its kind of id; `None` for what no route of this kind can lead to.
    pub(crate) fn of(id: &str) -> Option<Self> {
        match id.split_once('-') {
            Some(("eni", _)) => Some(Self::Interface(id.to_owned())),
            Some(("i", _)) => Some(Self::Instance(id.to_owned())),
            Some(_) | None => None,
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(id) | Self::Instance(id) => f.write_str(id),
        }
    }
}

// === impl RouteState ===

impl RouteState {
    fn leads_to(&self, hop: &NextHop) -> bool {
        match (self, hop) {
            (Self::To { interface, .. }, NextHop::Interface(id)) => interface.as_ref() == Some(id),
            (Self::To { instance, .. }, NextHop::Instance(id)) => instance.as_ref() == Some(id),
            (Self::Nowhere | Self::NoTable | Self::Local, _) => false,
        }
    }
}

impl fmt::Display for RouteState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("nowhere"),
            Self::NoTable => f.write_str("no table"),
            Self::Local => f.write_str("the VPC"),
            Self::To { interface, instance, other, .. } => {
                let mut known = [interface, instance, other].into_iter().flatten();
                f.write_str(known.next().map_or("something unknown", String::as_str))?;
                known.try_for_each(|id| write!(f, " ({id})"))
            }
        }
    }
}
