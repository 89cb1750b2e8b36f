//! CloudFormation's own resource types.

mod metadata;
mod stack;
mod wait;

use cloud::Service;

pub fn register(service: Service) -> Service {
    service
        .resource(metadata::MetadataType)
        .resource(stack::NestedStackType)
        .resource(wait::HandleType)
        .resource(wait::ConditionType)
}
