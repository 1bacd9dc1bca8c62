//! The order of promotions: which of two members that look primary to themselves may take traffic, after a partition, a
//! reverted state, a lost one, and beside members that are silent or wrong.

mod doubt;
mod later;
mod recovery;
