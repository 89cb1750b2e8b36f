//! KeyPair. The private half of one that is made is a secret parameter of Systems Manager, called
//! `/ec2/keypair/<key pair id>` (CloudFormation User Guide, "AWS::EC2::KeyPair").

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::ec2::{
    self, CreateKeyPairInput, DeleteKeyPairInput, DescribeKeyPairsInput, ImportKeyPairInput,
    KeyPairInfo,
};
use shapes::ssm::{DeleteParameterInput, ParameterType, PutParameterInput};

use super::{gone_is_fine, tag_specifications};

pub struct KeyPairType;

fn parameter(id: &str) -> String {
    format!("/ec2/keypair/{id}")
}

async fn key_pair(cx: &Cx, name: &str) -> Result<Option<KeyPairInfo>, ResourceError> {
    let input = DescribeKeyPairsInput {
        key_names: Some(vec![name.to_owned()]),
        ..Default::default()
    };
    match cx.call(input).await {
        Err(error) if error.code.ends_with("NotFound") => Ok(None),
        other => Ok(other?.key_pairs.unwrap_or_default().into_iter().next()),
    }
}

#[async_trait]
impl ResourceType for KeyPairType {
    fn name(&self) -> &'static str {
        "AWS::EC2::KeyPair"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("KeyFormat").replaces(),
                Property::text("KeyName").required().replaces(),
                Property::text("KeyType").replaces(),
                Property::text("PublicKeyMaterial").replaces(),
                Property::TAGS.replaces(),
            ]
        }
    }
    fn readable(&self) -> &'static [&'static str] {
        &["KeyFingerprint", "KeyPairId"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request.required_text("KeyName")?;
        let tags = tag_specifications(request, ec2::ResourceType::KeyPair);
        let cx = cx.with_token(&*request.token);
        if let Some(material) = request.text("PublicKeyMaterial") {
            let input = ImportKeyPairInput {
                key_name: name,
                public_key_material: wire::Blob(material.into_bytes()),
                tag_specifications: tags,
                ..Default::default()
            };
            return Created::of(cx.call(input).await?.key_name);
        }
        let input = CreateKeyPairInput {
            key_name: name,
            key_type: request.parsed("KeyType")?,
            key_format: request.parsed("KeyFormat")?,
            tag_specifications: tags,
            ..Default::default()
        };
        let made = cx.call(input).await?;
        let name = made.key_name.unwrap_or_default();
        request.made.note(&name);
        let input = PutParameterInput {
            name: parameter(&made.key_pair_id.unwrap_or_default()),
            value: made.key_material.unwrap_or_default(),
            r#type: Some(ParameterType::SecureString),
            overwrite: Some(true),
            ..Default::default()
        };
        cx.call(input).await?;
        Created::of(Some(name))
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        if let Some(found) = key_pair(cx, id).await? {
            let input = DeleteParameterInput {
                name: parameter(&found.key_pair_id.unwrap_or_default()),
            };
            match cx.call(input).await {
                // One that was imported has none, and a cloud without parameters neither.
                Err(error) if error.code == "ParameterNotFound" || error.status == 501 => {}
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
        }
        let input = DeleteKeyPairInput {
            key_name: Some(id.to_owned()),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn read(&self, cx: &Cx, id: &str) -> Result<Json, ResourceError> {
        let found = key_pair(cx, id).await?;
        let found = found.ok_or_else(|| ResourceError::new(format!("key pair {id} is gone")))?;
        Ok(json!({
            "KeyFingerprint": found.key_fingerprint,
            "KeyPairId": found.key_pair_id,
        }))
    }
}
