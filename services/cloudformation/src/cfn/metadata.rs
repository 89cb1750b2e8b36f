//! `AWS::CDK::Metadata`: what the CDK writes into templates to be counted by. It makes nothing, on AWS
//! as here.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::Value as Json;

pub struct MetadataType;

const NAME_CHARACTERS_MAX: usize = 255;

#[async_trait]
impl ResourceType for MetadataType {
    fn name(&self) -> &'static str {
        "AWS::CDK::Metadata"
    }
    fn properties(&self) -> &'static [Property] {
        const { &[Property::text("Analytics"), Property::text("Modules")] }
    }
    async fn create(&self, _: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let physical_id = request.generated_name(NAME_CHARACTERS_MAX);
        Ok(Created { physical_id })
    }
    async fn delete(&self, _: &Cx, _: &str, _: &Json) -> Result<(), ResourceError> {
        Ok(())
    }
}
