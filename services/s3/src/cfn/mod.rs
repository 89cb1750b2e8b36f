//! What CloudFormation makes of S3's.

mod bucket;
mod policy;
mod read;

use cloud::{Cx, Error};

use crate::authorize::RequestFacts;
use crate::permissions::Ask;

pub use bucket::BucketType;
pub use policy::BucketPolicyType;

/// What is done here without an operation is asked for as if it were one: a stack may do what whoever
/// it acts for may.
fn authorize(cx: &Cx, action: &'static str, bucket: &str) -> Result<(), Error> {
    let asks = [Ask::of_bucket(action, bucket)];
    crate::authorize::authorize(cx, &RequestFacts::internal(), &asks).map(|_| ())
}
