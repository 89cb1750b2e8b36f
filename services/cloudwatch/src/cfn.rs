//! `AWS::CloudWatch::Alarm`: `Ref` is its name.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::cloudwatch::{
    DeleteAlarmsInput, PutMetricAlarmInput, Tag, TagResourceInput, UntagResourceInput, errors,
};

use crate::alarm_rules;

pub struct AlarmType;

const NAME_LENGTH_MAX: usize = 255;

const DIMENSION: &[Property] = &[
    Property::text("Name").required(),
    Property::text("Value").required(),
];
const METRIC: &[Property] = &[
    Property::objects("Dimensions").members(DIMENSION),
    Property::text("MetricName"),
    Property::text("Namespace"),
];
const METRIC_STAT: &[Property] = &[
    Property::object("Metric").required().members(METRIC),
    Property::number("Period").required(),
    Property::text("Stat").required(),
    Property::text("Unit"),
];
const QUERY: &[Property] = &[
    Property::text("Expression"),
    Property::text("Id").required(),
    Property::text("Label"),
    Property::object("MetricStat").members(METRIC_STAT),
    Property::number("Period"),
    Property::flag("ReturnData"),
];

const PROPERTIES: &[Property] = &[
    Property::flag("ActionsEnabled"),
    Property::texts("AlarmActions"),
    Property::text("AlarmDescription"),
    Property::text("AlarmName").names(),
    Property::text("ComparisonOperator").required(),
    Property::number("DatapointsToAlarm"),
    Property::objects("Dimensions").members(DIMENSION),
    Property::text("EvaluateLowSampleCountPercentile"),
    Property::number("EvaluationPeriods").required(),
    Property::text("ExtendedStatistic"),
    Property::texts("InsufficientDataActions"),
    Property::text("MetricName"),
    Property::objects("Metrics").members(QUERY),
    Property::text("Namespace"),
    Property::texts("OKActions"),
    Property::number("Period"),
    Property::text("Statistic"),
    Property::TAGS,
    Property::number("Threshold"),
    Property::text("TreatMissingData"),
    Property::text("Unit"),
];

fn input(name: &str, request: &ResourceRequest) -> Result<PutMetricAlarmInput, ResourceError> {
    Ok(PutMetricAlarmInput {
        alarm_name: name.to_owned(),
        tags: Some(tag_list(request.all_tags())),
        ..cloud::read_properties(&request.properties, &["AlarmName", "Tags"])?
    })
}

fn tag_list(tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value)| Tag { key, value };
    tags.into_iter().map(tag).collect()
}

fn arn(cx: &Cx, name: &str) -> String {
    cx.arn("cloudwatch", &format!("alarm:{name}"))
}

#[async_trait]
impl ResourceType for AlarmType {
    fn name(&self) -> &'static str {
        "AWS::CloudWatch::Alarm"
    }
    fn properties(&self) -> &'static [Property] {
        PROPERTIES
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Arn"]
    }

    fn refuse(&self, properties: &Json) -> Result<(), String> {
        if properties["ActionsEnabled"] == false {
            return Ok(());
        }
        let known = cloud::known_part(properties);
        let lists = ["AlarmActions", "OKActions", "InsufficientDataActions"];
        let mut actions = (lists.iter())
            .filter_map(|it| known[*it].as_array())
            .flatten()
            .filter_map(Json::as_str);
        match actions.find(|it| !alarm_rules::is_action(it)) {
            None => Ok(()),
            Some(action) => Err(alarm_rules::unknown_action(action)),
        }
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request.name("AlarmName", NAME_LENGTH_MAX);
        cx.with_token(&request.token)
            .call(input(&name, request)?)
            .await?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        cx.call(input(physical_id, request)?).await?;
        let resource_arn = arn(cx, physical_id);
        let untag = |tag_keys| UntagResourceInput {
            resource_arn: resource_arn.clone(),
            tag_keys,
        };
        let tag = |tags| TagResourceInput {
            resource_arn: resource_arn.clone(),
            tags: tag_list(tags),
        };
        request.tag_changes(old).apply(cx, untag, tag).await
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeleteAlarmsInput {
            alarm_names: vec![physical_id.to_owned()],
        };
        cloud::deletion(cx.call(input).await, &[errors::ResourceNotFound.code], &[])
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        Ok(json!({ "Arn": arn(cx, physical_id) }))
    }
}
