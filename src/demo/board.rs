//! The observed state of the demo. Scenarios wait for it and measure with it.

use std::collections::VecDeque;
use std::time::Duration;

use super::report::Page;
use crate::simulation::MemberId;

/// The observed state of the members, the load balancer, the client and the cloud, and since when it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    /// What each page says, and since when.
    pub(crate) pages: [(Page, Duration); 3],
    /// Each member's health at the load balancer, and since when.
    pub(crate) healthy: [(bool, Duration); 3],
    /// The member that the client reaches, and since when.
    pub(crate) client: Option<(MemberId, Duration)>,
    /// How long the client had no answer before that.
    pub(crate) outage: Option<Duration>,
    /// The healthy members that the cloud's target group sends to, and since when.
    pub(crate) group: (Vec<MemberId>, Duration),
    /// The member whose address resolvers answer, and since when.
    pub(crate) record: (Option<MemberId>, Duration),
    /// The members that are registered in the target group.
    pub(crate) registered: String,
    /// When each member's instance last changed.
    pub(crate) changed: [Duration; 3],
    /// When each member's daemon last ruled that its instance is the primary.
    pub(crate) ruled: [Option<Duration>; 3],
    /// Commands of the user that are not carried out yet.
    pub(crate) commands: VecDeque<String>,
}
