//! What the cloud made of a story: where it leads clients, who changed what, and what must hold in every story.

use std::fmt::Write as _;
use std::time::Duration;

use mirrorvip::simulation::cloud::Mutation;

use crate::pools::stage::{Stage, within};

/// What the cloud made of it.
impl Stage {
    /// Waits until new connections go to this member and to nobody else, because it alone is healthy.
    pub(crate) fn until_led_to(&self, name: &str, bound: Duration) {
        let wanted = (vec![self.target(name)], false);
        within(
            bound,
            || (self.cloud.forwards_to(&self.balancer) == wanted).then_some(()),
            || format!("clients led to {name}; {}", self.describe()),
        );
    }

    /// Whether new connections go to this member and to nobody else.
    pub(crate) fn leads_to(&self, name: &str) -> bool {
        self.cloud.forwards_to(&self.balancer) == (vec![self.target(name)], false)
    }

    /// Changes that a member asked for.
    pub(crate) fn mutations_by(&self, name: &str) -> Vec<Mutation> {
        self.cloud.mutations().into_iter().filter(|mutation| mutation.member == name).collect()
    }

    /// How often a member has read the pool.
    pub(crate) fn reads_by(&self, name: &str) -> usize {
        let is_read = |action: &str| matches!(action, "DescribeTargetHealth" | "DescribeInstanceHealth");
        let calls = self.cloud.calls();
        calls.iter().filter(|call| call.member.as_deref() == Some(name) && is_read(&call.action)).count()
    }

    /// What holds in every story: no pool was left empty, and whoever moved traffic was the primary when its
    /// request arrived. Registering oneself where all members belong moves none.
    pub(crate) fn assert_safe(&self) {
        assert_eq!(self.cloud.violations(), Vec::<String>::new(), "{}", self.describe());
        for mutation in self.cloud.mutations() {
            let by_primary = mutation.primary.as_deref() == Some(&*mutation.member);
            let is_enrolment = self.pool.has_all_members() && self.is_enrolment(&mutation);
            let allowed = by_primary || is_enrolment || !mutation.moved_traffic();
            assert!(allowed, "not by the primary: {mutation:?}; {}", self.describe());
        }
    }

    fn is_enrolment(&self, mutation: &Mutation) -> bool {
        let own = self.target(&mutation.member);
        let names = |text: &str| text == own.to_string() || text == own.id;
        mutation.before.iter().all(|target| mutation.after.contains(target))
            && mutation.after.iter().all(|target| mutation.before.contains(target) || names(target))
    }

    /// Everything that is known, for messages of failing tests.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!(
            "peers {:?}, pool {:?}, forwards to {:?}\nhealth: {:?}\n",
            self.peers,
            self.pool,
            self.cloud.forwards_to(&self.balancer),
            self.cloud.target_health(&self.balancer)
        );
        for mutation in self.cloud.mutations() {
            let Mutation { number, member, primary, action, before, after, .. } = mutation;
            let _ =
                writeln!(text, "{number} {member} (primary {primary:?}): {action} {before:?} -> {after:?}");
        }
        for (name, daemon) in self.daemons() {
            let _ = writeln!(text, "log of {name}:\n{}", daemon.log_text());
        }
        text
    }
}
