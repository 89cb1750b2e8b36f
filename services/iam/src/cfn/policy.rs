//! `AWS::IAM::Policy`, which stands within roles and users, and `AWS::IAM::ManagedPolicy`, which is
//! attached to them.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::iam::*;

use super::{Holders, capability, gone_is_fine, required_document};

const NAME_LENGTH_MAX: usize = 128;

/// `Ref` is a name that nothing else has: the policy itself is known by its own name within each of
/// its holders.
pub struct PolicyType;

fn policy_name(properties: &Json) -> Result<&str, ResourceError> {
    properties["PolicyName"]
        .as_str()
        .ok_or_else(|| ResourceError::new("Property PolicyName must be text"))
}

#[async_trait]
impl ResourceType for PolicyType {
    fn name(&self) -> &'static str {
        "AWS::IAM::Policy"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::texts("Groups"),
                Property::any("PolicyDocument").required(),
                Property::text("PolicyName").required(),
                Property::texts("Roles"),
                Property::texts("Users"),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }
    fn capability(&self, _: &Json) -> Option<&'static str> {
        // The name is one within a role, and takes no name in the account.
        Some("CAPABILITY_IAM")
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let holders = Holders::of(&request.properties);
        if holders.is_empty() {
            return Err(ResourceError::new(
                "At least one of [Groups,Roles,Users] must be non-empty.",
            ));
        }
        let document = required_document(request, "PolicyDocument")?;
        let name = policy_name(&request.properties)?;
        let physical_id = request.generated_name(NAME_LENGTH_MAX);
        // The first of its holders may have it when another is refused.
        request.made.note(&physical_id);
        holders.put(cx, name, &document).await?;
        Ok(Created { physical_id })
    }

    async fn update(
        &self,
        cx: &Cx,
        _physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let (before, now) = (Holders::of(old), Holders::of(&request.properties));
        let (old_name, name) = (policy_name(old)?, policy_name(&request.properties)?);
        let document = required_document(request, "PolicyDocument")?;
        now.put(cx, name, &document).await?;
        if old_name == name {
            before.without(&now).remove(cx, name).await
        } else {
            before.remove(cx, old_name).await
        }
    }

    async fn delete(&self, cx: &Cx, _: &str, properties: &Json) -> Result<(), ResourceError> {
        let name = policy_name(properties)?;
        Holders::of(properties).remove(cx, name).await
    }
}

/// `Ref` is its ARN.
pub struct ManagedPolicyType;

async fn describe(cx: &Cx, arn: &str) -> Result<Policy, cloud::Error> {
    let input = GetPolicyInput {
        policy_arn: arn.to_owned(),
    };
    Ok(cx.call(input).await?.policy.unwrap_or_default())
}

/// Deletes every version but the one that counts.
async fn delete_old_versions(cx: &Cx, arn: &str) -> Result<(), ResourceError> {
    let input = ListPolicyVersionsInput {
        policy_arn: arn.to_owned(),
        ..Default::default()
    };
    let versions = cx.call(input).await?.versions.unwrap_or_default();
    let old = versions
        .into_iter()
        .filter(|it| it.is_default_version != Some(true));
    for version_id in old.filter_map(|it| it.version_id) {
        let policy_arn = arn.to_owned();
        let input = DeletePolicyVersionInput {
            policy_arn,
            version_id,
        };
        gone_is_fine(cx.call(input).await)?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for ManagedPolicyType {
    fn name(&self) -> &'static str {
        "AWS::IAM::ManagedPolicy"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("Description").replaces(),
                Property::texts("Groups"),
                Property::text("ManagedPolicyName").names(),
                Property::text("Path").replaces(),
                Property::any("PolicyDocument").required(),
                Property::texts("Roles"),
                Property::texts("Users"),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["PolicyArn"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &[
            "AttachmentCount",
            "DefaultVersionId",
            "IsAttachable",
            "PermissionsBoundaryUsageCount",
            "PolicyId",
        ]
    }
    fn capability(&self, properties: &Json) -> Option<&'static str> {
        capability(properties, "ManagedPolicyName")
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreatePolicyInput {
            policy_name: request.name("ManagedPolicyName", NAME_LENGTH_MAX),
            path: request.text("Path"),
            policy_document: required_document(request, "PolicyDocument")?,
            description: request.text("Description"),
            ..Default::default()
        };
        let made = cx.with_token(&request.token).call(input).await?;
        let made = Created::of(made.policy.and_then(|it| it.arn))?;
        let arn = &made.physical_id;
        request.made.note(arn);
        Holders::of(&request.properties).attach(cx, arn).await?;
        Ok(made)
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        if old.get("PolicyDocument") != request.get("PolicyDocument") {
            delete_old_versions(cx, physical_id).await?;
            let input = CreatePolicyVersionInput {
                policy_arn: physical_id.to_owned(),
                policy_document: required_document(request, "PolicyDocument")?,
                set_as_default: Some(true),
            };
            cx.call(input).await?;
        }
        let (before, now) = (Holders::of(old), Holders::of(&request.properties));
        now.without(&before).attach(cx, physical_id).await?;
        before.without(&now).detach(cx, physical_id).await
    }

    async fn delete(
        &self,
        cx: &Cx,
        physical_id: &str,
        properties: &Json,
    ) -> Result<(), ResourceError> {
        match describe(cx, physical_id).await {
            Err(error) => return gone_is_fine(Err::<(), _>(error)),
            Ok(_) => Holders::of(properties).detach(cx, physical_id).await?,
        }
        delete_old_versions(cx, physical_id).await?;
        let input = DeletePolicyInput {
            policy_arn: physical_id.to_owned(),
        };
        gone_is_fine(cx.call(input).await)
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        let policy = describe(cx, physical_id).await?;
        Ok(json!({
            "AttachmentCount": policy.attachment_count,
            "DefaultVersionId": policy.default_version_id,
            "IsAttachable": policy.is_attachable,
            "PermissionsBoundaryUsageCount": policy.permissions_boundary_usage_count,
            "PolicyId": policy.policy_id,
        }))
    }
}
