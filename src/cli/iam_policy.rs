//! `mirrorvip iam-policy`: prints the rights that the configuration needs in AWS. Sends no request.

use super::{Exit, Failure, Global, output, run};
use crate::provider::aws::rights;

pub(super) fn run(global: &Global) -> Result<Exit, Failure> {
    let config = run::load(global)?;
    match rights::policy(&config) {
        Some(policy) => output::print_json(&policy)?,
        // IAM accepts no policy without statements.
        None => output::complain("Nothing in this configuration needs permissions in AWS.\n"),
    }
    Ok(Exit::Ok)
}
