//! The resource types that KMS lends to CloudFormation.

mod alias;
mod key;

pub use alias::AliasType;
pub use key::KeyType;
