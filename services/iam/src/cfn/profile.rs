//! `AWS::IAM::InstanceProfile`: `Ref` is its name.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::iam::*;

use super::{capability, gone_is_fine, texts};

pub struct ProfileType;

const NAME_LENGTH_MAX: usize = 128;

/// The roles that a profile has now.
async fn roles(cx: &Cx, name: &str) -> Result<Vec<String>, cloud::Error> {
    let input = GetInstanceProfileInput {
        instance_profile_name: name.to_owned(),
    };
    let profile = cx.call(input).await?.instance_profile;
    Ok(profile.roles.into_iter().map(|it| it.role_name).collect())
}

/// Removes what is not wanted, then adds what is not there: a profile has room for one role.
async fn set_roles(cx: &Cx, name: &str, wanted: &Json) -> Result<(), ResourceError> {
    let wanted = texts(wanted, "Roles");
    let there = roles(cx, name).await?;
    for role_name in there.iter().filter(|it| !wanted.contains(*it)).cloned() {
        let input = RemoveRoleFromInstanceProfileInput {
            instance_profile_name: name.to_owned(),
            role_name,
        };
        gone_is_fine(cx.call(input).await)?;
    }
    for role_name in wanted.into_iter().filter(|it| !there.contains(it)) {
        let input = AddRoleToInstanceProfileInput {
            instance_profile_name: name.to_owned(),
            role_name,
        };
        cx.call(input).await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for ProfileType {
    fn name(&self) -> &'static str {
        "AWS::IAM::InstanceProfile"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("InstanceProfileName").names(),
                Property::text("Path").replaces(),
                Property::texts("Roles").required(),
            ]
        }
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Arn"]
    }
    fn capability(&self, properties: &Json) -> Option<&'static str> {
        capability(properties, "InstanceProfileName")
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request.name("InstanceProfileName", NAME_LENGTH_MAX);
        let input = CreateInstanceProfileInput {
            instance_profile_name: name.clone(),
            path: request.text("Path"),
            tags: None,
        };
        cx.with_token(&request.token).call(input).await?;
        request.made.note(&name);
        set_roles(cx, &name, &request.properties).await?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        set_roles(cx, physical_id, &request.properties).await
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        if let Err(error) = roles(cx, physical_id).await {
            return gone_is_fine(Err::<(), _>(error));
        }
        set_roles(cx, physical_id, &Json::Null).await?;
        let input = DeleteInstanceProfileInput {
            instance_profile_name: physical_id.to_owned(),
        };
        gone_is_fine(cx.call(input).await)
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        let input = GetInstanceProfileInput {
            instance_profile_name: physical_id.to_owned(),
        };
        Ok(json!({ "Arn": cx.call(input).await?.instance_profile.arn }))
    }
}
