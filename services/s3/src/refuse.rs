//! What S3 has and is not built: refused by its name, never taken and forgotten.

use cloud::Error;

use crate::errors::InvalidArgument;

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

pub fn storage_class(class: Option<&str>) -> Result<(), Error> {
    match class {
        None | Some("STANDARD") => Ok(()),
        Some(other) => Err(not_built(&format!("the storage class {other}"))),
    }
}

/// Contents are as safe as the directory they are in. Who asks for S3's own keys is told so; who
/// asks for a key of their own would be told what is not true.
pub fn encryption(algorithm: Option<&str>) -> Result<(), Error> {
    match algorithm {
        None | Some("AES256") => Ok(()),
        Some(other @ ("aws:kms" | "aws:kms:dsse")) => {
            Err(not_built(&format!("server-side encryption with {other}")))
        }
        Some(_) => Err(InvalidArgument.because("The encryption method specified is not supported")),
    }
}
