//! What operations touch: groups and launch configurations, by the ARNs of their records.

use cloud::permission::on;
use cloud::{ConditionKey, Cx, Permission, Touched};
use shapes::autoscaling::{
    CreateAutoScalingGroupInput, CreateLaunchConfigurationInput, CreateOrUpdateTagsInput,
    DeleteAutoScalingGroupInput, DeleteTagsInput, PutLifecycleHookInput,
    PutScheduledUpdateGroupActionInput, SetInstanceHealthInput, StartInstanceRefreshInput, Tag,
    TerminateInstanceInAutoScalingGroupInput, TrafficSourceIdentifier, UpdateAutoScalingGroupInput,
};

use crate::record::{ConfigurationRecord, GroupRecord, InstanceRecord};
use crate::{keys, policy, rights};

const GROUP: &str = "autoScalingGroup";
const CONFIGURATION: &str = "launchConfiguration";
/// Whom the role of a hook's notifications is handed to.
const PRINCIPAL: &str = "autoscaling.amazonaws.com";

fn group_arn(cx: &Cx, name: &str) -> String {
    cx.arn(
        "autoscaling",
        &format!("autoScalingGroup:*:autoScalingGroupName/{name}"),
    )
}

fn touched(cx: &Cx, name: &str) -> Touched {
    match cx.read(|tx| tx.get::<GroupRecord>(&cx.key(name))) {
        Ok(Some(found)) => {
            let tags = found
                .tags
                .iter()
                .map(|it| (it.key.clone(), it.value.clone()));
            let tags: Vec<_> = tags.collect();
            Touched::named(found.arn())
                .tagged(tags)
                .asked_as(group_arn(cx, name))
        }
        Ok(None) => Touched::absent(group_arn(cx, name)),
        // Nothing is known of its tags.
        Err(_) => Touched::named(group_arn(cx, name)),
    }
}

/// On the group that a request names.
pub fn on_group<I: 'static>(name: fn(&I) -> &String) -> Permission<I> {
    on(GROUP, move |cx, it| touched(cx, name(it)))
}

pub fn on_new_group() -> Permission<CreateAutoScalingGroupInput> {
    type Input = CreateAutoScalingGroupInput;
    on_group(|it: &Input| &it.auto_scaling_group_name)
        .passing(PRINCIPAL, |it| {
            let hooks = it.lifecycle_hook_specification_list.iter().flatten();
            hooks.filter_map(|it| it.role_arn.clone()).collect()
        })
        .supplying(keys::OF_NEW_GROUP, |_, it| keys::of_new_group(it))
}

pub fn on_changed_group() -> Permission<UpdateAutoScalingGroupInput> {
    on_group(|it: &UpdateAutoScalingGroupInput| &it.auto_scaling_group_name)
        .supplying(keys::OF_CHANGED_GROUP, |_, it| keys::of_changed_group(it))
}

pub fn on_deleted_group() -> Permission<DeleteAutoScalingGroupInput> {
    on_group(|it: &DeleteAutoScalingGroupInput| &it.auto_scaling_group_name).supplying(
        &[keys::FORCE_DELETE],
        |_, it| {
            let is_forced = it.force_delete == Some(true);
            vec![ConditionKey::new(keys::FORCE_DELETE, Some(is_forced))]
        },
    )
}

/// On a group and the target groups that are attached to it or taken from it.
pub fn on_target_groups<I: 'static>(
    name: fn(&I) -> &String,
    arns: fn(&I) -> &Vec<String>,
) -> Permission<I> {
    on_group(name).supplying(&[keys::TARGET_GROUPS], move |_, it| {
        vec![ConditionKey::of_many(keys::TARGET_GROUPS, arns(it).clone())]
    })
}

pub fn on_sources<I: 'static>(
    name: fn(&I) -> &String,
    sources: fn(&I) -> &Vec<TrafficSourceIdentifier>,
) -> Permission<I> {
    on_group(name).supplying(&[keys::SOURCES], move |_, it| {
        vec![keys::sources(sources(it))]
    })
}

pub fn on_refreshed() -> Permission<StartInstanceRefreshInput> {
    on_group(|it: &StartInstanceRefreshInput| &it.auto_scaling_group_name)
        .supplying(&[keys::IMAGE], |_, _| Vec::new())
}

pub fn on_scheduled() -> Permission<PutScheduledUpdateGroupActionInput> {
    on_group(|it: &PutScheduledUpdateGroupActionInput| &it.auto_scaling_group_name)
        .supplying(keys::OF_SIZES, |_, it| {
            keys::sizes(it.min_size, it.max_size)
        })
}

pub fn on_hook() -> Permission<PutLifecycleHookInput> {
    type Input = PutLifecycleHookInput;
    on_group(|it: &Input| &it.auto_scaling_group_name)
        .passing(PRINCIPAL, |it| it.role_arn.iter().cloned().collect())
}

fn configuration(cx: &Cx, name: &str) -> Touched {
    let asked = format!("launchConfiguration:*:launchConfigurationName/{name}");
    let asked = cx.arn("autoscaling", &asked);
    match cx.read(|tx| tx.get::<ConfigurationRecord>(&cx.key(name))) {
        Ok(Some(found)) => Touched::absent(found.arn()).asked_as(asked),
        _ => Touched::absent(asked),
    }
}

pub fn on_configuration<I: 'static>(name: fn(&I) -> &String) -> Permission<I> {
    on(CONFIGURATION, move |cx, it| configuration(cx, name(it)))
}

pub fn on_new_configuration() -> Permission<CreateLaunchConfigurationInput> {
    on_configuration(|it: &CreateLaunchConfigurationInput| &it.launch_configuration_name)
        .passing_by_itself(rights::PRINCIPAL)
        .supplying(keys::OF_NEW_CONFIGURATION, |_, it| {
            keys::of_new_configuration(it)
        })
}

/// The group that an instance is in.
fn of_instance(cx: &Cx, id: Option<&String>) -> Touched {
    let all = cx.read(|tx| tx.list::<InstanceRecord>(&cx.key("")));
    let found = (all.unwrap_or_default().into_iter()).find(|it| it.id.as_ref() == id);
    match found {
        Some(found) => touched(cx, &found.group),
        None => Touched::any(group_arn(cx, "*")),
    }
}

pub fn on_sick() -> Permission<SetInstanceHealthInput> {
    on(GROUP, |cx, it: &SetInstanceHealthInput| {
        of_instance(cx, Some(&it.instance_id))
    })
}

pub fn on_ended() -> Permission<TerminateInstanceInAutoScalingGroupInput> {
    type Input = TerminateInstanceInAutoScalingGroupInput;
    on(GROUP, |cx, it: &Input| {
        of_instance(cx, it.instance_id.as_ref())
    })
}

/// On the group of a policy that is named by its group and its name, or by its ARN.
pub fn on_policy<I: 'static>(named: fn(&I) -> (Option<&String>, &String)) -> Permission<I> {
    on(GROUP, move |cx, it| {
        let (group, name) = named(it);
        let found = cx.read(|tx| policy::find(cx, tx, group.map(String::as_str), name));
        match (found, group) {
            (Ok(found), _) => touched(cx, &found.group),
            (Err(_), Some(group)) => touched(cx, group),
            (Err(_), None) => Touched::any(group_arn(cx, "*")),
        }
    })
}

fn of_tags(cx: &Cx, tags: &[Tag]) -> Vec<Touched> {
    let names = tags.iter().filter_map(|it| it.resource_id.as_deref());
    names.map(|it| touched(cx, it)).collect()
}

pub fn on_tagged() -> Permission<CreateOrUpdateTagsInput> {
    on(GROUP, |cx, it: &CreateOrUpdateTagsInput| {
        of_tags(cx, &it.tags)
    })
}

pub fn on_untagged() -> Permission<DeleteTagsInput> {
    on(GROUP, |cx, it: &DeleteTagsInput| of_tags(cx, &it.tags))
}
