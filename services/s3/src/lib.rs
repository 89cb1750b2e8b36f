//! Amazon S3: buckets and objects, over the engine's contents.
//!
//! Names, versions and metadata are records ([`record`]); bytes are contents of the engine. A content
//! is on disk before the record that tells of it, and goes after the last one that did ([`garbage`]).
//! So an object is there whole or not at all, whenever the machine stops.
//!
//! Services call the operations of [`service`]'s table; the network has a door of its own ([`Door`]),
//! since S3 alone streams bodies, takes presigned requests and names buckets in hosts. Both do what
//! they do by the same functions.
//!
//! Who signs as one of the account's may do everything; everybody else what the bucket's policy or a
//! list of grants lets everybody do ([`access`]). Objects are not encrypted beyond what the disk does:
//! `AES256` is accepted and answered, KMS and keys of the client's own are refused, and so are storage
//! classes, object lock, replication, notifications, logging, and the like.

mod access;
mod bucket;
mod cfn;
mod checksum;
mod config;
mod copy;
mod cors;
mod delete;
mod door;
mod errors;
mod garbage;
mod get;
mod host;
mod lifecycle;
mod list;
mod multipart;
mod names;
mod operations;
mod put;
mod record;
mod refuse;
mod versions;
mod website;

use cloud::{Record, Service};

pub use door::{Door, OPERATIONS, SecretOf};
pub use host::{Address, address};
/// What the door takes and gives.
pub use s3s::Body;

pub fn service() -> Service {
    Service::new(&shapes::s3::MODEL)
        .on(operations::create_bucket)
        .on(operations::delete_bucket)
        .on(operations::head_bucket)
        .on(operations::list_buckets)
        .on(operations::get_bucket_location)
        .on(operations::put_object)
        .on(operations::get_object)
        .on(operations::head_object)
        .on(operations::delete_object)
        .on(operations::list_objects_v2)
        .on(operations::get_bucket_versioning)
        .on(operations::put_bucket_versioning)
        .on(operations::get_bucket_policy)
        .on(operations::put_bucket_policy)
        .on(operations::delete_bucket_policy)
        .on(operations::get_bucket_tagging)
        .on(operations::put_bucket_tagging)
        .on(operations::delete_bucket_tagging)
        .on(operations::delete_bucket_website)
        .reconciles(garbage::Collector)
        .reconciles(lifecycle::LifecycleReconciler)
        .resource(cfn::BucketType)
        .resource(cfn::BucketPolicyType)
        .follows(record::Garbage::KIND, garbage::KIND, garbage::KEY)
}
