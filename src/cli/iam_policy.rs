//! `mirrorvip iam-policy`: prints the rights that the configuration needs in AWS. Asks nobody.

use super::{Exit, Failure, Global, output, run};
use crate::steer::iam;

pub(super) fn run(global: &Global) -> Result<Exit, Failure> {
    let config = run::load(global)?;
    match iam::policy(&config) {
        Some(policy) => output::print_json(&policy)?,
        // IAM takes no policy without statements, so there is none to print.
        None => output::complain("Nothing in this configuration needs a right in AWS.\n"),
    }
    Ok(Exit::Ok)
}
