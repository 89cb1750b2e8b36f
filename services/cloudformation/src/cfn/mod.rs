//! CloudFormation's own resource types.

mod stack;

use cloud::Service;

pub fn register(service: Service) -> Service {
    service.resource(stack::NestedStackType)
}
