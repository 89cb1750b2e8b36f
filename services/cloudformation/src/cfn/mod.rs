//! CloudFormation's own resource types.

mod stack;
mod wait;

use cloud::Service;

pub fn register(service: Service) -> Service {
    service
        .resource(stack::NestedStackType)
        .resource(wait::HandleType)
        .resource(wait::ConditionType)
}
