//! `AWS::Logs::LogGroup`: `Ref` is its name.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::logs::{
    CreateLogGroupInput, DeleteLogGroupInput, DeleteRetentionPolicyInput, DescribeLogGroupsInput,
    LogGroupClass, PutRetentionPolicyInput, TagLogGroupInput, UntagLogGroupInput, errors,
};

use crate::names::group_arn;

pub struct LogGroupType;

fn is_name(name: &str) -> bool {
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || ".-_/#".contains(it);
    (1..=NAME_LENGTH_MAX).contains(&name.len()) && name.chars().all(is_allowed)
}

const NAME_LENGTH_MAX: usize = 512;

#[async_trait]
impl ResourceType for LogGroupType {
    fn name(&self) -> &'static str {
        "AWS::Logs::LogGroup"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("LogGroupClass"),
                Property::text("LogGroupName").names(),
                Property::number("RetentionInDays"),
                Property::TAGS,
            ]
        }
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Arn"]
    }

    fn refuse(&self, properties: &Json) -> Result<(), String> {
        match cloud::known_part(properties)["LogGroupName"].as_str() {
            Some(name) if !is_name(name) => Err(format!(
                "Value '{name}' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+ and have at most {NAME_LENGTH_MAX} characters"
            )),
            _ => Ok(()),
        }
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request.name("LogGroupName", NAME_LENGTH_MAX);
        let input = CreateLogGroupInput {
            log_group_name: name.clone(),
            log_group_class: request.parsed("LogGroupClass")?,
            tags: Some(request.all_tags()),
        };
        cx.with_token(&request.token).call(input).await?;
        request.made.note(&name);
        set_retention(cx, &name, request).await?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        // Only one class is known, so this can only refuse another.
        let class: Option<LogGroupClass> = request.parsed("LogGroupClass")?;
        if class.is_some_and(|it| it != LogGroupClass::Standard) {
            return Err(ResourceError::new(
                "LogGroupClass cannot be changed after the log group is made",
            ));
        }
        set_retention(cx, physical_id, request).await?;
        let untag = |tags| UntagLogGroupInput {
            log_group_name: physical_id.into(),
            tags,
        };
        let tag = |tags| TagLogGroupInput {
            log_group_name: physical_id.into(),
            tags,
        };
        request.tag_changes(old).apply(cx, untag, tag).await
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeleteLogGroupInput {
            log_group_name: physical_id.into(),
        };
        let gone = &[errors::ResourceNotFoundException.code];
        cloud::deletion(cx.call(input).await, gone, &[])
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        Ok(json!({ "Arn": format!("{}:*", group_arn(cx, physical_id)) }))
    }

    async fn actual(
        &self,
        cx: &Cx,
        physical_id: &str,
        _expected: &Json,
    ) -> Result<Option<Json>, ResourceError> {
        let input = DescribeLogGroupsInput {
            log_group_name_prefix: Some(physical_id.into()),
            ..Default::default()
        };
        let groups = cx.call(input).await?.log_groups.unwrap_or_default();
        // The first of those with the prefix is the shortest.
        let group = groups
            .iter()
            .find(|it| it.log_group_name.as_deref() == Some(physical_id));
        let Some(group) = group else {
            return Ok(Some(Json::Null));
        };
        Ok(Some(json!({
            "LogGroupName": group.log_group_name,
            "RetentionInDays": group.retention_in_days,
        })))
    }
}

async fn set_retention(
    cx: &Cx,
    group: &str,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let log_group_name = group.to_owned();
    let Some(days) = request.text("RetentionInDays") else {
        cx.call(DeleteRetentionPolicyInput { log_group_name })
            .await?;
        return Ok(());
    };
    let retention_in_days = days.parse().map_err(|_| {
        ResourceError::new(format!("RetentionInDays `{days}` is not a number of days"))
    })?;
    let input = PutRetentionPolicyInput {
        log_group_name,
        retention_in_days,
    };
    cx.call(input).await?;
    Ok(())
}
