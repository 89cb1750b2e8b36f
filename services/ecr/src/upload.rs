//! Layers that are uploaded by this API: part by part, as the engine takes them in. Most clients push through
//! the registry's own door.

use cloud::{Cx, Error};
use engine::{Digest, EngineError, Fault};
use shapes::ecr::*;
use wire::Value as _;

use crate::image::repository;
use crate::names::{engine_error, in_registry, invalid};
use crate::repository::RepositoryRecord;

/// What ECR asks parts to have.
const PART_BYTES: i64 = 10 * 1024 * 1024;

pub async fn initiate_layer_upload(
    cx: Cx,
    input: InitiateLayerUploadInput,
) -> Result<InitiateLayerUploadOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    let in_engine = repository.in_engine();
    let begun = cx.engine().images.begin_upload(&in_engine);
    let id = begun.await.map_err(|error| match error.fault {
        Fault::Conflict => errors::LimitExceededException.because(error.to_string()),
        _ => engine_error(error),
    })?;
    Ok(InitiateLayerUploadOutput {
        upload_id: Some(shown(&id)),
        part_size: Some(PART_BYTES),
    })
}

/// The engine's name of an upload as ECR writes one: a UUID, which has the same digits.
fn shown(id: &str) -> String {
    let mut shown = String::with_capacity(id.len() + 4);
    for (at, digit) in id.chars().enumerate() {
        if [8, 12, 16, 20].contains(&at) {
            shown.push('-');
        }
        shown.push(digit);
    }
    shown
}

fn in_engine_id(shown: &str) -> String {
    shown.replace('-', "")
}

fn no_upload(cx: &Cx, repository: &RepositoryRecord, id: &str) -> Error {
    let what = format!("Upload with id '{id}' in the repository");
    let why = in_registry(cx, &what, &repository.name, "in") + " is not found";
    errors::UploadNotFoundException.because(why)
}

fn upload_error(cx: &Cx, repository: &RepositoryRecord, id: &str, error: EngineError) -> Error {
    match error.fault {
        Fault::NotFound => no_upload(cx, repository, id),
        _ => engine_error(error),
    }
}

pub async fn upload_layer_part(
    cx: Cx,
    input: UploadLayerPartInput,
) -> Result<UploadLayerPartOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    let (first, last) = (input.part_first_byte, input.part_last_byte);
    let bytes = input.layer_part_blob.0;
    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let is_whole = last.checked_sub(first).and_then(|it| it.checked_add(1)) == Some(length);
    let Some(from) = u64::try_from(first).ok().filter(|_| is_whole && length > 0) else {
        return Err(invalid(format!(
            "Invalid parameter at 'layerPartBlob' failed to satisfy constraint: 'the part has {length} bytes, which are not those from {first} to {last}'"
        )));
    };
    let (images, in_engine) = (&cx.engine().images, repository.in_engine());
    let id = in_engine_id(&input.upload_id);
    let written = images.write_upload(&in_engine, &id, from, bytes);
    let size = written
        .await
        .map_err(|error| upload_error(&cx, &repository, &input.upload_id, error))?;
    let received = i64::try_from(size).unwrap_or(i64::MAX) - 1;
    if received != last {
        return Err(errors::InvalidLayerPartException
            .because(format!(
                "Layer part from {first} to {last} does not begin where the last one ended"
            ))
            .with("registryId", repository.account.get())
            .with("repositoryName", repository.name.get())
            .with("uploadId", input.upload_id.get())
            .with("lastValidByteReceived", received.get()));
    }
    Ok(UploadLayerPartOutput {
        registry_id: Some(repository.account),
        repository_name: Some(repository.name),
        upload_id: Some(input.upload_id),
        last_byte_received: Some(received),
    })
}

pub async fn complete_layer_upload(
    cx: Cx,
    input: CompleteLayerUploadInput,
) -> Result<CompleteLayerUploadOutput, Error> {
    let repository = repository(&cx, input.registry_id.as_deref(), &input.repository_name)?;
    let [text] = input.layer_digests.as_slice() else {
        return Err(invalid("an upload has one digest"));
    };
    let digest: Digest = text.parse().map_err(engine_error)?;
    let in_engine = repository.in_engine();
    let images = &cx.engine().images;
    let there = images.held_blob(&in_engine, &digest).await;
    if there.map_err(engine_error)?.is_some() {
        let what = format!("Layer with digest '{digest}' already exists in the repository");
        let why = in_registry(&cx, &what, &repository.name, "in");
        return Err(errors::LayerAlreadyExistsException.because(why));
    }
    let id = in_engine_id(&input.upload_id);
    let finished = images.finish_upload(&in_engine, &id, &digest);
    finished.await.map_err(|error| match error.fault {
        Fault::Invalid => errors::InvalidLayerException.because(format!(
            "The layer with the digest '{digest}' is not what was uploaded: {error}"
        )),
        _ => upload_error(&cx, &repository, &input.upload_id, error),
    })?;
    Ok(CompleteLayerUploadOutput {
        registry_id: Some(repository.account),
        repository_name: Some(repository.name),
        upload_id: Some(input.upload_id),
        layer_digest: Some(digest.to_string()),
    })
}
