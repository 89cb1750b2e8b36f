//! `AWS::ApplicationAutoScaling::ScalingPolicy`: `Ref` is its ARN. It is stable when its alarms are
//! there.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability};
use serde_json::{Map, Value as Json};
use shapes::application_autoscaling::*;
use shapes::cloudwatch::DescribeAlarmsInput;

use super::{Named, named, parse_target_id};

pub struct ScalingPolicyType;

const STEP: &[Property] = &[
    Property::number("MetricIntervalLowerBound"),
    Property::number("MetricIntervalUpperBound"),
    Property::number("ScalingAdjustment").required(),
];
const STEPS: &[Property] = &[
    Property::text("AdjustmentType"),
    Property::number("Cooldown"),
    Property::text("MetricAggregationType"),
    Property::number("MinAdjustmentMagnitude"),
    Property::objects("StepAdjustments").members(STEP),
];
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
    Property::object("Metric").members(METRIC),
    Property::text("Stat"),
    Property::text("Unit"),
];
const QUERY: &[Property] = &[
    Property::text("Expression"),
    Property::text("Id"),
    Property::text("Label"),
    Property::object("MetricStat").members(METRIC_STAT),
    Property::flag("ReturnData"),
];
const CUSTOMIZED: &[Property] = &[
    Property::objects("Dimensions").members(DIMENSION),
    Property::text("MetricName"),
    Property::objects("Metrics").members(QUERY),
    Property::text("Namespace"),
    Property::text("Statistic"),
    Property::text("Unit"),
];
const PREDEFINED: &[Property] = &[
    Property::text("PredefinedMetricType").required(),
    Property::text("ResourceLabel"),
];
const TRACKING: &[Property] = &[
    Property::object("CustomizedMetricSpecification").members(CUSTOMIZED),
    Property::flag("DisableScaleIn"),
    Property::object("PredefinedMetricSpecification").members(PREDEFINED),
    Property::number("ScaleInCooldown"),
    Property::number("ScaleOutCooldown"),
    Property::number("TargetValue").required(),
];

/// A policy names its target by its id, or by its parts.
fn target(request: &ResourceRequest) -> Result<Named, ResourceError> {
    match request.text("ScalingTargetId") {
        Some(id) => parse_target_id(&id),
        None => named(
            &request.required_text("ResourceId")?,
            &request.required_text("ScalableDimension")?,
            &request.required_text("ServiceNamespace")?,
        ),
    }
}

async fn put(cx: &Cx, request: &ResourceRequest) -> Result<String, ResourceError> {
    let named = target(request)?;
    let taken = [
        "PolicyName",
        "PolicyType",
        "StepScalingPolicyConfiguration",
        "TargetTrackingScalingPolicyConfiguration",
    ];
    let kept: Map<String, Json> = taken
        .into_iter()
        .filter_map(|it| Some((it.to_owned(), request.get(it)?.clone())))
        .collect();
    let mut input: PutScalingPolicyInput = wire::lenient_partial(Json::Object(kept))
        .map_err(|error| ResourceError::new(error.to_string()))?;
    input.service_namespace = named.namespace;
    input.resource_id = named.resource_id;
    input.scalable_dimension = named.dimension;
    Ok(cx.call(input).await?.policy_arn)
}

/// The resource and the name in a policy's ARN.
fn parse_arn(arn: &str) -> Option<(&str, &str)> {
    let (before, name) = arn.rsplit_once(":policyName/")?;
    let (_, resource_id) = before.split_once(":resource/ecs/")?;
    Some((resource_id, name))
}

async fn find(cx: &Cx, arn: &str) -> Result<Option<ScalingPolicy>, ResourceError> {
    let Some((resource_id, name)) = parse_arn(arn) else {
        return Ok(None);
    };
    let input = DescribeScalingPoliciesInput {
        policy_names: Some(vec![name.to_owned()]),
        service_namespace: ServiceNamespace::Ecs,
        resource_id: Some(resource_id.to_owned()),
        ..Default::default()
    };
    let found = cx.call(input).await?.scaling_policies.unwrap_or_default();
    Ok(found.into_iter().find(|it| it.policy_arn == arn))
}

#[async_trait]
impl ResourceType for ScalingPolicyType {
    fn name(&self) -> &'static str {
        "AWS::ApplicationAutoScaling::ScalingPolicy"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("PolicyName").required().replaces(),
                Property::text("PolicyType").required(),
                Property::text("ResourceId").replaces(),
                Property::text("ScalableDimension").replaces(),
                Property::text("ScalingTargetId").replaces(),
                Property::text("ServiceNamespace").replaces(),
                Property::object("StepScalingPolicyConfiguration").members(STEPS),
                Property::object("TargetTrackingScalingPolicyConfiguration").members(TRACKING),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Arn"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let physical_id = put(&cx.with_token(&request.token), request).await?;
        Ok(Created { physical_id })
    }

    async fn stability(&self, cx: &Cx, physical_id: &str) -> Result<Stability, ResourceError> {
        let Some(policy) = find(cx, physical_id).await? else {
            return Ok(Stability::Failed("the scaling policy is gone".into()));
        };
        let alarms = policy.alarms.unwrap_or_default();
        let names: Vec<String> = alarms.into_iter().map(|it| it.alarm_name).collect();
        if names.is_empty() {
            return Ok(Stability::Stable);
        }
        let count = names.len();
        let input = DescribeAlarmsInput {
            alarm_names: Some(names),
            ..Default::default()
        };
        let there = cx.call(input).await?.metric_alarms.unwrap_or_default();
        match there.len() == count {
            true => Ok(Stability::Stable),
            false => Ok(Stability::Waiting("its alarms are being made".into())),
        }
    }

    async fn update(
        &self,
        cx: &Cx,
        _: &str,
        _: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        put(cx, request).await.map(drop)
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        // One of the same name may have taken its place.
        let Some(policy) = find(cx, physical_id).await? else {
            return Ok(());
        };
        let input = DeleteScalingPolicyInput {
            policy_name: policy.policy_name,
            service_namespace: policy.service_namespace,
            resource_id: policy.resource_id,
            scalable_dimension: policy.scalable_dimension,
        };
        let gone = &[errors::ObjectNotFoundException.code];
        cloud::deletion(cx.call(input).await, gone, &[])
    }
}
