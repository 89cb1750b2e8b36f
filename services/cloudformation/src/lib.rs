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
//! Deliberately absent, and refused by name: transforms, custom resources, update policies, stack
//! sets, imports of existing resources, service roles, notifications.

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
mod exports;
mod finish;
mod learn;
mod location;
mod lookup;
mod lookups;
mod nested;
mod plan;
mod policy;
mod reconcile;
mod record;
mod scope;
mod secrets;
mod signal;
mod source;
mod stack;
mod templates;
mod tree;
mod undo;
pub mod wait;

use cloud::Service;

pub fn service() -> Service {
    let service = Service::new(&shapes::cloudformation::MODEL)
        .on_unlisted(stack::create_stack)
        .on_unlisted(stack::update_stack)
        .on_unlisted(undo::delete_stack)
        .on_unlisted(undo::cancel_update_stack)
        .on_unlisted(undo::continue_update_rollback)
        .on_unlisted(undo::rollback_stack)
        .on_unlisted(stack::update_termination_protection)
        .on_unlisted(change_set::create_change_set)
        .on_unlisted(change_set::describe_change_set)
        .on_unlisted(change_set::list_change_sets)
        .on_unlisted(change_set::execute_change_set)
        .on_unlisted(change_set::delete_change_set)
        .on_unlisted(signal::signal_resource)
        .on_unlisted(describe::describe_stacks)
        .on_unlisted(describe::list_stacks)
        .on_unlisted(describe::describe_stack_events)
        .on_unlisted(describe::describe_stack_resource)
        .on_unlisted(describe::describe_stack_resources)
        .on_unlisted(describe::list_stack_resources)
        .on_unlisted(exports::list_exports)
        .on_unlisted(exports::list_imports)
        .on_unlisted(drift::detect_stack_drift)
        .on_unlisted(drift::detect_stack_resource_drift)
        .on_unlisted(drift::describe_stack_drift_detection_status)
        .on_unlisted(drift::describe_stack_resource_drifts)
        .on_unlisted(policy::set_stack_policy)
        .on_unlisted(policy::get_stack_policy)
        .on_unlisted(templates::get_template)
        .on_unlisted(templates::get_template_summary)
        .on_unlisted(templates::validate_template)
        .reconciles(reconcile::StackReconciler);
    cfn::register(service)
}
