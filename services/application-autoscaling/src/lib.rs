//! Application Auto Scaling: what may be scaled and how, as records.
//!
//! **Nothing scales yet.** A policy is recorded and described as it was put, makes no alarms, and
//! changes no service: the engine behind it is a later part. That is why the CloudFormation types of
//! this service are not lent, so that no stack turns green on a policy that does nothing. Scheduled
//! actions and scaling activities are not built. ECS services are the only things known here.

mod policy;
mod tags;
mod target;

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::application_autoscaling::MODEL)
        .on(target::register_scalable_target)
        .on(target::describe_scalable_targets)
        .on(target::deregister_scalable_target)
        .on(policy::put_scaling_policy)
        .on(policy::describe_scaling_policies)
        .on(policy::delete_scaling_policy)
        .on(tags::tag_resource)
        .on(tags::untag_resource)
        .on(tags::list_tags_for_resource)
}
