//! `AWS::CloudFormation::WaitConditionHandle` and `AWS::CloudFormation::WaitCondition`.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability};
use serde_json::{Value as Json, json};

use crate::lookup::{find, find_head};
use crate::wait::{self, Condition, Handle};

pub struct HandleType;

/// Neither can be updated: what a changed one waits for is something else.
const CONDITION: &[Property] = &[
    Property::text("Handle").replaces(),
    Property::text("Timeout").replaces(),
    Property::number("Count").replaces(),
];
/// The longest that AWS waits.
const TIMEOUT_SECONDS_MAX: i64 = 43_200;
const NAME_CHARACTERS_MAX: usize = 255;

#[async_trait]
impl ResourceType for HandleType {
    fn name(&self) -> &'static str {
        "AWS::CloudFormation::WaitConditionHandle"
    }
    fn properties(&self) -> &'static [Property] {
        &[]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let stack = cx.read(|tx| find_head(cx, tx, &request.stack_id))?;
        let stack = stack.map(|it| it.key()).unwrap_or_default();
        let physical_id = wait::create_handle(&cx.with_token(&request.token), &stack)?;
        Ok(Created { physical_id })
    }
    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let key = wait::key_of(physical_id).unwrap_or_default();
        cx.write(|tx| tx.delete::<Handle>(&key))?;
        Ok(())
    }
}

pub struct ConditionType;

/// What a condition's record is called by: its stack's id and its own part.
fn name_of(physical_id: &str) -> String {
    let mut parts = physical_id.rsplitn(3, '/');
    let (own, stack) = (parts.next().unwrap_or_default(), parts.next());
    format!("{}-{own}", stack.unwrap_or_default())
}

/// The logical id of the handle that a URL is of.
fn logical_id_of(cx: &Cx, stack_id: &str, url: &str) -> Result<Option<String>, ResourceError> {
    let stack = cx.read(|tx| find(cx, tx, stack_id))?;
    Ok(stack.and_then(|stack| {
        let handle = (stack.resources.iter()).find(|(_, it)| it.shown_id.as_deref() == Some(url));
        handle.map(|(id, _)| id.clone())
    }))
}

#[async_trait]
impl ResourceType for ConditionType {
    fn name(&self) -> &'static str {
        "AWS::CloudFormation::WaitCondition"
    }
    fn properties(&self) -> &'static [Property] {
        CONDITION
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Data"]
    }
    fn takes_signals(&self) -> bool {
        true
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let number = |name: &str, default: i64, max: i64| match request.text(name) {
            None => Ok(default),
            Some(text) => {
                (text.parse().ok().filter(|it| (1..=max).contains(it))).ok_or_else(|| {
                    ResourceError::new(format!(
                        "{name} must be a number up to {max} and is `{text}`"
                    ))
                })
            }
        };
        let handle = match request.text("Handle") {
            Some(url) => Some(wait::key_of(&url).ok_or_else(|| {
                ResourceError::new(
                    "Handle must be the Ref of an AWS::CloudFormation::WaitConditionHandle",
                )
            })?),
            None => None,
        };
        if handle.is_some() && request.get("Timeout").is_none() {
            return Err(ResourceError::new(
                "Property Timeout is required with a Handle",
            ));
        }
        let timeout = number("Timeout", TIMEOUT_SECONDS_MAX, TIMEOUT_SECONDS_MAX)?;
        let count = number("Count", 1, i64::from(u16::MAX))?;
        let own = match request.text("Handle") {
            Some(url) => logical_id_of(cx, &request.stack_id, &url)?,
            None => None,
        };
        let own = own.unwrap_or_else(|| request.generated_name(NAME_CHARACTERS_MAX));
        // `arn:…:stack/NAME/ID/HANDLE`
        let physical_id = format!("{}/{own}", request.stack_id);
        let name = name_of(&physical_id);
        let condition = Condition {
            region: cx.region.clone(),
            name,
            handle,
            count: usize::try_from(count).unwrap_or(1),
            deadline_ms: cx.clock().now_ms() + timeout * 1000,
        };
        cx.write(|tx| {
            if tx.get::<Condition>(&cx.key(&condition.name))?.is_none() {
                tx.put(&condition)?;
            }
            Ok(())
        })?;
        Ok(Created { physical_id })
    }
    async fn stability(&self, cx: &Cx, physical_id: &str) -> Result<Stability, ResourceError> {
        Ok(wait::stability(cx, &name_of(physical_id))?)
    }
    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        cx.write(|tx| tx.delete::<Condition>(&cx.key(&name_of(physical_id))))?;
        Ok(())
    }
    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        Ok(json!({ "Data": wait::data(cx, &name_of(physical_id))? }))
    }
}
