//! Application Auto Scaling: ECS services that grow and shrink.
//!
//! A *scalable target* is a service's desired count and its bounds. What changes it are *policies*,
//! which alarms of CloudWatch call, and *scheduled actions*, which the clock calls. [`scaler`] looks
//! at a target: it asks CloudWatch for the alarms that name the target's policies and ECS for the
//! service, lets [`decide`] decide, writes an *activity* down, and carries it out by `UpdateService`.
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
mod decide;
mod policy;
mod policy_rules;
mod scaler;
mod schedule;
mod scheduled;
mod tags;
mod target;
mod tracking;

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::application_autoscaling::MODEL)
        .on_unlisted(target::register_scalable_target)
        .on_unlisted(target::describe_scalable_targets)
        .on_unlisted(target::deregister_scalable_target)
        .on_unlisted(policy::put_scaling_policy)
        .on_unlisted(policy::describe_scaling_policies)
        .on_unlisted(policy::delete_scaling_policy)
        .on_unlisted(activity::describe_scaling_activities)
        .on_unlisted(scheduled::put_scheduled_action)
        .on_unlisted(scheduled::describe_scheduled_actions)
        .on_unlisted(scheduled::delete_scheduled_action)
        .on_unlisted(tags::tag_resource)
        .on_unlisted(tags::untag_resource)
        .on_unlisted(tags::list_tags_for_resource)
        .reconciles(scaler::TargetReconciler)
        .reconciles(scaler::AlarmFollower)
        .reconciles(policy::PolicyReconciler)
        .reconciles(scheduled::ScheduledReconciler)
        .follows("cloudwatch.alarm", scaler::FOLLOWER, scaler::FOLLOWER_KEY)
        .resource(cfn::ScalableTargetType)
        .resource(cfn::ScalingPolicyType)
}
