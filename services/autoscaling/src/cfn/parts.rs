//! What a group has, as types of their own: hooks, policies and scheduled actions.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::autoscaling::*;

use super::gone_is_fine;

const GROUP: &str = "AutoScalingGroupName";
const NAME_MAX: usize = 255;

/// The group that the resource's properties name.
fn group(properties: &Json) -> String {
    properties[GROUP].as_str().unwrap_or_default().to_owned()
}

/// `Ref` is the hook's name.
pub struct LifecycleHookType;

async fn put_hook(cx: &Cx, name: &str, request: &ResourceRequest) -> Result<(), ResourceError> {
    let mut input: PutLifecycleHookInput =
        cloud::read_properties(&request.properties, &["LifecycleHookName"])?;
    name.clone_into(&mut input.lifecycle_hook_name);
    cx.call(input).await?;
    Ok(())
}

#[async_trait]
impl ResourceType for LifecycleHookType {
    fn name(&self) -> &'static str {
        "AWS::AutoScaling::LifecycleHook"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text(GROUP).required().replaces(),
                Property::text("DefaultResult"),
                Property::number("HeartbeatTimeout"),
                Property::text("LifecycleHookName").names(),
                Property::text("LifecycleTransition").required(),
                Property::text("NotificationMetadata"),
                Property::text("RoleARN"),
            ]
        }
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let physical_id = request.name("LifecycleHookName", NAME_MAX);
        put_hook(&cx.with_token(&*request.token), &physical_id, request).await?;
        Ok(Created { physical_id })
    }
    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        _: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        put_hook(cx, id, request).await
    }
    async fn delete(&self, cx: &Cx, id: &str, properties: &Json) -> Result<(), ResourceError> {
        let input = DeleteLifecycleHookInput {
            lifecycle_hook_name: id.to_owned(),
            auto_scaling_group_name: group(properties),
        };
        gone_is_fine(cx.call(input).await)
    }
}

/// `Ref` is the policy's ARN.
pub struct ScalingPolicyType;

const STEP: &[Property] = &[
    Property::number("MetricIntervalLowerBound"),
    Property::number("MetricIntervalUpperBound"),
    Property::number("ScalingAdjustment").required(),
];

fn policy_name(request: &ResourceRequest) -> String {
    request.generated_name(NAME_MAX)
}

async fn put_policy(
    cx: &Cx,
    name: String,
    request: &ResourceRequest,
) -> Result<Option<String>, ResourceError> {
    let mut input: PutScalingPolicyInput = cloud::read_properties(&request.properties, &[])?;
    input.policy_name = name;
    Ok(cx.call(input).await?.policy_arn)
}

fn name_in(arn: &str) -> &str {
    arn.rsplit_once(":policyName/").map_or(arn, |it| it.1)
}

#[async_trait]
impl ResourceType for ScalingPolicyType {
    fn name(&self) -> &'static str {
        "AWS::AutoScaling::ScalingPolicy"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("AdjustmentType"),
                Property::text(GROUP).required().replaces(),
                Property::text("Cooldown"),
                Property::number("EstimatedInstanceWarmup"),
                Property::text("MetricAggregationType"),
                Property::number("MinAdjustmentMagnitude"),
                Property::text("PolicyType"),
                Property::number("ScalingAdjustment"),
                Property::objects("StepAdjustments").members(STEP),
                Property::object("TargetTrackingConfiguration"),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Arn"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &["PolicyName"]
    }
    fn refuse(&self, properties: &Json) -> Result<(), String> {
        let known = cloud::known_part(properties);
        cloud::read_known::<PutScalingPolicyInput>(&known, &[]).map(drop)
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let cx = cx.with_token(&*request.token);
        Created::of(put_policy(&cx, policy_name(request), request).await?)
    }
    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        _: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        put_policy(cx, name_in(id).to_owned(), request)
            .await
            .map(drop)
    }
    async fn delete(&self, cx: &Cx, id: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeletePolicyInput {
            auto_scaling_group_name: None,
            policy_name: id.to_owned(),
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn read(&self, _: &Cx, id: &str) -> Result<Json, ResourceError> {
        Ok(json!({ "PolicyName": name_in(id) }))
    }
}

/// `Ref` is the action's name.
pub struct ScheduledActionType;

async fn put_action(cx: &Cx, name: &str, request: &ResourceRequest) -> Result<(), ResourceError> {
    let mut input: PutScheduledUpdateGroupActionInput =
        cloud::read_properties(&request.properties, &[])?;
    name.clone_into(&mut input.scheduled_action_name);
    cx.call(input).await?;
    Ok(())
}

#[async_trait]
impl ResourceType for ScheduledActionType {
    fn name(&self) -> &'static str {
        "AWS::AutoScaling::ScheduledAction"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text(GROUP).required().replaces(),
                Property::number("DesiredCapacity"),
                Property::text("EndTime"),
                Property::number("MaxSize"),
                Property::number("MinSize"),
                Property::text("Recurrence"),
                Property::text("StartTime"),
                Property::text("TimeZone"),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["ScheduledActionName"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let physical_id = request.generated_name(NAME_MAX);
        put_action(&cx.with_token(&*request.token), &physical_id, request).await?;
        Ok(Created { physical_id })
    }
    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        _: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        put_action(cx, id, request).await
    }
    async fn delete(&self, cx: &Cx, id: &str, properties: &Json) -> Result<(), ResourceError> {
        let input = DeleteScheduledActionInput {
            auto_scaling_group_name: group(properties),
            scheduled_action_name: id.to_owned(),
        };
        gone_is_fine(cx.call(input).await)
    }
}
