//! What a build's container is given by the door inside its network: its role's credentials. They are
//! fetched by AWS's clients whenever they need new ones, so that a long build has them to its end.

use std::sync::Arc;

use cloud::{Cloud, Error};
use serde_json::{Value as Json, json};

use crate::record::BuildRecord;
use crate::{network, reconciler, role};

/// The path of a build's credentials, below the door's address.
pub fn credentials_path(build: &BuildRecord) -> String {
    format!("/v2/credentials/{}", build.uuid)
}

/// Credentials of the role of the build with this uuid, as the SDKs read them; None when there is no
/// such build under way, or it is not the one that asks.
pub async fn credentials(
    cloud: &Arc<Cloud>,
    uuid: &str,
    from: &str,
) -> Result<Option<Json>, Error> {
    let Some((_, key)) = reconciler::keys_of_task(cloud, uuid).pop() else {
        return Ok(None);
    };
    let cx = cloud.daemon_context(&cloud.default_region);
    let build = cx.read(|tx| tx.get::<BuildRecord>(&key))?;
    let Some(build) = build.filter(|it| network::interface(it) == from) else {
        return Ok(None);
    };
    let cx = cloud.daemon_context(&build.region);
    let role_arn = build.shape.service_role.clone().unwrap_or_default();
    let session = role::assume(&cx, &role_arn, &build.project, &build.uuid)
        .await?
        .credentials;
    Ok(Some(json!({
        "RoleArn": role_arn,
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "Token": session.session_token,
        "Expiration": session.expiration.to_string(),
    })))
}
