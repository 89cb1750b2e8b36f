//! AWS IAM and AWS STS: who may be whom.
//!
//! Everything here is a record; IAM is global, so keys begin with `global/`. What this service makes
//! real is credentials: [`find_key`] is asked for the secret of every request that arrives.

mod credentials;

use cloud::Service;

pub use credentials::find_key;

/// The key of a record of IAM, which knows no regions.
fn key(rest: &str) -> String {
    format!("global/{rest}")
}

pub fn service() -> Service {
    Service::new(&shapes::iam::MODEL)
}

pub fn sts_service() -> Service {
    Service::new(&shapes::sts::MODEL)
}
