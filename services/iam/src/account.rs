//! The account as a whole: its alias, what is in it, and what it has none of.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::iam::*;

use crate::boundary;
use crate::document::{MANAGED_MAX, TRUST_MAX};
use crate::grants::{ATTACHED_MAX, Grants, Holder};
use crate::group::{GROUPS_PER_USER_MAX, GroupRecord};
use crate::managed;
use crate::names::{encoded, key, no_such, page, timestamp};
use crate::policy::{self, CustomerPolicy, Holders, VERSIONS_MAX};
use crate::profile::Profile;
use crate::role::RoleRecord;
use crate::tags;
use crate::user::{KEYS_MAX, UserRecord, name_or_caller};

/// The alias of the account: at most one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Alias {
    name: String,
}

impl Record for Alias {
    const KIND: &'static str = "iam.account-alias";
    fn key(&self) -> String {
        key("alias")
    }
}

/// Letters, digits and single hyphens between them; twelve digits are an account's number.
fn is_alias(name: &str) -> bool {
    let is_part = |it: &str| {
        !it.is_empty()
            && it
                .bytes()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
    };
    let is_number = name.len() == 12 && name.bytes().all(|it| it.is_ascii_digit());
    !is_number && name.split('-').all(is_part)
}

pub async fn create_account_alias(
    cx: Cx,
    input: CreateAccountAliasInput,
) -> Result<CreateAccountAliasOutput, Error> {
    let name = input.account_alias;
    if !is_alias(&name) {
        return Err(wire::codes::ValidationError.because(
            "The specified value for accountAlias is invalid. It must contain only digits, lowercase letters, and hyphens (-), but cannot begin or end with a hyphen, have two hyphens in a row, or be twelve digits.",
        ));
    }
    // One that is given replaces the one before.
    cx.write(|tx| tx.put(&Alias { name }))?;
    Ok(CreateAccountAliasOutput {})
}

pub async fn delete_account_alias(
    cx: Cx,
    input: DeleteAccountAliasInput,
) -> Result<DeleteAccountAliasOutput, Error> {
    let name = input.account_alias;
    cx.write(|tx| {
        let there: Option<Alias> = tx.get(&key("alias"))?;
        let there = there.filter(|it| it.name == name).ok_or_else(|| {
            no_such(format!(
                "The account alias with name {name} cannot be found."
            ))
        })?;
        tx.delete::<Alias>(&there.key())?;
        Ok(DeleteAccountAliasOutput {})
    })
}

pub async fn list_account_aliases(
    cx: Cx,
    _: ListAccountAliasesInput,
) -> Result<ListAccountAliasesOutput, Error> {
    let alias: Option<Alias> = cx.read(|tx| tx.get(&key("alias")))?;
    Ok(ListAccountAliasesOutput {
        account_aliases: alias.into_iter().map(|it| it.name).collect(),
        is_truncated: Some(false),
        marker: None,
    })
}

/// Nobody signs in with a password here, so that no policy of passwords is kept.
pub async fn get_account_password_policy(
    cx: Cx,
    _: GetAccountPasswordPolicyInput,
) -> Result<GetAccountPasswordPolicyOutput, Error> {
    Err(no_such(format!(
        "The Password Policy with domain name {} cannot be found.",
        cx.account()
    )))
}

/// The user that is named, or who calls, when it is there.
fn existing_user(cx: &Cx, name: Option<String>) -> Result<UserRecord, Error> {
    let name = name_or_caller(cx, name)?;
    cx.read(|tx| UserRecord::find(tx, &name))
}

pub async fn get_login_profile(
    cx: Cx,
    input: GetLoginProfileInput,
) -> Result<GetLoginProfileOutput, Error> {
    let user = existing_user(&cx, input.user_name)?;
    Err(no_login_profile(&user))
}

/// Clients that delete a user take away all that it might have.
pub async fn delete_login_profile(
    cx: Cx,
    input: DeleteLoginProfileInput,
) -> Result<DeleteLoginProfileOutput, Error> {
    let user = existing_user(&cx, input.user_name)?;
    Err(no_login_profile(&user))
}

/// There is no console to log in to.
fn no_login_profile(user: &UserRecord) -> Error {
    no_such(format!(
        "Login Profile for User {} cannot be found.",
        user.name
    ))
}

pub async fn list_mfa_devices(
    cx: Cx,
    input: ListMFADevicesInput,
) -> Result<ListMFADevicesOutput, Error> {
    existing_user(&cx, input.user_name)?;
    Ok(ListMFADevicesOutput {
        is_truncated: Some(false),
        ..Default::default()
    })
}

pub async fn list_ssh_public_keys(
    cx: Cx,
    input: ListSSHPublicKeysInput,
) -> Result<ListSSHPublicKeysOutput, Error> {
    existing_user(&cx, input.user_name)?;
    Ok(ListSSHPublicKeysOutput {
        ssh_public_keys: Some(Vec::new()),
        is_truncated: Some(false),
        marker: None,
    })
}

pub async fn list_signing_certificates(
    cx: Cx,
    input: ListSigningCertificatesInput,
) -> Result<ListSigningCertificatesOutput, Error> {
    existing_user(&cx, input.user_name)?;
    Ok(ListSigningCertificatesOutput {
        is_truncated: Some(false),
        ..Default::default()
    })
}

pub async fn list_virtual_mfa_devices(
    _: Cx,
    _: ListVirtualMFADevicesInput,
) -> Result<ListVirtualMFADevicesOutput, Error> {
    Ok(ListVirtualMFADevicesOutput {
        is_truncated: Some(false),
        ..Default::default()
    })
}

/// What is in the account, and AWS's default quotas that are held to here (IAM User Guide, "IAM and AWS
/// STS quotas").
pub async fn get_account_summary(
    cx: Cx,
    _: GetAccountSummaryInput,
) -> Result<GetAccountSummaryOutput, Error> {
    let (holders, policies, profiles) = cx.read(|tx| {
        let policies = tx.list::<CustomerPolicy>(&key(""))?;
        let profiles = tx.list::<Profile>(&key(""))?;
        Ok((Holders::all(tx)?, policies, profiles))
    })?;
    let versions: usize = policies.iter().map(|it| it.versions.len()).sum();
    let counts = [
        ("Users", holders.users.len()),
        ("Groups", holders.groups.len()),
        ("Roles", holders.roles.len()),
        ("Policies", policies.len()),
        ("PolicyVersionsInUse", versions),
        ("InstanceProfiles", profiles.len()),
        ("Providers", 0),
        ("ServerCertificates", 0),
        ("MFADevices", 0),
        ("MFADevicesInUse", 0),
        ("AccountMFAEnabled", 0),
        ("AccountPasswordPresent", 0),
        ("AccountSigningCertificatesPresent", 0),
        // The owner's own key.
        ("AccountAccessKeysPresent", 1),
        ("GlobalEndpointTokenVersion", 1),
        ("AccessKeysPerUserQuota", KEYS_MAX),
        ("AssumeRolePolicySizeQuota", TRUST_MAX),
        ("AttachedPoliciesPerGroupQuota", ATTACHED_MAX),
        ("AttachedPoliciesPerRoleQuota", ATTACHED_MAX),
        ("AttachedPoliciesPerUserQuota", ATTACHED_MAX),
        ("GroupPolicySizeQuota", GroupRecord::INLINE_MAX),
        ("GroupsPerUserQuota", GROUPS_PER_USER_MAX),
        ("PolicySizeQuota", MANAGED_MAX),
        ("RolePolicySizeQuota", RoleRecord::INLINE_MAX),
        ("UserPolicySizeQuota", UserRecord::INLINE_MAX),
        ("VersionsPerPolicyQuota", VERSIONS_MAX),
    ];
    let number = |it: usize| i32::try_from(it).unwrap_or(i32::MAX);
    let counts = counts.map(|(name, count)| (name.to_owned(), number(count)));
    Ok(GetAccountSummaryOutput {
        summary_map: Some(BTreeMap::from(counts)),
    })
}

/// One of the four kinds of things that the details list, in one order for pages.
enum Detail {
    User(UserDetail),
    Group(GroupDetail),
    Role(RoleDetail),
    Policy(ManagedPolicyDetail),
}

impl Detail {
    fn arn(&self) -> &str {
        let arn = match self {
            Self::User(it) => &it.arn,
            Self::Group(it) => &it.arn,
            Self::Role(it) => &it.arn,
            Self::Policy(it) => &it.arn,
        };
        arn.as_deref().unwrap_or_default()
    }
}

pub async fn get_account_authorization_details(
    cx: Cx,
    input: GetAccountAuthorizationDetailsInput,
) -> Result<GetAccountAuthorizationDetailsOutput, Error> {
    let filter = input.filter.unwrap_or_default();
    let wanted = |it: EntityType| filter.is_empty() || filter.contains(&it);
    let details = cx.read(|tx| details(tx, wanted))?;
    let page = page(
        details,
        Detail::arn,
        input.marker.as_deref(),
        input.max_items,
    )?;
    let mut output = GetAccountAuthorizationDetailsOutput {
        user_detail_list: Some(Vec::new()),
        group_detail_list: Some(Vec::new()),
        role_detail_list: Some(Vec::new()),
        policies: Some(Vec::new()),
        is_truncated: page.is_truncated,
        marker: page.marker,
    };
    for detail in page.items {
        match detail {
            Detail::User(it) => output.user_detail_list.get_or_insert_default().push(it),
            Detail::Group(it) => output.group_detail_list.get_or_insert_default().push(it),
            Detail::Role(it) => output.role_detail_list.get_or_insert_default().push(it),
            Detail::Policy(it) => output.policies.get_or_insert_default().push(it),
        }
    }
    Ok(output)
}

fn details(tx: &Records<'_>, wanted: impl Fn(EntityType) -> bool) -> Result<Vec<Detail>, Error> {
    let holders = Holders::all(tx)?;
    let mut details = Vec::new();
    if wanted(EntityType::User) {
        details.extend(holders.users.iter().map(user).map(Detail::User));
    }
    if wanted(EntityType::Group) {
        details.extend(holders.groups.iter().map(group).map(Detail::Group));
    }
    if wanted(EntityType::Role) {
        let profiles = tx.list::<Profile>(&key(""))?;
        for it in &holders.roles {
            details.push(Detail::Role(role(tx, it, &profiles)?));
        }
    }
    if wanted(EntityType::LocalManagedPolicy) {
        for it in tx.list::<CustomerPolicy>(&key(""))? {
            let shown = it.shown(holders.usage(&it.arn()));
            details.push(Detail::Policy(policy_detail(shown, it.versions_shown())));
        }
    }
    if wanted(EntityType::AWSManagedPolicy) {
        // Those that somebody has.
        let usages = managed::all().map(|it| (it, holders.usage(&it.arn())));
        for (it, usage) in usages.filter(|it| it.1 != policy::Usage::default()) {
            let shown = policy::managed_shown(it, usage);
            let versions = vec![policy::managed_version(it, true)];
            details.push(Detail::Policy(policy_detail(shown, versions)));
        }
    }
    Ok(details)
}

fn inline(grants: &Grants) -> Option<Vec<PolicyDetail>> {
    let detail = |(name, document): (&String, &String)| PolicyDetail {
        policy_name: Some(name.clone()),
        policy_document: Some(encoded(document)),
    };
    Some(grants.inline.iter().map(detail).collect())
}

fn attached(grants: &Grants) -> Option<Vec<AttachedPolicy>> {
    let shown = |arn: &String| AttachedPolicy {
        policy_name: Some(policy::name_of(arn).to_owned()),
        policy_arn: Some(arn.clone()),
    };
    Some(grants.attached.iter().map(shown).collect())
}

fn user(user: &UserRecord) -> UserDetail {
    UserDetail {
        path: Some(user.path.clone()),
        user_name: Some(user.name.clone()),
        user_id: Some(user.id.clone()),
        arn: Some(user.arn()),
        create_date: Some(timestamp(user.created_ms)),
        user_policy_list: inline(&user.grants),
        group_list: Some(user.groups.iter().cloned().collect()),
        attached_managed_policies: attached(&user.grants),
        permissions_boundary: boundary::shown(&user.grants),
        tags: tags::shown(&user.tags),
    }
}

fn group(group: &GroupRecord) -> GroupDetail {
    GroupDetail {
        path: Some(group.path.clone()),
        group_name: Some(group.name.clone()),
        group_id: Some(group.id.clone()),
        arn: Some(group.arn()),
        create_date: Some(timestamp(group.created_ms)),
        group_policy_list: inline(&group.grants),
        attached_managed_policies: attached(&group.grants),
    }
}

fn role(tx: &Records<'_>, role: &RoleRecord, profiles: &[Profile]) -> Result<RoleDetail, Error> {
    let of_role = profiles.iter().filter(|it| it.roles.contains(&role.name));
    let of_role: Result<_, Error> = of_role.map(|it| it.shown(tx)).collect();
    Ok(RoleDetail {
        path: Some(role.path.clone()),
        role_name: Some(role.name.clone()),
        role_id: Some(role.id.clone()),
        arn: Some(role.arn()),
        create_date: Some(timestamp(role.created_ms)),
        assume_role_policy_document: Some(encoded(&crate::principals::shown(tx, &role.trust)?)),
        instance_profile_list: Some(of_role?),
        role_policy_list: inline(&role.grants),
        attached_managed_policies: attached(&role.grants),
        permissions_boundary: boundary::shown(&role.grants),
        tags: tags::shown(&role.tags),
        role_last_used: None,
    })
}

fn policy_detail(policy: Policy, versions: Vec<PolicyVersion>) -> ManagedPolicyDetail {
    ManagedPolicyDetail {
        policy_name: policy.policy_name,
        policy_id: policy.policy_id,
        arn: policy.arn,
        path: policy.path,
        default_version_id: policy.default_version_id,
        attachment_count: policy.attachment_count,
        permissions_boundary_usage_count: policy.permissions_boundary_usage_count,
        is_attachable: policy.is_attachable,
        description: policy.description,
        create_date: policy.create_date,
        update_date: policy.update_date,
        policy_version_list: Some(versions),
    }
}

#[cfg(test)]
mod tests {
    use super::is_alias;

    #[test]
    fn aliases_are_words_with_single_hyphens() {
        for good in ["abc", "my-company", "a1-b2-c3", "1234567890123"] {
            assert!(is_alias(good), "{good}");
        }
        for bad in ["-abc", "abc-", "a--b", "Abc", "a_b", "123456789012"] {
            assert!(!is_alias(bad), "{bad}");
        }
    }
}
