//! `AWS::ApplicationAutoScaling::ScalableTarget`: `Ref` is its id, with its dimension and namespace.

use std::collections::BTreeSet;

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::Value as Json;
use shapes::application_autoscaling::*;

use super::{Named, named, parse_target_id};

pub struct ScalableTargetType;

const ACTION: &[Property] = &[
    Property::number("MaxCapacity"),
    Property::number("MinCapacity"),
];
const SCHEDULED: &[Property] = &[
    Property::text("EndTime"),
    Property::object("ScalableTargetAction").members(ACTION),
    Property::text("Schedule").required(),
    Property::text("ScheduledActionName").required(),
    Property::text("StartTime"),
    Property::text("Timezone"),
];
const SUSPENDED: &[Property] = &[
    Property::flag("DynamicScalingInSuspended"),
    Property::flag("DynamicScalingOutSuspended"),
    Property::flag("ScheduledScalingSuspended"),
];

fn target(request: &ResourceRequest) -> Result<Named, ResourceError> {
    named(
        &request.required_text("ResourceId")?,
        &request.required_text("ScalableDimension")?,
        &request.required_text("ServiceNamespace")?,
    )
}

async fn register(cx: &Cx, target: &Named, request: &ResourceRequest) -> Result<(), ResourceError> {
    // What a template leaves out is not suspended.
    let suspended: SuspendedState = request.shape("SuspendedState")?.unwrap_or_default();
    let input = RegisterScalableTargetInput {
        service_namespace: target.namespace,
        resource_id: target.resource_id.clone(),
        scalable_dimension: target.dimension,
        min_capacity: request.shape("MinCapacity")?,
        max_capacity: request.shape("MaxCapacity")?,
        role_arn: request.text("RoleARN"),
        suspended_state: Some(SuspendedState {
            dynamic_scaling_in_suspended: Some(
                suspended.dynamic_scaling_in_suspended == Some(true),
            ),
            dynamic_scaling_out_suspended: Some(
                suspended.dynamic_scaling_out_suspended == Some(true),
            ),
            scheduled_scaling_suspended: Some(suspended.scheduled_scaling_suspended == Some(true)),
        }),
        tags: None,
    };
    cx.call(input).await?;
    Ok(())
}

fn names(properties: &Json) -> BTreeSet<String> {
    let actions = properties["ScheduledActions"].as_array();
    let actions = actions.into_iter().flatten();
    actions
        .filter_map(|it| it["ScheduledActionName"].as_str().map(str::to_owned))
        .collect()
}

/// Actions are put whole: one that was there is taken away first, so that nothing of it stays.
async fn schedule(
    cx: &Cx,
    target: &Named,
    old: &Json,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    if old.get("ScheduledActions") == request.get("ScheduledActions") {
        return Ok(());
    }
    for name in names(old).union(&names(&request.properties)) {
        let input = DeleteScheduledActionInput {
            service_namespace: target.namespace,
            scheduled_action_name: name.clone(),
            resource_id: target.resource_id.clone(),
            scalable_dimension: target.dimension,
        };
        let gone = &[errors::ObjectNotFoundException.code];
        cloud::deletion(cx.call(input).await, gone, &[])?;
    }
    let actions = request.get("ScheduledActions").and_then(Json::as_array);
    for action in actions.into_iter().flatten() {
        let mut input: PutScheduledActionInput = wire::lenient_partial(action.clone())
            .map_err(|error| ResourceError::new(format!("ScheduledActions: {error}")))?;
        input.service_namespace = target.namespace;
        input.resource_id = target.resource_id.clone();
        input.scalable_dimension = target.dimension;
        cx.call(input).await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for ScalableTargetType {
    fn name(&self) -> &'static str {
        "AWS::ApplicationAutoScaling::ScalableTarget"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::number("MaxCapacity").required(),
                Property::number("MinCapacity").required(),
                Property::text("ResourceId").required().replaces(),
                Property::text("RoleARN"),
                Property::text("ScalableDimension").required().replaces(),
                Property::objects("ScheduledActions").members(SCHEDULED),
                Property::text("ServiceNamespace").required().replaces(),
                Property::object("SuspendedState").members(SUSPENDED),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let cx = &cx.with_token(&request.token);
        let named = target(request)?;
        register(cx, &named, request).await?;
        let physical_id = format!(
            "{}|{}|{}",
            named.resource_id, named.dimension, named.namespace
        );
        request.made.note(&physical_id);
        schedule(cx, &named, &Json::Null, request).await?;
        Ok(Created { physical_id })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let target = parse_target_id(physical_id)?;
        register(cx, &target, request).await?;
        schedule(cx, &target, old, request).await
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let target = parse_target_id(physical_id)?;
        let input = DeregisterScalableTargetInput {
            service_namespace: target.namespace,
            resource_id: target.resource_id,
            scalable_dimension: target.dimension,
        };
        let gone = &[errors::ObjectNotFoundException.code];
        cloud::deletion(cx.call(input).await, gone, &[])
    }
}
