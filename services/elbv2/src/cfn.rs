//! ELBv2's types for CloudFormation (CloudFormation User Guide, "AWS::ElasticLoadBalancingV2::…").

mod balancer;
mod certificate;
mod listener;
mod properties;
mod target_group;

use std::collections::BTreeMap;

use cloud::{Cx, ResourceError, ResourceRequest, Service, TagChanges};
use serde_json::Value as Json;
use shapes::elbv2::{AddTagsInput, RemoveTagsInput, Tag};

pub fn register(service: Service) -> Service {
    service
        .resource(balancer::LoadBalancerType)
        .resource(target_group::TargetGroupType)
        .resource(listener::ListenerType)
        .resource(certificate::ListenerCertificateType)
        .resource(listener::RuleType)
}

/// Refuses what AWS knows and this build does not. What is not known yet is left to the operation.
fn refuse_others(properties: &Json, name: &str, built: &[&str]) -> Result<(), String> {
    match cloud::known_part(properties)[name].as_str() {
        Some(other) if !built.contains(&other) => {
            Err(format!("{name} {other} is not supported by neargate"))
        }
        _ => Ok(()),
    }
}

/// The request's tags in ELBv2's form.
fn tag_list(request: &ResourceRequest) -> Option<Vec<Tag>> {
    let tags = tags_of(request.all_tags());
    (!tags.is_empty()).then_some(tags)
}

fn tags_of(tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag {
        key,
        value: Some(value),
    };
    tags.into_iter().map(tag).collect()
}

async fn retag(cx: &Cx, arn: &str, changes: TagChanges) -> Result<(), ResourceError> {
    let untag = |tag_keys| RemoveTagsInput {
        resource_arns: vec![arn.into()],
        tag_keys,
    };
    let tag = |tags| AddTagsInput {
        resource_arns: vec![arn.into()],
        tags: tags_of(tags),
    };
    changes.apply(cx, untag, tag).await
}

/// The end of an ARN: `targetgroup/web/1`, `loadbalancer/app/web/1`.
fn arn_resource(arn: &str) -> &str {
    arn.split(':').nth(5).unwrap_or_default()
}

/// Deleting what is gone already is success; what is still in use will be let go of soon.
fn gone_is_fine<T>(outcome: Result<T, cloud::Error>) -> Result<(), ResourceError> {
    cloud::deletion(outcome, &["NotFound"], &["ResourceInUse"])
}
