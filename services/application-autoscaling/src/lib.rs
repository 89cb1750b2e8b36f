//! Application Auto Scaling.

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::application_autoscaling::MODEL)
}
