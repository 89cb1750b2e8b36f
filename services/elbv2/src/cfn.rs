//! ELBv2's types for CloudFormation (CloudFormation User Guide, "AWS::ElasticLoadBalancingV2::…").

mod balancer;
mod listener;
mod properties;
mod target_group;

use cloud::{ResourceError, ResourceRequest, Service};
use serde_json::Value as Json;
use shapes::elbv2::{AddTagsInput, RemoveTagsInput, Tag};

pub fn register(service: Service) -> Service {
    service
        .resource(balancer::LoadBalancerType)
        .resource(target_group::TargetGroupType)
        .resource(listener::ListenerType)
        .resource(listener::RuleType)
}

/// The request's tags in ELBv2's form.
fn tag_list(request: &ResourceRequest) -> Option<Vec<Tag>> {
    let tags: Vec<Tag> = request
        .all_tags()
        .into_iter()
        .map(|(key, value)| Tag {
            key,
            value: Some(value),
        })
        .collect();
    (!tags.is_empty()).then_some(tags)
}

async fn update_tags(
    cx: &cloud::Cx,
    arn: &str,
    old: &Json,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let new = request.all_tags();
    let before = ResourceRequest {
        properties: old.clone(),
        ..request.clone()
    }
    .all_tags();
    let unwanted: Vec<String> = before
        .into_keys()
        .filter(|key| !new.contains_key(key))
        .collect();
    if !unwanted.is_empty() {
        cx.call(RemoveTagsInput {
            resource_arns: vec![arn.into()],
            tag_keys: unwanted,
        })
        .await?;
    }
    if let Some(tags) = tag_list(request) {
        cx.call(AddTagsInput {
            resource_arns: vec![arn.into()],
            tags,
        })
        .await?;
    }
    Ok(())
}

/// A property in the API's shape, whose member names differ from the template's only in case.
fn shape<T: wire::Value + Default>(
    request: &ResourceRequest,
    name: &str,
) -> Result<Option<T>, ResourceError> {
    let Some(json) = request.get(name) else {
        return Ok(None);
    };
    wire::lenient::<T>(json.clone())
        .map(Some)
        .map_err(|error| ResourceError::new(format!("{name}: {error}")))
}

fn unknown_attribute<T>(name: &str) -> Result<T, ResourceError> {
    Err(ResourceError::new(format!("attribute {name} is not known")))
}

/// The end of an ARN: `targetgroup/web/1`, `loadbalancer/app/web/1`.
fn arn_resource(arn: &str) -> &str {
    arn.split(':').nth(5).unwrap_or_default()
}

/// Deleting what is gone already is success; what is still in use will be let go of soon.
fn gone_is_fine<T>(outcome: Result<T, cloud::Error>) -> Result<(), ResourceError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) if error.code.ends_with("NotFound") => Ok(()),
        Err(error) if error.code == "ResourceInUse" => Err(ResourceError::retry(error.message)),
        Err(error) => Err(error.into()),
    }
}
