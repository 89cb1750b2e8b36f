//! The tags that records keep.

use wire::{Error, ErrorCode};

use crate::TagMap;

/// AWS's limit of tags per resource, where the service has no other.
pub const TAGS_MAX: usize = 50;

/// Adds tags to those of a resource, or gives them other values. More than [`TAGS_MAX`] are `too_many`.
pub fn add_tags(
    tags: &mut TagMap,
    more: impl IntoIterator<Item = (String, String)>,
    too_many: ErrorCode,
) -> Result<(), Error> {
    tags.extend(more);
    match tags.len() > TAGS_MAX {
        true => Err(too_many.because(format!("A resource can have no more than {TAGS_MAX} tags"))),
        false => Ok(()),
    }
}

/// Takes tags away from a resource; what it does not have is no matter.
pub fn remove_tags(tags: &mut TagMap, keys: &[String]) {
    tags.retain(|key, _| !keys.contains(key));
}
