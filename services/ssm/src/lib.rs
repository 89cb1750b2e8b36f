//! AWS Systems Manager: parameters.
//!
//! A parameter is a record of what is true of its latest version; older versions are records of their
//! own. Nothing has to become real: what is put can be got.
//!
//! **What a SecureString is here**: without a key of one's own its value is sealed with the store, by
//! no key of KMS. It is never shown without `WithDecryption`: what is shown instead is random text of the
//! form of KMS's ciphertexts, the same for as long as the version lives. With a key of one's own
//! (`KeyId`) KMS encrypts it, and decrypts it for who may use the key (`seal.rs`).
//!
//! `/a` and `a` are one parameter. Secrets are got as parameters ([`reference`]). Of AWS's public parameters
//! (`/aws/service/…`) those of images are there ([`public`]); others are not: `ParameterNotFound`, which names them. Parameter policies,
//! sharing between accounts and the data types that AWS checks (`aws:ec2:image`) are refused.

mod cfn;
mod describe;
mod get;
mod history;
mod names;
mod permission;
mod public;
mod put;
mod record;
mod reference;
mod seal;
mod tags;

use cloud::Service;
use cloud::permission::everywhere;

use permission::{on_parameter, on_parameters, on_tagged};

pub fn service() -> Service {
    Service::new(&shapes::ssm::MODEL)
        .on(put::put_parameter, permission::put())
        .on(put::delete_parameter, on_parameter(|it| &it.name))
        .on(put::delete_parameters, on_parameters(|it| &it.names))
        .on(get::get_parameter, on_parameter(|it| &it.name))
        .on(get::get_parameters, on_parameters(|it| &it.names))
        .on(get::get_parameters_by_path, permission::get_by_path())
        .on(describe::describe_parameters, everywhere())
        .on(history::get_parameter_history, on_parameter(|it| &it.name))
        .on(
            history::label_parameter_version,
            on_parameter(|it| &it.name),
        )
        .on(
            history::unlabel_parameter_version,
            on_parameter(|it| &it.name),
        )
        .on(tags::add_tags_to_resource, on_tagged(|it| &it.resource_id))
        .on(
            tags::remove_tags_from_resource,
            on_tagged(|it| &it.resource_id),
        )
        .on(
            tags::list_tags_for_resource,
            on_tagged(|it| &it.resource_id),
        )
        .resource(cfn::ParameterType)
}
