//! What the kind answers about a metric.

use super::{CloudWatch, Table, check};
use crate::config::reading::Declared as _;
use crate::config::steering::Value;
use crate::finding::Finding;
use crate::provider::aws::rights::Grant;
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
        format!("cloudwatch {}/{}", self.namespace, self.metric)
    }

    fn subject(&self) -> String {
        format!("cloudwatch {} {}", self.namespace, self.metric)
    }

    fn cloud(&self) -> Cloud {
        Cloud::Aws(Place {
            at: Where::Region(self.region.clone()),
            identity: self.region == Value::Auto || self.member == Value::Auto,
            is_read: false,
        })
    }

    fn rights(&self, _partition: &str) -> Vec<Grant> {
        let namespace = ("cloudwatch:namespace", vec![self.namespace.clone()]);
        let publish = Grant::on_everything("PublishMetric", &["cloudwatch:PutMetricData"]);
        vec![publish.on_condition("StringEquals", [namespace])]
    }

    fn steer(&self, member: Member, around: LoopContext) -> Boxed<'static, ()> {
        let table = self.clone();
        Box::pin(async move {
            let Some(sdk) = start::sdk(&table.region, &member.aws, &around).await else { return };
            run(CloudWatch::new(&table, &member.mirror, member.aws.me, &sdk), around).await;
        })
    }

    fn look<'a>(
        &'a self,
        mirror: &'a Mirror,
        preview: Preview,
        sessions: &'a mut Sessions,
    ) -> Boxed<'a, Look> {
        Box::pin(async move {
            match sessions.aws.sdk_in(&self.region).await {
                Ok(sdk) => preview.look(CloudWatch::new(self, &mirror.name, sessions.aws.me(), &sdk)).await,
                Err(error) => preview.failed(&error),
            }
        })
    }

    fn check<'a>(
        &'a self,
        subject: &'a Subject<'a>,
        _sessions: &'a mut Sessions,
        found: &'a mut Found,
    ) -> Boxed<'a, Result<(), CallError>> {
        let what = "whether the metric may be published; the alarm must treat missing data as breaching";
        found.findings = vec![Finding::untested(&subject.name, what)];
        found.recovery = Some(check::recovery(subject, self));
        Box::pin(async { Ok(()) })
    }
}
