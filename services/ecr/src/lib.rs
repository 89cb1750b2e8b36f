//! Amazon ECR: repositories over the engine's image store.
//!
//! A repository is a record; the engine has a place of the same name under the registry's host,
//! `<account>.dkr.ecr.<region>.amazonaws.com`, which images are pushed to through the registry's own
//! door with the tokens made here: [`token_holder`] says whose each is, and [`authorize`] whether its
//! holder may do what a request does. A repository's
//! policy binds who uses it ([`permission`]). What the registry's door cannot keep is refused: immutable tags,
//! encryption with KMS. Images expire by their repository's lifecycle policy ([`lifecycle`]). Scan
//! findings, previews of lifecycle policies and the layer uploads of this API (clients push through the
//! registry) are not built.

mod cfn;
mod door;
mod image;
mod lifecycle;
mod names;
mod page;
mod permission;
mod repository;
mod settings;
mod tags;
mod token;

use cloud::Service;
use cloud::permission::everywhere;

pub use door::authorize;
use permission::{by_arn, on_new_repository, on_repositories, on_repository};
pub use token::{TokenHolder, token_holder};

pub fn service() -> Service {
    Service::new(&shapes::ecr::MODEL)
        .on(
            repository::create_repository,
            on_new_repository(
                |it| &it.repository_name,
                |it| it.tags.as_ref().is_some_and(|tags| !tags.is_empty()),
            ),
        )
        .on(
            repository::describe_repositories,
            on_repositories(|it| it.repository_names.as_ref()),
        )
        .on(
            repository::delete_repository,
            on_repository(|it| &it.repository_name),
        )
        .on(repository::describe_registry, everywhere())
        .on(token::get_authorization_token, everywhere())
        .on(image::list_images, on_repository(|it| &it.repository_name))
        .on(
            image::describe_images,
            on_repository(|it| &it.repository_name),
        )
        .on(
            image::batch_get_image,
            on_repository(|it| &it.repository_name),
        )
        .on(
            image::batch_delete_image,
            on_repository(|it| &it.repository_name),
        )
        .on(image::put_image, on_repository(|it| &it.repository_name))
        .on(
            image::batch_check_layer_availability,
            on_repository(|it| &it.repository_name),
        )
        .on(
            settings::set_repository_policy,
            on_repository(|it| &it.repository_name),
        )
        .on(
            settings::get_repository_policy,
            on_repository(|it| &it.repository_name),
        )
        .on(
            settings::delete_repository_policy,
            on_repository(|it| &it.repository_name),
        )
        .on(
            lifecycle::put_lifecycle_policy,
            on_repository(|it| &it.repository_name),
        )
        .on(
            lifecycle::get_lifecycle_policy,
            on_repository(|it| &it.repository_name),
        )
        .on(
            lifecycle::delete_lifecycle_policy,
            on_repository(|it| &it.repository_name),
        )
        .on(
            settings::put_image_scanning_configuration,
            on_repository(|it| &it.repository_name),
        )
        .on(
            settings::put_image_tag_mutability,
            on_repository(|it| &it.repository_name),
        )
        .on(tags::tag_resource, by_arn(|it| &it.resource_arn))
        .on(tags::untag_resource, by_arn(|it| &it.resource_arn))
        .on(tags::list_tags_for_resource, by_arn(|it| &it.resource_arn))
        .finds(permission::repository)
        .reconciles(repository::RepositoryReconciler)
        .resource(cfn::RepositoryType)
}
