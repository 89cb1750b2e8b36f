//! What S3 has and is not built: refused by its name, never taken and forgotten.

use cloud::Error;

use crate::errors::{Detailed, InvalidStorageClass};
use crate::record::STANDARD;

pub fn not_built(what: &str) -> Error {
    wire::codes::NotImplemented.because(format!(
        "{what} is not supported by neargate (see `neargate coverage`)"
    ))
}

/// Members of a request that mean something and are not built, and whether they are there.
pub fn members(members: &[(&str, bool)]) -> Result<(), Error> {
    match members.iter().find(|it| it.1) {
        Some((name, _)) => Err(not_built(name)),
        None => Ok(()),
    }
}

/// Classes whose objects are read as those of `STANDARD` are: they differ in price, so they are recorded
/// and told.
const RECORDED: &[&str] = &[
    "GLACIER_IR",
    "INTELLIGENT_TIERING",
    "ONEZONE_IA",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
];
/// Classes whose objects have to be restored, or are elsewhere.
const UNBUILT: &[&str] = &[
    "DEEP_ARCHIVE",
    "EXPRESS_ONEZONE",
    "FSX_ONTAP",
    "FSX_OPENZFS",
    "GLACIER",
    "OUTPOSTS",
    "SNOW",
];

/// The class to record; none for `STANDARD`.
pub fn storage_class(class: Option<&str>) -> Result<Option<String>, Error> {
    match class {
        None | Some(STANDARD) => Ok(None),
        Some(class) if RECORDED.contains(&class) => Ok(Some(class.to_owned())),
        Some(class) if UNBUILT.contains(&class) => {
            Err(not_built(&format!("the storage class {class}")))
        }
        Some(other) => Err(InvalidStorageClass
            .because("The storage class you specified is not valid")
            .about("StorageClassRequested", other)),
    }
}
