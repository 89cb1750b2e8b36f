//! Managed policies: the account's own, with their versions, and AWS's.

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::iam::errors::LimitExceededException;
use shapes::iam::*;

use crate::document::check_managed;
use crate::grants::{Grants, Holder};
use crate::group::GroupRecord;
use crate::managed::{self, Managed};
use crate::names::{
    arn, conflict, encoded, exists as already_exists, key, new_id, no_such, page, path, timestamp,
};
use crate::role::RoleRecord;
use crate::tags::{self, Tags};
use crate::user::UserRecord;

/// AWS's quota.
pub const VERSIONS_MAX: usize = 5;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomerPolicy {
    pub account: String,
    pub name: String,
    pub id: String,
    pub path: String,
    pub description: Option<String>,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub tags: Tags,
    pub versions: Vec<Version>,
    /// The number of the version that counts.
    pub default_version: u32,
    /// Numbers are never given twice.
    pub last_version: u32,
    pub made_by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    pub number: u32,
    pub document: String,
    pub created_ms: i64,
}

impl Record for CustomerPolicy {
    const KIND: &'static str = "iam.policy";
    fn key(&self) -> String {
        key(&self.name)
    }
}

impl CustomerPolicy {
    pub fn get(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<Option<Self>, Error> {
        if !arn.starts_with(&format!("arn:aws:iam::{}:policy/", cx.account())) {
            return Ok(None);
        }
        let found: Option<Self> = tx.get(&key(name_of(arn)))?;
        Ok(found.filter(|it| it.arn() == arn))
    }

    /// For a change, or for what AWS's own policies have not.
    pub fn find(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<Self, Error> {
        if managed::find(arn).is_some() {
            return Err(wire::codes::AccessDenied.because(format!(
                "Policy {arn} is managed by AWS and cannot be changed"
            )));
        }
        Self::get(cx, tx, arn)?.ok_or_else(|| not_found(arn))
    }

    pub fn arn(&self) -> String {
        arn(&self.account, "policy", &self.path, &self.name)
    }

    fn add_version(&mut self, document: String, created_ms: i64) -> u32 {
        self.last_version += 1;
        self.updated_ms = created_ms;
        self.versions.push(Version {
            number: self.last_version,
            document,
            created_ms,
        });
        self.last_version
    }

    /// The version that is called `v<number>`.
    fn version(&self, id: &str) -> Result<&Version, Error> {
        (self.versions.iter())
            .find(|it| version_id(it.number) == id)
            .ok_or_else(|| no_version(&self.arn(), id))
    }

    /// All of them with their documents, the newest first.
    pub fn versions_shown(&self) -> Vec<PolicyVersion> {
        let newest_first = self.versions.iter().rev();
        newest_first
            .map(|it| self.version_shown(it, true))
            .collect()
    }

    fn version_shown(&self, version: &Version, with_document: bool) -> PolicyVersion {
        PolicyVersion {
            document: with_document.then(|| encoded(&version.document)),
            version_id: Some(version_id(version.number)),
            is_default_version: Some(version.number == self.default_version),
            create_date: Some(timestamp(version.created_ms)),
        }
    }

    pub fn shown(&self, usage: Usage) -> Policy {
        Policy {
            policy_name: Some(self.name.clone()),
            policy_id: Some(self.id.clone()),
            arn: Some(self.arn()),
            path: Some(self.path.clone()),
            default_version_id: Some(version_id(self.default_version)),
            attachment_count: i32::try_from(usage.attached).ok(),
            permissions_boundary_usage_count: i32::try_from(usage.bounding).ok(),
            is_attachable: Some(true),
            description: self.description.clone(),
            create_date: Some(timestamp(self.created_ms)),
            update_date: Some(timestamp(self.updated_ms)),
            tags: tags::shown(&self.tags),
        }
    }
}

fn version_id(number: u32) -> String {
    format!("v{number}")
}

fn not_found(arn: &str) -> Error {
    no_such(format!("Policy {arn} was not found."))
}

fn no_version(arn: &str, id: &str) -> Error {
    no_such(format!(
        "Policy {arn} version {id} does not exist or is not attachable."
    ))
}

/// The name at an ARN's end.
pub fn name_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

/// The path within an ARN, with both its slashes.
pub fn path_of(arn: &str) -> &str {
    let path_and_name = arn.find(":policy/").map_or("/", |at| &arn[at + 7..]);
    let end = path_and_name.rfind('/').unwrap_or(0);
    &path_and_name[..=end]
}

/// The document of a policy's default version; None when there is no such policy.
pub fn document_of(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<Option<String>, Error> {
    if let Some(policy) = managed::find(arn) {
        return Ok(Some(policy.document()));
    }
    let policy = CustomerPolicy::get(cx, tx, arn)?;
    Ok(policy.and_then(|it| {
        let version = it.version(&version_id(it.default_version)).ok()?;
        Some(version.document.clone())
    }))
}

pub fn exists(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<bool, Error> {
    Ok(managed::find(arn).is_some() || CustomerPolicy::get(cx, tx, arn)?.is_some())
}

/// All that has policies.
pub struct Holders {
    pub roles: Vec<RoleRecord>,
    pub users: Vec<UserRecord>,
    pub groups: Vec<GroupRecord>,
}

impl Holders {
    pub fn all(tx: &Records<'_>) -> Result<Self, Error> {
        Ok(Self {
            roles: tx.list(&key(""))?,
            users: tx.list(&key(""))?,
            groups: tx.list(&key(""))?,
        })
    }

    fn grants(&self) -> impl Iterator<Item = &Grants> {
        let of_roles = self.roles.iter().map(Holder::grants);
        let of_users = self.users.iter().map(Holder::grants);
        let of_groups = self.groups.iter().map(Holder::grants);
        of_roles.chain(of_users).chain(of_groups)
    }

    /// What a policy is used for, as policies show it.
    pub fn usage(&self, arn: &str) -> Usage {
        let attached = self.grants().filter(|it| it.attached.contains(arn));
        let bounding = self
            .grants()
            .filter(|it| it.boundary.as_deref() == Some(arn));
        Usage {
            attached: attached.count(),
            bounding: bounding.count(),
        }
    }
}

/// How many have a policy, and how many it bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub attached: usize,
    pub bounding: usize,
}

impl Usage {
    fn of_policy(policy: &Policy) -> [i32; 2] {
        let counts = [
            policy.attachment_count,
            policy.permissions_boundary_usage_count,
        ];
        counts.map(Option::unwrap_or_default)
    }
}

pub fn managed_shown(policy: &Managed, usage: Usage) -> Policy {
    Policy {
        policy_name: Some(policy.name.into()),
        policy_id: Some(policy.id()),
        arn: Some(policy.arn()),
        path: Some(policy.path.into()),
        default_version_id: Some(policy.version.into()),
        attachment_count: i32::try_from(usage.attached).ok(),
        permissions_boundary_usage_count: i32::try_from(usage.bounding).ok(),
        is_attachable: Some(true),
        create_date: Some(policy.created()),
        update_date: Some(policy.updated()),
        ..Default::default()
    }
}

pub fn managed_version(policy: &Managed, with_document: bool) -> PolicyVersion {
    PolicyVersion {
        document: with_document.then(|| encoded(&policy.document())),
        version_id: Some(policy.version.into()),
        is_default_version: Some(true),
        create_date: Some(policy.updated()),
    }
}

pub async fn create_policy(cx: Cx, input: CreatePolicyInput) -> Result<CreatePolicyOutput, Error> {
    check_managed(&input.policy_document)?;
    let now_ms = cx.clock().now_ms();
    let mut policy = CustomerPolicy {
        account: cx.account().to_owned(),
        id: new_id(&cx, "ANPA"),
        path: path(input.path)?,
        name: input.policy_name,
        description: input.description,
        created_ms: now_ms,
        updated_ms: now_ms,
        tags: tags::new(input.tags)?,
        versions: Vec::new(),
        default_version: 1,
        last_version: 0,
        made_by: cx.token.clone(),
    };
    policy.add_version(input.policy_document, now_ms);
    cx.write(|tx| {
        if let Some(there) = tx.get::<CustomerPolicy>(&policy.key())? {
            if there.made_by.is_none() || there.made_by != policy.made_by {
                return Err(already_exists(format!(
                    "A policy called {} already exists. Duplicate names are not allowed.",
                    policy.name
                )));
            }
        } else {
            tx.put(&policy)?;
        }
        Ok(CreatePolicyOutput {
            policy: Some(policy.shown(Usage::default())),
        })
    })
}

pub async fn get_policy(cx: Cx, input: GetPolicyInput) -> Result<GetPolicyOutput, Error> {
    let arn = &input.policy_arn;
    cx.read(|tx| {
        let usage = Holders::all(tx)?.usage(arn);
        let policy = match managed::find(arn) {
            Some(policy) => managed_shown(policy, usage),
            None => CustomerPolicy::find(&cx, tx, arn)?.shown(usage),
        };
        Ok(GetPolicyOutput {
            policy: Some(policy),
        })
    })
}

pub async fn list_policies(cx: Cx, input: ListPoliciesInput) -> Result<ListPoliciesOutput, Error> {
    let scope = input.scope.unwrap_or(PolicyScopeType::All);
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    cx.read(|tx| {
        let holders = Holders::all(tx)?;
        let mut policies = Vec::new();
        if scope != PolicyScopeType::Aws {
            let own = tx.list::<CustomerPolicy>(&key(""))?;
            policies.extend(own.iter().map(|it| it.shown(holders.usage(&it.arn()))));
        }
        if scope != PolicyScopeType::Local {
            let all = managed::all();
            policies.extend(all.map(|it| managed_shown(it, holders.usage(&it.arn()))));
        }
        let used_only = input.only_attached == Some(true);
        let is_used = |it: &Policy| match (Usage::of_policy(it), input.policy_usage_filter) {
            ([attached, bounding], None) => !used_only || attached + bounding > 0,
            ([attached, _], Some(PolicyUsageType::PermissionsPolicy)) => attached > 0,
            ([_, bounding], Some(_)) => bounding > 0,
        };
        policies.retain(|it| {
            it.path.as_deref().is_some_and(|it| it.starts_with(prefix)) && is_used(it)
        });
        let name =
            |it: &Policy| -> &str { it.arn.as_deref().unwrap_or_default() } as fn(&Policy) -> &str;
        let page = page(policies, name, input.marker.as_deref(), input.max_items)?;
        Ok(ListPoliciesOutput {
            policies: Some(page.items),
            is_truncated: page.is_truncated,
            marker: page.marker,
        })
    })
}

pub async fn delete_policy(cx: Cx, input: DeletePolicyInput) -> Result<DeletePolicyOutput, Error> {
    cx.write(|tx| {
        let policy = CustomerPolicy::find(&cx, tx, &input.policy_arn)?;
        if Holders::all(tx)?.usage(&input.policy_arn) != Usage::default() {
            return Err(conflict("Cannot delete a policy attached to entities."));
        }
        if policy.versions.len() > 1 {
            return Err(conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
            ));
        }
        tx.delete::<CustomerPolicy>(&policy.key())?;
        Ok(DeletePolicyOutput {})
    })
}

pub async fn create_policy_version(
    cx: Cx,
    input: CreatePolicyVersionInput,
) -> Result<CreatePolicyVersionOutput, Error> {
    check_managed(&input.policy_document)?;
    cx.write(|tx| {
        let mut policy = CustomerPolicy::find(&cx, tx, &input.policy_arn)?;
        if policy.versions.len() >= VERSIONS_MAX {
            return Err(LimitExceededException.because(format!(
                "A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new version, you must delete an existing version."
            )));
        }
        let number = policy.add_version(input.policy_document, cx.clock().now_ms());
        if input.set_as_default == Some(true) {
            policy.default_version = number;
        }
        tx.put(&policy)?;
        let version = policy.version(&version_id(number))?;
        Ok(CreatePolicyVersionOutput {
            policy_version: Some(policy.version_shown(version, false)),
        })
    })
}

pub async fn get_policy_version(
    cx: Cx,
    input: GetPolicyVersionInput,
) -> Result<GetPolicyVersionOutput, Error> {
    let (arn, id) = (&input.policy_arn, &input.version_id);
    let version = match managed::find(arn) {
        Some(policy) if id == policy.version => managed_version(policy, true),
        Some(_) => return Err(no_version(arn, id)),
        None => {
            let policy = cx.read(|tx| CustomerPolicy::find(&cx, tx, arn))?;
            policy.version_shown(policy.version(id)?, true)
        }
    };
    Ok(GetPolicyVersionOutput {
        policy_version: Some(version),
    })
}

pub async fn list_policy_versions(
    cx: Cx,
    input: ListPolicyVersionsInput,
) -> Result<ListPolicyVersionsOutput, Error> {
    let versions = match managed::find(&input.policy_arn) {
        Some(policy) => vec![managed_version(policy, false)],
        None => {
            let policy = cx.read(|tx| CustomerPolicy::find(&cx, tx, &input.policy_arn))?;
            let newest_first = policy.versions.iter().rev();
            newest_first
                .map(|it| policy.version_shown(it, false))
                .collect()
        }
    };
    let id = |it: &PolicyVersion| -> &str { it.version_id.as_deref().unwrap_or_default() }
        as fn(&PolicyVersion) -> &str;
    let page = page(versions, id, input.marker.as_deref(), input.max_items)?;
    Ok(ListPolicyVersionsOutput {
        versions: Some(page.items),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn set_default_policy_version(
    cx: Cx,
    input: SetDefaultPolicyVersionInput,
) -> Result<SetDefaultPolicyVersionOutput, Error> {
    cx.write(|tx| {
        let mut policy = CustomerPolicy::find(&cx, tx, &input.policy_arn)?;
        policy.default_version = policy.version(&input.version_id)?.number;
        tx.put(&policy)?;
        Ok(SetDefaultPolicyVersionOutput {})
    })
}

pub async fn delete_policy_version(
    cx: Cx,
    input: DeletePolicyVersionInput,
) -> Result<DeletePolicyVersionOutput, Error> {
    cx.write(|tx| {
        let mut policy = CustomerPolicy::find(&cx, tx, &input.policy_arn)?;
        let number = policy.version(&input.version_id)?.number;
        if number == policy.default_version {
            return Err(conflict("Cannot delete the default version of a policy."));
        }
        policy.versions.retain(|it| it.number != number);
        tx.put(&policy)?;
        Ok(DeletePolicyVersionOutput {})
    })
}

pub async fn list_entities_for_policy(
    cx: Cx,
    input: ListEntitiesForPolicyInput,
) -> Result<ListEntitiesForPolicyOutput, Error> {
    let arn = &input.policy_arn;
    let wanted = |kind| input.entity_filter.is_none_or(|it| it == kind);
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let holders = cx.read(|tx| {
        if !exists(&cx, tx, arn)? {
            return Err(not_found(arn));
        }
        Holders::all(tx)
    })?;
    let is_used = |grants: &Grants| match input.policy_usage_filter {
        Some(PolicyUsageType::PermissionsBoundary) => grants.boundary.as_ref() == Some(arn),
        Some(_) => grants.attached.contains(arn),
        None => grants.attached.contains(arn) || grants.boundary.as_ref() == Some(arn),
    };
    let roles = holders.roles.into_iter().filter(|it| {
        wanted(EntityType::Role) && is_used(&it.grants) && it.path.starts_with(prefix)
    });
    let users = holders.users.into_iter().filter(|it| {
        wanted(EntityType::User) && is_used(&it.grants) && it.path.starts_with(prefix)
    });
    let groups = holders.groups.into_iter().filter(|it| {
        wanted(EntityType::Group) && is_used(&it.grants) && it.path.starts_with(prefix)
    });
    Ok(ListEntitiesForPolicyOutput {
        policy_groups: Some(
            groups
                .map(|it| PolicyGroup {
                    group_name: Some(it.name),
                    group_id: Some(it.id),
                })
                .collect(),
        ),
        policy_roles: Some(
            roles
                .map(|it| PolicyRole {
                    role_name: Some(it.name),
                    role_id: Some(it.id),
                })
                .collect(),
        ),
        policy_users: Some(
            users
                .map(|it| PolicyUser {
                    user_name: Some(it.name),
                    user_id: Some(it.id),
                })
                .collect(),
        ),
        is_truncated: Some(false),
        marker: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_come_apart() {
        let managed = "arn:aws:iam::aws:policy/service-role/X";
        assert_eq!(
            (path_of(managed), name_of(managed)),
            ("/service-role/", "X")
        );
        assert_eq!(path_of("arn:aws:iam::1:policy/X"), "/");
        assert_eq!(path_of("nonsense"), "/");
    }
}
