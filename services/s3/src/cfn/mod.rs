//! What CloudFormation makes of S3's.

mod bucket;
mod policy;
mod read;

use cloud::{Cx, Error};
use serde_json::json;

pub use bucket::BucketType;
pub use policy::BucketPolicyType;

/// What is done here without an operation is asked for as if it were one: a stack may do what whoever
/// it acts for may.
fn authorize(cx: &Cx, operation: &str, bucket: &str) -> Result<(), Error> {
    cx.authorize_unlisted("s3", operation, &json!({ "Bucket": bucket }))
}
