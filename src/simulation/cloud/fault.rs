//! Faults that can be switched on: which requests they hit, how often, and with what effect. PURE.

use std::time::Duration;

use super::Service;

/// An effect on requests: which ones, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    effect: Effect,
    service: Option<Service>,
    action: Option<String>,
    member: Option<String>,
    times: Option<u32>,
    lasting: Option<Duration>,
}

/// What happens to a request that a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is read and neither carried out nor answered; the connection stays open.
    Hang,
    /// It is carried out and not answered; the connection stays open.
    HangAfter,
    /// It is read and not carried out; the connection is reset.
    Reset,
    /// It is carried out; the connection is reset after the head and a part of the answer.
    CutOff,
    /// It is answered; later requests on the same connection are not.
    DeadKeepAlive,
    /// It is not carried out; the answer is a server error, 500, 502, 503 or 504. 502 and 504 come from a
    /// proxy, and so carry no error code of the service.
    ServerError(u16),
    /// It is not carried out: too many requests.
    Throttle,
    /// Route 53 is still busy with the previous batch.
    PriorRequestNotComplete,
    /// It is carried out and answered after this time; one that comes later overtakes it.
    Delay(Duration),
    /// It is carried out at once and answered after this time.
    SlowAnswer(Duration),
    /// It is not carried out; the answer does not end while the client reads it.
    Endless,
    /// It is not carried out; the answer is one element with 100,000 attributes.
    Attributes,
    /// It is carried out after the next change of any client, or after half a minute.
    Overtaken,
    /// The caller may not do this.
    AccessDenied,
    /// The caller's credentials have expired.
    ExpiredCredentials,
}

/// Which fault, for switching it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(u64);

/// The faults that are switched on.
#[derive(Debug, Default)]
pub(super) struct Faults {
    active: Vec<Active>,
    last: u64,
}

#[derive(Debug)]
struct Active {
    id: FaultId,
    fault: Fault,
    until: Option<Duration>,
}

/// The part of a request that faults match on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Victim<'a> {
    pub(super) service: Service,
    pub(super) action: &'a str,
    pub(super) member: Option<&'a str>,
}

// === impl Fault ===

impl Fault {
    /// Hits every request, until it is switched off.
    pub fn new(effect: Effect) -> Self {
        Self { effect, service: None, action: None, member: None, times: None, lasting: None }
    }

    /// Only requests to this service.
    #[must_use]
    pub fn on(self, service: Service) -> Self {
        Self { service: Some(service), ..self }
    }

    /// Only this action, such as `RegisterTargets`; of the metadata service, the path.
    #[must_use]
    pub fn action(self, action: &str) -> Self {
        Self { action: Some(action.to_owned()), ..self }
    }

    /// Only requests of this member.
    #[must_use]
    pub fn by(self, member: &str) -> Self {
        Self { member: Some(member.to_owned()), ..self }
    }

    /// Only so many requests.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Only for so long.
    #[must_use]
    pub fn lasting(self, lasting: Duration) -> Self {
        Self { lasting: Some(lasting), ..self }
    }

    fn hits(&self, victim: Victim<'_>) -> bool {
        self.times != Some(0)
            && self.service.is_none_or(|service| service == victim.service)
            && self.action.as_deref().is_none_or(|action| action == victim.action)
            && self.member.as_deref().is_none_or(|member| Some(member) == victim.member)
    }
}

// === impl Faults ===

impl Faults {
    pub(super) fn add(&mut self, now: Duration, fault: Fault) -> FaultId {
        self.last += 1;
        let id = FaultId(self.last);
        let until = fault.lasting.map(|lasting| now + lasting);
        self.active.push(Active { id, fault, until });
        id
    }

    pub(super) fn remove(&mut self, id: FaultId) {
        self.active.retain(|active| active.id != id);
    }

    pub(super) fn clear(&mut self) {
        self.active.clear();
    }

    /// How many are still active at `now`.
    pub(super) fn left(&mut self, now: Duration) -> usize {
        self.expire(now);
        self.active.len()
    }

    /// The effect on this request: the oldest fault that hits it applies and counts down.
    pub(super) fn strike(&mut self, now: Duration, victim: Victim<'_>) -> Option<Effect> {
        self.expire(now);
        let active = self.active.iter_mut().find(|active| active.fault.hits(victim))?;
        if let Some(times) = &mut active.fault.times {
            *times -= 1;
        }
        Some(active.fault.effect)
    }

    fn expire(&mut self, now: Duration) {
        self.active
            .retain(|active| active.fault.times != Some(0) && active.until.is_none_or(|until| now < until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn victim<'a>(service: Service, action: &'a str, member: &'a str) -> Victim<'a> {
        Victim { service, action, member: Some(member) }
    }

    #[test]
    fn a_fault_hits_what_it_names_and_as_often() {
        let mut faults = Faults::default();
        let fault =
            Fault::new(Effect::Throttle).on(Service::Elbv2).action("RegisterTargets").by("a").times(2);
        faults.add(Duration::ZERO, fault);
        let hit = victim(Service::Elbv2, "RegisterTargets", "a");
        for other in [
            victim(Service::ClassicElb, "RegisterTargets", "a"),
            victim(Service::Elbv2, "DeregisterTargets", "a"),
            victim(Service::Elbv2, "RegisterTargets", "b"),
        ] {
            assert_eq!(faults.strike(Duration::ZERO, other), None);
        }
        assert_eq!(faults.strike(Duration::ZERO, hit), Some(Effect::Throttle));
        assert_eq!(faults.strike(Duration::ZERO, hit), Some(Effect::Throttle));
        assert_eq!(faults.strike(Duration::ZERO, hit), None);
        assert_eq!(faults.left(Duration::ZERO), 0);
    }

    #[test]
    fn a_fault_ends_with_its_time_or_when_it_is_switched_off() {
        let mut faults = Faults::default();
        let second = Duration::from_secs(1);
        let hit = victim(Service::Route53, "GetChange", "a");
        faults.add(Duration::ZERO, Fault::new(Effect::Hang).lasting(second));
        let reset = faults.add(Duration::ZERO, Fault::new(Effect::Reset));
        assert_eq!(faults.strike(Duration::ZERO, hit), Some(Effect::Hang));
        assert_eq!(faults.strike(second, hit), Some(Effect::Reset), "the next one has its turn");
        faults.remove(reset);
        assert_eq!(faults.strike(second, hit), None);
    }
}
