//! What the daemons of a stage report, and what its cloud saw.

use mirrorvip::simulation::cloud::{Call, Fault, Mutation};
use serde_json::Value;

use super::{Stage, eventually};
use crate::support::{Daemon, get};

/// What the daemons report.
impl<Objects> Stage<Objects> {
    /// The running daemon of a member.
    pub fn daemon(&self, name: &str) -> &Daemon {
        self.member(name).daemon.as_ref().expect("it runs")
    }

    /// The status of a member's mirror.
    pub fn status(&self, name: &str) -> Value {
        self.daemon(name).mirror("PROD")
    }

    /// A member's first steering target.
    pub fn target(&self, name: &str) -> Value {
        self.daemon(name).target()
    }

    /// The status code of a member's page; 0 without an answer.
    pub fn page(&self, name: &str) -> u16 {
        get(self.member(name).page, "/csp/bin/mirrorstatus.cxw").map_or(0, |answer| answer.status)
    }

    /// Waits until a member's page answers this status code.
    pub fn until_page(&self, name: &str, status: u16) {
        eventually(&format!("page {status} of {name}"), || self.page(name) == status);
    }

    /// Waits until the status of a member's mirror is as `condition` wants it.
    pub fn until(&self, name: &str, what: &str, condition: impl Fn(&Value) -> bool) {
        eventually(&format!("{what} of {name}"), || condition(&self.status(name)));
    }

    pub fn until_state(&self, name: &str, state: &str) {
        self.until(name, state, |mirror| mirror["state"] == state);
    }

    /// Waits until a member's instance has reported that it is not the primary.
    pub fn until_at_rest(&self, name: &str) {
        let others = ["starting", "no-evidence", "primary", "superseded"];
        self.until(name, "rest", |mirror| others.iter().all(|state| mirror["state"] != *state));
    }

    /// Waits until a member's authority is one of these; `holding` is the state of its first target, which another member has.
    pub fn until_ruling(&self, name: &str, rulings: &[&str]) {
        self.until(name, &rulings.join(" or "), |mirror| {
            let ruled = [&mirror["authority"]["ruling"], &mirror["steering"][0]["state"]];
            ruled.iter().any(|ruled| rulings.iter().any(|ruling| *ruled == ruling))
        });
    }

    /// Waits until a member knows that another was promoted later, and its page refuses.
    pub fn until_superseded(&self, name: &str) {
        self.until_ruling(name, &["superseded"]);
        self.until_page(name, 503);
    }

    /// Waits until a member's first target is in this state; returns it.
    pub fn until_target(&self, name: &str, state: &str) -> Value {
        self.until(name, state, |mirror| mirror["steering"][0]["state"] == state);
        self.target(name)
    }

    /// Waits until each loop of a member has nothing left to do.
    pub fn until_fulfilled(&self, name: &str) {
        self.until(name, "every target fulfilled", |mirror| {
            let targets = mirror["steering"].as_array().expect("a list");
            !targets.is_empty() && targets.iter().all(|target| target["state"] == "fulfilled")
        });
    }

    /// Waits until a member has directed clients to itself in its present epoch.
    pub fn until_led(&self, name: &str) {
        self.until(name, "clients", |mirror| {
            let target = &mirror["steering"][0];
            mirror["state"] == "primary"
                && target["state"] == "fulfilled"
                && target["ladder"]["epoch"] == mirror["epoch"]
                && target["ladder"]["fulfilled"].is_string()
        });
    }

    /// Waits until a member knows this term.
    pub fn until_term(&self, name: &str, term: u64) {
        self.until(name, &format!("term {term}"), |mirror| mirror["seen"]["term"] == term);
    }

    /// Waits until a member has made one of these alarms an error in its log.
    pub fn until_alarm(&self, name: &str, alarms: &[&str]) {
        let is_alarm = |line: &Value| {
            line["level"] == "ERROR" && line["alarm"].as_str().is_some_and(|word| alarms.contains(&word))
        };
        eventually(&format!("one of {alarms:?} of {name}"), || self.daemon(name).log().iter().any(is_alarm));
    }
}

/// What the cloud saw.
impl<Objects> Stage<Objects> {
    /// The requests of a member that were read and answered.
    pub fn calls_of(&self, name: &str, action: &str) -> Vec<Call> {
        self.calls_since(0, name, action)
    }

    fn calls_since(&self, first: usize, name: &str, action: &str) -> Vec<Call> {
        let calls = self.cloud.calls().into_iter().skip(first);
        calls.filter(|call| call.member.as_deref() == Some(name) && call.action == action).collect()
    }

    /// Waits until a member has made a call of this `action` since the story took its last turn: a member was started, promoted,
    /// frozen or thawed. That is at its next drift check at the latest.
    pub fn until_read(&self, name: &str, action: &str) {
        eventually(&format!("{action} by {name}"), || {
            self.calls_since(self.turned.get(), name, action).iter().any(|call| call.error.is_none())
        });
    }

    /// Switches on faults that the requests of a member meet.
    pub fn break_for(&self, name: &str, faults: &[Fault]) {
        for fault in faults {
            self.cloud.fault(fault.clone().by(name));
        }
    }

    /// The changes so far of where clients are led.
    pub fn moves(&self) -> Vec<Mutation> {
        self.cloud.mutations().into_iter().filter(Mutation::moved_traffic).collect()
    }

    /// Nothing was ever left empty, and only the primary of that moment wrote to an object.
    pub fn assert_clean(&self) {
        self.assert_clean_but(|_| false);
    }

    /// The same, but for mutations that are `allowed` to every member.
    pub fn assert_clean_but(&self, allowed: impl Fn(&Mutation) -> bool) {
        assert_eq!(self.cloud.violations(), Vec::<String>::new());
        let mut trespasses = self.cloud.mutations();
        trespasses.retain(|mutation| {
            mutation.action != "PutMetricData"
                && mutation.primary.as_deref() != Some(&mutation.member)
                && !allowed(mutation)
        });
        assert_eq!(trespasses, [], "written by a member that was not the primary");
    }
}
