//! Amazon CloudWatch Logs.

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::logs::MODEL)
}
