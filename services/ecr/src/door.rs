//! What the registry's door asks: a request there is one of this service's actions on a repository.

use cloud::{Cx, Error, Need};

use crate::permission::repository;

/// Whether the caller may do this with the repository of this name: `InitiateLayerUpload`.
pub fn authorize(cx: &Cx, action: &str, name: &str) -> Result<(), Error> {
    let touched = repository(cx, name);
    cx.authorize_one("ecr", Need::new(format!("ecr:{action}"), Some(touched)))
}
