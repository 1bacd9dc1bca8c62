//! The rights that a configuration needs in AWS, and no others. PURE: a configuration in, a policy out.
//!
//! What a statement can be narrowed to is AWS's decision (Service Authorization Reference): descriptions of
//! load balancers and route tables know no resources, changes of records can be bound to names, types and
//! actions. The reads are those of the loops and of `mirrorvip check`; asking who one is needs no right.

use std::fmt::Write as _;

use serde::Serialize;

use crate::aws::arn::{self, TargetGroupArn};
use crate::config::Config;
use crate::config::steering::{ClassicElb, CloudWatch, Elbv2, Pool, Route, Route53};
use crate::config::steering::{Target, Value, Write};

/// Label of the record beside each record, which carries owner and epoch.
const GUARD_LABEL: &str = "_mirrorvip.";

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
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<serde_json::Value>,
}

/// Every table of one kind, of all mirrors.
#[derive(Default)]
struct Tables<'a> {
    elbv2: Vec<&'a Elbv2>,
    classic_elb: Vec<&'a ClassicElb>,
    route53: Vec<&'a Route53>,
    route: Vec<&'a Route>,
    cloudwatch: Vec<&'a CloudWatch>,
}

/// The policy for everything that `config` steers; `None` when that needs no right in AWS.
pub fn policy(config: &Config) -> Option<Policy> {
    let tables = Tables::of(config);
    let partition = tables.partition();
    let statements = [
        elbv2(&tables.elbv2),
        classic_elb(&tables.classic_elb, partition),
        route53(&tables.route53, partition),
        route(&tables.route, partition),
        cloudwatch(&tables.cloudwatch),
    ];
    let statement: Vec<_> = statements.into_iter().flatten().collect();
    (!statement.is_empty()).then_some(Policy { version: "2012-10-17", statement })
}

fn elbv2(tables: &[&Elbv2]) -> Vec<Statement> {
    if tables.is_empty() {
        return Vec::new();
    }
    let arns = |wanted: &dyn Fn(&Elbv2) -> bool| {
        distinct(tables.iter().filter(|table| wanted(table)).map(|table| table.target_group_arn.clone()))
    };
    let mut statements = vec![
        Statement::new(
            "ReadTargetGroups",
            vec![
                "elasticloadbalancing:DescribeTargetGroups",
                "elasticloadbalancing:DescribeTargetGroupAttributes",
                "elasticloadbalancing:DescribeTargetHealth",
                "elasticloadbalancing:DescribeLoadBalancers",
                "elasticloadbalancing:DescribeLoadBalancerAttributes",
            ],
            everything(),
        ),
        Statement::new("RegisterTargets", vec!["elasticloadbalancing:RegisterTargets"], arns(&|_| true)),
    ];
    let emptied = arns(&|table| table.pool == Pool::PrimaryOnly);
    if !emptied.is_empty() {
        let action = vec!["elasticloadbalancing:DeregisterTargets"];
        statements.push(Statement::new("DeregisterTargets", action, emptied));
    }
    statements
}

fn classic_elb(tables: &[&ClassicElb], partition: &str) -> Vec<Statement> {
    if tables.is_empty() {
        return Vec::new();
    }
    let arns = |wanted: &dyn Fn(&ClassicElb) -> bool| {
        let wanted = tables.iter().filter(|table| wanted(table));
        distinct(wanted.map(|ClassicElb { region, load_balancer, .. }| {
            let region = or_any(region);
            format!("arn:{partition}:elasticloadbalancing:{region}:*:loadbalancer/{load_balancer}")
        }))
    };
    let mut statements = vec![
        Statement::new(
            "ReadClassicLoadBalancers",
            vec![
                "elasticloadbalancing:DescribeInstanceHealth",
                "elasticloadbalancing:DescribeLoadBalancerAttributes",
                "elasticloadbalancing:DescribeLoadBalancers",
            ],
            everything(),
        ),
        Statement::new(
            "RegisterInstances",
            vec!["elasticloadbalancing:RegisterInstancesWithLoadBalancer"],
            arns(&|_| true),
        ),
    ];
    let emptied = arns(&|table| table.pool == Pool::PrimaryOnly);
    if !emptied.is_empty() {
        let action = vec!["elasticloadbalancing:DeregisterInstancesFromLoadBalancer"];
        statements.push(Statement::new("DeregisterInstances", action, emptied));
    }
    statements
}

fn route53(tables: &[&Route53], partition: &str) -> Vec<Statement> {
    if tables.is_empty() {
        return Vec::new();
    }
    let zone = |table: &Route53| format!("arn:{partition}:route53:::hostedzone/{}", table.hosted_zone_id);
    let mut statements = vec![
        Statement::new(
            "ReadRecords",
            vec!["route53:ListResourceRecordSets"],
            distinct(tables.iter().map(|table| zone(table))),
        ),
        Statement::new(
            "FollowChanges",
            vec!["route53:GetChange"],
            vec![format!("arn:{partition}:route53:::change/*")],
        ),
    ];
    // One statement a record: merged, they would allow every type for every name.
    statements.extend(tables.iter().enumerate().map(|(index, table)| {
        let name = normalized(&table.record);
        let record_type = table.record_type.to_string();
        let (names, types, actions) = match table.write {
            Write::CompareAndSwap => (
                vec![name.clone(), format!("{GUARD_LABEL}{name}")],
                vec![record_type, "TXT".to_owned()],
                vec!["CREATE", "DELETE"],
            ),
            Write::Upsert => (vec![name], vec![record_type], vec!["UPSERT"]),
        };
        let action = vec!["route53:ChangeResourceRecordSets"];
        Statement::new(&format!("ChangeRecord{}", index + 1), action, vec![zone(table)]).on_condition(
            serde_json::json!({
                "ForAllValues:StringEquals": {
                    "route53:ChangeResourceRecordSetsNormalizedRecordNames": names,
                    "route53:ChangeResourceRecordSetsRecordTypes": types,
                    "route53:ChangeResourceRecordSetsActions": actions,
                }
            }),
        )
    }));
    statements
}

fn route(tables: &[&Route], partition: &str) -> Vec<Statement> {
    if tables.is_empty() {
        return Vec::new();
    }
    let arns = tables.iter().flat_map(|Route { route_tables, region, .. }| {
        let region = or_any(region);
        route_tables.iter().map(move |id| format!("arn:{partition}:ec2:{region}:*:route-table/{id}"))
    });
    vec![
        Statement::new(
            "ReadRoutes",
            vec!["ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables"],
            everything(),
        ),
        Statement::new("ChangeRoutes", vec!["ec2:CreateRoute", "ec2:ReplaceRoute"], distinct(arns)),
    ]
}

fn cloudwatch(tables: &[&CloudWatch]) -> Vec<Statement> {
    if tables.is_empty() {
        return Vec::new();
    }
    let namespaces = distinct(tables.iter().map(|table| table.namespace.clone()));
    let statement = Statement::new("PublishMetric", vec!["cloudwatch:PutMetricData"], everything());
    vec![statement.on_condition(serde_json::json!({
        "StringEquals": { "cloudwatch:namespace": namespaces }
    }))]
}

/// Actions that know no resources.
fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

/// A region for an ARN: any where only the instance knows it.
fn or_any(region: &Value) -> &str {
    match region {
        Value::Auto => "*",
        Value::Is(region) => region,
    }
}

/// Each once, in the order of the configuration.
fn distinct(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// A record's name as the condition key compares it: lower-case, without the final dot, and whatever is not
/// a letter, digit, hyphen, underscore or dot as an octal escape (Route 53 Developer Guide, "Using IAM policy
/// conditions for fine-grained access control").
fn normalized(record: &str) -> String {
    let mut name = String::with_capacity(record.len());
    for byte in record.trim_end_matches('.').bytes() {
        match byte.to_ascii_lowercase() {
            plain @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.') => name.push(char::from(plain)),
            other => {
                let _ = write!(name, "\\{other:03o}");
            }
        }
    }
    name
}

// === impl Statement ===

impl Statement {
    fn new(sid: &str, action: Vec<&'static str>, resource: Vec<String>) -> Self {
        Self { sid: sid.to_owned(), effect: "Allow", action, resource, condition: None }
    }

    fn on_condition(self, condition: serde_json::Value) -> Self {
        Self { condition: Some(condition), ..self }
    }
}

// === impl Tables ===

impl<'a> Tables<'a> {
    fn of(config: &'a Config) -> Self {
        let mut tables = Self::default();
        for target in config.mirrors.iter().flat_map(|mirror| &mirror.targets) {
            match target {
                Target::Elbv2(table) => tables.elbv2.push(table),
                Target::ClassicElb(table) => tables.classic_elb.push(table),
                Target::Route53(table) => tables.route53.push(table),
                Target::Route(table) => tables.route.push(table),
                Target::CloudWatch(table) => tables.cloudwatch.push(table),
                // Rights in Kubernetes are another matter; and whatever a command calls, it brings its own.
                Target::Kubernetes(_) | Target::Hook(_) => {}
            }
        }
        tables
    }

    /// The partition of everything: an account is in one. Told by an ARN or a region, the common one otherwise.
    fn partition(&self) -> &'a str {
        let arns = self.elbv2.iter().filter_map(|table| TargetGroupArn::parse(&table.target_group_arn).ok());
        let regions = (self.classic_elb.iter().map(|table| &table.region))
            .chain(self.route.iter().map(|table| &table.region))
            .chain(self.cloudwatch.iter().map(|table| &table.region));
        let of_regions = regions.filter_map(|region| match region {
            Value::Is(region) => Some(arn::partition_of(region)),
            Value::Auto => None,
        });
        arns.map(|arn| arn.partition).chain(of_regions).next().unwrap_or("aws")
    }
}

#[cfg(test)]
mod tests;
