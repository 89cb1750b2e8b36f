//! AWS Systems Manager: parameters.

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::ssm::MODEL)
}
