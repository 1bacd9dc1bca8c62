//! What is known on the stage at any moment; scenarios wait for it and measure by it.

use std::collections::VecDeque;
use std::time::Duration;

use super::report::Page;
use crate::simulation::MemberId;

/// What is known about the members, the load balancer, the client and the cloud, and since when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    /// What each page says, and since when.
    pub(crate) pages: [(Page, Duration); 3],
    /// What the load balancer thinks of each member, and since when.
    pub(crate) healthy: [(bool, Duration); 3],
    /// Whom the client reaches, and since when.
    pub(crate) client: Option<(MemberId, Duration)>,
    /// How long the client had been without an answer before that.
    pub(crate) outage: Option<Duration>,
    /// To whom the cloud's target group sends because they are healthy, and since when.
    pub(crate) group: (Vec<MemberId>, Duration),
    /// Whose address resolvers answer, and since when.
    pub(crate) record: (Option<MemberId>, Duration),
    /// Whom the target group has registered.
    pub(crate) registered: String,
    /// When each member's instance last changed.
    pub(crate) changed: [Duration; 3],
    /// When each member's daemon last ruled that its instance is the primary.
    pub(crate) ruled: [Option<Duration>; 3],
    /// Commands of the user that wait.
    pub(crate) commands: VecDeque<String>,
}
