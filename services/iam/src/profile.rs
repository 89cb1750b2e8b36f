//! Instance profiles: how a role is given to an instance.

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::iam::*;

use crate::names::{arn, conflict, exists, key, limit, new_id, no_such, page, path, timestamp};
use crate::role::RoleRecord;
use crate::tags::{self, Tags};

/// AWS's quota.
const ROLES_MAX: usize = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub account: String,
    pub name: String,
    pub id: String,
    pub path: String,
    pub created_ms: i64,
    pub roles: Vec<String>,
    pub tags: Tags,
    pub made_by: Option<String>,
}

impl Record for Profile {
    const KIND: &'static str = "iam.instance-profile";
    fn key(&self) -> String {
        key(&self.name)
    }
}

impl Profile {
    pub fn find(tx: &Records<'_>, name: &str) -> Result<Self, Error> {
        tx.get(&key(name))?
            .ok_or_else(|| no_such(format!("Instance Profile {name} cannot be found.")))
    }

    pub fn arn(&self) -> String {
        arn(&self.account, "instance-profile", &self.path, &self.name)
    }

    pub fn shown(&self, tx: &Records<'_>) -> Result<InstanceProfile, Error> {
        let mut roles = Vec::with_capacity(self.roles.len());
        for role in &self.roles {
            roles.push(RoleRecord::find(tx, role)?.shown(tx)?);
        }
        Ok(InstanceProfile {
            path: self.path.clone(),
            instance_profile_name: self.name.clone(),
            instance_profile_id: self.id.clone(),
            arn: self.arn(),
            create_date: timestamp(self.created_ms),
            roles,
            tags: tags::shown(&self.tags),
        })
    }
}

pub async fn create_instance_profile(
    cx: Cx,
    input: CreateInstanceProfileInput,
) -> Result<CreateInstanceProfileOutput, Error> {
    let profile = Profile {
        account: cx.account().to_owned(),
        id: new_id(&cx, "AIPA"),
        path: path(input.path)?,
        name: input.instance_profile_name,
        created_ms: cx.clock().now_ms(),
        roles: Vec::new(),
        tags: tags::new(input.tags)?,
        made_by: cx.token.clone(),
    };
    cx.write(|tx| {
        let there = tx.get::<Profile>(&profile.key())?;
        let profile = match there {
            Some(there) if there.made_by.is_some() && there.made_by == profile.made_by => there,
            Some(there) => {
                return Err(exists(format!(
                    "Instance Profile {} already exists.",
                    there.name
                )));
            }
            None => {
                tx.put(&profile)?;
                profile
            }
        };
        Ok(CreateInstanceProfileOutput {
            instance_profile: profile.shown(tx)?,
        })
    })
}

pub async fn get_instance_profile(
    cx: Cx,
    input: GetInstanceProfileInput,
) -> Result<GetInstanceProfileOutput, Error> {
    cx.read(|tx| {
        let profile = Profile::find(tx, &input.instance_profile_name)?;
        Ok(GetInstanceProfileOutput {
            instance_profile: profile.shown(tx)?,
        })
    })
}

pub async fn list_instance_profiles(
    cx: Cx,
    input: ListInstanceProfilesInput,
) -> Result<ListInstanceProfilesOutput, Error> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    cx.read(|tx| {
        let mut profiles = tx.list::<Profile>(&key(""))?;
        profiles.retain(|it| it.path.starts_with(prefix));
        let page = page(
            profiles,
            |it| &it.name,
            input.marker.as_deref(),
            input.max_items,
        )?;
        let shown = page.items.iter().map(|it| it.shown(tx));
        Ok(ListInstanceProfilesOutput {
            instance_profiles: shown.collect::<Result<_, _>>()?,
            is_truncated: page.is_truncated,
            marker: page.marker,
        })
    })
}

pub async fn list_instance_profiles_for_role(
    cx: Cx,
    input: ListInstanceProfilesForRoleInput,
) -> Result<ListInstanceProfilesForRoleOutput, Error> {
    cx.read(|tx| {
        RoleRecord::find(tx, &input.role_name)?;
        let mut profiles = tx.list::<Profile>(&key(""))?;
        profiles.retain(|it| it.roles.contains(&input.role_name));
        let page = page(
            profiles,
            |it| &it.name,
            input.marker.as_deref(),
            input.max_items,
        )?;
        let shown = page.items.iter().map(|it| it.shown(tx));
        Ok(ListInstanceProfilesForRoleOutput {
            instance_profiles: shown.collect::<Result<_, _>>()?,
            is_truncated: page.is_truncated,
            marker: page.marker,
        })
    })
}

pub async fn delete_instance_profile(
    cx: Cx,
    input: DeleteInstanceProfileInput,
) -> Result<DeleteInstanceProfileOutput, Error> {
    cx.write(|tx| {
        let profile = Profile::find(tx, &input.instance_profile_name)?;
        if !profile.roles.is_empty() {
            return Err(conflict(
                "Cannot delete entity, must remove roles from instance profile first.",
            ));
        }
        tx.delete::<Profile>(&profile.key())?;
        Ok(DeleteInstanceProfileOutput {})
    })
}

pub async fn add_role_to_instance_profile(
    cx: Cx,
    input: AddRoleToInstanceProfileInput,
) -> Result<AddRoleToInstanceProfileOutput, Error> {
    cx.write(|tx| {
        let mut profile = Profile::find(tx, &input.instance_profile_name)?;
        let role = RoleRecord::find(tx, &input.role_name)?;
        if profile.roles.len() >= ROLES_MAX {
            return Err(limit("InstanceSessionsPerInstanceProfile", ROLES_MAX));
        }
        profile.roles.push(role.name);
        tx.put(&profile)?;
        Ok(AddRoleToInstanceProfileOutput {})
    })
}

pub async fn remove_role_from_instance_profile(
    cx: Cx,
    input: RemoveRoleFromInstanceProfileInput,
) -> Result<RemoveRoleFromInstanceProfileOutput, Error> {
    cx.write(|tx| {
        let mut profile = Profile::find(tx, &input.instance_profile_name)?;
        let before = profile.roles.len();
        profile.roles.retain(|it| *it != input.role_name);
        if profile.roles.len() == before {
            return Err(no_such(format!(
                "The role with name {} cannot be found.",
                input.role_name
            )));
        }
        tx.put(&profile)?;
        Ok(RemoveRoleFromInstanceProfileOutput {})
    })
}
