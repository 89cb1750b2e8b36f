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
        .on(stack::create_stack)
        .on(stack::update_stack)
        .on(undo::delete_stack)
        .on(undo::cancel_update_stack)
        .on(undo::continue_update_rollback)
        .on(undo::rollback_stack)
        .on(stack::update_termination_protection)
        .on(change_set::create_change_set)
        .on(change_set::describe_change_set)
        .on(change_set::list_change_sets)
        .on(change_set::execute_change_set)
        .on(change_set::delete_change_set)
        .on(signal::signal_resource)
        .on(describe::describe_stacks)
        .on(describe::list_stacks)
        .on(describe::describe_stack_events)
        .on(describe::describe_stack_resource)
        .on(describe::describe_stack_resources)
        .on(describe::list_stack_resources)
        .on(exports::list_exports)
        .on(exports::list_imports)
        .on(drift::detect_stack_drift)
        .on(drift::detect_stack_resource_drift)
        .on(drift::describe_stack_drift_detection_status)
        .on(drift::describe_stack_resource_drifts)
        .on(policy::set_stack_policy)
        .on(policy::get_stack_policy)
        .on(templates::get_template)
        .on(templates::get_template_summary)
        .on(templates::validate_template)
        .reconciles(reconcile::StackReconciler);
    cfn::register(service)
}
