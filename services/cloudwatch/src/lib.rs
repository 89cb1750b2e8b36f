//! Amazon CloudWatch.

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::cloudwatch::MODEL)
}
