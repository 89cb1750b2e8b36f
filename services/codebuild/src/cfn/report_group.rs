//! `AWS::CodeBuild::ReportGroup`: `Ref` is its ARN.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::Value as Json;
use shapes::codebuild::*;

use super::tags;

pub struct ReportGroupType;

const NAME_LENGTH_MAX: usize = 128;
const PROPERTIES: &[Property] = &[
    Property::flag("DeleteReports"),
    Property::object("ExportConfig")
        .members(&[Property::text("ExportConfigType").required()])
        .required(),
    Property::text("Name").replaces(),
    Property::TAGS,
    Property::text("Type").required().replaces(),
];

#[async_trait]
impl ResourceType for ReportGroupType {
    fn name(&self) -> &'static str {
        "AWS::CodeBuild::ReportGroup"
    }
    fn properties(&self) -> &'static [Property] {
        PROPERTIES
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Arn"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let without = ["Tags", "DeleteReports"];
        let mut call: CreateReportGroupInput =
            cloud::read_properties(&request.properties, &without)?;
        call.name = request.name("Name", NAME_LENGTH_MAX);
        call.tags = Some(tags(request));
        let made = cx.with_token(&request.token).call(call).await?;
        Created::of(made.report_group.and_then(|it| it.arn))
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let call = UpdateReportGroupInput {
            arn: physical_id.to_owned(),
            export_config: request.shape("ExportConfig")?,
            tags: Some(tags(request)),
        };
        cx.call(call).await?;
        Ok(())
    }

    async fn delete(
        &self,
        cx: &Cx,
        physical_id: &str,
        properties: &Json,
    ) -> Result<(), ResourceError> {
        let flag = &properties["DeleteReports"];
        let call = DeleteReportGroupInput {
            arn: physical_id.to_owned(),
            delete_reports: Some(*flag == true || *flag == "true"),
        };
        cx.call(call).await?;
        Ok(())
    }
}
