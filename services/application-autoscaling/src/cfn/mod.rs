//! The CloudFormation types of Application Auto Scaling.

mod policy;
mod target;

use cloud::ResourceError;
use shapes::application_autoscaling::{ScalableDimension, ServiceNamespace};

pub use policy::ScalingPolicyType;
pub use target::ScalableTargetType;

/// What names a target: its resource, dimension and namespace.
struct Named {
    resource_id: String,
    dimension: ScalableDimension,
    namespace: ServiceNamespace,
}

/// `service/main/web|ecs:service:DesiredCount|ecs`, as `Ref` answers it.
fn parse_target_id(id: &str) -> Result<Named, ResourceError> {
    let parts: Vec<&str> = id.split('|').collect();
    let [resource_id, dimension, namespace] = parts[..] else {
        return Err(ResourceError::new(format!(
            "`{id}` is not a scalable target's id"
        )));
    };
    named(resource_id, dimension, namespace)
}

fn named(resource_id: &str, dimension: &str, namespace: &str) -> Result<Named, ResourceError> {
    let wrong = |error: wire::UnknownValue| ResourceError::new(error.to_string());
    Ok(Named {
        resource_id: resource_id.to_owned(),
        dimension: dimension.parse().map_err(wrong)?,
        namespace: namespace.parse().map_err(wrong)?,
    })
}
