//! AWS IAM and AWS STS: who may be whom.
//!
//! Everything here is a record; IAM is global, so keys begin with `global/`. What this service makes
//! real is credentials: [`find_key`] is asked for the secret of every request that arrives, and a
//! role can be assumed by whom its trust policy names, and by whom it leaves to the account and the
//! account's policies let. Every call of a user or a role is evaluated against its policies
//! ([`Policies`], by the crate `policy`) and recorded; whether what is not allowed is refused is the
//! daemon's mode. What would promise a restriction beyond that (permissions boundaries, session
//! policies, MFA) is refused.

mod asker;
mod authority;
mod cfn;
mod credentials;
mod document;
mod documents;
mod grants;
mod known;
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
use cloud::permission::{everywhere, not_asked};

pub use authority::{Call, Mode, Policies};
pub use credentials::{find_holder, find_key};
pub use service_credential::find_git_login;
pub use suggest::{calls, policy_for};

pub fn service() -> Service {
    let service = Service::new(&shapes::iam::MODEL)
        .on_unlisted(role::create_role)
        .on_unlisted(role::get_role)
        .on_unlisted(role::list_roles)
        .on_unlisted(role::delete_role)
        .on_unlisted(role::update_role)
        .on_unlisted(role::update_role_description)
        .on_unlisted(role::update_assume_role_policy)
        .on_unlisted(role::put_role_policy)
        .on_unlisted(role::get_role_policy)
        .on_unlisted(role::delete_role_policy)
        .on_unlisted(role::list_role_policies)
        .on_unlisted(role::attach_role_policy)
        .on_unlisted(role::detach_role_policy)
        .on_unlisted(role::list_attached_role_policies)
        .on_unlisted(linked::create_service_linked_role)
        .on_unlisted(linked::delete_service_linked_role)
        .on_unlisted(linked::get_service_linked_role_deletion_status)
        .on_unlisted(policy::create_policy)
        .on_unlisted(policy::get_policy)
        .on_unlisted(policy::list_policies)
        .on_unlisted(policy::delete_policy)
        .on_unlisted(policy::create_policy_version)
        .on_unlisted(policy::get_policy_version)
        .on_unlisted(policy::list_policy_versions)
        .on_unlisted(policy::set_default_policy_version)
        .on_unlisted(policy::delete_policy_version)
        .on_unlisted(policy::list_entities_for_policy)
        .on_unlisted(profile::create_instance_profile)
        .on_unlisted(profile::get_instance_profile)
        .on_unlisted(profile::list_instance_profiles)
        .on_unlisted(profile::list_instance_profiles_for_role)
        .on_unlisted(profile::delete_instance_profile)
        .on_unlisted(profile::add_role_to_instance_profile)
        .on_unlisted(profile::remove_role_from_instance_profile)
        .on_unlisted(user::create_user)
        .on_unlisted(user::get_user)
        .on_unlisted(user::list_users)
        .on_unlisted(user::delete_user)
        .on_unlisted(user::create_access_key)
        .on_unlisted(user::list_access_keys)
        .on_unlisted(user::delete_access_key)
        .on_unlisted(service_credential::create_service_specific_credential)
        .on_unlisted(service_credential::list_service_specific_credentials)
        .on_unlisted(service_credential::update_service_specific_credential)
        .on_unlisted(service_credential::reset_service_specific_credential)
        .on_unlisted(service_credential::delete_service_specific_credential)
        .on_unlisted(user::put_user_policy)
        .on_unlisted(user::get_user_policy)
        .on_unlisted(user::delete_user_policy)
        .on_unlisted(user::list_user_policies)
        .on_unlisted(user::attach_user_policy)
        .on_unlisted(user::detach_user_policy)
        .on_unlisted(user::list_attached_user_policies)
        .on_unlisted(tags::tag_role)
        .on_unlisted(tags::untag_role)
        .on_unlisted(tags::list_role_tags)
        .on_unlisted(tags::tag_policy)
        .on_unlisted(tags::untag_policy)
        .on_unlisted(tags::list_policy_tags)
        .on_unlisted(tags::tag_instance_profile)
        .on_unlisted(tags::untag_instance_profile);
    cfn::register(service)
}

pub fn sts_service() -> Service {
    Service::new(&shapes::sts::MODEL)
        .on(
            sts::get_caller_identity,
            not_asked("AWS lets everybody know who it is, whatever a policy denies"),
        )
        .on(sts::get_access_key_info, everywhere())
        .on(
            sts::assume_role,
            not_asked("the role's trust policy decides together with the caller's policies"),
        )
        .on(
            sts::get_session_token,
            not_asked("AWS asks for no permission: the session has the caller's own"),
        )
        .reconciles(sts::SessionReconciler)
}
