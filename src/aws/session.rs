//! What the verbs of the command line share that ask AWS once and end: who this member is, and one SDK
//! configuration a region. The daemon's loops have their own, which live on.

use std::collections::HashMap;

use aws_config::SdkConfig;

use super::{Identity, IdentityError, region};
use crate::config::Config;
use crate::config::steering::{Target, Value};
use crate::steer::{CallError, Class};

/// Answers that do not change while a verb runs.
pub(crate) struct Session {
    identity: Option<Result<Identity, IdentityError>>,
    /// The region that the configuration tells.
    told: Option<String>,
    /// Where services without a region are asked, once it was found out.
    global_region: Option<String>,
    configs: HashMap<String, SdkConfig>,
}

// === impl Session ===

impl Session {
    /// Nothing is known but what `config` tells.
    pub(crate) fn new(config: &Config) -> Self {
        let told = region::told(config.mirrors.iter().flat_map(|mirror| &mirror.targets));
        Self { identity: None, told, global_region: None, configs: HashMap::new() }
    }

    /// Who this member is; asked for once.
    pub(crate) async fn identity(&mut self) -> Result<&Identity, IdentityError> {
        if self.identity.is_none() {
            self.identity = Some(Identity::ask().await);
        }
        self.known_identity()
    }

    /// Who this member is for a table that says `"auto"`; whoever needs no answer does not wait for one.
    pub(crate) async fn identity_for(&mut self, table: &Target) -> Option<Identity> {
        if needs_identity(table) { self.identity().await.ok().cloned() } else { None }
    }

    /// The region that `value` means.
    pub(crate) async fn region(&mut self, value: &Value) -> Result<String, CallError> {
        match value {
            Value::Is(region) => Ok(region.clone()),
            Value::Auto => match self.identity().await {
                Ok(identity) => Ok(identity.region.clone()),
                Err(error) => Err(unidentified(&error)),
            },
        }
    }

    /// Where a route leads that is to lead to `target`: a network interface or an instance.
    pub(crate) async fn network_interface(&mut self, target: &Value) -> Result<String, CallError> {
        match target {
            Value::Is(id) => Ok(id.clone()),
            Value::Auto => Identity::ask_network_interface().await.map_err(|error| unidentified(&error)),
        }
    }

    /// The SDK's configuration for a region.
    pub(crate) async fn sdk(&mut self, region: &str) -> SdkConfig {
        if let Some(config) = self.configs.get(region) {
            return config.clone();
        }
        let config = super::sdk_config(region).await;
        self.configs.insert(region.to_owned(), config.clone());
        config
    }

    /// The region in which services without one are asked, as the daemon does.
    pub(crate) async fn global_region(&mut self) -> String {
        if let Some(known) = &self.global_region {
            return known.clone();
        }
        let known = region::known(self.told.as_deref()).await;
        self.global_region.insert(known.unwrap_or_else(|| region::FALLBACK.to_owned())).clone()
    }

    /// The SDK's configuration for services without a region.
    pub(crate) async fn global_sdk(&mut self) -> SdkConfig {
        let region = self.global_region().await;
        self.sdk(&region).await
    }

    fn known_identity(&self) -> Result<&Identity, IdentityError> {
        match &self.identity {
            Some(Ok(identity)) => Ok(identity),
            Some(Err(error)) => Err(error.clone()),
            None => Err(IdentityError::not_asked()),
        }
    }
}

fn unidentified(error: &IdentityError) -> CallError {
    let message = format!("failed to {error}");
    CallError::new("InstanceMetadata", Class::Stop, message).with_code(Some(super::help::NO_IDENTITY))
}

/// Whether a table says `"auto"` anywhere.
pub(crate) fn needs_identity(table: &Target) -> bool {
    use crate::config::steering::RecordValue;
    let values = match table {
        Target::Elbv2(table) => vec![&table.target_id],
        Target::ClassicElb(table) => vec![&table.region, &table.instance_id],
        Target::Route53(table) => match &table.value {
            RecordValue::Plain { value, .. } => vec![value],
            RecordValue::Alias { .. } => Vec::new(),
        },
        Target::Route(table) => vec![&table.region, &table.target],
        Target::CloudWatch(table) => vec![&table.region, &table.member],
        Target::Kubernetes(_) | Target::Hook(_) => Vec::new(),
    };
    values.contains(&&Value::Auto)
}
