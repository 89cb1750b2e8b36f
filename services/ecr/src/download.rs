//! Addresses of layers: who has one may fetch that layer from the registry's door for a while, as what asked for
//! it, and nothing else.

use cloud::{Cx, Error};
use engine::{Digest, Fault};
use shapes::ecr::*;

use crate::image::repository;
use crate::names::{engine_error, in_registry, invalid};
use crate::token;

/// What an address shows in its query.
pub const QUERY: &str = "X-Neargate-Layer";

pub async fn get_download_url_for_layer(
    cx: Cx,
    input: GetDownloadUrlForLayerInput,
) -> Result<GetDownloadUrlForLayerOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    let digest: Digest = (input.layer_digest.parse()).map_err(|_| {
        invalid("Invalid parameter at 'layerDigest' failed to satisfy constraint: 'Invalid layer digest'")
    })?;
    let in_engine = repository.in_engine();
    let held = cx.engine().images.held_blob(&in_engine, &digest).await;
    let is_there = match held {
        Err(error) if error.fault == Fault::NotFound => false,
        other => other.map_err(engine_error)?.is_some(),
    };
    if !is_there {
        let what = format!("The layer with digest '{digest}'");
        let why = in_registry(&cx, &what, &repository.name, "in") + " is not found";
        return Err(errors::LayersNotFoundException.because(why));
    }
    let shown = token::for_layer(&cx, &repository.name, &digest)?;
    let (api, name) = (&cx.engine().access.api, &repository.name);
    Ok(GetDownloadUrlForLayerOutput {
        download_url: Some(format!("{api}/v2/{name}/blobs/{digest}?{QUERY}={shown}")),
        layer_digest: Some(digest.to_string()),
    })
}
