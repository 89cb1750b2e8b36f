//! AWS IAM and AWS STS: who may be whom.
//!
//! Everything here is a record; IAM is global, so keys begin with `global/`. What this service makes
//! real is credentials: [`find_key`] is asked for the secret of every request that arrives, and a
//! role can be assumed by whom its trust policy names, and by whom it leaves to the account and the
//! account's policies let. Every call of a user or a role is evaluated against its policies
//! ([`Policies`], by the crate `policy`) and recorded; whether what is not allowed is refused is the
//! daemon's mode. Groups, permissions boundaries, session policies and session tags count as on AWS. What
//! would promise a restriction beyond that (MFA) is refused.

mod account;
mod asker;
mod authority;
mod boundary;
mod cfn;
mod credentials;
mod document;
mod documents;
mod grants;
mod group;
mod known;
mod linked;
mod managed;
mod names;
mod permissions;
mod policy;
mod principals;
mod profile;
mod role;
mod service_credential;
mod session;
mod simulate;
mod sts;
mod suggest;
mod tags;
mod trust;
mod user;

use cloud::permission::{everywhere, not_asked, touching};
use cloud::{ConditionKey, LendPrincipals, Service};
use permissions::{
    BOUNDARY, CREDENTIAL_NEW, CREDENTIAL_SERVICE, SERVICE_NAME, boundary_key, changed_role,
    changed_user, credential_service, group_attachment, lend_role, new_group, new_policy,
    new_profile, new_role, new_user, of_kind, on_group, on_user, policy_touched, profile_touched,
    renamed_group, role_attachment, role_of_task, role_touched, user_attachment, user_or_caller,
    user_touched,
};
use shapes::iam::*;

pub use authority::{Call, Mode, Policies};
pub use credentials::{find_holder, find_key};
pub use service_credential::find_git_login;
pub use suggest::{calls, policy_for};

/// The document of one of AWS's own managed policies.
pub fn managed_policy(arn: &str) -> Option<String> {
    managed::find(arn).map(managed::Managed::document)
}

pub fn service() -> Service {
    let service = Service::new(&shapes::iam::MODEL)
        .lends_roles(lend_role)
        .lends_trust(trust::lets)
        .lends_principals(LendPrincipals {
            keep: principals::keep,
            show: principals::show,
        })
        .on(
            role::create_role,
            touching("role", |cx, it: &CreateRoleInput| {
                new_role(cx, it.path.as_deref(), &it.role_name)
            })
            .supplying(BOUNDARY, |_, it| {
                boundary_key(it.permissions_boundary.as_ref())
            }),
        )
        .on(role::get_role, changed_role(|it| &it.role_name))
        .on(role::list_roles, everywhere())
        .on(role::delete_role, changed_role(|it| &it.role_name))
        .on(role::update_role, changed_role(|it| &it.role_name))
        .on(
            role::update_role_description,
            changed_role(|it| &it.role_name),
        )
        .on(
            role::update_assume_role_policy,
            changed_role(|it| &it.role_name),
        )
        .on(role::put_role_policy, changed_role(|it| &it.role_name))
        .on(
            role::get_role_policy,
            touching("role", |cx, it| role_touched(cx, &it.role_name)),
        )
        .on(role::delete_role_policy, changed_role(|it| &it.role_name))
        .on(
            role::list_role_policies,
            touching("role", |cx, it| role_touched(cx, &it.role_name)),
        )
        .on(
            role::attach_role_policy,
            role_attachment(|it| &it.role_name, |it| &it.policy_arn),
        )
        .on(
            role::detach_role_policy,
            role_attachment(|it| &it.role_name, |it| &it.policy_arn),
        )
        .on(
            role::list_attached_role_policies,
            touching("role", |cx, it| role_touched(cx, &it.role_name)),
        )
        .on(
            linked::create_service_linked_role,
            touching("role", |cx, it: &CreateServiceLinkedRoleInput| {
                linked::touched(cx, &it.aws_service_name)
            })
            .supplying(SERVICE_NAME, |_, it| {
                vec![ConditionKey::new(
                    "iam:AWSServiceName",
                    Some(&it.aws_service_name),
                )]
            }),
        )
        .on(
            linked::delete_service_linked_role,
            touching("role", |cx, it| role_touched(cx, &it.role_name)),
        )
        .on(
            linked::get_service_linked_role_deletion_status,
            touching("role", |cx, it| role_of_task(cx, &it.deletion_task_id)),
        )
        .on(
            policy::create_policy,
            touching("policy", |cx, it| {
                new_policy(cx, it.path.as_deref(), &it.policy_name)
            }),
        )
        .on(
            policy::get_policy,
            touching("policy", |cx, it| policy_touched(cx, &it.policy_arn)),
        )
        .on(policy::list_policies, everywhere())
        .on(
            policy::delete_policy,
            touching("policy", |cx, it| policy_touched(cx, &it.policy_arn)),
        )
        .on(
            policy::create_policy_version,
            touching("policy", |cx, it| policy_touched(cx, &it.policy_arn)),
        )
        .on(
            policy::get_policy_version,
            touching("policy", |cx, it| policy_touched(cx, &it.policy_arn)),
        )
        .on(
            policy::list_policy_versions,
            touching("policy", |cx, it| policy_touched(cx, &it.policy_arn)),
        )
        .on(
            policy::set_default_policy_version,
            touching("policy", |cx, it| policy_touched(cx, &it.policy_arn)),
        )
        .on(
            policy::delete_policy_version,
            touching("policy", |cx, it| policy_touched(cx, &it.policy_arn)),
        )
        .on(
            policy::list_entities_for_policy,
            touching("policy", |cx, it| policy_touched(cx, &it.policy_arn)),
        )
        .on(
            profile::create_instance_profile,
            touching("instance-profile", |cx, it| {
                new_profile(cx, it.path.as_deref(), &it.instance_profile_name)
            }),
        )
        .on(
            profile::get_instance_profile,
            touching("instance-profile", |cx, it| {
                profile_touched(cx, &it.instance_profile_name)
            }),
        )
        .on(profile::list_instance_profiles, everywhere())
        .on(
            profile::list_instance_profiles_for_role,
            touching("role", |cx, it| role_touched(cx, &it.role_name)),
        )
        .on(
            profile::delete_instance_profile,
            touching("instance-profile", |cx, it| {
                profile_touched(cx, &it.instance_profile_name)
            }),
        )
        .on(
            profile::add_role_to_instance_profile,
            touching(
                "instance-profile",
                |cx, it: &AddRoleToInstanceProfileInput| {
                    profile_touched(cx, &it.instance_profile_name)
                },
            )
            .passing_found("ec2.amazonaws.com", |cx, it| {
                vec![role_touched(cx, &it.role_name).arn]
            }),
        )
        .on(
            profile::remove_role_from_instance_profile,
            touching("instance-profile", |cx, it| {
                profile_touched(cx, &it.instance_profile_name)
            }),
        )
        .on(
            user::create_user,
            touching("user", |cx, it: &CreateUserInput| {
                new_user(cx, it.path.as_deref(), &it.user_name)
            })
            .supplying(BOUNDARY, |_, it| {
                boundary_key(it.permissions_boundary.as_ref())
            }),
        )
        .on(
            user::get_user,
            touching("user", |cx, it| user_or_caller(cx, it.user_name.as_ref())),
        )
        .on(user::list_users, everywhere())
        .on(
            user::delete_user,
            touching("user", |cx, it| user_touched(cx, &it.user_name)),
        )
        .on(
            user::create_access_key,
            touching("user", |cx, it| user_or_caller(cx, it.user_name.as_ref())),
        )
        .on(
            user::list_access_keys,
            touching("user", |cx, it| user_or_caller(cx, it.user_name.as_ref())),
        )
        .on(
            user::delete_access_key,
            touching("user", |cx, it| user_or_caller(cx, it.user_name.as_ref())),
        )
        .on(
            service_credential::create_service_specific_credential,
            touching("user", |cx, it: &CreateServiceSpecificCredentialInput| {
                user_touched(cx, &it.user_name)
            })
            .supplying(CREDENTIAL_NEW, |_, it| {
                vec![ConditionKey::new(
                    CREDENTIAL_SERVICE[0],
                    Some(&it.service_name),
                )]
            }),
        )
        .on(
            service_credential::list_service_specific_credentials,
            touching("user", |cx, it| user_or_caller(cx, it.user_name.as_ref())),
        )
        .on(
            service_credential::update_service_specific_credential,
            touching("user", |cx, it: &UpdateServiceSpecificCredentialInput| {
                user_or_caller(cx, it.user_name.as_ref())
            })
            .supplying(CREDENTIAL_SERVICE, |cx, it| {
                vec![credential_service(cx, &it.service_specific_credential_id)]
            }),
        )
        .on(
            service_credential::reset_service_specific_credential,
            touching("user", |cx, it: &ResetServiceSpecificCredentialInput| {
                user_or_caller(cx, it.user_name.as_ref())
            })
            .supplying(CREDENTIAL_SERVICE, |cx, it| {
                vec![credential_service(cx, &it.service_specific_credential_id)]
            }),
        )
        .on(
            service_credential::delete_service_specific_credential,
            touching("user", |cx, it: &DeleteServiceSpecificCredentialInput| {
                user_or_caller(cx, it.user_name.as_ref())
            })
            .supplying(CREDENTIAL_SERVICE, |cx, it| {
                vec![credential_service(cx, &it.service_specific_credential_id)]
            }),
        )
        .on(user::put_user_policy, changed_user(|it| &it.user_name))
        .on(
            user::get_user_policy,
            touching("user", |cx, it| user_touched(cx, &it.user_name)),
        )
        .on(user::delete_user_policy, changed_user(|it| &it.user_name))
        .on(
            user::list_user_policies,
            touching("user", |cx, it| user_touched(cx, &it.user_name)),
        )
        .on(
            user::attach_user_policy,
            user_attachment(|it| &it.user_name, |it| &it.policy_arn),
        )
        .on(
            user::detach_user_policy,
            user_attachment(|it| &it.user_name, |it| &it.policy_arn),
        )
        .on(
            user::list_attached_user_policies,
            touching("user", |cx, it| user_touched(cx, &it.user_name)),
        )
        .on(
            tags::tag_role,
            touching("role", |cx, it| role_touched(cx, &it.role_name)),
        )
        .on(
            tags::untag_role,
            touching("role", |cx, it| role_touched(cx, &it.role_name)),
        )
        .on(
            tags::list_role_tags,
            touching("role", |cx, it| role_touched(cx, &it.role_name)),
        )
        .on(
            tags::tag_user,
            touching("user", |cx, it| user_touched(cx, &it.user_name)),
        )
        .on(
            tags::untag_user,
            touching("user", |cx, it| user_touched(cx, &it.user_name)),
        )
        .on(
            tags::list_user_tags,
            touching("user", |cx, it| user_touched(cx, &it.user_name)),
        )
        .on(
            tags::tag_policy,
            touching("policy", |cx, it| policy_touched(cx, &it.policy_arn)),
        )
        .on(
            tags::untag_policy,
            touching("policy", |cx, it| policy_touched(cx, &it.policy_arn)),
        )
        .on(
            tags::list_policy_tags,
            touching("policy", |cx, it| policy_touched(cx, &it.policy_arn)),
        )
        .on(
            tags::tag_instance_profile,
            touching("instance-profile", |cx, it| {
                profile_touched(cx, &it.instance_profile_name)
            }),
        )
        .on(
            tags::untag_instance_profile,
            touching("instance-profile", |cx, it| {
                profile_touched(cx, &it.instance_profile_name)
            }),
        );
    cfn::register(account_operations(group_operations(service)))
}

fn group_operations(service: Service) -> Service {
    service
        .on(
            group::create_group,
            touching("group", |cx, it: &CreateGroupInput| {
                new_group(cx, it.path.as_deref(), &it.group_name)
            }),
        )
        .on(group::get_group, on_group(|it| &it.group_name))
        .on(group::list_groups, everywhere())
        .on(group::list_groups_for_user, on_user(|it| &it.user_name))
        .on(
            group::update_group,
            touching("group", |cx, it: &UpdateGroupInput| renamed_group(cx, it)),
        )
        .on(group::delete_group, on_group(|it| &it.group_name))
        .on(group::add_user_to_group, on_group(|it| &it.group_name))
        .on(group::remove_user_from_group, on_group(|it| &it.group_name))
        .on(group::put_group_policy, on_group(|it| &it.group_name))
        .on(group::get_group_policy, on_group(|it| &it.group_name))
        .on(group::delete_group_policy, on_group(|it| &it.group_name))
        .on(group::list_group_policies, on_group(|it| &it.group_name))
        .on(
            group::attach_group_policy,
            group_attachment(|it| &it.group_name, |it| &it.policy_arn),
        )
        .on(
            group::detach_group_policy,
            group_attachment(|it| &it.group_name, |it| &it.policy_arn),
        )
        .on(
            group::list_attached_group_policies,
            on_group(|it| &it.group_name),
        )
}

fn account_operations(service: Service) -> Service {
    service
        .on(
            boundary::put_role_permissions_boundary,
            touching("role", |cx, it: &PutRolePermissionsBoundaryInput| {
                role_touched(cx, &it.role_name)
            })
            .supplying(BOUNDARY, |_, it| {
                boundary_key(Some(&it.permissions_boundary))
            }),
        )
        .on(
            boundary::delete_role_permissions_boundary,
            changed_role(|it| &it.role_name),
        )
        .on(
            boundary::put_user_permissions_boundary,
            touching("user", |cx, it: &PutUserPermissionsBoundaryInput| {
                user_touched(cx, &it.user_name)
            })
            .supplying(BOUNDARY, |_, it| {
                boundary_key(Some(&it.permissions_boundary))
            }),
        )
        .on(
            boundary::delete_user_permissions_boundary,
            changed_user(|it| &it.user_name),
        )
        .on(account::create_account_alias, everywhere())
        .on(account::delete_account_alias, everywhere())
        .on(account::list_account_aliases, everywhere())
        .on(account::get_account_summary, everywhere())
        .on(account::get_account_authorization_details, everywhere())
        .on(account::get_account_password_policy, everywhere())
        .on(
            account::get_login_profile,
            touching("user", |cx, it| user_or_caller(cx, it.user_name.as_ref())),
        )
        .on(
            account::delete_login_profile,
            touching("user", |cx, it| user_or_caller(cx, it.user_name.as_ref())),
        )
        .on(
            account::list_mfa_devices,
            touching("user", |cx, it| user_or_caller(cx, it.user_name.as_ref())),
        )
        .on(
            account::list_ssh_public_keys,
            touching("user", |cx, it| user_or_caller(cx, it.user_name.as_ref())),
        )
        .on(
            account::list_signing_certificates,
            touching("user", |cx, it| user_or_caller(cx, it.user_name.as_ref())),
        )
        .on(account::list_virtual_mfa_devices, everywhere())
        .on(
            tags::list_instance_profile_tags,
            touching("instance-profile", |cx, it| {
                profile_touched(cx, &it.instance_profile_name)
            }),
        )
        .on(simulate::simulate_custom_policy, everywhere())
        .on(
            simulate::simulate_principal_policy,
            touching("user", |cx, it: &SimulatePrincipalPolicyInput| {
                of_kind(cx, &it.policy_source_arn, "user")
            })
            .also("role", |cx, it| of_kind(cx, &it.policy_source_arn, "role"))
            .also("group", |cx, it| {
                of_kind(cx, &it.policy_source_arn, "group")
            }),
        )
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
