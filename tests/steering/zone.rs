//! A record of Route 53 and the ownership record beside it.

use mirrorvip::simulation::cloud::SimulatedCloud;

use crate::support::cloud::fast_cloud;
use crate::support::stage::{Peers, Stage, eventually};

/// The name of the record in all stories.
pub(crate) const RECORD: &str = "db.example.internal";
pub(crate) const OWNERSHIP_RECORD: &str = "_mirrorvip.db.example.internal";

/// How a record is read.
pub(crate) const LIST: &str = "ListResourceRecordSets";

/// Objects of a cloud that have a hosted zone.
pub(crate) trait HasZone {
    /// Its id.
    fn zone(&self) -> &str;
}

/// The id of a hosted zone.
pub(crate) struct Zone(pub(crate) String);

impl HasZone for Zone {
    fn zone(&self) -> &str {
        &self.0
    }
}

/// The table that makes the record follow.
pub(crate) fn table(zone: &str) -> String {
    format!("[[mirror.route53]]\nhosted_zone_id = \"{zone}\"\nrecord = \"{RECORD}\"\ntype = \"A\"\n")
}

// === impl Stage ===

impl Stage<Zone> {
    /// Members `a` and `b`, started, and a record that an administrator made for a member that is gone.
    pub(crate) fn of_record(peers: Peers) -> Self {
        Self::of_record_with(&["a", "b"], fast_cloud(), peers, "")
    }

    /// The same with other members, another cloud and further keys of the table.
    pub(crate) fn of_record_with(
        names: &[&'static str],
        cloud: SimulatedCloud,
        peers: Peers,
        keys: &str,
    ) -> Self {
        let zone = cloud.create_zone("example.internal");
        cloud.create_record(&zone, RECORD, "A", 60, &["10.0.9.9"]);
        let table = table(&zone) + keys;
        Self::started(cloud, Zone(zone), names, peers, &table)
    }

    /// Waits until the record leads to `name`, and `name` knows; then nothing may have gone wrong.
    pub(crate) fn until_follows(&self, name: &str) {
        eventually(&format!("the record of {name}"), || self.record_leads_to(name));
        self.until_led(name);
        assert!(self.record_leads_to(name), "{:?}", self.record());
        self.assert_clean();
    }

    /// Promotes `name` and waits until the record follows.
    pub(crate) fn promote_fully(&self, name: &str) {
        self.promote(name);
        self.until_follows(name);
    }

    /// Fails over to `name` and waits until the record follows.
    pub(crate) fn fail_over_fully(&self, name: &str) {
        self.fail_over(name);
        self.until_follows(name);
    }
}

impl<Objects: HasZone> Stage<Objects> {
    /// What the record says, as the service lists it.
    pub(crate) fn record(&self) -> Vec<String> {
        let record = self.cloud.record(self.objects.zone(), RECORD, "A");
        record.map(|record| record.values).unwrap_or_default()
    }

    pub(crate) fn record_leads_to(&self, name: &str) -> bool {
        self.record() == [self.address(name)]
    }

    /// Another tool writes the record.
    pub(crate) fn write_record(&self, address: &str) {
        self.cloud.create_record(self.objects.zone(), RECORD, "A", 60, &[address]);
    }

    /// What the ownership record says; empty without one.
    pub(crate) fn ownership(&self) -> String {
        let record = self.cloud.record(self.objects.zone(), OWNERSHIP_RECORD, "TXT");
        record.map(|record| record.values.join(" ")).unwrap_or_default()
    }

    /// Another tool writes the ownership record.
    pub(crate) fn write_ownership(&self, member: &str, term: u64) {
        let text = format!("\"mirrorvip1 owner={member} term={term} epoch=1 at=2026-11-21T02:40:00Z\"");
        self.cloud.create_record(self.objects.zone(), OWNERSHIP_RECORD, "TXT", 60, &[&text]);
    }

    #[track_caller]
    pub(crate) fn assert_owner(&self, member: &str, term: u64) {
        let expected = format!("owner={member} term={term} ");
        assert!(self.ownership().contains(&expected), "{expected}: {}", self.ownership());
    }
}
