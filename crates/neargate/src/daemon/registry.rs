//! Clients of the embedded registry: who they are, and what they may do there. Both of its doors ask here,
//! `/v2/` and the Docker Engine API.

use std::sync::Arc;

use cloud::{Caller, Cloud, Error, Origin};
use ecr::TokenHolder;
use engine::{Digest, Repository};

/// What the registry's user is always called.
const USER: &str = "AWS";

/// Somebody who showed a token that counts.
pub struct RegistryClient {
    cloud: Arc<Cloud>,
    caller: Caller,
    origin: Arc<Origin>,
}

impl RegistryClient {
    /// Who shows this. A token counts as long as the key that it was made with, so this is asked for every
    /// request.
    pub fn find(
        cloud: &Arc<Cloud>,
        username: &str,
        password: &str,
        origin: Arc<Origin>,
    ) -> Option<Self> {
        if username != USER {
            return None;
        }
        Self::of_holder(cloud, ecr::token_holder(cloud, password)?, origin)
    }

    /// Who had this address of a layer made, and the region that the layer is in.
    pub fn of_layer(
        cloud: &Arc<Cloud>,
        shown: &str,
        repository: &str,
        digest: &Digest,
        origin: Arc<Origin>,
    ) -> Option<(String, Self)> {
        let (region, holder) = ecr::layer_holder(cloud, shown, repository, digest)?;
        Some((region, Self::of_holder(cloud, holder, origin)?))
    }

    fn of_holder(cloud: &Arc<Cloud>, holder: TokenHolder, origin: Arc<Origin>) -> Option<Self> {
        let caller = match holder {
            // A token may have been handed on: it is no more than a session of the owner's.
            TokenHolder::Owner => Caller::RootSession {
                access_key: String::new(),
            },
            TokenHolder::Key(id) => iam::find_holder(cloud, &id)?,
        };
        Some(Self {
            cloud: cloud.clone(),
            caller,
            origin,
        })
    }

    /// Whether it may do this, an action of ECR's.
    pub fn authorize(&self, action: &str, repository: &Repository) -> Result<(), Error> {
        let region = region_of(&repository.host);
        let cx = (self.cloud).context(region, self.caller.clone(), self.origin.clone());
        ecr::authorize(&cx, action, &repository.path)
    }
}

/// The region that a host of the registry is in: `<account>.dkr.ecr.<region>.amazonaws.com`.
pub fn region_of(host: &str) -> &str {
    host.split('.').nth(3).unwrap_or_default()
}
