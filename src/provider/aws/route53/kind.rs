//! What the kind answers about a record.

use super::RecordValue;
use super::{Route53, Table, check, read, rights};
use crate::config::reading::Declared as _;
use crate::config::steering::Value;
use crate::provider::aws::rights::Grant;
use crate::provider::aws::{Place, Where, start};
use crate::provider::check::promotion::Ownership;
use crate::provider::check::{Found, Subject};
use crate::provider::preview::{Look, Preview};
use crate::provider::{Boxed, Cloud, Kind, Member, Mirror, Sessions};
use crate::steer::{CallError, LoopContext, run};

impl Table {
    fn needs_identity(&self) -> bool {
        matches!(self.value, RecordValue::Plain { value: Value::Auto, .. })
    }
}

impl Kind for Table {
    fn section(&self) -> &'static str {
        Self::SECTION
    }

    fn name(&self) -> String {
        let set = self.set_identifier.as_ref().map(|set| format!(" {set}")).unwrap_or_default();
        format!("route53 {} {}{set}", self.record, self.record_type)
    }

    fn long_name(&self, name: &str, _nth: usize) -> String {
        format!("{name} in {}", self.hosted_zone_id)
    }

    fn subject(&self) -> String {
        format!("route53 {}", self.record)
    }

    fn moves_traffic(&self) -> bool {
        true
    }

    fn cloud(&self) -> Cloud {
        Cloud::Aws(Place { at: Where::Anywhere, identity: self.needs_identity(), is_read: true })
    }

    /// Each member may have a set of its own.
    fn agreement(&self) -> Option<String> {
        let Self { hosted_zone_id, record, record_type, write, .. } = self;
        Some(format!("route53 {hosted_zone_id} {record} {record_type} {write:?}"))
    }

    fn rights(&self, partition: &str) -> Vec<Grant> {
        rights::grants(self, partition)
    }

    fn steer(&self, member: Member, around: LoopContext) -> Boxed<'static, ()> {
        let table = self.clone();
        Box::pin(async move {
            let needs_identity = table.needs_identity();
            let sdk = start::global_sdk("Route 53", needs_identity, &member.aws, &around).await;
            let Some(sdk) = sdk else { return };
            run(Route53::new(&table, &member.name, member.aws.me, &sdk), around).await;
        })
    }

    fn look<'a>(
        &'a self,
        mirror: &'a Mirror,
        preview: Preview,
        sessions: &'a mut Sessions,
    ) -> Boxed<'a, Look> {
        Box::pin(async move {
            let sdk = sessions.aws.global_sdk().await;
            preview.look(Route53::new(self, &mirror.member_name(), sessions.aws.me(), &sdk)).await
        })
    }

    fn check<'a>(
        &'a self,
        subject: &'a Subject<'a>,
        sessions: &'a mut Sessions,
        found: &'a mut Found,
    ) -> Boxed<'a, Result<(), CallError>> {
        Box::pin(async move {
            let records = read::record(self, &mut sessions.aws).await?;
            found.findings = check::judge(subject, self, &records);
            found.recovery = Some(check::recovery(subject, self, &records));
            found.ownership = Some(Ownership {
                object: self.subject(),
                mark: records.owner,
                written_in: format!("the TXT record _mirrorvip.{}", self.record),
            });
            Ok(())
        })
    }
}
