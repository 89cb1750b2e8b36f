//! Amazon ECR: repositories over the engine's image store.

mod repository;
mod token;

use cloud::Service;

pub use token::token_is_valid;

pub fn service() -> Service {
    Service::new(&shapes::ecr::MODEL).on(token::get_authorization_token)
}
