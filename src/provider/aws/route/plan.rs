//! Which routes to create or replace. PURE: the tables and what is remembered come in, calls come out.
//!
//! | intent | a table's route | call |
//! |---|---|---|
//! | lead | absent | `CreateRoute` |
//! | lead | to another target, or into a black hole | `ReplaceRoute` |
//! | lead | to another target, after it led here in this epoch | none: another member was promoted later |
//! | lead | here | none |
//! | lead | the table does not exist | none; reported |
//! | follow, hold | any | none: the primary takes care of it |
//!
//! EC2 may answer a read from before the last write. So a call that was [accepted](crate::steer::accepted) a moment
//! ago is not repeated. An outdated answer must not look like another member's promotion: a route counts as lost only
//! when it has led elsewhere for [`SETTLED_AFTER`], and until then nothing is sent. An accepted call has led the route
//! here, whether or not a read showed that.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;

use super::table::NextHop;
use crate::clock::Timestamp;
use crate::role::Epoch;
use crate::steer::accepted::{Accepted, SETTLED_AFTER};
use crate::steer::epoch::InEpoch;
use crate::steer::{Intent, Plan, Progress, Step};

/// Where a table's route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouteState {
    /// There is no such route.
    Nowhere,
    /// There is no such table.
    NoTable,
    /// Within the VPC: the destination is no overlay address.
    Local,
    /// There. EC2 reports both interface and instance if the route has both.
    To {
        /// `eni-...`
        interface: Option<String>,
        /// `i-...`
        instance: Option<String>,
        /// A gateway or the like.
        other: Option<String>,
        /// Whether its target is not available: an interface that is not attached, an instance that does not run.
        blackhole: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableState {
    /// `rtb-...`
    pub(crate) id: String,
    /// Where its route leads.
    pub(crate) route: RouteState,
}

/// All named tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) me: NextHop,
    /// In the configuration's order.
    pub(crate) tables: Vec<TableState>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) replace: bool,
    pub(crate) table: String,
    pub(crate) destination: IpNet,
    /// Where it should lead.
    pub(crate) hop: NextHop,
}

/// What the tables showed in the present epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory(InEpoch<Shown>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shown {
    tables: BTreeMap<String, Seen>,
    /// Tables whose route was led here a moment ago.
    accepted: Accepted<String>,
}

/// What one table showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Whether its route led here, as a read or the acceptance of a call showed.
    led_here: bool,
    /// Since when it leads elsewhere after that.
    elsewhere_since: Option<Timestamp>,
}

/// The calls from what is `observed` to what `intent` wants.
pub(crate) fn plan(
    destination: IpNet,
    memory: &Memory,
    intent: &Intent,
    observed: &Observed,
    now: Timestamp,
) -> Plan<Call> {
    match intent {
        Intent::Lead { epoch, .. } => take(destination, memory.0.facts(*epoch), observed, now),
        Intent::Follow | Intent::Hold { .. } => Plan { steps: Vec::new(), then: Progress::Fulfilled },
    }
}

fn take(destination: IpNet, memory: Option<&Shown>, observed: &Observed, now: Timestamp) -> Plan<Call> {
    let me = &observed.me;
    let mut steps = Vec::new();
    let mut troubles = Vec::new();
    let mut unseen = Vec::new();
    let may_be_unseen = |id| memory.is_some_and(|memory| memory.accepted.may_be_unseen(id, now));
    for TableState { id, route } in &observed.tables {
        let call = |replace| Call { replace, table: id.clone(), destination, hop: me.clone() };
        match route {
            RouteState::Nowhere if may_be_unseen(id) => unseen.push(id.as_str()),
            RouteState::Nowhere => steps.push(call(false)),
            RouteState::NoTable => {
                troubles.push(format!("there is no route table {id} in this account and region"));
            }
            RouteState::Local => troubles.push(format!(
                "in {id} {destination} is the VPC's own network; choose an overlay address outside of it"
            )),
            RouteState::To { blackhole, .. } if route.leads_to(me) => {
                if *blackhole {
                    troubles.push(format!(
                        "the route of {id} leads to {me}, which is not attached to a running instance"
                    ));
                }
            }
            RouteState::To { .. } if may_be_unseen(id) => unseen.push(id.as_str()),
            RouteState::To { .. } => match memory.and_then(|memory| memory.tables.get(id)?.elsewhere_since) {
                Some(since) => return taken_over(id, route, since.age_at(now) >= SETTLED_AFTER),
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

/// The route of `table` led here and leads elsewhere: no table is changed any more.
fn taken_over(table: &str, route: &RouteState, settled: bool) -> Plan<Call> {
    let then = if settled {
        Progress::LostOwnership { by: format!("{route}, to which {table} leads") }
    } else {
        Progress::waiting(format!("a second read of {table}, which leads to {route}"))
    };
    Plan { steps: Vec::new(), then }
}

// === impl Memory ===

impl Memory {
    /// Remembers what the tables showed under `intent`. `read` numbers the reads: one from before the epoch began
    /// proves nothing about the epoch.
    pub(crate) fn note(&mut self, intent: &Intent, observed: &Observed, read: u64, now: Timestamp) {
        let epoch = match intent {
            Intent::Lead { epoch, .. } => *epoch,
            // Kept: the same epoch may continue after a doubt.
            Intent::Follow | Intent::Hold { .. } => return,
        };
        let (current, counts) = self.0.note(epoch, read);
        if !counts {
            return;
        }
        current.accepted.was_read(now);
        for TableState { id, route } in &observed.tables {
            let seen = current.tables.entry(id.clone()).or_default();
            match route {
                RouteState::To { .. } if route.leads_to(&observed.me) => {
                    *seen = Seen { led_here: true, elsewhere_since: None };
                    current.accepted.remove(id);
                }
                RouteState::To { .. } if seen.led_here => {
                    seen.elsewhere_since.get_or_insert(now);
                }
                RouteState::To { .. } => {}
                // A deleted route was not taken over: it is created again.
                RouteState::Nowhere | RouteState::NoTable | RouteState::Local => seen.elsewhere_since = None,
            }
        }
    }

    /// EC2 has accepted that the route of `table` leads here.
    pub(crate) fn accepted(&mut self, table: &str) {
        if let Some(current) = self.0.latest() {
            current.accepted.add(table.to_owned());
            current.tables.insert(table.to_owned(), Seen { led_here: true, elsewhere_since: None });
        }
    }

    /// Forgets what `epoch` showed, so that the routes are taken as if for the first time.
    pub(crate) fn forget(&mut self, epoch: Epoch) {
        self.0.forget(epoch);
    }
}

// === impl Call ===

impl Call {
    /// The API action.
    pub(crate) const fn action(&self) -> &'static str {
        if self.replace { "ReplaceRoute" } else { "CreateRoute" }
    }

    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let hop = match &self.hop {
            NextHop::NetworkInterface(id) => ("NetworkInterfaceId", id),
            NextHop::Instance(id) => ("InstanceId", id),
        };
        let destination = match self.destination {
            IpNet::V6(_) => "DestinationIpv6CidrBlock",
            IpNet::V4(_) => "DestinationCidrBlock",
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

// === impl RouteState ===

impl RouteState {
    fn leads_to(&self, hop: &NextHop) -> bool {
        match (self, hop) {
            (Self::To { interface, .. }, NextHop::NetworkInterface(id)) => interface.as_ref() == Some(id),
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
