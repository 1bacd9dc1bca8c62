//! What the kind answers about a route.

use super::{Route, Table, check, read};
use crate::config::reading::Declared as _;
use crate::config::steering::Value;
use crate::provider::aws::rights::{Grant, or_any};
use crate::provider::aws::{Place, Where, start};
use crate::provider::check::{Found, Subject};
use crate::provider::preview::{Look, Preview};
use crate::provider::{Boxed, Cloud, Kind, Member, Mirror, Sessions};
use crate::steer::{CallError, LoopContext, run};

impl Kind for Table {
    fn section(&self) -> &'static str {
        Self::SECTION
    }

    fn name(&self) -> String {
        format!("route {}", self.destination)
    }

    fn long_name(&self, name: &str, _nth: usize) -> String {
        format!("{name} in {}", self.route_tables.join(", "))
    }

    fn moves_traffic(&self) -> bool {
        true
    }

    fn cloud(&self) -> Cloud {
        Cloud::Aws(Place {
            at: Where::Region(self.region.clone()),
            identity: self.region == Value::Auto || self.target == Value::Auto,
            is_read: true,
        })
    }

    fn agreement(&self) -> Option<String> {
        let mut tables = self.route_tables.clone();
        tables.sort_unstable();
        Some(format!("route {} {}", tables.join(","), self.destination))
    }

    fn rights(&self, partition: &str) -> Vec<Grant> {
        let region = or_any(&self.region);
        let arn = |id: &String| format!("arn:{partition}:ec2:{region}:*:route-table/{id}");
        let arns = self.route_tables.iter().map(arn).collect();
        vec![
            Grant::on_everything("ReadRoutes", &["ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables"]),
            Grant::new("ChangeRoutes", &["ec2:CreateRoute", "ec2:ReplaceRoute"], arns),
        ]
    }

    fn steer(&self, member: Member, around: LoopContext) -> Boxed<'static, ()> {
        let table = self.clone();
        Box::pin(async move {
            let Some(sdk) = start::sdk(&table.region, &member.aws, &around).await else { return };
            run(Route::new(&table, &sdk), around).await;
        })
    }

    fn look<'a>(
        &'a self,
        _mirror: &'a Mirror,
        preview: Preview,
        sessions: &'a mut Sessions,
    ) -> Boxed<'a, Look> {
        Box::pin(async move {
            match sessions.aws.sdk_in(&self.region).await {
                Ok(sdk) => preview.look(Route::new(self, &sdk)).await,
                Err(error) => preview.failed(&error),
            }
        })
    }

    fn check<'a>(
        &'a self,
        subject: &'a Subject<'a>,
        sessions: &'a mut Sessions,
        found: &'a mut Found,
    ) -> Boxed<'a, Result<(), CallError>> {
        Box::pin(async move {
            let tables = read::route_tables(self, &mut sessions.aws).await;
            let interfaces = read::interfaces(self, &mut sessions.aws).await;
            found.findings = check::judge(subject, self, &tables?);
            found.recovery = Some(check::recovery(subject, self));
            found.findings.extend(check::judge_interfaces(subject, self, &interfaces?));
            Ok(())
        })
    }
}
