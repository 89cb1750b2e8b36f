//! Groups: made, changed, shown, and gone.

use cloud::{Cx, Error, Record, Records};
use shapes::autoscaling::errors::{
    AlreadyExistsFault, ResourceInUseFault, ScalingActivityInProgressFault,
};
use shapes::autoscaling::*;
use shapes::iam::CreateServiceLinkedRoleInput;

use crate::activity::ActivityRecord;
use crate::page::{MAX, MAX_OF_INSTANCES, page};
use crate::policy::PolicyRecord;
use crate::record::{self, GroupRecord, HookRecord, InstanceRecord, Launch, LaunchedBy, at};
use crate::refresh::RefreshRecord;
use crate::rules::{self, invalid};
use crate::scheduled::ScheduledRecord;
use crate::{hook, steps, tags};

/// AWS's default of every one of these (API reference, "CreateAutoScalingGroup").
const COOLDOWN_S: i32 = 300;
const GRACE_S: i32 = 0;

/// Makes the role of the service when it is not there.
async fn ensure_role(cx: &Cx) -> Result<(), Error> {
    let input = CreateServiceLinkedRoleInput {
        aws_service_name: "autoscaling.amazonaws.com".to_owned(),
        description: None,
        custom_suffix: None,
    };
    cx.make_once(input, shapes::iam::errors::InvalidInputException)
        .await
}

/// What is launched, with the ids and names of its templates.
pub async fn named(cx: &Cx, mut launch: Launch) -> Result<Launch, Error> {
    rules::check_launch(cx, &launch).await?;
    if let Some(template) = launch.template.take() {
        launch.template = Some(rules::named_template(cx, template).await?);
    }
    if let Some(template) = launch
        .mixed
        .as_mut()
        .and_then(|it| it.launch_template.as_mut())
    {
        if let Some(base) = template.launch_template_specification.take() {
            template.launch_template_specification = Some(rules::named_template(cx, base).await?);
        }
        for it in template.overrides.iter_mut().flatten() {
            if let Some(own) = it.launch_template_specification.take() {
                it.launch_template_specification = Some(rules::named_template(cx, own).await?);
            }
        }
    }
    if let Some(mixed) = &mut launch.mixed {
        let given = mixed.instances_distribution.take().unwrap_or_default();
        let text = |given: Option<String>, usual: &str| {
            Some(
                given
                    .filter(|it| !it.is_empty())
                    .unwrap_or_else(|| usual.to_owned()),
            )
        };
        // As AWS reads them back (API reference, "InstancesDistribution").
        mixed.instances_distribution = Some(InstancesDistribution {
            on_demand_allocation_strategy: text(given.on_demand_allocation_strategy, "prioritized"),
            on_demand_base_capacity: given.on_demand_base_capacity.or(Some(0)),
            on_demand_percentage_above_base_capacity: given
                .on_demand_percentage_above_base_capacity
                .or(Some(100)),
            spot_instance_pools: match given.spot_allocation_strategy.as_deref() {
                None | Some("" | "lowest-price") => given.spot_instance_pools.or(Some(2)),
                _ => given.spot_instance_pools,
            },
            spot_allocation_strategy: text(given.spot_allocation_strategy, "lowest-price"),
            spot_max_price: given.spot_max_price.filter(|it| !it.is_empty()),
        });
    }
    Ok(launch)
}

/// Another repetition of a request that was carried out already is told so, and a client's is not.
fn is_same(cx: &Cx, there: &GroupRecord) -> bool {
    cx.token.is_some() && there.id == group_id(cx)
}

fn group_id(cx: &Cx) -> String {
    cloud::dashed(&cx.new_id("", 32))
}

pub async fn create_auto_scaling_group(
    cx: Cx,
    input: CreateAutoScalingGroupInput,
) -> Result<CreateAutoScalingGroupOutput, Error> {
    let name = input.auto_scaling_group_name;
    if name.contains(':') {
        return Err(invalid(
            "AutoScalingGroup names must not contain the character ':'",
        ));
    }
    if let Some(there) = cx.read(|tx| tx.get::<GroupRecord>(&cx.key(&name)))? {
        if is_same(&cx, &there) {
            return Ok(CreateAutoScalingGroupOutput {});
        }
        return Err(exists(&there));
    }
    let launch = Launch {
        configuration: input.launch_configuration_name.filter(|it| !it.is_empty()),
        template: input.launch_template,
        mixed: input.mixed_instances_policy,
    };
    let subnets = input.vpc_zone_identifier.filter(|it| !it.is_empty());
    let places = rules::places(&cx, input.availability_zones.as_ref(), subnets.as_deref()).await?;
    let mut target_groups = input.target_group_ar_ns.unwrap_or_default();
    let sources = input.traffic_sources.unwrap_or_default();
    target_groups.extend(rules::target_groups_of(&sources)?);
    target_groups.sort();
    target_groups.dedup();
    let now_ms = cx.clock().now_ms();
    let desired = input.desired_capacity.unwrap_or(input.min_size);
    let policies = input.termination_policies.unwrap_or_default();
    let mut group = GroupRecord {
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        id: group_id(&cx),
        min: input.min_size,
        max: input.max_size,
        desired,
        launch,
        default_cooldown: input.default_cooldown.unwrap_or(COOLDOWN_S),
        places,
        vpc_zone_identifier: subnets,
        target_groups,
        health_check_type: input.health_check_type.unwrap_or_else(|| "EC2".to_owned()),
        grace_s: input.health_check_grace_period.unwrap_or(GRACE_S),
        termination_policies: match policies.is_empty() {
            true => vec!["Default".to_owned()],
            false => policies,
        },
        protect_new: input.new_instances_protected_from_scale_in.unwrap_or(false),
        tags: tags::given(&name, input.tags.unwrap_or_default())?,
        service_linked_role: input.service_linked_role_arn.unwrap_or_else(|| {
            format!(
                "arn:aws:iam::{}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
                cx.account()
            )
        }),
        context: input.context,
        warmup_s: input.default_instance_warmup.filter(|it| *it >= 0),
        distribution: distribution(input.availability_zone_distribution)?,
        suspended: Default::default(),
        metrics: Vec::new(),
        created_ms: now_ms,
        deleting: false,
        cause: Some(format!(
            "At {} a user request created an AutoScalingGroup changing the desired capacity from 0 to {desired}.",
            at(now_ms)
        )),
        replacing: 0,
        failures: 0,
        retry_at_ms: 0,
        failed_zone: None,
        scaled_ms: None,
        last_out_ms: None,
        last_out_from: 0,
        last_in_ms: None,
        next_serial: 1,
        next_activity: 1,
        name,
    };
    rules::check_sizes(&group)?;
    rules::check_settings(&group)?;
    group.launch = named(&cx, group.launch).await?;
    rules::check_target_groups(&cx, &group.target_groups).await?;
    let hooks = hook::specified(&group, input.lifecycle_hook_specification_list)?;
    ensure_role(&cx).await?;
    cx.write(|tx| {
        if let Some(there) = tx.get::<GroupRecord>(&group.key())? {
            return Err(exists(&there));
        }
        for it in &hooks {
            tx.put(it)?;
        }
        tx.put(&group)?;
        Ok(CreateAutoScalingGroupOutput {})
    })
}

fn exists(there: &GroupRecord) -> Error {
    if there.deleting {
        return AlreadyExistsFault.because(format!(
            "AutoScalingGroup by this name already exists and is pending deletion: {}",
            there.name
        ));
    }
    AlreadyExistsFault.because(
        "AutoScalingGroup by this name already exists - A group with the name already exists",
    )
}

fn distribution(
    given: Option<AvailabilityZoneDistribution>,
) -> Result<Option<AvailabilityZoneDistribution>, Error> {
    let strategy = given.and_then(|it| it.capacity_distribution_strategy);
    match strategy {
        Some(it @ CapacityDistributionStrategy::ReservationsThenBalanced) => {
            Err(MODEL.unsupported(format!("CapacityDistributionStrategy {it}")))
        }
        _ => Ok(Some(AvailabilityZoneDistribution {
            capacity_distribution_strategy: strategy
                .or(Some(CapacityDistributionStrategy::BalancedBestEffort)),
        })),
    }
}

pub async fn update_auto_scaling_group(
    cx: Cx,
    input: UpdateAutoScalingGroupInput,
) -> Result<UpdateAutoScalingGroupOutput, Error> {
    let name = input.auto_scaling_group_name.clone();
    let before = cx.read(|tx| record::living_group(&cx, tx, &name))?;
    let given = Launch {
        configuration: input
            .launch_configuration_name
            .clone()
            .filter(|it| !it.is_empty()),
        template: input.launch_template.clone(),
        mixed: input.mixed_instances_policy.clone(),
    };
    let launch = match given == Launch::default() {
        true => None,
        false => Some(named(&cx, over(given, &before.launch)).await?),
    };
    let subnets = input
        .vpc_zone_identifier
        .clone()
        .filter(|it| !it.is_empty());
    let places = match (&subnets, &input.availability_zones) {
        (None, None) => None,
        (subnets, zones) => Some(rules::places(&cx, zones.as_ref(), subnets.as_deref()).await?),
    };
    let distribution = match &input.availability_zone_distribution {
        Some(given) => Some(distribution(Some(given.clone()))?),
        None => None,
    };
    cx.write(|tx| {
        let mut group = record::living_group(&cx, tx, &name)?;
        let old = group.desired;
        group.min = input.min_size.unwrap_or(group.min);
        group.max = input.max_size.unwrap_or(group.max);
        // What is not given is brought within the bounds, as AWS does.
        group.desired = match input.desired_capacity {
            Some(given) => given,
            None => group.desired.max(group.min).min(group.max.max(group.min)),
        };
        if let Some(launch) = launch {
            group.launch = launch;
            group.failures = 0;
            group.retry_at_ms = 0;
        }
        if let Some(places) = places {
            group.places = places;
            group.vpc_zone_identifier = subnets;
        }
        group.default_cooldown = input.default_cooldown.unwrap_or(group.default_cooldown);
        group.health_check_type = (input.health_check_type).unwrap_or(group.health_check_type);
        group.grace_s = input.health_check_grace_period.unwrap_or(group.grace_s);
        if let Some(policies) = input.termination_policies.filter(|it| !it.is_empty()) {
            group.termination_policies = policies;
        }
        if let Some(protect) = input.new_instances_protected_from_scale_in {
            group.protect_new = protect;
        }
        if let Some(role) = input.service_linked_role_arn {
            group.service_linked_role = role;
        }
        group.context = input.context.or(group.context);
        if let Some(warmup) = input.default_instance_warmup {
            group.warmup_s = Some(warmup).filter(|it| *it >= 0);
        }
        group.distribution = distribution.unwrap_or(group.distribution);
        rules::check_sizes(&group)?;
        rules::check_settings(&group)?;
        if group.desired != old {
            group.cause = Some(format!(
                "At {} a user request update of AutoScalingGroup constraints to min: {}, max: {}, desired: {} changing the desired capacity from {old} to {}.",
                at(cx.clock().now_ms()), group.min, group.max, group.desired, group.desired
            ));
        }
        tx.put(&group)?;
        Ok(UpdateAutoScalingGroupOutput {})
    })
}

/// A policy that is given without its template keeps the template that it had.
fn over(mut given: Launch, before: &Launch) -> Launch {
    if let (Some(mixed), Some(old)) = (&mut given.mixed, &before.mixed) {
        match (&mut mixed.launch_template, &old.launch_template) {
            (None, old) => mixed.launch_template = old.clone(),
            (Some(new), Some(old)) => {
                if new.launch_template_specification.is_none() {
                    new.launch_template_specification = old.launch_template_specification.clone();
                }
                if new.overrides.is_none() {
                    new.overrides = old.overrides.clone();
                }
            }
            _ => (),
        }
        if mixed.instances_distribution.is_none() {
            mixed.instances_distribution = old.instances_distribution.clone();
        }
    }
    given
}

pub async fn delete_auto_scaling_group(
    cx: Cx,
    input: DeleteAutoScalingGroupInput,
) -> Result<DeleteAutoScalingGroupOutput, Error> {
    let name = &input.auto_scaling_group_name;
    let force = input.force_delete == Some(true);
    cx.write(|tx| {
        let mut group = record::group(&cx, tx, name)?;
        if group.deleting {
            return Ok(DeleteAutoScalingGroupOutput {});
        }
        let instances = record::instances(tx, &group)?;
        if !force && instances.iter().any(|it| !it.is_terminating()) {
            return Err(ResourceInUseFault.because("You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group."));
        }
        if !force && !instances.is_empty() {
            return Err(ScalingActivityInProgressFault.because("You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group."));
        }
        if instances.is_empty() {
            forget(tx, &group)?;
            return Ok(DeleteAutoScalingGroupOutput {});
        }
        group.deleting = true;
        (group.min, group.max, group.desired) = (0, 0, 0);
        tx.put(&group)?;
        Ok(DeleteAutoScalingGroupOutput {})
    })
}

/// The group and all that is only there for it; policies go once their alarms are gone.
pub fn forget(tx: &Records<'_>, group: &GroupRecord) -> Result<(), Error> {
    let prefix = group.prefix();
    for key in tx.keys::<HookRecord>(&prefix)? {
        tx.delete::<HookRecord>(&key)?;
    }
    for key in tx.keys::<ScheduledRecord>(&prefix)? {
        tx.delete::<ScheduledRecord>(&key)?;
    }
    for key in tx.keys::<ActivityRecord>(&prefix)? {
        tx.delete::<ActivityRecord>(&key)?;
    }
    for key in tx.keys::<RefreshRecord>(&prefix)? {
        tx.delete::<RefreshRecord>(&key)?;
    }
    for policy in tx.list::<PolicyRecord>(&prefix)? {
        policy.delete(tx)?;
    }
    tx.delete::<GroupRecord>(&group.key()).map(drop)
}

pub async fn set_desired_capacity(
    cx: Cx,
    input: SetDesiredCapacityInput,
) -> Result<SetDesiredCapacityOutput, Error> {
    let desired = input.desired_capacity;
    cx.write(|tx| {
        let mut group = record::living_group(&cx, tx, &input.auto_scaling_group_name)?;
        if input.honor_cooldown == Some(true) {
            check_cooldown(&cx, &group)?;
        }
        if desired < group.min {
            return Err(invalid(format!(
                "New SetDesiredCapacity value {desired} is below min value {} for the AutoScalingGroup.",
                group.min
            )));
        }
        if desired > group.max {
            return Err(invalid(format!(
                "New SetDesiredCapacity value {desired} is above max value {} for the AutoScalingGroup.",
                group.max
            )));
        }
        let now_ms = cx.clock().now_ms();
        let why = "a user request explicitly set group desired capacity";
        set_capacity(&mut group, desired, why, now_ms);
        tx.put(&group)?;
        Ok(SetDesiredCapacityOutput {})
    })
}

/// Another capacity from now on, and why.
pub fn set_capacity(group: &mut GroupRecord, to: i32, why: &str, now_ms: i64) {
    if to == group.desired {
        return;
    }
    group.cause = Some(format!(
        "At {} {why} changing the desired capacity from {} to {to}.",
        at(now_ms),
        group.desired
    ));
    group.desired = to;
    group.scaled_ms = Some(now_ms);
}

pub fn check_cooldown(cx: &Cx, group: &GroupRecord) -> Result<(), Error> {
    let cooldown = std::time::Duration::from_secs(u64::from(group.default_cooldown.unsigned_abs()));
    let cooldown_ms = i64::try_from(cx.clock().paced_ms(cooldown)).unwrap_or(i64::MAX);
    let cools = group
        .scaled_ms
        .is_some_and(|it| cx.clock().now_ms() < it + cooldown_ms);
    match cools {
        false => Ok(()),
        true => Err(ScalingActivityInProgressFault.because(format!(
            "Scaling activity is in cooldown for AutoScalingGroup {}",
            group.name
        ))),
    }
}

pub fn shown_instance(it: &InstanceRecord) -> Option<Instance> {
    Some(Instance {
        instance_id: it.id.clone()?,
        instance_type: it.instance_type.clone(),
        availability_zone: it.place.zone.clone(),
        availability_zone_id: None,
        lifecycle_state: it.state,
        health_status: health(it).to_owned(),
        launch_configuration_name: it.launched_by.configuration.clone(),
        launch_template: it.launched_by.template.clone(),
        image_id: it.image_id.clone(),
        protected_from_scale_in: it.protected,
        weighted_capacity: it.weight.map(|it| it.to_string()),
    })
}

fn health(it: &InstanceRecord) -> &'static str {
    match it.unhealthy.is_some() || it.is_terminating() && it.unhealthy.is_some() {
        true => "Unhealthy",
        false => "Healthy",
    }
}

fn shown(group: &GroupRecord, instances: &[InstanceRecord]) -> AutoScalingGroup {
    let mut zones: Vec<String> = group.places.iter().map(|it| it.zone.clone()).collect();
    zones.sort();
    zones.dedup();
    let source = |it: &String| TrafficSourceIdentifier {
        identifier: it.clone(),
        r#type: Some("elbv2".to_owned()),
    };
    let metric = |it: &String| EnabledMetric {
        metric: Some(it.clone()),
        granularity: Some("1Minute".to_owned()),
    };
    AutoScalingGroup {
        auto_scaling_group_name: group.name.clone(),
        auto_scaling_group_arn: Some(group.arn()),
        launch_configuration_name: group.launch.configuration.clone(),
        launch_template: group.launch.template.clone(),
        mixed_instances_policy: group.launch.mixed.clone(),
        min_size: group.min,
        max_size: group.max,
        desired_capacity: group.desired,
        default_cooldown: group.default_cooldown,
        availability_zones: zones,
        load_balancer_names: Some(Vec::new()),
        target_group_ar_ns: Some(group.target_groups.clone()),
        health_check_type: group.health_check_type.clone(),
        health_check_grace_period: Some(group.grace_s),
        instances: Some(instances.iter().filter_map(shown_instance).collect()),
        created_time: wire::Timestamp(group.created_ms as f64 / 1000.0),
        suspended_processes: Some(
            (group.suspended.iter())
                .map(|(name, why)| SuspendedProcess {
                    process_name: Some(name.clone()),
                    suspension_reason: Some(why.clone()),
                })
                .collect(),
        ),
        vpc_zone_identifier: Some(group.vpc_zone_identifier.clone().unwrap_or_default()),
        enabled_metrics: Some(group.metrics.iter().map(metric).collect()),
        status: group.deleting.then(|| "Delete in progress".to_owned()),
        tags: Some(tags::of(group)),
        termination_policies: Some(group.termination_policies.clone()),
        new_instances_protected_from_scale_in: Some(group.protect_new),
        service_linked_role_arn: Some(group.service_linked_role.clone()),
        capacity_rebalance: Some(false),
        context: group.context.clone(),
        default_instance_warmup: group.warmup_s,
        traffic_sources: Some(group.target_groups.iter().map(source).collect()),
        availability_zone_distribution: group.distribution.clone(),
        ..Default::default()
    }
}

pub async fn describe_auto_scaling_groups(
    cx: Cx,
    input: DescribeAutoScalingGroupsInput,
) -> Result<DescribeAutoScalingGroupsOutput, Error> {
    let names = input.auto_scaling_group_names.unwrap_or_default();
    let filters = input.filters.unwrap_or_default();
    let (groups, next_token) = cx.read(|tx| {
        let mut found = match names.is_empty() {
            true => tx.list::<GroupRecord>(&cx.key(""))?,
            false => {
                let mut found = Vec::new();
                for name in &names {
                    let there = tx.get::<GroupRecord>(&cx.key(name))?;
                    // Some name it by its ARN.
                    let there = match there {
                        None if name.starts_with("arn:") => {
                            let all = tx.list::<GroupRecord>(&cx.key(""))?;
                            all.into_iter().find(|it| it.arn() == *name)
                        }
                        there => there,
                    };
                    found.extend(there);
                }
                found
            }
        };
        for filter in &filters {
            let mut kept = Vec::new();
            for group in found {
                if tags::selects(&group, filter)? {
                    kept.push(group);
                }
            }
            found = kept;
        }
        let keyed = found.into_iter().map(|it| (it.name.clone(), it)).collect();
        let token = input.next_token.as_deref();
        let (found, next) = page(keyed, token, input.max_records, MAX)?;
        let with_instances = |group: &GroupRecord| {
            let mut one = shown(group, &record::instances(tx, group)?);
            if input.include_instances == Some(false) {
                one.instances = Some(Vec::new());
            }
            Ok(one)
        };
        let shown: Result<Vec<_>, Error> = found.iter().map(with_instances).collect();
        Ok((shown?, next))
    })?;
    Ok(DescribeAutoScalingGroupsOutput {
        auto_scaling_groups: groups,
        next_token,
    })
}

pub async fn describe_auto_scaling_instances(
    cx: Cx,
    input: DescribeAutoScalingInstancesInput,
) -> Result<DescribeAutoScalingInstancesOutput, Error> {
    let all = cx.read(|tx| tx.list::<InstanceRecord>(&cx.key("")))?;
    let wanted = input.instance_ids.unwrap_or_default();
    let keyed = (all.into_iter())
        .filter_map(|it| Some((it.id.clone()?, it)))
        .filter(|(id, _)| wanted.is_empty() || wanted.contains(id))
        .collect();
    let token = input.next_token.as_deref();
    let (found, next_token) = page(keyed, token, input.max_records, MAX_OF_INSTANCES)?;
    let detail = |it: InstanceRecord| {
        let LaunchedBy {
            configuration,
            template,
        } = it.launched_by.clone();
        AutoScalingInstanceDetails {
            health_status: health(&it).to_uppercase(),
            instance_id: it.id.unwrap_or_default(),
            instance_type: it.instance_type,
            auto_scaling_group_name: it.group,
            availability_zone: it.place.zone,
            availability_zone_id: None,
            lifecycle_state: it.state.to_string(),
            launch_configuration_name: configuration,
            launch_template: template,
            image_id: it.image_id,
            protected_from_scale_in: it.protected,
            weighted_capacity: it.weight.map(|it| it.to_string()),
        }
    };
    Ok(DescribeAutoScalingInstancesOutput {
        auto_scaling_instances: Some(found.into_iter().map(detail).collect()),
        next_token,
    })
}

/// Registers those that serve already with groups that are new, and takes them out of others.
pub async fn change_target_groups(
    cx: &Cx,
    name: &str,
    (add, remove): (Vec<String>, Vec<String>),
) -> Result<(), Error> {
    rules::check_target_groups(cx, &add).await?;
    let (group, instances) = cx.read(|tx| {
        let group = record::living_group(cx, tx, name)?;
        let instances = record::instances(tx, &group)?;
        Ok((group, instances))
    })?;
    if let Some(other) = remove.iter().find(|it| !group.target_groups.contains(it)) {
        return Err(invalid(format!(
            "Target group {other} is not attached to the AutoScalingGroup {name}"
        )));
    }
    cx.write(|tx| {
        let mut group = record::living_group(cx, tx, name)?;
        group.target_groups.retain(|it| !remove.contains(it));
        group.target_groups.extend(add.iter().cloned());
        group.target_groups.sort();
        group.target_groups.dedup();
        tx.put(&group)
    })?;
    let serving = steps::serving(&instances);
    if !group.suspends("AddToLoadBalancer") {
        steps::register(cx, &add, serving.clone()).await?;
    }
    steps::unregister(cx, &remove, serving).await
}
