//! Amazon ECR: repositories over the engine's image store.
//!
//! A repository is a record; the engine has a place of the same name under the registry's host,
//! `<account>.dkr.ecr.<region>.amazonaws.com`, which images are pushed to through the registry's own
//! door with the tokens made here ([`token_is_valid`] is asked for each). Repository policies are
//! recorded and not enforced. What the registry's door cannot keep is refused: immutable tags,
//! encryption with KMS. Images expire by their repository's lifecycle policy ([`lifecycle`]). Scan
//! findings, previews of lifecycle policies and the layer uploads of this API (clients push through the
//! registry) are not built.

mod cfn;
mod image;
mod lifecycle;
mod names;
mod page;
mod repository;
mod settings;
mod tags;
mod token;

use cloud::Service;

pub use token::token_is_valid;

pub fn service() -> Service {
    Service::new(&shapes::ecr::MODEL)
        .on(repository::create_repository)
        .on(repository::describe_repositories)
        .on(repository::delete_repository)
        .on(repository::describe_registry)
        .on(token::get_authorization_token)
        .on(image::list_images)
        .on(image::describe_images)
        .on(image::batch_get_image)
        .on(image::batch_delete_image)
        .on(image::put_image)
        .on(image::batch_check_layer_availability)
        .on(settings::set_repository_policy)
        .on(settings::get_repository_policy)
        .on(settings::delete_repository_policy)
        .on(lifecycle::put_lifecycle_policy)
        .on(lifecycle::get_lifecycle_policy)
        .on(lifecycle::delete_lifecycle_policy)
        .on(settings::put_image_scanning_configuration)
        .on(settings::put_image_tag_mutability)
        .on(tags::tag_resource)
        .on(tags::untag_resource)
        .on(tags::list_tags_for_resource)
        .reconciles(repository::RepositoryReconciler)
        .resource(cfn::RepositoryType)
}
