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
//! Who may do what is decided on the typed input of an operation ([`permissions`], [`authorize`]), by the
//! policies of who asks, the bucket's, and lists of grants ([`access`]). Objects are not encrypted beyond what the disk does:
//! `AES256` is accepted and answered, KMS and keys of the client's own are refused, and so are
//! archives, object lock, replication, notifications, logging, and the like.

mod access;
mod acl;
mod authorize;
mod bucket;
mod bucket_policy;
mod cfn;
mod checksum;
mod config;
mod copy;
mod cors;
mod delete;
mod door;
mod encryption;
mod errors;
mod garbage;
mod get;
mod host;
mod lifecycle;
mod list;
mod multipart;
mod names;
mod operations;
mod permissions;
mod put;
mod record;
mod refuse;
mod sealed;
mod versions;
mod website;

use authorize::listed;
use cloud::{Record, Service};

pub use door::{Door, FORM_HEAD_BYTES_MAX, FindKey, OPERATIONS, PERMISSIONS, Visit};
pub use host::{Address, address};
/// The condition keys that requests to S3 supply.
pub use permissions::{COMMON_KEYS, KEYS};
/// What the door takes and gives.
pub use s3s::Body;

pub fn service() -> Service {
    Service::new(&shapes::s3::MODEL)
        .on(operations::create_bucket, listed())
        .on(operations::delete_bucket, listed())
        .on(operations::head_bucket, listed())
        .on(operations::list_buckets, listed())
        .on(operations::get_bucket_location, listed())
        .on(operations::put_object, listed())
        .on(operations::get_object, listed())
        .on(operations::head_object, listed())
        .on(operations::delete_object, listed())
        .on(operations::list_objects_v2, listed())
        .on(operations::get_bucket_versioning, listed())
        .on(operations::put_bucket_versioning, listed())
        .on(operations::get_bucket_policy, listed())
        .on(operations::put_bucket_policy, listed())
        .on(operations::delete_bucket_policy, listed())
        .on(operations::get_bucket_tagging, listed())
        .on(operations::put_bucket_tagging, listed())
        .on(operations::delete_bucket_tagging, listed())
        .on(operations::delete_bucket_website, listed())
        .reconciles(garbage::Collector)
        .reconciles(lifecycle::LifecycleReconciler)
        .resource(cfn::BucketType)
        .resource(cfn::BucketPolicyType)
        .follows(record::Garbage::KIND, garbage::KIND, garbage::KEY)
}
