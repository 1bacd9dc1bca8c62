//! What the kind answers about a classic load balancer.

use super::{ClassicElb, Table, check, read};
use crate::config::reading::Declared as _;
use crate::config::steering::Value;
use crate::provider::aws::check::{or_auto, recovery};
use crate::provider::aws::rights::{Grant, or_any};
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
        format!("classic_elb {}", self.load_balancer)
    }

    fn moves_traffic(&self) -> bool {
        self.pool == Pool::PrimaryOnly
    }

    fn cloud(&self) -> Cloud {
        Cloud::Aws(Place {
            at: Where::Region(self.region.clone()),
            identity: self.region == Value::Auto || self.instance_id == Value::Auto,
            is_read: true,
        })
    }

    fn agreement(&self) -> Option<String> {
        Some(format!("classic_elb {} {:?}", self.load_balancer, self.pool))
    }

    fn rights(&self, partition: &str) -> Vec<Grant> {
        let Self { region, load_balancer, .. } = self;
        let region = or_any(region);
        let arn = format!("arn:{partition}:elasticloadbalancing:{region}:*:loadbalancer/{load_balancer}");
        let register = "elasticloadbalancing:RegisterInstancesWithLoadBalancer";
        let mut grants = vec![
            Grant::on_everything(
                "ReadClassicLoadBalancers",
                &[
                    "elasticloadbalancing:DescribeInstanceHealth",
                    "elasticloadbalancing:DescribeLoadBalancerAttributes",
                    "elasticloadbalancing:DescribeLoadBalancers",
                ],
            ),
            Grant::new("RegisterInstances", &[register], vec![arn.clone()]),
        ];
        if self.pool == Pool::PrimaryOnly {
            let action = "elasticloadbalancing:DeregisterInstancesFromLoadBalancer";
            grants.push(Grant::new("DeregisterInstances", &[action], vec![arn]));
        }
        grants
    }

    fn steer(&self, member: Member, around: LoopContext) -> Boxed<'static, ()> {
        let table = self.clone();
        Box::pin(async move {
            let Some(sdk) = start::sdk(&table.region, &member.aws, &around).await else { return };
            run(PoolTarget::new(ClassicElb::new(&table, member.aws.me, &sdk)), around).await;
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
                Ok(sdk) => {
                    preview.look(PoolTarget::new(ClassicElb::new(self, sessions.aws.me(), &sdk))).await
                }
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
            let identity = sessions.aws.identity_if(self.instance_id == Value::Auto).await;
            let group = read::classic(self, &mut sessions.aws).await?;
            let own = or_auto(&self.instance_id, identity.as_ref().map(|known| known.instance_id.as_str()));
            found.findings = check::judge(subject, self, &group, own);
            found.recovery = Some(recovery::pool(subject, self.pool, &group));
            Ok(())
        })
    }
}
