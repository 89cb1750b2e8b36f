//! Amazon EC2 Auto Scaling: groups of instances that are as many as are wanted, and healthy.
//!
//! A *group* says how many instances are wanted, where, and what they are launched by. [`reconciler`] asks EC2 and the
//! load balancers how they are, lets [`plan`] decide, and does one round of [`steps`]: instances are launched and ended
//! by EC2's own operations, and registered by those of Elastic Load Balancing. What is done with an instance is an
//! *activity*, with its cause in AWS's words. *Policies* and *scheduled actions* change how many are wanted
//! ([`scaler`], [`scheduled`]); *refreshes* replace those that there are ([`refresh`]).
//!
//! Cooldowns, grace periods and hooks' timeouts are paced as everything is that AWS waits for; schedules are by the
//! clock on the wall. There is no market of spare machines: what a policy would launch on the spot market is launched
//! as any other instance, and nobody takes it back.
//!
//! | record | key | |
//! |---|---|---|
//! | `autoscaling.group` | region/name | woken by changes of EC2's instances |
//! | `autoscaling.instance` | region/group/serial | one that is wanted, launched or leaving |
//! | `autoscaling.launch-configuration` | region/name | |
//! | `autoscaling.hook` | region/group/name | |
//! | `autoscaling.policy` | region/group/name | makes its alarms |
//! | `autoscaling.scheduled-action` | region/group/name | |
//! | `autoscaling.refresh` | region/group/number | |
//! | `autoscaling.activity` | region/group/number | |

mod activity;
mod cfn;
mod configuration;
mod group;
mod hook;
mod instances;
mod keys;
mod launch;
mod page;
mod permissions;
mod plan;
#[cfg(test)]
mod plan_tests;
mod policy;
mod processes;
mod reconciler;
mod record;
mod refresh;
mod rights;
mod rules;
mod scaler;
mod scheduled;
mod steps;
mod tags;
mod traffic;
mod victims;

use cloud::Service;
use cloud::permission::everywhere;
use permissions::{
    on_changed_group, on_configuration, on_deleted_group, on_ended, on_group, on_hook,
    on_new_configuration, on_new_group, on_policy, on_refreshed, on_scheduled, on_sick, on_sources,
    on_tagged, on_target_groups, on_untagged,
};

pub fn service() -> Service {
    let service = Service::new(&shapes::autoscaling::MODEL);
    let service = of_groups(of_instances(of_scaling(of_what_there_is(service))));
    service
        .reconciles(reconciler::GroupReconciler)
        .reconciles(reconciler::InstanceFollower)
        .reconciles(policy::PolicyReconciler)
        .reconciles(scaler::AlarmFollower)
        .reconciles(scheduled::ScheduledReconciler)
        .follows(
            "ec2.instance",
            reconciler::FOLLOWER,
            reconciler::FOLLOWER_KEY,
        )
        .follows("cloudwatch.alarm", scaler::FOLLOWER, scaler::FOLLOWER_KEY)
        .resource(cfn::GroupType)
        .resource(cfn::LaunchConfigurationType)
        .resource(cfn::LifecycleHookType)
        .resource(cfn::ScalingPolicyType)
        .resource(cfn::ScheduledActionType)
}

fn of_groups(service: Service) -> Service {
    service
        .on(
            configuration::create_launch_configuration,
            on_new_configuration(),
        )
        .on(configuration::describe_launch_configurations, everywhere())
        .on(
            configuration::delete_launch_configuration,
            on_configuration(|it| &it.launch_configuration_name),
        )
        .on(group::create_auto_scaling_group, on_new_group())
        .on(group::update_auto_scaling_group, on_changed_group())
        .on(group::delete_auto_scaling_group, on_deleted_group())
        .on(group::describe_auto_scaling_groups, everywhere())
        .on(
            group::set_desired_capacity,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(
            traffic::attach_target_groups,
            on_target_groups(
                |it| &it.auto_scaling_group_name,
                |it| &it.target_group_ar_ns,
            ),
        )
        .on(
            traffic::detach_target_groups,
            on_target_groups(
                |it| &it.auto_scaling_group_name,
                |it| &it.target_group_ar_ns,
            ),
        )
        .on(traffic::describe_target_groups, everywhere())
        .on(
            traffic::attach_traffic_sources,
            on_sources(|it| &it.auto_scaling_group_name, |it| &it.traffic_sources),
        )
        .on(
            traffic::detach_traffic_sources,
            on_sources(|it| &it.auto_scaling_group_name, |it| &it.traffic_sources),
        )
        .on(traffic::describe_traffic_sources, everywhere())
        .on(traffic::describe_load_balancers, everywhere())
        .on(tags::create_or_update_tags, on_tagged())
        .on(tags::delete_tags, on_untagged())
        .on(tags::describe_tags, everywhere())
        .on(
            processes::suspend_processes,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(
            processes::resume_processes,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(
            processes::enable_metrics_collection,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(
            processes::disable_metrics_collection,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(refresh::start_instance_refresh, on_refreshed())
        .on(
            refresh::cancel_instance_refresh,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(
            refresh::rollback_instance_refresh,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(refresh::describe_instance_refreshes, everywhere())
}

fn of_instances(service: Service) -> Service {
    service
        .on(group::describe_auto_scaling_instances, everywhere())
        .on(instances::set_instance_health, on_sick())
        .on(
            instances::set_instance_protection,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(instances::terminate_instance, on_ended())
        .on(
            instances::attach_instances,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(
            instances::detach_instances,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(
            instances::enter_standby,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(
            instances::exit_standby,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(hook::put_lifecycle_hook, on_hook())
        .on(
            hook::delete_lifecycle_hook,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(hook::describe_lifecycle_hooks, everywhere())
        .on(
            hook::complete_lifecycle_action,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(
            hook::record_lifecycle_action_heartbeat,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(activity::describe_scaling_activities, everywhere())
}

fn of_scaling(service: Service) -> Service {
    service
        .on(
            policy::put_scaling_policy,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(policy::describe_policies, everywhere())
        .on(
            policy::delete_policy,
            on_policy(|it| (it.auto_scaling_group_name.as_ref(), &it.policy_name)),
        )
        .on(
            scaler::execute_policy,
            on_policy(|it| (it.auto_scaling_group_name.as_ref(), &it.policy_name)),
        )
        .on(scheduled::put_scheduled_action, on_scheduled())
        .on(
            scheduled::batch_put_scheduled_action,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(
            scheduled::delete_scheduled_action,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(
            scheduled::batch_delete_scheduled_action,
            on_group(|it| &it.auto_scaling_group_name),
        )
        .on(scheduled::describe_scheduled_actions, everywhere())
}

fn of_what_there_is(service: Service) -> Service {
    service
        .on(processes::describe_account_limits, everywhere())
        .on(processes::describe_adjustment_types, everywhere())
        .on(processes::describe_lifecycle_hook_types, everywhere())
        .on(processes::describe_metric_collection_types, everywhere())
        .on(processes::describe_scaling_process_types, everywhere())
        .on(processes::describe_termination_policy_types, everywhere())
        .on(processes::describe_warm_pool, everywhere())
}
