//! What is set on a repository: its policy, scanning, mutability.

use cloud::{Cx, Error};
use policy::{Document, Purpose};
use shapes::ecr::*;

use crate::names::{find, in_registry, invalid};
use crate::repository::{RepositoryRecord, check_mutability};

fn edit<T>(
    cx: &Cx,
    registry: Option<&str>,
    name: &str,
    body: impl FnOnce(&mut RepositoryRecord) -> Result<T, Error>,
) -> Result<T, Error> {
    cx.write(|tx| {
        let mut repository = find(cx, tx, registry, name)?;
        let answer = body(&mut repository)?;
        tx.put(&repository)?;
        Ok(answer)
    })
}

fn no_policy(cx: &Cx, name: &str) -> Error {
    errors::RepositoryPolicyNotFoundException.because(in_registry(
        cx,
        "Repository policy does not exist for the repository",
        name,
        "in",
    ))
}

pub async fn set_repository_policy(
    cx: Cx,
    input: SetRepositoryPolicyInput,
) -> Result<SetRepositoryPolicyOutput, Error> {
    // What cannot be read would deny everything to everybody.
    if Document::put(&input.policy_text, Purpose::Resource).is_err() {
        return Err(invalid(
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'",
        ));
    }
    edit(
        &cx,
        input.registry_id.as_deref(),
        &input.repository_name,
        |it| {
            it.policy = Some(input.policy_text.clone());
            Ok(())
        },
    )?;
    Ok(SetRepositoryPolicyOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name),
        policy_text: Some(input.policy_text),
    })
}

pub async fn get_repository_policy(
    cx: Cx,
    input: GetRepositoryPolicyInput,
) -> Result<GetRepositoryPolicyOutput, Error> {
    let (registry, name) = (input.registry_id.as_deref(), input.repository_name);
    let repository = cx.read(|tx| find(&cx, tx, registry, &name))?;
    let text = repository.policy.ok_or_else(|| no_policy(&cx, &name))?;
    Ok(GetRepositoryPolicyOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(name),
        policy_text: Some(text),
    })
}

pub async fn delete_repository_policy(
    cx: Cx,
    input: DeleteRepositoryPolicyInput,
) -> Result<DeleteRepositoryPolicyOutput, Error> {
    let name = input.repository_name;
    let text = edit(&cx, input.registry_id.as_deref(), &name, |it| {
        it.policy.take().ok_or_else(|| no_policy(&cx, &name))
    })?;
    Ok(DeleteRepositoryPolicyOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(name),
        policy_text: Some(text),
    })
}

pub async fn put_image_scanning_configuration(
    cx: Cx,
    input: PutImageScanningConfigurationInput,
) -> Result<PutImageScanningConfigurationOutput, Error> {
    let scan_on_push = input.image_scanning_configuration.scan_on_push == Some(true);
    edit(
        &cx,
        input.registry_id.as_deref(),
        &input.repository_name,
        |it| {
            it.scan_on_push = scan_on_push;
            Ok(())
        },
    )?;
    Ok(PutImageScanningConfigurationOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name),
        image_scanning_configuration: Some(ImageScanningConfiguration {
            scan_on_push: Some(scan_on_push),
        }),
    })
}

pub async fn put_image_tag_mutability(
    cx: Cx,
    input: PutImageTagMutabilityInput,
) -> Result<PutImageTagMutabilityOutput, Error> {
    let (registry, name) = (input.registry_id.as_deref(), input.repository_name);
    cx.read(|tx| find(&cx, tx, registry, &name))?;
    check_mutability(Some(input.image_tag_mutability))?;
    Ok(PutImageTagMutabilityOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(name),
        image_tag_mutability: Some(ImageTagMutability::Mutable),
        ..Default::default()
    })
}
