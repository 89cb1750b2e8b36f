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
        .on_unlisted(repository::create_repository)
        .on_unlisted(repository::describe_repositories)
        .on_unlisted(repository::delete_repository)
        .on_unlisted(repository::describe_registry)
        .on_unlisted(token::get_authorization_token)
        .on_unlisted(image::list_images)
        .on_unlisted(image::describe_images)
        .on_unlisted(image::batch_get_image)
        .on_unlisted(image::batch_delete_image)
        .on_unlisted(image::put_image)
        .on_unlisted(image::batch_check_layer_availability)
        .on_unlisted(settings::set_repository_policy)
        .on_unlisted(settings::get_repository_policy)
        .on_unlisted(settings::delete_repository_policy)
        .on_unlisted(lifecycle::put_lifecycle_policy)
        .on_unlisted(lifecycle::get_lifecycle_policy)
        .on_unlisted(lifecycle::delete_lifecycle_policy)
        .on_unlisted(settings::put_image_scanning_configuration)
        .on_unlisted(settings::put_image_tag_mutability)
        .on_unlisted(tags::tag_resource)
        .on_unlisted(tags::untag_resource)
        .on_unlisted(tags::list_tags_for_resource)
        .reconciles(repository::RepositoryReconciler)
        .resource(cfn::RepositoryType)
}
