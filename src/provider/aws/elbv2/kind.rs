//! What the kind answers about a target group.

use super::{Elbv2, Table, check, read};
use crate::config::reading::Declared as _;
use crate::config::steering::Value;
use crate::provider::aws::check::recovery;
use crate::provider::aws::rights::Grant;
use crate::provider::aws::{Place, Where, start};
use crate::provider::check::{Found, Subject};
use crate::provider::preview::{Look, Preview};
use crate::provider::{Boxed, Cloud, Kind, Member, Mirror, Sessions};
use crate::steer::pool::Pool;
use crate::steer::pool::PoolTarget;
use crate::steer::{CallError, LoopContext, run};

impl Kind for Table {
    fn section(&self) -> &'static str {
        Self::SECTION
    }

    fn name(&self) -> String {
        format!("elbv2 {}", self.target_group_arn.resource())
    }

    fn long_name(&self, name: &str, _nth: usize) -> String {
        format!("{name}:{}", self.port)
    }

    fn moves_traffic(&self) -> bool {
        self.pool == Pool::PrimaryOnly
    }

    fn cloud(&self) -> Cloud {
        Cloud::Aws(Place {
            at: Where::Region(Value::Is(self.target_group_arn.region.clone())),
            identity: self.target_id == Value::Auto,
            is_read: true,
        })
    }

    fn agreement(&self) -> Option<String> {
        Some(format!("elbv2 {} {:?} {}", self.target_group_arn, self.pool, self.port))
    }

    fn rights(&self, _partition: &str) -> Vec<Grant> {
        let arn = self.target_group_arn.to_string();
        let mut grants = vec![
            Grant::on_everything(
                "ReadTargetGroups",
                &[
                    "elasticloadbalancing:DescribeTargetGroups",
                    "elasticloadbalancing:DescribeTargetGroupAttributes",
                    "elasticloadbalancing:DescribeTargetHealth",
                    "elasticloadbalancing:DescribeLoadBalancers",
                    "elasticloadbalancing:DescribeLoadBalancerAttributes",
                ],
            ),
            Grant::new("RegisterTargets", &["elasticloadbalancing:RegisterTargets"], vec![arn.clone()]),
        ];
        if self.pool == Pool::PrimaryOnly {
            let action = "elasticloadbalancing:DeregisterTargets";
            grants.push(Grant::new("DeregisterTargets", &[action], vec![arn]));
        }
        grants
    }

    fn steer(&self, member: Member, around: LoopContext) -> Boxed<'static, ()> {
        let table = self.clone();
        Box::pin(async move {
            let region = Value::Is(table.target_group_arn.region.clone());
            let Some(sdk) = start::sdk(&region, &member.aws, &around).await else { return };
            run(PoolTarget::new(Elbv2::new(&table, member.aws.me, &sdk)), around).await;
        })
    }

    fn look<'a>(
        &'a self,
        _mirror: &'a Mirror,
        preview: Preview,
        sessions: &'a mut Sessions,
    ) -> Boxed<'a, Look> {
        Box::pin(async move {
            let sdk = sessions.aws.sdk(&self.target_group_arn.region).await;
            preview.look(PoolTarget::new(Elbv2::new(self, sessions.aws.me(), &sdk))).await
        })
    }

    fn check<'a>(
        &'a self,
        subject: &'a Subject<'a>,
        sessions: &'a mut Sessions,
        found: &'a mut Found,
    ) -> Boxed<'a, Result<(), CallError>> {
        Box::pin(async move {
            let identity = sessions.aws.identity_if(self.target_id == Value::Auto).await;
            let group = read::group(self, &mut sessions.aws).await?;
            let own = check::own_target(self, &group, identity.as_ref());
            found.findings = check::judge(subject, self, &group, own.as_deref());
            found.recovery = Some(recovery::pool(subject, self.pool, &group));
            Ok(())
        })
    }
}
