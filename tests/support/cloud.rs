//! The simulated cloud as most tests want it.

use std::time::Duration;

use mirrorvip::simulation::cloud::{Settings, SimulatedCloud};

/// A cloud that runs fifty times as fast as AWS.
pub fn fast_cloud() -> SimulatedCloud {
    let settings = Settings { second: Duration::from_millis(20), ..Settings::default() };
    SimulatedCloud::start(settings).expect("loopback ports are free")
}
