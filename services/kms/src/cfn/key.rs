//! `AWS::KMS::Key`: `Ref` is its id. Its deletion is scheduled, and takes as long as its window.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::kms::*;

use crate::policies;

pub struct KeyType;

/// Members whose only values here are those that a key has by default.
const FIXED: &[(&str, &str)] = &[
    ("KeySpec", "SYMMETRIC_DEFAULT"),
    ("KeyUsage", "ENCRYPT_DECRYPT"),
    ("Origin", "AWS_KMS"),
];

fn policy(cx: &Cx, request: &ResourceRequest) -> String {
    let policy = request.get("KeyPolicy");
    policy.map_or_else(|| policies::usual(cx.account()), cloud::document)
}

fn tag_list(tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(tag_key, tag_value)| Tag { tag_key, tag_value };
    tags.into_iter().map(tag).collect()
}

fn bypass(request: &ResourceRequest) -> Option<bool> {
    request.flag("BypassPolicyLockoutSafetyCheck")
}

/// Rotation as the template wants it, while the key may be used.
async fn set_rotation(
    cx: &Cx,
    key_id: &str,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let key_id = key_id.to_owned();
    if request.flag("EnableKeyRotation") == Some(true) {
        let rotation_period_in_days = request.shape("RotationPeriodInDays")?;
        let input = EnableKeyRotationInput {
            key_id,
            rotation_period_in_days,
        };
        cx.call(input).await?;
    } else {
        cx.call(DisableKeyRotationInput { key_id }).await?;
    }
    Ok(())
}

async fn set_enabled(
    cx: &Cx,
    key_id: &str,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let key_id = key_id.to_owned();
    match request.flag("Enabled") {
        Some(false) => {
            cx.call(DisableKeyInput { key_id }).await?;
        }
        _ => {
            cx.call(EnableKeyInput { key_id }).await?;
        }
    }
    Ok(())
}

#[async_trait]
impl ResourceType for KeyType {
    fn name(&self) -> &'static str {
        "AWS::KMS::Key"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::flag("BypassPolicyLockoutSafetyCheck"),
                Property::text("Description"),
                Property::flag("EnableKeyRotation"),
                Property::flag("Enabled"),
                Property::any("KeyPolicy"),
                Property::text("KeySpec"),
                Property::text("KeyUsage"),
                Property::flag("MultiRegion"),
                Property::text("Origin"),
                Property::number("PendingWindowInDays"),
                Property::number("RotationPeriodInDays"),
                Property::TAGS,
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["KeyId"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Arn"]
    }

    fn refuse(&self, properties: &Json) -> Result<(), String> {
        let known = cloud::known_part(properties);
        for (name, only) in FIXED {
            if let Some(other) = known[*name].as_str().filter(|it| it != only) {
                return Err(format!(
                    "a key of {name} {other} is not supported by neargate"
                ));
            }
        }
        match &known["MultiRegion"] {
            Json::Bool(true) => Err("a multi-Region key is not supported by neargate".to_owned()),
            Json::String(text) if text.eq_ignore_ascii_case("true") => {
                Err("a multi-Region key is not supported by neargate".to_owned())
            }
            _ => Ok(()),
        }
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateKeyInput {
            policy: Some(policy(cx, request)),
            description: request.text("Description"),
            bypass_policy_lockout_safety_check: bypass(request),
            tags: Some(tag_list(request.all_tags())),
            ..Default::default()
        };
        let made = cx.with_token(&request.token).call(input).await?;
        let made = Created::of(made.key_metadata.map(|it| it.key_id))?;
        let id = &made.physical_id;
        request.made.note(id);
        if request.flag("EnableKeyRotation") == Some(true) {
            set_rotation(cx, id, request).await?;
        }
        if request.flag("Enabled") == Some(false) {
            set_enabled(cx, id, request).await?;
        }
        Ok(made)
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let key_id = physical_id.to_owned();
        let new = &request.properties;
        let differs = |name: &str| old.get(name) != new.get(name);
        // A key that is disabled rotates no more and begins no rotation: it is enabled before.
        let was_disabled = request.with_properties(old).flag("Enabled") == Some(false);
        if was_disabled && request.flag("Enabled") != Some(false) {
            set_enabled(cx, physical_id, request).await?;
        }
        if differs("KeyPolicy") {
            let input = PutKeyPolicyInput {
                key_id: key_id.clone(),
                policy: policy(cx, request),
                bypass_policy_lockout_safety_check: bypass(request),
                ..Default::default()
            };
            cx.call(input).await?;
        }
        if differs("Description") {
            let input = UpdateKeyDescriptionInput {
                key_id: key_id.clone(),
                description: request.text("Description").unwrap_or_default(),
            };
            cx.call(input).await?;
        }
        if differs("EnableKeyRotation") || differs("RotationPeriodInDays") {
            set_rotation(cx, physical_id, request).await?;
        }
        if request.flag("Enabled") == Some(false) {
            set_enabled(cx, physical_id, request).await?;
        }
        let untag = |tag_keys| UntagResourceInput {
            key_id: key_id.clone(),
            tag_keys,
        };
        let tag = |tags| TagResourceInput {
            key_id: key_id.clone(),
            tags: tag_list(tags),
        };
        request.tag_changes(old).apply(cx, untag, tag).await
    }

    async fn delete(
        &self,
        cx: &Cx,
        physical_id: &str,
        properties: &Json,
    ) -> Result<(), ResourceError> {
        let window = &properties["PendingWindowInDays"];
        let window = (window.as_i64()).or_else(|| window.as_str().and_then(|it| it.parse().ok()));
        let input = ScheduleKeyDeletionInput {
            key_id: physical_id.to_owned(),
            pending_window_in_days: window.and_then(|it| i32::try_from(it).ok()),
        };
        let gone = &[
            errors::NotFoundException.code,
            // It is on its way already.
            errors::KMSInvalidStateException.code,
        ];
        cloud::deletion(cx.call(input).await, gone, &[])
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        Ok(json!({ "Arn": cx.arn("kms", &format!("key/{physical_id}")) }))
    }
}
