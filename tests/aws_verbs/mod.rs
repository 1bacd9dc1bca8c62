//! `mirrorvip check`, `plan` and `iam-policy` as a user runs them, against an endpoint that answers as AWS does
//! and writes down what it was asked.

#[path = "../support/aws.rs"]
mod aws;
mod check;
mod cloud;
mod peers;
mod plan;
mod region;
#[cfg(feature = "simulation")]
mod simulated;
mod terraform;
