//! `AWS::AutoScaling::AutoScalingGroup`: `Ref` is its name. It is stable once as many instances serve as are wanted.

use std::collections::BTreeSet;

use async_trait::async_trait;
use cloud::{
    Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability, TagChanges,
};
use serde_json::Value as Json;
use shapes::autoscaling::*;

use super::{gone_is_fine, rolling};

pub struct GroupType;

const NAME: &str = "AutoScalingGroupName";
const NAME_MAX: usize = 255;
/// What the operations take in another form, or what others than those of groups do.
const APART: &[&str] = &[
    NAME,
    "Cooldown",
    "LifecycleHookSpecificationList",
    "MetricsCollection",
    "Tags",
    "TargetGroupARNs",
    "VPCZoneIdentifier",
];

const TEMPLATE: &[Property] = &[
    Property::text("LaunchTemplateId"),
    Property::text("LaunchTemplateName"),
    Property::text("Version").required(),
];
const OVERRIDE: &[Property] = &[
    Property::text("InstanceType"),
    Property::object("LaunchTemplateSpecification").members(TEMPLATE),
    Property::text("WeightedCapacity"),
];
const MIXED_TEMPLATE: &[Property] = &[
    Property::object("LaunchTemplateSpecification")
        .members(TEMPLATE)
        .required(),
    Property::objects("Overrides").members(OVERRIDE),
];
const DISTRIBUTION: &[Property] = &[
    Property::text("OnDemandAllocationStrategy"),
    Property::number("OnDemandBaseCapacity"),
    Property::number("OnDemandPercentageAboveBaseCapacity"),
    Property::text("SpotAllocationStrategy"),
    Property::number("SpotInstancePools"),
    Property::text("SpotMaxPrice"),
];
const MIXED: &[Property] = &[
    Property::object("InstancesDistribution").members(DISTRIBUTION),
    Property::object("LaunchTemplate")
        .members(MIXED_TEMPLATE)
        .required(),
];
const HOOK: &[Property] = &[
    Property::text("DefaultResult"),
    Property::number("HeartbeatTimeout"),
    Property::text("LifecycleHookName").required(),
    Property::text("LifecycleTransition").required(),
    Property::text("NotificationMetadata"),
    Property::text("RoleARN"),
];
const METRICS: &[Property] = &[
    Property::text("Granularity").required(),
    Property::texts("Metrics"),
];
const TAG: &[Property] = &[
    Property::text("Key").required(),
    Property::flag("PropagateAtLaunch").required(),
    Property::text("Value").required(),
];

const ROLLING: &str = "AutoScalingRollingUpdate";
const ROLLING_UPDATE: &[Property] = &[
    Property::number("MaxBatchSize"),
    Property::number("MinInstancesInService"),
    Property::text("PauseTime"),
    Property::texts("SuspendProcesses"),
    Property::flag("WaitOnResourceSignals"),
];
const SCHEDULED: &str = "AutoScalingScheduledAction";
const KEEPS_SIZE: &str = "IgnoreUnmodifiedGroupSizeProperties";
const SCHEDULED_ACTION: &[Property] = &[Property::flag(KEEPS_SIZE)];

pub fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

pub fn texts(properties: &Json, name: &str) -> Vec<String> {
    let all = properties.get(name).and_then(Json::as_array);
    all.into_iter().flatten().filter_map(text_of).collect()
}

pub fn is_true(value: &Json) -> bool {
    text_of(value).is_some_and(|it| it.eq_ignore_ascii_case("true"))
}

/// Subnets are a list in templates, and a text with commas in the API.
fn subnets(request: &ResourceRequest) -> Option<String> {
    let all = texts(&request.properties, "VPCZoneIdentifier");
    (!all.is_empty()).then(|| all.join(","))
}

/// The group's own tags, and those of its stack, which instances get, too.
fn tags(group: &str, request: &ResourceRequest) -> Vec<Tag> {
    let own = request.get("Tags").and_then(Json::as_array);
    let own: Vec<Tag> = (own.into_iter().flatten())
        .filter_map(|it| {
            Some(Tag {
                key: text_of(&it["Key"])?,
                value: text_of(&it["Value"]),
                propagate_at_launch: Some(text_of(&it["PropagateAtLaunch"])? == "true"),
                resource_id: Some(group.to_owned()),
                resource_type: Some("auto-scaling-group".to_owned()),
            })
        })
        .collect();
    let is_own = |key: &String| own.iter().any(|it| it.key == *key);
    let of_stack = request.tags.iter().filter(|(key, _)| !is_own(key));
    let of_stack = of_stack.map(|(key, value)| Tag {
        key: key.clone(),
        value: Some(value.clone()),
        propagate_at_launch: Some(true),
        resource_id: Some(group.to_owned()),
        resource_type: Some("auto-scaling-group".to_owned()),
    });
    of_stack
        .collect::<Vec<_>>()
        .into_iter()
        .chain(own)
        .collect()
}

fn hooks(request: &ResourceRequest) -> Result<Vec<LifecycleHookSpecification>, ResourceError> {
    let given = request.shape("LifecycleHookSpecificationList")?;
    Ok(given.unwrap_or_default())
}

async fn collect_metrics(
    cx: &Cx,
    id: &str,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let given = request.get("MetricsCollection").and_then(Json::as_array);
    for it in given.into_iter().flatten() {
        let metrics = texts(it, "Metrics");
        let input = EnableMetricsCollectionInput {
            auto_scaling_group_name: id.to_owned(),
            granularity: text_of(&it["Granularity"]).unwrap_or_default(),
            metrics: (!metrics.is_empty()).then_some(metrics),
        };
        cx.call(input).await?;
    }
    Ok(())
}

async fn group(cx: &Cx, id: &str) -> Result<Option<AutoScalingGroup>, ResourceError> {
    let input = DescribeAutoScalingGroupsInput {
        auto_scaling_group_names: Some(vec![id.to_owned()]),
        ..Default::default()
    };
    let found = cx.call(input).await?.auto_scaling_groups;
    Ok(found.into_iter().next())
}

/// What went wrong with what the group has begun last.
async fn failed_activity(cx: &Cx, id: &str) -> Result<Option<String>, ResourceError> {
    let input = DescribeScalingActivitiesInput {
        auto_scaling_group_name: Some(id.to_owned()),
        max_records: Some(1),
        ..Default::default()
    };
    let newest = cx.call(input).await?.activities.into_iter().next();
    let failed = newest.filter(|it| it.status_code == ScalingActivityStatusCode::Failed);
    Ok(failed.and_then(|it| it.status_message))
}

/// Brings the group's target groups and hooks to what is wanted.
async fn change_parts(
    cx: &Cx,
    id: &str,
    old: &Json,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let name = "TargetGroupARNs";
    let before: BTreeSet<String> = texts(old, name).into_iter().collect();
    let after: BTreeSet<String> = texts(&request.properties, name).into_iter().collect();
    let (added, removed): (Vec<_>, Vec<_>) = (
        after.difference(&before).cloned().collect(),
        before.difference(&after).cloned().collect(),
    );
    if !added.is_empty() {
        cx.call(AttachLoadBalancerTargetGroupsInput {
            auto_scaling_group_name: id.to_owned(),
            target_group_ar_ns: added,
        })
        .await?;
    }
    if !removed.is_empty() {
        cx.call(DetachLoadBalancerTargetGroupsInput {
            auto_scaling_group_name: id.to_owned(),
            target_group_ar_ns: removed,
        })
        .await?;
    }
    let wanted = hooks(request)?;
    let before = hooks(&request.with_properties(old))?;
    for it in before.iter().filter(|it| {
        !wanted
            .iter()
            .any(|kept| kept.lifecycle_hook_name == it.lifecycle_hook_name)
    }) {
        let input = DeleteLifecycleHookInput {
            lifecycle_hook_name: it.lifecycle_hook_name.clone(),
            auto_scaling_group_name: id.to_owned(),
        };
        gone_is_fine(cx.call(input).await)?;
    }
    for it in wanted.into_iter().filter(|it| !before.contains(it)) {
        cx.call(PutLifecycleHookInput {
            auto_scaling_group_name: id.to_owned(),
            lifecycle_hook_name: it.lifecycle_hook_name,
            lifecycle_transition: Some(it.lifecycle_transition),
            role_arn: it.role_arn,
            notification_metadata: it.notification_metadata,
            heartbeat_timeout: it.heartbeat_timeout,
            default_result: it.default_result,
        })
        .await?;
    }
    Ok(())
}

async fn change_tags(
    cx: &Cx,
    id: &str,
    old: &Json,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let before = tags(id, &request.with_properties(old));
    let after = tags(id, request);
    let unset = before
        .into_iter()
        .filter(|it| !after.iter().any(|kept| kept.key == it.key));
    let unset: Vec<Tag> = unset.collect();
    if !unset.is_empty() {
        cx.call(DeleteTagsInput { tags: unset }).await?;
    }
    if !after.is_empty() {
        cx.call(CreateOrUpdateTagsInput { tags: after }).await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for GroupType {
    fn name(&self) -> &'static str {
        "AWS::AutoScaling::AutoScalingGroup"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text(NAME).names(),
                Property::texts("AvailabilityZones"),
                Property::text("Context"),
                Property::text("Cooldown"),
                Property::number("DefaultInstanceWarmup"),
                Property::text("DesiredCapacity"),
                Property::number("HealthCheckGracePeriod"),
                Property::text("HealthCheckType"),
                Property::text("LaunchConfigurationName"),
                Property::object("LaunchTemplate").members(TEMPLATE),
                Property::objects("LifecycleHookSpecificationList").members(HOOK),
                Property::text("MaxSize").required(),
                Property::objects("MetricsCollection").members(METRICS),
                Property::text("MinSize").required(),
                Property::object("MixedInstancesPolicy").members(MIXED),
                Property::flag("NewInstancesProtectedFromScaleIn"),
                Property::text("ServiceLinkedRoleARN"),
                Property::objects("Tags").members(TAG),
                Property::texts("TargetGroupARNs"),
                Property::texts("TerminationPolicies"),
                Property::texts("VPCZoneIdentifier"),
            ]
        }
    }
    fn takes_signals(&self) -> bool {
        true
    }
    fn update_policy(&self) -> Option<&'static [Property]> {
        Some(
            const {
                &[
                    Property::object(ROLLING).members(ROLLING_UPDATE),
                    Property::object(SCHEDULED).members(SCHEDULED_ACTION),
                ]
            },
        )
    }
    fn refuse_update_policy(&self, policy: &Json) -> Result<(), String> {
        rolling::refuse(&policy[ROLLING])
    }
    fn refuse(&self, properties: &Json) -> Result<(), String> {
        let known = cloud::known_part(properties);
        cloud::read_known::<CreateAutoScalingGroupInput>(&known, APART).map(drop)
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let cx = &cx.with_token(&*request.token);
        let mut input: CreateAutoScalingGroupInput =
            cloud::read_properties(&request.properties, APART)?;
        let name = request.name(NAME, NAME_MAX);
        input.auto_scaling_group_name.clone_from(&name);
        input.default_cooldown = request.parsed("Cooldown")?;
        input.vpc_zone_identifier = subnets(request);
        input.lifecycle_hook_specification_list = Some(hooks(request)?);
        input.tags = Some(tags(&name, request));
        input.target_group_ar_ns = Some(texts(&request.properties, "TargetGroupARNs"));
        cx.call(input).await?;
        request.made.note(&name);
        collect_metrics(cx, &name, request).await?;
        Ok(Created { physical_id: name })
    }

    async fn stability(&self, cx: &Cx, id: &str) -> Result<Stability, ResourceError> {
        let Some(group) = group(cx, id).await? else {
            return Ok(Stability::Failed(format!("the group {id} is gone")));
        };
        let failed = failed_activity(cx, id).await?;
        match (rolling::stability(cx, id).await?, &failed) {
            (Some(Stability::Waiting(_)), Some(why)) => {
                let why = format!("Rolling update failed. Failed Scaling Activity: {why}");
                return Ok(Stability::Failed(why));
            }
            (Some(stability), _) => return Ok(stability),
            (None, _) => {}
        }
        let serve = group.instances.iter().flatten();
        let serve = serve
            .filter(|it| it.lifecycle_state == LifecycleState::InService)
            .count();
        let wanted = usize::try_from(group.desired_capacity).unwrap_or(0);
        if serve >= wanted {
            return Ok(Stability::Stable);
        }
        let size = format!(
            "Group did not stabilize. {{current/minSize/group}} size = {{{serve}/{}/{wanted}}}.",
            group.min_size
        );
        Ok(match failed {
            Some(why) => Stability::Failed(format!("{size} Failed Scaling Activity: {why}")),
            None => Stability::Waiting(size),
        })
    }

    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let mut input: UpdateAutoScalingGroupInput =
            cloud::read_properties(&request.properties, APART)?;
        input.auto_scaling_group_name = id.to_owned();
        input.default_cooldown = request.parsed("Cooldown")?;
        input.vpc_zone_identifier = subnets(request);
        let changed = |name: &str| old.get(name) != request.properties.get(name);
        if is_true(&request.update_policy[SCHEDULED][KEEPS_SIZE]) {
            // Scheduled actions may have changed them: only what the template changes is changed.
            input.min_size = input.min_size.filter(|_| changed("MinSize"));
            input.max_size = input.max_size.filter(|_| changed("MaxSize"));
            input.desired_capacity =
                (input.desired_capacity).filter(|_| changed("DesiredCapacity"));
        }
        rolling::stop(cx, id).await?;
        cx.call(input).await?;
        change_parts(cx, id, old, request).await?;
        collect_metrics(cx, id, request).await?;
        change_tags(cx, id, old, request).await?;
        match rolling::REPLACES.iter().any(|it| changed(it)) {
            true => rolling::start(cx, id, &request.update_policy[ROLLING]).await,
            false => Ok(()),
        }
    }
    async fn updated(
        &self,
        cx: &Cx,
        id: &str,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        rolling::end(cx, id, &request.update_policy[ROLLING]).await
    }

    async fn retag(&self, _: &Cx, _: &str, _: TagChanges) -> Result<(), ResourceError> {
        Ok(())
    }

    /// By force: instances end with their group.
    async fn delete(&self, cx: &Cx, id: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeleteAutoScalingGroupInput {
            auto_scaling_group_name: id.to_owned(),
            force_delete: Some(true),
        };
        gone_is_fine(cx.call(input).await)
    }

    async fn deleted(&self, cx: &Cx, id: &str) -> Result<Stability, ResourceError> {
        Ok(match group(cx, id).await? {
            Some(_) => Stability::Waiting("its instances are ending".to_owned()),
            None => Stability::Stable,
        })
    }
}
