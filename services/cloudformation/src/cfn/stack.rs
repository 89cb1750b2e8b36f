//! `AWS::CloudFormation::Stack`: a stack in a stack, out of a template in a bucket.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability};
use serde_json::Value as Json;

use crate::nested;
use crate::record::STACK_TYPE;

pub struct NestedStackType;

/// Attributes are outputs: `Outputs.Name`.
const OUTPUTS: &str = "Outputs.";

#[async_trait]
impl ResourceType for NestedStackType {
    fn name(&self) -> &'static str {
        STACK_TYPE
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("TemplateURL").required(),
                Property::object("Parameters"),
                Property::number("TimeoutInMinutes"),
                Property::TAGS,
            ]
        }
    }
    fn has_attribute(&self, name: &str) -> bool {
        name.strip_prefix(OUTPUTS).is_some_and(|it| !it.is_empty())
    }
    fn is_stack(&self) -> bool {
        true
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let physical_id = nested::create(cx, request).await?;
        Ok(Created { physical_id })
    }
    async fn stability(&self, cx: &Cx, physical_id: &str) -> Result<Stability, ResourceError> {
        nested::stability(cx, physical_id)
    }
    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        nested::update(cx, physical_id, request).await
    }
    async fn restore(
        &self,
        cx: &Cx,
        physical_id: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        nested::restore(cx, physical_id, request)
    }
    async fn release(&self, cx: &Cx, physical_id: &str) -> Result<Stability, ResourceError> {
        nested::release(cx, physical_id)
    }
    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        nested::delete(cx, physical_id)
    }
    async fn deleted(&self, cx: &Cx, physical_id: &str) -> Result<Stability, ResourceError> {
        nested::deleted(cx, physical_id)
    }
    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        let outputs = nested::outputs(cx, physical_id)?;
        Ok((outputs.into_iter())
            .map(|it| (format!("{OUTPUTS}{}", it.key), Json::from(it.value)))
            .collect())
    }
}
