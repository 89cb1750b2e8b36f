//! Amazon ECR: repositories over the engine's image store.
//!
//! A repository is a record (tags, settings) and a place in the engine's registry, which alone knows
//! what images there are: pushes go straight to it. The place is made by the handler, before the
//! record: making it is idempotent, and a place without a record is taken over by the next create.

mod cfn;
mod image;
mod repository;
mod token;

use cloud::Service;

pub use token::token_is_valid;

pub fn service() -> Service {
    Service::new(&shapes::ecr::MODEL)
        .on(token::get_authorization_token)
        .on(repository::create_repository)
        .on(repository::describe_repositories)
        .on(repository::delete_repository)
        .on(repository::put_image_tag_mutability)
        .on(repository::put_image_scanning_configuration)
        .on(repository::set_repository_policy)
        .on(repository::get_repository_policy)
        .on(repository::delete_repository_policy)
        .on(repository::tag_resource)
        .on(repository::untag_resource)
        .on(repository::list_tags_for_resource)
        .on(image::list_images)
        .on(image::describe_images)
        .on(image::batch_get_image)
        .on(image::batch_delete_image)
        .on(image::batch_check_layer_availability)
        .on(image::put_image)
        .resource(cfn::RepositoryType)
}
