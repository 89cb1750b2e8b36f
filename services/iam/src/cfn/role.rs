//! `AWS::IAM::Role`: `Ref` is its name.

use std::collections::BTreeMap;

use ::policy::Purpose;
use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::iam::*;

use crate::document::check;
use crate::role::RoleRecord;

use super::{Holders, capability, gone_is_fine, required_document, tag_list, texts};

pub struct RoleType;

const NAME_LENGTH_MAX: usize = 64;
const MAX_SESSION_DEFAULT: i32 = 3600;

const POLICY: &[Property] = &[
    Property::any("PolicyDocument").required(),
    Property::text("PolicyName").required(),
];

fn number(request: &ResourceRequest, name: &str) -> Result<Option<i32>, ResourceError> {
    let parsed = request.text(name).map(|it| {
        it.parse()
            .map_err(|_| ResourceError::new(format!("{name} `{it}` is not a number")))
    });
    parsed.transpose()
}

/// The policies within a role: documents by name.
fn inline(properties: &Json) -> BTreeMap<String, String> {
    let items = properties.get("Policies").and_then(Json::as_array);
    let policy = |it: &Json| {
        let name = it["PolicyName"].as_str()?.to_owned();
        Some((name, cloud::document(&it["PolicyDocument"])))
    };
    items.into_iter().flatten().filter_map(policy).collect()
}

/// Refuses a role whose policies would be refused, before it is made.
fn check_policies(properties: &Json) -> Result<(), ResourceError> {
    for document in inline(properties).values() {
        check(document, Purpose::Inline)?;
    }
    Ok(())
}

async fn change_boundary(
    cx: &Cx,
    role: &str,
    old: &Json,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let role_name = role.to_owned();
    match request.text("PermissionsBoundary") {
        Some(permissions_boundary) => {
            let input = PutRolePermissionsBoundaryInput {
                role_name,
                permissions_boundary,
            };
            cx.call(input).await?;
        }
        None if old.get("PermissionsBoundary").is_some() => {
            cx.call(DeleteRolePermissionsBoundaryInput { role_name })
                .await?;
        }
        None => {}
    }
    Ok(())
}

/// Brings policies from the old properties to the new ones, adding before removing.
async fn change_policies(cx: &Cx, role: &str, old: &Json, new: &Json) -> Result<(), ResourceError> {
    let holder = Holders {
        roles: [role.to_owned()].into(),
        users: Default::default(),
        groups: Default::default(),
    };
    let (arns, old_arns) = (
        texts(new, "ManagedPolicyArns"),
        texts(old, "ManagedPolicyArns"),
    );
    for arn in arns.difference(&old_arns) {
        holder.attach(cx, arn).await?;
    }
    for arn in old_arns.difference(&arns) {
        holder.detach(cx, arn).await?;
    }
    let (policies, old_policies) = (inline(new), inline(old));
    for (name, document) in &policies {
        holder.put(cx, name, document).await?;
    }
    for name in old_policies.keys().filter(|it| !policies.contains_key(*it)) {
        holder.remove(cx, name).await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for RoleType {
    fn name(&self) -> &'static str {
        "AWS::IAM::Role"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::any("AssumeRolePolicyDocument").required(),
                Property::text("Description"),
                Property::texts("ManagedPolicyArns"),
                Property::number("MaxSessionDuration"),
                Property::text("Path").replaces(),
                Property::text("PermissionsBoundary"),
                Property::objects("Policies").members(POLICY),
                Property::text("RoleName").names(),
                Property::TAGS,
            ]
        }
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Arn", "RoleId"]
    }
    fn capability(&self, properties: &Json) -> Option<&'static str> {
        capability(properties, "RoleName")
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request.name("RoleName", NAME_LENGTH_MAX);
        let input = CreateRoleInput {
            role_name: name.clone(),
            path: request.text("Path"),
            assume_role_policy_document: required_document(request, "AssumeRolePolicyDocument")?,
            description: request.text("Description"),
            max_session_duration: number(request, "MaxSessionDuration")?,
            permissions_boundary: request.text("PermissionsBoundary"),
            tags: Some(tag_list(&request.all_tags())),
        };
        check_policies(&request.properties)?;
        cx.with_token(&request.token).call(input).await?;
        request.made.note(&name);
        change_policies(cx, &name, &Json::Null, &request.properties).await?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let role_name = physical_id.to_owned();
        let trust = UpdateAssumeRolePolicyInput {
            role_name: role_name.clone(),
            policy_document: required_document(request, "AssumeRolePolicyDocument")?,
        };
        cx.call(trust).await?;
        let seconds = number(request, "MaxSessionDuration")?;
        let update = UpdateRoleInput {
            role_name: role_name.clone(),
            description: Some(request.text("Description").unwrap_or_default()),
            max_session_duration: Some(seconds.unwrap_or(MAX_SESSION_DEFAULT)),
        };
        cx.call(update).await?;
        change_boundary(cx, physical_id, old, request).await?;
        change_policies(cx, physical_id, old, &request.properties).await?;
        let untag = |tag_keys| UntagRoleInput {
            role_name: role_name.clone(),
            tag_keys,
        };
        let tag = |tags| TagRoleInput {
            role_name: role_name.clone(),
            tags: tag_list(&tags),
        };
        request.tag_changes(old).apply(cx, untag, tag).await
    }

    async fn delete(
        &self,
        cx: &Cx,
        physical_id: &str,
        properties: &Json,
    ) -> Result<(), ResourceError> {
        change_policies(cx, physical_id, properties, &Json::Null).await?;
        let input = DeleteRoleInput {
            role_name: physical_id.to_owned(),
        };
        gone_is_fine(cx.call(input).await)
    }

    async fn actual(
        &self,
        cx: &Cx,
        physical_id: &str,
        expected: &Json,
    ) -> Result<Option<Json>, ResourceError> {
        let Ok(role) = cx.read(|tx| RoleRecord::find(tx, physical_id)) else {
            return Ok(Some(Json::Null));
        };
        // A document is shown in the form that the template wrote it in: as text or as an object.
        let form = |text: &str, asked: &Json| match asked {
            Json::String(_) => json!(text),
            _ => serde_json::from_str(text).unwrap_or(json!(text)),
        };
        let policies: Vec<Json> = (role.grants.inline.iter())
            .map(|(name, text)| {
                let asked = expected["Policies"].as_array().into_iter().flatten();
                let asked = asked.into_iter().find(|it| it["PolicyName"] == json!(name));
                let document = form(text, asked.map_or(&Json::Null, |it| &it["PolicyDocument"]));
                json!({ "PolicyName": name, "PolicyDocument": document })
            })
            .collect();
        Ok(Some(json!({
            "AssumeRolePolicyDocument":
                form(&role.trust, &expected["AssumeRolePolicyDocument"]),
            "Description": role.description,
            "ManagedPolicyArns": role.grants.attached,
            "MaxSessionDuration": role.max_session_seconds,
            "Path": role.path,
            "PermissionsBoundary": role.grants.boundary,
            "Policies": policies,
            "RoleName": role.name,
        })))
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        let input = GetRoleInput {
            role_name: physical_id.to_owned(),
        };
        let role = cx.call(input).await?.role;
        Ok(json!({ "Arn": role.arn, "RoleId": role.role_id }))
    }
}
