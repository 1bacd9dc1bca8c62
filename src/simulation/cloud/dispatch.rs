//! Selects the service that answers an action, and the state that it reads. PURE: time is passed in.

use std::time::Duration;

use super::api::{ApiError, Request};
use super::objects::{Answer, Objects};
use super::settings::{Member, Service};
use super::{classic_elb, cloudwatch, ec2, elbv2, route53, sts};

// === impl Objects ===

impl Objects {
    /// Carries out an action that the caller may do.
    pub(super) fn answer(
        &mut self,
        now: Duration,
        caller: &Member,
        request: &Request,
    ) -> Result<Answer, ApiError> {
        self.advance(now);
        if request.action.starts_with("Describe") {
            return self.answer_from_before(now, caller, request);
        }
        let before = (!self.lag.is_zero()).then(|| self.copy());
        let answer = self.answer_now(now, caller, request)?;
        if let Some(before) = before.filter(|_| !answer.touched.is_empty()) {
            self.before = Some((now + self.lag, before));
        }
        Ok(answer)
    }

    fn answer_now(&mut self, now: Duration, caller: &Member, request: &Request) -> Result<Answer, ApiError> {
        match request.service {
            Service::Elbv2 => elbv2::answer(self, now, request),
            Service::ClassicElb => classic_elb::answer(self, now, request),
            Service::Route53 => route53::answer(self, now, request),
            Service::Ec2 => ec2::answer(self, request),
            Service::CloudWatch => cloudwatch::answer(self, caller, request),
            Service::Sts => sts::answer(caller, request),
            Service::Metadata => Err(ApiError::new(404, "NotFound", "Not Found")),
        }
    }

    /// Answers a read from the state before the last change while the lag hides that change.
    fn answer_from_before(
        &mut self,
        now: Duration,
        caller: &Member,
        request: &Request,
    ) -> Result<Answer, ApiError> {
        let Some((until, mut before)) = self.before.take().filter(|(until, _)| now < *until) else {
            return self.answer_now(now, caller, request);
        };
        before.swap(self);
        let answer = self.answer_now(now, caller, request);
        before.swap(self);
        self.before = Some((until, before));
        answer
    }
}
