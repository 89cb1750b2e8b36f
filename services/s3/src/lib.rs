//! Amazon S3.

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::s3::MODEL)
}
