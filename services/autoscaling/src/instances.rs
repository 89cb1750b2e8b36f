//! What is asked of single instances: health, protection, termination, standby, and to which group they belong.

use cloud::{Cx, Error, Records};
use shapes::autoscaling::*;
use shapes::ec2::{DescribeInstancesInput, Filter, InstanceStateName};

use crate::activity::{self, ActivityRecord};
use crate::plan::Why;
use crate::record::{self, GroupRecord, InstanceRecord, Place, at};
use crate::rules::invalid;
use crate::steps;

fn of_id(tx: &Records<'_>, cx: &Cx, id: &str) -> Result<InstanceRecord, Error> {
    let all = tx.list::<InstanceRecord>(&cx.key(""))?;
    let found = all.into_iter().find(|it| it.id.as_deref() == Some(id));
    found.ok_or_else(|| {
        invalid(format!(
            "Instance Id not found - No managed instance found for instance ID: {id}"
        ))
    })
}

/// The instances of a group with these ids.
fn of_group(
    tx: &Records<'_>,
    group: &GroupRecord,
    ids: &[String],
) -> Result<Vec<InstanceRecord>, Error> {
    let all = record::instances(tx, group)?;
    let one = |id: &String| {
        let found = all.iter().find(|it| it.id.as_ref() == Some(id)).cloned();
        found.ok_or_else(|| {
            invalid(format!(
                "The instance {id} is not part of Auto Scaling group {}.",
                group.name
            ))
        })
    };
    ids.iter().map(one).collect()
}

pub async fn set_instance_health(
    cx: Cx,
    input: SetInstanceHealthInput,
) -> Result<SetInstanceHealthOutput, Error> {
    let sick = match input.health_status.as_str() {
        "Healthy" => false,
        "Unhealthy" => true,
        other => {
            return Err(invalid(format!(
                "{other} is not a valid health status; it is Healthy or Unhealthy"
            )));
        }
    };
    cx.write(|tx| {
        let mut it = of_id(tx, &cx, &input.instance_id)?;
        let group = record::group(&cx, tx, &it.group)?;
        let grace = std::time::Duration::from_secs(u64::from(group.grace_s.unsigned_abs()));
        let grace_ms = i64::try_from(cx.clock().paced_ms(grace)).unwrap_or(i64::MAX);
        let in_grace = it
            .in_service_ms
            .is_none_or(|since| cx.clock().now_ms() < since + grace_ms);
        if sick && in_grace && input.should_respect_grace_period != Some(false) {
            return Ok(SetInstanceHealthOutput {});
        }
        it.unhealthy = sick.then(|| "User".to_owned());
        tx.put(&it)?;
        tx.put(&group)?;
        Ok(SetInstanceHealthOutput {})
    })
}

pub async fn set_instance_protection(
    cx: Cx,
    input: SetInstanceProtectionInput,
) -> Result<SetInstanceProtectionOutput, Error> {
    cx.write(|tx| {
        let group = record::group(&cx, tx, &input.auto_scaling_group_name)?;
        for mut it in of_group(tx, &group, &input.instance_ids)? {
            it.protected = input.protected_from_scale_in;
            tx.put(&it)?;
        }
        tx.put(&group)?;
        Ok(SetInstanceProtectionOutput {})
    })
}

/// One instance fewer is wanted, which the bounds have to allow.
fn decrement(group: &mut GroupRecord, units: i32) -> Result<(), Error> {
    if group.desired - units < group.min {
        return Err(invalid(format!(
            "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.",
            group.min
        )));
    }
    group.desired -= units;
    Ok(())
}

pub async fn terminate_instance(
    cx: Cx,
    input: TerminateInstanceInAutoScalingGroupInput,
) -> Result<TerminateInstanceInAutoScalingGroupOutput, Error> {
    let id = input
        .instance_id
        .ok_or_else(|| invalid("InstanceId is required"))?;
    let begun = cx.write(|tx| {
        let mut it = of_id(tx, &cx, &id)?;
        let mut group = record::living_group(&cx, tx, &it.group)?;
        if it.is_terminating() {
            return Err(errors::ScalingActivityInProgressFault
                .because(format!("The instance {id} is being terminated already")));
        }
        match input.should_decrement_desired_capacity {
            true if it.counts() => decrement(&mut group, it.units())?,
            false if it.counts() => group.replacing += 1,
            _ => (),
        }
        let begun = steps::leave(&cx, tx, &mut group, &mut it, Why::Request)?;
        tx.put(&it)?;
        tx.put(&group)?;
        Ok(begun)
    })?;
    Ok(TerminateInstanceInAutoScalingGroupOutput {
        activity: Some(begun.clone().shown()),
        activities: Some(vec![begun.shown()]),
    })
}

/// Something is begun with each of the instances of a request.
fn begin_with(
    cx: &Cx,
    name: &str,
    ids: Option<Vec<String>>,
    mut one: impl FnMut(
        &Records<'_>,
        &mut GroupRecord,
        &mut InstanceRecord,
    ) -> Result<ActivityRecord, Error>,
) -> Result<Vec<Activity>, Error> {
    let ids = ids.unwrap_or_default();
    if ids.is_empty() {
        return Err(invalid("At least one instance ID is required"));
    }
    cx.write(|tx| {
        let mut group = record::living_group(cx, tx, name)?;
        let mut begun = Vec::new();
        for mut it in of_group(tx, &group, &ids)? {
            begun.push(one(tx, &mut group, &mut it)?.shown());
            tx.put(&it)?;
        }
        tx.put(&group)?;
        Ok(begun)
    })
}

fn must_serve(it: &InstanceRecord) -> Result<(), Error> {
    match it.state {
        LifecycleState::InService => Ok(()),
        state => Err(invalid(format!(
            "The instance {} is not in InService. It is in {state}.",
            it.id.as_deref().unwrap_or_default()
        ))),
    }
}

pub async fn enter_standby(cx: Cx, input: EnterStandbyInput) -> Result<EnterStandbyOutput, Error> {
    let fewer = input.should_decrement_desired_capacity;
    let begun = begin_with(
        &cx,
        &input.auto_scaling_group_name,
        input.instance_ids,
        |tx, group, it| {
            must_serve(it)?;
            if fewer {
                decrement(group, it.units())?;
            }
            it.state = LifecycleState::EnteringStandby;
            let id = it.id.clone().unwrap_or_default();
            let told = (
                format!("Moving EC2 instance to Standby: {id}"),
                format!(
                    "At {} instance {id} was moved to standby in response to a user request.",
                    at(cx.clock().now_ms())
                ),
            );
            activity::begin(&cx, tx, group, it, told)
        },
    )?;
    Ok(EnterStandbyOutput {
        activities: Some(begun),
    })
}

pub async fn exit_standby(cx: Cx, input: ExitStandbyInput) -> Result<ExitStandbyOutput, Error> {
    let begun = begin_with(
        &cx,
        &input.auto_scaling_group_name,
        input.instance_ids,
        |tx, group, it| {
            if it.state != LifecycleState::Standby {
                return Err(invalid(format!(
                    "The instance {} is not in Standby. It is in {}.",
                    it.id.as_deref().unwrap_or_default(),
                    it.state
                )));
            }
            if group.desired + it.units() > group.max {
                return Err(invalid(format!(
                    "AutoScalingGroup {} has min-size={}, max-size={}, and desired-size={}. To put into service {} more instance, please update the AutoScalingGroup sizes appropriately.",
                    group.name,
                    group.min,
                    group.max,
                    group.desired,
                    it.units()
                )));
            }
            group.desired += it.units();
            it.state = LifecycleState::Pending;
            it.deregistered = false;
            let id = it.id.clone().unwrap_or_default();
            let told = (
                format!("Moving EC2 instance out of Standby: {id}"),
                format!(
                    "At {} instance {id} was moved out of standby in response to a user request.",
                    at(cx.clock().now_ms())
                ),
            );
            activity::begin(&cx, tx, group, it, told)
        },
    )?;
    Ok(ExitStandbyOutput {
        activities: Some(begun),
    })
}

pub async fn detach_instances(
    cx: Cx,
    input: DetachInstancesInput,
) -> Result<DetachInstancesOutput, Error> {
    let fewer = input.should_decrement_desired_capacity;
    let begun = begin_with(
        &cx,
        &input.auto_scaling_group_name,
        input.instance_ids,
        |tx, group, it| {
            if it.state != LifecycleState::Standby {
                must_serve(it)?;
                if fewer {
                    decrement(group, it.units())?;
                }
            }
            it.state = LifecycleState::Detaching;
            let id = it.id.clone().unwrap_or_default();
            let told = (
                format!("Detaching EC2 instance: {id}"),
                format!(
                    "At {} instance {id} was detached in response to a user request.",
                    at(cx.clock().now_ms())
                ),
            );
            activity::begin(&cx, tx, group, it, told)
        },
    )?;
    Ok(DetachInstancesOutput {
        activities: Some(begun),
    })
}

/// Instances that run already become the group's.
pub async fn attach_instances(
    cx: Cx,
    input: AttachInstancesInput,
) -> Result<AttachInstancesOutput, Error> {
    let ids = input.instance_ids.unwrap_or_default();
    if ids.is_empty() {
        return Err(invalid("At least one instance ID is required"));
    }
    let filter = Filter {
        name: Some("instance-id".to_owned()),
        values: Some(ids.clone()),
    };
    let found = cx.call(DescribeInstancesInput {
        filters: Some(vec![filter]),
        ..Default::default()
    });
    let found = found.await?.reservations.unwrap_or_default();
    let found: Vec<shapes::ec2::Instance> = (found.into_iter())
        .flat_map(|it| it.instances.unwrap_or_default())
        .collect();
    cx.write(|tx| {
        let mut group = record::living_group(&cx, tx, &input.auto_scaling_group_name)?;
        let count = i32::try_from(ids.len()).unwrap_or(i32::MAX);
        if group.desired.saturating_add(count) > group.max {
            return Err(invalid(format!(
                "AutoScalingGroup {} has min-size={}, max-size={}, and desired-size={}. To attach {count} more instance, please update the AutoScalingGroup sizes appropriately.",
                group.name, group.min, group.max, group.desired
            )));
        }
        for id in &ids {
            let machine = found.iter().find(|it| it.instance_id.as_ref() == Some(id));
            let runs = |it: &&shapes::ec2::Instance| it.state.as_ref().and_then(|it| it.name) == Some(InstanceStateName::Running);
            let Some(machine) = machine.filter(runs) else {
                return Err(invalid(format!("Invalid Instance ID(s): [{id}] specified: only running instances can be attached")));
            };
            if of_id(tx, &cx, id).is_ok() {
                return Err(invalid(format!("The instance {id} is already part of an Auto Scaling group")));
            }
            attach(&cx, tx, &mut group, machine)?;
        }
        group.desired += count;
        tx.put(&group)?;
        Ok(AttachInstancesOutput {})
    })
}

fn attach(
    cx: &Cx,
    tx: &Records<'_>,
    group: &mut GroupRecord,
    machine: &shapes::ec2::Instance,
) -> Result<(), Error> {
    let zone = machine
        .placement
        .as_ref()
        .and_then(|it| it.availability_zone.clone());
    let zone = zone.unwrap_or_default();
    let Some(place) = group.places.iter().find(|it| it.zone == zone).cloned() else {
        return Err(invalid(format!(
            "The availability zone {zone} of the instance is none of the AutoScalingGroup's"
        )));
    };
    let now_ms = cx.clock().now_ms();
    let id = machine.instance_id.clone().unwrap_or_default();
    let mut new = InstanceRecord {
        region: group.region.clone(),
        group: group.name.clone(),
        serial: group.next_serial,
        token: String::new(),
        id: Some(id.clone()),
        place: Place { zone, ..place },
        instance_type: machine.instance_type.clone(),
        image_id: machine.image_id.clone(),
        weight: None,
        launched_by: Default::default(),
        state: LifecycleState::Pending,
        unhealthy: None,
        protected: group.protect_new,
        launched_ms: machine
            .launch_time
            .map_or(now_ms, |it| (it.0 * 1000.0) as i64),
        in_service_ms: None,
        hook: None,
        passed: Vec::new(),
        deregistered: false,
        ended: false,
        activity: None,
    };
    group.next_serial += 1;
    let told = (
        format!("Attaching an existing EC2 instance: {id}"),
        format!(
            "At {} an instance was attached in response to a user request, increasing the capacity from {} to {}.",
            at(now_ms),
            group.desired,
            group.desired + 1
        ),
    );
    activity::begin(cx, tx, group, &mut new, told)?;
    tx.put(&new)
}
