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

pub use door::{Door, FindKey, OPERATIONS};
pub use host::{Address, address};
/// What the door takes and gives.
pub use s3s::Body;

pub fn service() -> Service {
    Service::new(&shapes::s3::MODEL)
        .on_unlisted(operations::create_bucket)
        .on_unlisted(operations::delete_bucket)
        .on_unlisted(operations::head_bucket)
        .on_unlisted(operations::list_buckets)
        .on_unlisted(operations::get_bucket_location)
        .on_unlisted(operations::put_object)
        .on_unlisted(operations::get_object)
        .on_unlisted(operations::head_object)
        .on_unlisted(operations::delete_object)
        .on_unlisted(operations::list_objects_v2)
        .on_unlisted(operations::get_bucket_versioning)
        .on_unlisted(operations::put_bucket_versioning)
        .on_unlisted(operations::get_bucket_policy)
        .on_unlisted(operations::put_bucket_policy)
        .on_unlisted(operations::delete_bucket_policy)
        .on_unlisted(operations::get_bucket_tagging)
        .on_unlisted(operations::put_bucket_tagging)
        .on_unlisted(operations::delete_bucket_tagging)
        .on_unlisted(operations::delete_bucket_website)
        .reconciles(garbage::Collector)
        .reconciles(lifecycle::LifecycleReconciler)
        .resource(cfn::BucketType)
        .resource(cfn::BucketPolicyType)
        .follows(record::Garbage::KIND, garbage::KIND, garbage::KEY)
}
