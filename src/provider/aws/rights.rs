//! The rights that a configuration needs in AWS, and no others. PURE: a configuration in, a policy out.
//!
//! Each table supplies its [grants](Grant); those of one statement are merged here. AWS decides how far a statement can be
//! restricted (Service Authorization Reference): reads of load balancers and route tables support no resources, changes of
//! records can be restricted to names, types and actions. The reads are those of the loops and of `mirrorvip check`; asking
//! for the caller's identity needs no right.

use std::collections::BTreeMap;

use serde::Serialize;

use super::places;
use super::region::Region;
use crate::config::Tables as _;
use crate::config::steering::Value;
use crate::provider::{Config, Table};

/// An identity policy, as IAM takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: String,
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: Condition,
}

/// Operators, their keys, and the values of each.
type Condition = BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>;

/// The rights that one table needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    name: &'static str,
    actions: Vec<&'static str>,
    resources: Vec<String>,
    condition: Condition,
    /// Whether it needs its own statement: merged with others it would allow more than they do separately.
    is_alone: bool,
}

/// The policy for everything that `config` steers; `None` when that needs no right in AWS.
pub fn policy(config: &Config) -> Option<Policy> {
    let partition = partition(config);
    // Kind by kind, as the reference lists them, whichever mirror's.
    let mut tables: Vec<_> = config.mirrors.iter().flat_map(|mirror| &mirror.targets).collect();
    let rank = |table: &&Table| Table::kinds().iter().position(|kind| kind.section == table.kind().section());
    tables.sort_by_key(rank);
    let mut statements: Vec<Statement> = Vec::new();
    let mut alone = 0;
    for grant in tables.into_iter().flat_map(|table| table.kind().rights(&partition)) {
        let mut sid = grant.name.to_owned();
        if grant.is_alone {
            alone += 1;
            sid += &alone.to_string();
        }
        match statements.iter_mut().find(|statement| statement.sid == sid) {
            Some(statement) => statement.merge(grant),
            None => statements.push(Statement::new(sid, grant)),
        }
    }
    (!statements.is_empty()).then_some(Policy { version: "2012-10-17", statement: statements })
}

/// The account's partition: that of a region in the configuration, or else the common one.
fn partition(config: &Config) -> String {
    let places = places(config.mirrors.iter().flat_map(|mirror| &mirror.targets));
    super::region::told(places).map_or_else(|| "aws".to_owned(), |region| region.partition().to_owned())
}

/// The region for an ARN; `*` for an automatic one.
pub(crate) fn or_any(region: &Value<Region>) -> &str {
    match region {
        Value::Auto => "*",
        Value::Is(region) => region.name(),
    }
}

/// Adds the entries that are not there yet.
fn add(known: &mut Vec<String>, more: Vec<String>) {
    for one in more {
        if !known.contains(&one) {
            known.push(one);
        }
    }
}

// === impl Grant ===

impl Grant {
    /// These actions on these resources, in the statement of this name.
    pub(crate) fn new(name: &'static str, actions: &[&'static str], resources: Vec<String>) -> Self {
        Self { name, actions: actions.to_vec(), resources, condition: Condition::new(), is_alone: false }
    }

    /// Actions that support no resources.
    pub(crate) fn on_everything(name: &'static str, actions: &[&'static str]) -> Self {
        Self::new(name, actions, vec!["*".to_owned()])
    }

    /// The same under the condition that `operator` matches these values for each key.
    #[must_use]
    pub(crate) fn on_condition(
        mut self,
        operator: &'static str,
        keys: impl IntoIterator<Item = (&'static str, Vec<String>)>,
    ) -> Self {
        self.condition.entry(operator).or_default().extend(keys);
        self
    }

    /// The same in a statement of its own, which is numbered.
    #[must_use]
    pub(crate) fn alone(self) -> Self {
        Self { is_alone: true, ..self }
    }
}

// === impl Statement ===

impl Statement {
    fn new(sid: String, grant: Grant) -> Self {
        let Grant { name: _, actions, resources, condition, is_alone: _ } = grant;
        let mut statement = Self { sid, effect: "Allow", action: actions, resource: Vec::new(), condition };
        add(&mut statement.resource, resources);
        statement
    }

    fn merge(&mut self, grant: Grant) {
        add(&mut self.resource, grant.resources);
        for (operator, keys) in grant.condition {
            for (key, values) in keys {
                add(self.condition.entry(operator).or_default().entry(key).or_default(), values);
            }
        }
    }
}

#[cfg(test)]
mod tests;
