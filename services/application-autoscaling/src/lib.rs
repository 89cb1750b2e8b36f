//! Application Auto Scaling: ECS services that grow and shrink.
//!
//! A *scalable target* is a service's desired count and its bounds. What changes it are *policies*,
//! which alarms of CloudWatch call, and *scheduled actions*, which the clock calls. [`scaler`] looks
//! at a target: it asks CloudWatch for the alarms that name the target's policies and ECS for the
//! service, lets [`scaling::decide()`] decide, writes an *activity* down, and carries it out by `UpdateService`.
//! Alarms call nobody: a change of an alarm's record wakes the targets, which look for themselves.
//! A policy that tracks a target has two alarms of its own ([`tracking`]).
//!
//! Cooldowns are paced as everything is that AWS waits for; what alarms do is said in CloudWatch's
//! `evaluator`. Schedules are by the clock on the wall. ECS services are the only things known here.
//!
//! | record | key | |
//! |---|---|---|
//! | `application-autoscaling.target` | region/resource | woken by alarms |
//! | `application-autoscaling.policy` | region/resource/name | makes its alarms |
//! | `application-autoscaling.scheduled-action` | region/resource/name | |
//! | `application-autoscaling.activity` | region/resource/number | |

mod activity;
mod cfn;
#[cfg(test)]
mod hostile_input;
mod linked_role;
mod permissions;
mod policy;
mod policy_rules;
mod scaler;
mod schedule;
mod scheduled;
mod tags;
mod target;
mod tracking;

use cloud::Service;
use cloud::permission::everywhere;
use permissions::{on_arn, on_registered, on_target};

pub fn service() -> Service {
    Service::new(&shapes::application_autoscaling::MODEL)
        .on(target::register_scalable_target, on_registered())
        .on(target::describe_scalable_targets, everywhere())
        .on(
            target::deregister_scalable_target,
            on_target(|it| (it.service_namespace, &it.resource_id, it.scalable_dimension)),
        )
        .on(
            policy::put_scaling_policy,
            on_target(|it| (it.service_namespace, &it.resource_id, it.scalable_dimension)),
        )
        .on(policy::describe_scaling_policies, everywhere())
        .on(
            policy::delete_scaling_policy,
            on_target(|it| (it.service_namespace, &it.resource_id, it.scalable_dimension)),
        )
        .on(activity::describe_scaling_activities, everywhere())
        .on(
            scheduled::put_scheduled_action,
            on_target(|it| (it.service_namespace, &it.resource_id, it.scalable_dimension)),
        )
        .on(scheduled::describe_scheduled_actions, everywhere())
        .on(
            scheduled::delete_scheduled_action,
            on_target(|it| (it.service_namespace, &it.resource_id, it.scalable_dimension)),
        )
        .on(tags::tag_resource, on_arn(|it| &it.resource_arn))
        .on(tags::untag_resource, on_arn(|it| &it.resource_arn))
        .on(tags::list_tags_for_resource, on_arn(|it| &it.resource_arn))
        .reconciles(scaler::TargetReconciler)
        .reconciles(scaler::AlarmFollower)
        .reconciles(policy::PolicyReconciler)
        .reconciles(scheduled::ScheduledReconciler)
        .follows("cloudwatch.alarm", scaler::FOLLOWER, scaler::FOLLOWER_KEY)
        .resource(cfn::ScalableTargetType)
        .resource(cfn::ScalingPolicyType)
}
