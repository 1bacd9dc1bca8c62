//! What the commands share that ask AWS once and end: who this member is, and one SDK configuration per region. The
//! daemon's loops have their own, which they keep.

use std::collections::HashMap;

use aws_config::SdkConfig;

use super::identity::Me;
use super::region::Region;
use super::{Identity, IdentityError, places, region};
use crate::config::steering::Value;
use crate::provider::Config;
use crate::steer::{CallError, Class};

/// Answers that do not change while a command runs.
pub(crate) struct Session {
    me: Me,
    /// Why it is not known who this member is; set, the metadata service is not asked again.
    unidentified: Option<IdentityError>,
    /// The region in the configuration.
    told: Option<Region>,
    /// Where services without a region are asked, once it is known.
    global_region: Option<Region>,
    configs: HashMap<String, SdkConfig>,
}

// === impl Session ===

impl Session {
    /// A session that knows only what is in `config`.
    pub(crate) fn new(config: &Config) -> Self {
        let told = region::told(places(config.mirrors.iter().flat_map(|mirror| &mirror.targets)));
        Self { me: Me::default(), unidentified: None, told, global_region: None, configs: HashMap::new() }
    }

    /// Who this member is, for targets that may have to ask.
    pub(crate) fn me(&self) -> Me {
        self.me.clone()
    }

    /// Who this member is; asked for once.
    pub(crate) async fn identity(&mut self) -> Result<&Identity, IdentityError> {
        if let Some(error) = &self.unidentified {
            return Err(error.clone());
        }
        let asked = self.me.get().await;
        self.unidentified = asked.as_ref().err().cloned();
        asked
    }

    /// Who this member is, for a table that says `"auto"`. A table that needs no answer does not wait for one.
    pub(crate) async fn identity_if(&mut self, needed: bool) -> Option<Identity> {
        if needed { self.identity().await.ok().cloned() } else { None }
    }

    /// The region that `value` means.
    pub(crate) async fn region(&mut self, value: &Value<Region>) -> Result<Region, CallError> {
        match value {
            Value::Is(region) => Ok(region.clone()),
            Value::Auto => match self.identity().await {
                Ok(identity) => Ok(Region::named(&identity.region)),
                Err(error) => Err(unidentified(&error)),
            },
        }
    }

    /// The SDK's configuration for the region that `value` means.
    pub(crate) async fn sdk_in(&mut self, value: &Value<Region>) -> Result<SdkConfig, CallError> {
        let region = self.region(value).await?;
        Ok(self.sdk(&region).await)
    }

    /// This member's primary network interface.
    pub(crate) async fn network_interface() -> Result<String, CallError> {
        Identity::ask_network_interface().await.map_err(|error| unidentified(&error))
    }

    /// The SDK's configuration for a region.
    pub(crate) async fn sdk(&mut self, region: &Region) -> SdkConfig {
        if let Some(config) = self.configs.get(region.name()) {
            return config.clone();
        }
        let config = super::sdk_config(region.name()).await;
        self.configs.insert(region.name().to_owned(), config.clone());
        config
    }

    /// The region in which services without one are asked, as the daemon does.
    async fn global_region(&mut self) -> Region {
        if let Some(known) = &self.global_region {
            return known.clone();
        }
        let known = region::known(self.told.as_ref()).await;
        self.global_region.insert(known.unwrap_or_else(|| Region::named(region::FALLBACK))).clone()
    }

    /// The SDK's configuration for services without a region.
    pub(crate) async fn global_sdk(&mut self) -> SdkConfig {
        let region = self.global_region().await;
        self.sdk(&region).await
    }
}

fn unidentified(error: &IdentityError) -> CallError {
    let message = format!("failed to {error}");
    CallError::new("InstanceMetadata", Class::Stop, message).with_code(Some(super::help::NO_IDENTITY))
}
