//! The cluster's side of `mirrorvip check`: whether this pod's label can be written. A patch that changes nothing
//! tries the very right that the daemon needs.

use super::Finding;
use super::aws::failed;
use crate::config::Config;
use crate::config::steering::Target;
use crate::steer::kubernetes::{self, Kubernetes};

/// Asks the API server about every label that `config` names.
pub async fn online(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for mirror in &config.mirrors {
        for table in &mirror.targets {
            let Target::Kubernetes(table) = table else { continue };
            let subject = format!("mirror {}, {}", mirror.name, kubernetes::name(table));
            findings.push(match Kubernetes::new(table, None).look().await {
                Ok(value) => {
                    let value = value.unwrap_or_else(|| "not set yet".to_owned());
                    let value = crate::text::printable(&value, 63);
                    Finding::good(subject, format!("may be patched; its label {} is {value}", table.label))
                }
                Err(error) => failed(&subject, &error),
            });
        }
    }
    findings
}
