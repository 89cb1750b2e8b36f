//! Groups: policies that several users have. Who is in a group stands with the user, because every call
//! of a user asks for its groups, and nobody asks for a group's users as often.

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::iam::*;

use crate::grants::{self, Grants, Holder};
use crate::names::{
    arn, conflict, encoded, exists, key, limit, new_id, no_such, page, path, timestamp,
};
use crate::user::UserRecord;

/// AWS's quota of groups that a user is in.
pub const GROUPS_PER_USER_MAX: usize = 10;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupRecord {
    pub account: String,
    pub name: String,
    pub id: String,
    pub path: String,
    pub created_ms: i64,
    pub grants: Grants,
    pub made_by: Option<String>,
}

impl Record for GroupRecord {
    const KIND: &'static str = "iam.group";
    fn key(&self) -> String {
        key(&self.name)
    }
}

impl Holder for GroupRecord {
    const WHAT: &'static str = "group";
    const INLINE_MAX: usize = 5120;
    fn find(tx: &Records<'_>, name: &str) -> Result<Self, Error> {
        tx.get(&key(name))?
            .ok_or_else(|| no_such(format!("The group with name {name} cannot be found.")))
    }
    fn grants(&self) -> &Grants {
        &self.grants
    }
    fn grants_mut(&mut self) -> &mut Grants {
        &mut self.grants
    }
}

impl GroupRecord {
    pub fn arn(&self) -> String {
        arn(&self.account, "group", &self.path, &self.name)
    }

    fn shown(&self) -> Group {
        Group {
            path: self.path.clone(),
            group_name: self.name.clone(),
            group_id: self.id.clone(),
            arn: self.arn(),
            create_date: timestamp(self.created_ms),
        }
    }
}

/// The groups that a user is in, by name. One that is gone is none: nothing deletes a group that has
/// users.
pub fn groups_of(tx: &Records<'_>, user: &UserRecord) -> Result<Vec<GroupRecord>, Error> {
    let mut groups = Vec::with_capacity(user.groups.len());
    for name in &user.groups {
        groups.extend(tx.get::<GroupRecord>(&key(name))?);
    }
    Ok(groups)
}

fn members(tx: &Records<'_>, group: &str) -> Result<Vec<UserRecord>, Error> {
    let mut users = tx.list::<UserRecord>(&key(""))?;
    users.retain(|it| it.groups.contains(group));
    Ok(users)
}

pub async fn create_group(cx: Cx, input: CreateGroupInput) -> Result<CreateGroupOutput, Error> {
    let group = GroupRecord {
        account: cx.account().to_owned(),
        id: new_id(&cx, "AGPA"),
        path: path(input.path)?,
        name: input.group_name,
        created_ms: cx.clock().now_ms(),
        grants: Grants::default(),
        made_by: cx.token.clone(),
    };
    cx.write(|tx| {
        let group = match tx.get::<GroupRecord>(&group.key())? {
            Some(there) if there.made_by.is_some() && there.made_by == group.made_by => there,
            Some(there) => {
                return Err(exists(format!(
                    "Group with name {} already exists.",
                    there.name
                )));
            }
            None => {
                tx.put(&group)?;
                group
            }
        };
        Ok(CreateGroupOutput {
            group: group.shown(),
        })
    })
}

pub async fn get_group(cx: Cx, input: GetGroupInput) -> Result<GetGroupOutput, Error> {
    cx.read(|tx| {
        let group = GroupRecord::find(tx, &input.group_name)?;
        let page = page(
            members(tx, &group.name)?,
            |it| &it.name,
            input.marker.as_deref(),
            input.max_items,
        )?;
        Ok(GetGroupOutput {
            group: group.shown(),
            users: page.items.iter().map(UserRecord::listed).collect(),
            is_truncated: page.is_truncated,
            marker: page.marker,
        })
    })
}

pub async fn list_groups(cx: Cx, input: ListGroupsInput) -> Result<ListGroupsOutput, Error> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let mut groups = cx.read(|tx| tx.list::<GroupRecord>(&key("")))?;
    groups.retain(|it| it.path.starts_with(prefix));
    let page = page(
        groups,
        |it| &it.name,
        input.marker.as_deref(),
        input.max_items,
    )?;
    Ok(ListGroupsOutput {
        groups: page.items.iter().map(GroupRecord::shown).collect(),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn list_groups_for_user(
    cx: Cx,
    input: ListGroupsForUserInput,
) -> Result<ListGroupsForUserOutput, Error> {
    let groups = cx.read(|tx| {
        let user = UserRecord::find(tx, &input.user_name)?;
        groups_of(tx, &user)
    })?;
    let page = page(
        groups,
        |it| &it.name,
        input.marker.as_deref(),
        input.max_items,
    )?;
    Ok(ListGroupsForUserOutput {
        groups: page.items.iter().map(GroupRecord::shown).collect(),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

/// A group that is called otherwise is the same: its id stays, and its users follow.
pub async fn update_group(cx: Cx, input: UpdateGroupInput) -> Result<UpdateGroupOutput, Error> {
    let new_path = input.new_path.map(|it| path(Some(it))).transpose()?;
    cx.write(|tx| {
        let mut group = GroupRecord::find(tx, &input.group_name)?;
        if let Some(path) = new_path {
            group.path = path;
        }
        if let Some(name) = input.new_group_name.filter(|it| *it != group.name) {
            if tx.get::<GroupRecord>(&key(&name))?.is_some() {
                return Err(exists(format!("Group with name {name} already exists.")));
            }
            for mut user in members(tx, &group.name)? {
                user.groups.remove(&group.name);
                user.groups.insert(name.clone());
                tx.put(&user)?;
            }
            tx.delete::<GroupRecord>(&group.key())?;
            group.name = name;
        }
        tx.put(&group)?;
        Ok(UpdateGroupOutput {})
    })
}

pub async fn delete_group(cx: Cx, input: DeleteGroupInput) -> Result<DeleteGroupOutput, Error> {
    cx.write(|tx| {
        let group = GroupRecord::find(tx, &input.group_name)?;
        if !members(tx, &group.name)?.is_empty() {
            return Err(conflict(
                "Cannot delete entity, must remove users from group first.",
            ));
        }
        grants::check_empty(&group.grants)?;
        tx.delete::<GroupRecord>(&group.key())?;
        Ok(DeleteGroupOutput {})
    })
}

pub async fn add_user_to_group(
    cx: Cx,
    input: AddUserToGroupInput,
) -> Result<AddUserToGroupOutput, Error> {
    cx.write(|tx| {
        let group = GroupRecord::find(tx, &input.group_name)?;
        let mut user = UserRecord::find(tx, &input.user_name)?;
        user.groups.insert(group.name);
        if user.groups.len() > GROUPS_PER_USER_MAX {
            return Err(limit("GroupsPerUser", GROUPS_PER_USER_MAX));
        }
        tx.put(&user)?;
        Ok(AddUserToGroupOutput {})
    })
}

pub async fn remove_user_from_group(
    cx: Cx,
    input: RemoveUserFromGroupInput,
) -> Result<RemoveUserFromGroupOutput, Error> {
    cx.write(|tx| {
        let group = GroupRecord::find(tx, &input.group_name)?;
        let mut user = UserRecord::find(tx, &input.user_name)?;
        user.groups.remove(&group.name);
        tx.put(&user)?;
        Ok(RemoveUserFromGroupOutput {})
    })
}

pub async fn put_group_policy(
    cx: Cx,
    input: PutGroupPolicyInput,
) -> Result<PutGroupPolicyOutput, Error> {
    grants::put_inline::<GroupRecord>(
        &cx,
        &input.group_name,
        input.policy_name,
        input.policy_document,
    )?;
    Ok(PutGroupPolicyOutput {})
}

pub async fn get_group_policy(
    cx: Cx,
    input: GetGroupPolicyInput,
) -> Result<GetGroupPolicyOutput, Error> {
    let document = grants::get_inline::<GroupRecord>(&cx, &input.group_name, &input.policy_name)?;
    Ok(GetGroupPolicyOutput {
        group_name: input.group_name,
        policy_name: input.policy_name,
        policy_document: encoded(&document),
    })
}

pub async fn delete_group_policy(
    cx: Cx,
    input: DeleteGroupPolicyInput,
) -> Result<DeleteGroupPolicyOutput, Error> {
    grants::delete_inline::<GroupRecord>(&cx, &input.group_name, &input.policy_name)?;
    Ok(DeleteGroupPolicyOutput {})
}

pub async fn list_group_policies(
    cx: Cx,
    input: ListGroupPoliciesInput,
) -> Result<ListGroupPoliciesOutput, Error> {
    let marker = input.marker.as_deref();
    let page = grants::list_inline::<GroupRecord>(&cx, &input.group_name, marker, input.max_items)?;
    Ok(ListGroupPoliciesOutput {
        policy_names: page.items,
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn attach_group_policy(
    cx: Cx,
    input: AttachGroupPolicyInput,
) -> Result<AttachGroupPolicyOutput, Error> {
    grants::attach::<GroupRecord>(&cx, &input.group_name, &input.policy_arn)?;
    Ok(AttachGroupPolicyOutput {})
}

pub async fn detach_group_policy(
    cx: Cx,
    input: DetachGroupPolicyInput,
) -> Result<DetachGroupPolicyOutput, Error> {
    grants::detach::<GroupRecord>(&cx, &input.group_name, &input.policy_arn)?;
    Ok(DetachGroupPolicyOutput {})
}

pub async fn list_attached_group_policies(
    cx: Cx,
    input: ListAttachedGroupPoliciesInput,
) -> Result<ListAttachedGroupPoliciesOutput, Error> {
    let page = grants::list_attached::<GroupRecord>(
        &cx,
        &input.group_name,
        input.path_prefix.as_deref(),
        input.marker.as_deref(),
        input.max_items,
    )?;
    Ok(ListAttachedGroupPoliciesOutput {
        attached_policies: Some(page.items),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}
