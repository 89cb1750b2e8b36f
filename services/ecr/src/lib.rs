//! Amazon ECR: repositories over the engine's image store.
//!
//! A repository is a record; the engine has a place of the same name under the registry's host,
//! `<account>.dkr.ecr.<region>.amazonaws.com`, which images are pushed to through the registry's own
//! door with the tokens made here: [`token_holder`] says whose each is, and [`authorize`] whether its
//! holder may do what a request does. A repository's
//! policy binds who uses it ([`permission`]). Which tags never move is kept by the engine, where every push ends,
//! whichever way it came. Encryption with KMS is refused. Images expire by their repository's lifecycle policy
//! ([`lifecycle`]). There is no scanner, which is what is told of images that were to be scanned ([`scan`]).
//! Addresses of layers lead to the registry's door ([`download`]).

mod cfn;
mod door;
mod download;
mod image;
mod lifecycle;
mod names;
mod page;
mod permission;
mod repository;
mod scan;
mod settings;
mod tags;
mod token;
mod upload;

use cloud::Service;
use cloud::permission::everywhere;

pub use door::authorize;
pub use download::QUERY as LAYER_QUERY;
use permission::{by_arn, on_new_repository, on_repositories, on_repository};
pub use token::{TokenHolder, layer_holder, token_holder};

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
            lifecycle::start_lifecycle_policy_preview,
            on_repository(|it| &it.repository_name),
        )
        .on(
            lifecycle::get_lifecycle_policy_preview,
            on_repository(|it| &it.repository_name),
        )
        .on(
            download::get_download_url_for_layer,
            on_repository(|it| &it.repository_name),
        )
        .on(
            upload::initiate_layer_upload,
            on_repository(|it| &it.repository_name),
        )
        .on(
            upload::upload_layer_part,
            on_repository(|it| &it.repository_name),
        )
        .on(
            upload::complete_layer_upload,
            on_repository(|it| &it.repository_name),
        )
        .on(
            scan::describe_image_scan_findings,
            on_repository(|it| &it.repository_name),
        )
        .on(
            scan::start_image_scan,
            on_repository(|it| &it.repository_name),
        )
        .on(
            settings::batch_get_repository_scanning_configuration,
            on_repositories(|it| Some(&it.repository_names)),
        )
        .on(settings::get_registry_policy, everywhere())
        .on(settings::get_registry_scanning_configuration, everywhere())
        .on(settings::put_registry_scanning_configuration, everywhere())
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
