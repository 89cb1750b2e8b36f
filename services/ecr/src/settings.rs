//! What is set on a repository: its policy, scanning, mutability.

use cloud::{Cx, Error, Record};
use policy::{Document, Purpose};
use shapes::ecr::*;

use crate::names::{find, in_registry, invalid, unsupported};
use crate::repository::{RepositoryRecord, exclusions, settle};

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
    let kept = cx.keep_policy(&input.policy_text)?.map_err(|_| {
        invalid(
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Principal not found'",
        )
    })?;
    edit(
        &cx,
        input.registry_id.as_deref(),
        &input.repository_name,
        |it| {
            it.policy = Some(kept);
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
    let text = cx.show_policy(&text)?;
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
    let text = cx.show_policy(&text)?;
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
    let mutability = input.image_tag_mutability;
    let exclusions = exclusions(mutability, input.image_tag_mutability_exclusion_filters)?;
    let (key, shown) = edit(
        &cx,
        input.registry_id.as_deref(),
        &input.repository_name,
        |it| {
            it.mutability = mutability;
            it.exclusions = exclusions;
            Ok((it.key(), it.shown_exclusions()))
        },
    )?;
    // Whoever was answered may push at once, and no tag moves any more.
    settle(&cx, &key).await?;
    Ok(PutImageTagMutabilityOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name),
        image_tag_mutability: Some(mutability),
        image_tag_mutability_exclusion_filters: shown,
    })
}

/// No policy can be put on the registry.
pub async fn get_registry_policy(
    cx: Cx,
    _: GetRegistryPolicyInput,
) -> Result<GetRegistryPolicyOutput, Error> {
    Err(errors::RegistryPolicyNotFoundException.because(format!(
        "Registry policy does not exist in the registry with id '{}'",
        cx.account()
    )))
}

/// A registry of which nobody said what is to be scanned.
fn as_it_is() -> RegistryScanningConfiguration {
    RegistryScanningConfiguration {
        scan_type: Some(ScanType::Basic),
        rules: Some(Vec::new()),
    }
}

pub async fn get_registry_scanning_configuration(
    cx: Cx,
    _: GetRegistryScanningConfigurationInput,
) -> Result<GetRegistryScanningConfigurationOutput, Error> {
    Ok(GetRegistryScanningConfigurationOutput {
        registry_id: Some(cx.account().to_owned()),
        scanning_configuration: Some(as_it_is()),
    })
}

/// Takes what it is already: there is no scanner that rules could be for.
pub async fn put_registry_scanning_configuration(
    _: Cx,
    input: PutRegistryScanningConfigurationInput,
) -> Result<PutRegistryScanningConfigurationOutput, Error> {
    if let Some(other) = input.scan_type.filter(|it| *it != ScanType::Basic) {
        return Err(unsupported(format!("the scan type {other}")));
    }
    Ok(PutRegistryScanningConfigurationOutput {
        registry_scanning_configuration: Some(as_it_is()),
    })
}

pub async fn batch_get_repository_scanning_configuration(
    cx: Cx,
    input: BatchGetRepositoryScanningConfigurationInput,
) -> Result<BatchGetRepositoryScanningConfigurationOutput, Error> {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in input.repository_names {
        match cx.read(|tx| find(&cx, tx, None, &name)) {
            Ok(repository) => found.push(RepositoryScanningConfiguration {
                repository_arn: Some(repository.arn()),
                repository_name: Some(name),
                scan_on_push: Some(repository.scan_on_push),
                scan_frequency: Some(match repository.scan_on_push {
                    true => ScanFrequency::ScanOnPush,
                    false => ScanFrequency::Manual,
                }),
                applied_scan_filters: Some(Vec::new()),
            }),
            Err(error) if error.is(errors::RepositoryNotFoundException) => {
                failures.push(RepositoryScanningConfigurationFailure {
                    repository_name: Some(name),
                    failure_code: Some(ScanningConfigurationFailureCode::RepositoryNotFound),
                    failure_reason: Some(error.message),
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(BatchGetRepositoryScanningConfigurationOutput {
        scanning_configurations: Some(found),
        failures: Some(failures),
    })
}
