//! AWS Secrets Manager.
//!
//! A secret is a record, and so is each of its versions. Values are stored as they are, in the store
//! that only root can read, and encrypted by no key of their own; they are shown by GetSecretValue
//! and BatchGetSecretValue alone. A deleted secret can be restored until its deletion date, which is
//! as far away as AWS's whatever the pace: nobody waits for it. Resource policies are recorded.
//!
//! Not built, and refused: rotation, replicas in other regions, keys of one's own, managed external
//! secrets, `BlockPublicPolicy`.

mod cfn;
mod delete;
mod list;
mod names;
mod password;
mod policy;
mod record;
mod secret;
mod stages;
mod value;

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::secretsmanager::MODEL)
        .on_unlisted(secret::create_secret)
        .on_unlisted(secret::update_secret)
        .on_unlisted(secret::describe_secret)
        .on_unlisted(secret::tag_resource)
        .on_unlisted(secret::untag_resource)
        .on_unlisted(value::get_secret_value)
        .on_unlisted(value::put_secret_value)
        .on_unlisted(value::batch_get_secret_value)
        .on_unlisted(stages::list_secret_version_ids)
        .on_unlisted(stages::update_secret_version_stage)
        .on_unlisted(list::list_secrets)
        .on_unlisted(delete::delete_secret)
        .on_unlisted(delete::restore_secret)
        .on_unlisted(password::get_random_password)
        .on_unlisted(policy::put_resource_policy)
        .on_unlisted(policy::get_resource_policy)
        .on_unlisted(policy::delete_resource_policy)
        .reconciles(delete::DeletionReconciler)
        .resource(cfn::SecretType)
}
