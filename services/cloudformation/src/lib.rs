//! CloudFormation: stacks, built from templates out of the resource types that other services lend.
//!
//! A request is checked whole (template, parameters, resource types, properties, capabilities)
//! before anything is recorded; see [`source`] and [`check`]. What is recorded is an operation of
//! the stack; [`reconcile`] drives it: [`plan`] says purely what may be done now, [`apply`] does it,
//! [`learn`] commits what came of it with its events, [`finish`] turns phases. Rolling back is another
//! phase of the same plan over the same facts, and a crash anywhere is nothing but a pause.
//!
//! Nested stacks ([`nested`]) are a resource type like any other, lent by this service itself.
//!
//! Deliberately absent, and refused by name: macros, custom resources, stack sets, imports of existing
//! resources, notifications.

mod ahead;
mod apply;
mod asker;
mod cfn;
mod change_set;
mod changes;
mod check;
mod describe;
mod diff;
mod drift;
mod event;
mod events;
mod exports;
mod finish;
mod forms;
mod kept;
mod learn;
mod location;
mod lookup;
mod lookups;
mod nested;
mod permissions;
mod plan;
mod policy;
mod reconcile;
mod record;
mod resources;
mod scope;
mod secrets;
mod signal;
mod source;
mod stack;
mod templates;
mod transforms;
mod tree;
mod undo;
pub mod wait;

pub use check::refusals as refusals_of_template;
pub use forms::refusals as refusals_of_properties;
pub use tree::{
    DEPTH_MAX as NESTED_DEPTH_MAX, LOOKED_INTO_MAX as NESTED_MAX, parameters as parameters_of,
};

use cloud::Service;
use cloud::permission::{everywhere, touching};
use shapes::cloudformation::{
    CreateChangeSetInput, CreateStackInput, DeleteChangeSetInput, DescribeChangeSetInput,
    DescribeEventsInput, ExecuteChangeSetInput, GetTemplateSummaryInput, SetStackPolicyInput,
    UpdateStackInput, ValidateTemplateInput,
};

use permissions::{
    CHANGE_SET, MADE_BY_CHANGE_SET, Made, POLICY, PRINCIPAL, TEMPLATE, change_set_name, making,
    stack_of_change_set, stack_or_any, stack_touched, stack_with, with_role,
};

pub fn service() -> Service {
    let service = Service::new(&shapes::cloudformation::MODEL)
        .on(
            stack::create_stack,
            making(|it: &CreateStackInput| {
                let made = Made {
                    template_url: it.template_url.as_deref(),
                    policy_url: it.stack_policy_url.as_deref(),
                    role: it.role_arn.as_deref(),
                    types: it.resource_types.as_deref(),
                    ..Made::default()
                };
                (&it.stack_name, made)
            }),
        )
        .on(
            stack::update_stack,
            making(|it: &UpdateStackInput| {
                let made = Made {
                    template_url: it.template_url.as_deref(),
                    policy_url: it.stack_policy_url.as_deref(),
                    role: it.role_arn.as_deref(),
                    types: it.resource_types.as_deref(),
                    ..Made::default()
                };
                (&it.stack_name, made)
            }),
        )
        .on(
            undo::delete_stack,
            with_role(|it| &it.stack_name, |it| it.role_arn.as_deref()),
        )
        .on(
            undo::cancel_update_stack,
            touching("stack", |cx, it| stack_touched(cx, &it.stack_name)),
        )
        .on(
            undo::continue_update_rollback,
            with_role(|it| &it.stack_name, |it| it.role_arn.as_deref()),
        )
        .on(
            undo::rollback_stack,
            with_role(|it| &it.stack_name, |it| it.role_arn.as_deref()),
        )
        .on(
            stack::update_termination_protection,
            touching("stack", |cx, it| stack_touched(cx, &it.stack_name)),
        )
        .on(
            change_set::create_change_set,
            touching("stack", |cx, it: &CreateChangeSetInput| {
                stack_touched(cx, &it.stack_name)
            })
            .supplying(MADE_BY_CHANGE_SET, |_, it| {
                Made {
                    template_url: it.template_url.as_deref(),
                    role: it.role_arn.as_deref(),
                    types: it.resource_types.as_deref(),
                    change_set: Some(&it.change_set_name),
                    ..Made::default()
                }
                .only(MADE_BY_CHANGE_SET)
            })
            .passing(PRINCIPAL, |it| it.role_arn.iter().cloned().collect()),
        )
        .on(
            change_set::describe_change_set,
            touching("stack", |cx, it: &DescribeChangeSetInput| {
                stack_of_change_set(cx, &it.change_set_name, it.stack_name.as_deref())
            })
            .supplying(CHANGE_SET, |_, it| {
                Made {
                    change_set: Some(change_set_name(&it.change_set_name)),
                    ..Made::default()
                }
                .only(CHANGE_SET)
            }),
        )
        .on(
            change_set::list_change_sets,
            touching("stack", |cx, it| stack_touched(cx, &it.stack_name)),
        )
        .on(
            change_set::execute_change_set,
            touching("stack", |cx, it: &ExecuteChangeSetInput| {
                stack_of_change_set(cx, &it.change_set_name, it.stack_name.as_deref())
            })
            .supplying(CHANGE_SET, |_, it| {
                Made {
                    change_set: Some(change_set_name(&it.change_set_name)),
                    ..Made::default()
                }
                .only(CHANGE_SET)
            }),
        )
        .on(
            change_set::delete_change_set,
            touching("stack", |cx, it: &DeleteChangeSetInput| {
                stack_of_change_set(cx, &it.change_set_name, it.stack_name.as_deref())
            })
            .supplying(CHANGE_SET, |_, it| {
                Made {
                    change_set: Some(change_set_name(&it.change_set_name)),
                    ..Made::default()
                }
                .only(CHANGE_SET)
            }),
        )
        .on(
            signal::signal_resource,
            touching("stack", |cx, it| stack_touched(cx, &it.stack_name)),
        )
        .on(
            describe::describe_stacks,
            touching("stack", |cx, it| stack_or_any(cx, it.stack_name.as_ref())),
        )
        .on(describe::list_stacks, everywhere())
        .on(
            describe::describe_stack_events,
            touching("stack", |cx, it| stack_touched(cx, &it.stack_name)),
        )
        .on(
            events::describe_events,
            touching("stack", |cx, it: &DescribeEventsInput| {
                match (&it.change_set_name, &it.stack_name) {
                    (Some(set), name) => stack_of_change_set(cx, set, name.as_deref()),
                    (None, name) => stack_or_any(cx, name.as_ref()),
                }
            }),
        )
        .on(
            describe::describe_stack_resource,
            touching("stack", |cx, it| stack_touched(cx, &it.stack_name)),
        )
        .on(
            describe::describe_stack_resources,
            touching("stack", |cx, it| {
                match (&it.stack_name, &it.physical_resource_id) {
                    (None, Some(id)) => stack_with(cx, id),
                    (name, _) => stack_or_any(cx, name.as_ref()),
                }
            }),
        )
        .on(
            describe::list_stack_resources,
            touching("stack", |cx, it| stack_touched(cx, &it.stack_name)),
        )
        .on(exports::list_exports, everywhere())
        .on(exports::list_imports, everywhere())
        .on(
            drift::detect_stack_drift,
            touching("stack", |cx, it| stack_touched(cx, &it.stack_name)),
        )
        .on(
            drift::detect_stack_resource_drift,
            touching("stack", |cx, it| stack_touched(cx, &it.stack_name)),
        )
        .on(drift::describe_stack_drift_detection_status, everywhere())
        .on(
            drift::describe_stack_resource_drifts,
            touching("stack", |cx, it| stack_touched(cx, &it.stack_name)),
        )
        .on(
            policy::set_stack_policy,
            touching("stack", |cx, it: &SetStackPolicyInput| {
                stack_touched(cx, &it.stack_name)
            })
            .supplying(POLICY, |_, it| {
                Made {
                    policy_url: it.stack_policy_url.as_deref(),
                    ..Made::default()
                }
                .only(POLICY)
            }),
        )
        .on(
            policy::get_stack_policy,
            touching("stack", |cx, it| stack_touched(cx, &it.stack_name)),
        )
        .on(
            templates::get_template,
            touching("stack", |cx, it| {
                match (&it.change_set_name, &it.stack_name) {
                    (Some(set), name) => stack_of_change_set(cx, set, name.as_deref()),
                    (None, name) => stack_or_any(cx, name.as_ref()),
                }
            }),
        )
        .on(
            templates::get_template_summary,
            touching("stack", |cx, it: &GetTemplateSummaryInput| {
                it.stack_name.as_ref().map(|name| stack_touched(cx, name))
            })
            .supplying(TEMPLATE, |_, it| {
                Made {
                    template_url: it.template_url.as_deref(),
                    ..Made::default()
                }
                .only(TEMPLATE)
            }),
        )
        .on(
            templates::validate_template,
            everywhere().supplying(TEMPLATE, |_, it: &ValidateTemplateInput| {
                Made {
                    template_url: it.template_url.as_deref(),
                    ..Made::default()
                }
                .only(TEMPLATE)
            }),
        )
        .reconciles(reconcile::StackReconciler);
    cfn::register(service)
}
