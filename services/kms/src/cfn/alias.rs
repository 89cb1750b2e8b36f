//! `AWS::KMS::Alias`: `Ref` is its name.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::Value as Json;
use shapes::kms::*;

pub struct AliasType;

#[async_trait]
impl ResourceType for AliasType {
    fn name(&self) -> &'static str {
        "AWS::KMS::Alias"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("AliasName").required().names(),
                Property::text("TargetKeyId").required(),
            ]
        }
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let alias_name = request.required_text("AliasName")?;
        let input = CreateAliasInput {
            alias_name: alias_name.clone(),
            target_key_id: request.required_text("TargetKeyId")?,
        };
        cx.with_token(&request.token).call(input).await?;
        Ok(Created {
            physical_id: alias_name,
        })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        _: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let input = UpdateAliasInput {
            alias_name: physical_id.to_owned(),
            target_key_id: request.required_text("TargetKeyId")?,
        };
        cx.call(input).await?;
        Ok(())
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeleteAliasInput {
            alias_name: physical_id.to_owned(),
        };
        let gone = &[errors::NotFoundException.code];
        cloud::deletion(cx.call(input).await, gone, &[])
    }
}
