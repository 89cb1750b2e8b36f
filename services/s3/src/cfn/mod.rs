//! What CloudFormation makes of S3's.

mod bucket;
mod policy;
mod read;

pub use bucket::BucketType;
pub use policy::BucketPolicyType;
