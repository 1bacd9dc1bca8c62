//! stub
#![allow(missing_docs)]
pub(crate) mod run;
mod schedule;
use crate::observation::Outcome;
use std::time::Duration;
#[derive(Debug)]
pub struct Reading {
    pub outcome: Outcome,
    pub evidence: String,
    pub age: Duration,
}
#[derive(Debug)]
pub enum Prober {}
impl Prober {
    pub async fn ask(&mut self) -> Vec<Reading> {
        unreachable!()
    }
}
