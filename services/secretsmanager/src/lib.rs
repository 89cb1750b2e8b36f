//! AWS Secrets Manager.
//!
//! A secret is a record, and so is each of its versions. Values are sealed with the store, and by a key of
//! KMS where the secret has one of its own (`seal.rs`); they are shown by GetSecretValue
//! and BatchGetSecretValue alone. A deleted secret can be restored until its deletion date, which is
//! as far away as AWS's whatever the pace: nobody waits for it. A secret's
//! resource policy binds who uses it.
//!
//! Not built, and refused: rotation, replicas in other regions, managed external
//! secrets, `BlockPublicPolicy`.

mod cfn;
mod delete;
mod list;
mod names;
mod password;
mod permission;
mod policy;
mod record;
mod seal;
mod secret;
mod stages;
mod value;

use cloud::Service;
use cloud::permission::everywhere;

use permission::on_secret;

pub fn service() -> Service {
    Service::new(&shapes::secretsmanager::MODEL)
        .on(secret::create_secret, permission::create())
        .on(secret::update_secret, permission::update())
        .on(secret::describe_secret, on_secret(|it| &it.secret_id))
        .on(secret::tag_resource, on_secret(|it| &it.secret_id))
        .on(secret::untag_resource, on_secret(|it| &it.secret_id))
        .on(value::get_secret_value, permission::get_value())
        .on(value::put_secret_value, on_secret(|it| &it.secret_id))
        .on(value::batch_get_secret_value, everywhere())
        .on(
            stages::list_secret_version_ids,
            on_secret(|it| &it.secret_id),
        )
        .on(
            stages::update_secret_version_stage,
            permission::move_stage(),
        )
        .on(list::list_secrets, everywhere())
        .on(delete::delete_secret, permission::delete())
        .on(delete::restore_secret, on_secret(|it| &it.secret_id))
        .on(password::get_random_password, everywhere())
        .on(policy::put_resource_policy, permission::put_policy())
        .on(policy::get_resource_policy, on_secret(|it| &it.secret_id))
        .on(
            policy::delete_resource_policy,
            on_secret(|it| &it.secret_id),
        )
        .reconciles(delete::DeletionReconciler)
        .resource(cfn::SecretType)
}
