//! AWS IAM and AWS STS: who may be whom.
//!
//! Everything here is a record; IAM is global, so keys begin with `global/`. What this service makes
//! real is credentials: [`find_key`] is asked for the secret of every request that arrives, and a
//! role can be assumed by whom its trust policy names. Every call of a user or a role is evaluated
//! against its policies ([`Policies`]) and recorded; whether what is not allowed is refused is the
//! daemon's mode. What would promise a restriction beyond that (permissions boundaries, session
//! policies, MFA) is refused.

mod authority;
mod cfn;
mod credentials;
mod document;
mod evaluate;
mod grants;
mod linked;
mod managed;
mod names;
mod needs;
mod policy;
mod profile;
mod role;
mod service_credential;
mod sts;
mod suggest;
mod tags;
mod trust;
mod user;

use cloud::Service;

pub use authority::{Call, Mode, Policies};
pub use credentials::find_key;
pub use service_credential::find_git_login;
pub use suggest::{calls, policy_for};

pub fn service() -> Service {
    let service = Service::new(&shapes::iam::MODEL)
        .on(role::create_role)
        .on(role::get_role)
        .on(role::list_roles)
        .on(role::delete_role)
        .on(role::update_role)
        .on(role::update_role_description)
        .on(role::update_assume_role_policy)
        .on(role::put_role_policy)
        .on(role::get_role_policy)
        .on(role::delete_role_policy)
        .on(role::list_role_policies)
        .on(role::attach_role_policy)
        .on(role::detach_role_policy)
        .on(role::list_attached_role_policies)
        .on(linked::create_service_linked_role)
        .on(linked::delete_service_linked_role)
        .on(linked::get_service_linked_role_deletion_status)
        .on(policy::create_policy)
        .on(policy::get_policy)
        .on(policy::list_policies)
        .on(policy::delete_policy)
        .on(policy::create_policy_version)
        .on(policy::get_policy_version)
        .on(policy::list_policy_versions)
        .on(policy::set_default_policy_version)
        .on(policy::delete_policy_version)
        .on(policy::list_entities_for_policy)
        .on(profile::create_instance_profile)
        .on(profile::get_instance_profile)
        .on(profile::list_instance_profiles)
        .on(profile::list_instance_profiles_for_role)
        .on(profile::delete_instance_profile)
        .on(profile::add_role_to_instance_profile)
        .on(profile::remove_role_from_instance_profile)
        .on(user::create_user)
        .on(user::get_user)
        .on(user::list_users)
        .on(user::delete_user)
        .on(user::create_access_key)
        .on(user::list_access_keys)
        .on(user::delete_access_key)
        .on(service_credential::create_service_specific_credential)
        .on(service_credential::list_service_specific_credentials)
        .on(service_credential::update_service_specific_credential)
        .on(service_credential::reset_service_specific_credential)
        .on(service_credential::delete_service_specific_credential)
        .on(user::put_user_policy)
        .on(user::get_user_policy)
        .on(user::delete_user_policy)
        .on(user::list_user_policies)
        .on(user::attach_user_policy)
        .on(user::detach_user_policy)
        .on(user::list_attached_user_policies)
        .on(tags::tag_role)
        .on(tags::untag_role)
        .on(tags::list_role_tags)
        .on(tags::tag_policy)
        .on(tags::untag_policy)
        .on(tags::list_policy_tags)
        .on(tags::tag_instance_profile)
        .on(tags::untag_instance_profile);
    cfn::register(service)
}

pub fn sts_service() -> Service {
    Service::new(&shapes::sts::MODEL)
        .on(sts::get_caller_identity)
        .on(sts::get_access_key_info)
        .on(sts::assume_role)
        .on(sts::get_session_token)
        .reconciles(sts::SessionReconciler)
}
