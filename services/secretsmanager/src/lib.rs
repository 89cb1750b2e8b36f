//! AWS Secrets Manager.

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::secretsmanager::MODEL)
}
