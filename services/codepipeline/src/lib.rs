//! AWS CodePipeline: executions that carry a source's revision through stages of actions.
//!
//! A handler writes records. A pipeline's key wakes [`flow`], which makes facts of its executions,
//! plans purely ([`plan`]) and writes the steps down: an execution enters a stage, an action starts,
//! a newer execution supersedes an older one. An action's key wakes [`act`], which does the work
//! through other services' operations ([`actions`]) until the action is over, and wakes the pipeline
//! again. A source watch's key wakes [`watch`], which asks what the sources are at and starts
//! executions for what is new; a push to a repository kept here wakes it at once.
//!
//! | record | key | |
//! |---|---|---|
//! | `codepipeline.pipeline` | region/name | reconciled by [`flow`] |
//! | `codepipeline.version` | region/name/version | structures, old ones too |
//! | `codepipeline.execution` | region/name/number/id | |
//! | `codepipeline.action` | region/name/number/sequence-id | reconciled by [`act`] |
//! | `codepipeline.watch` | region/name | reconciled by [`watch`] |
//! | `codepipeline.webhook` | region/name | |
//!
//! An execution runs through the structure that the pipeline had when it started.

mod act;
mod actions;
mod catalog;
mod cfn;
mod delivery;
mod execution;
mod find;
mod flow;
mod glob;
mod history;
mod page;
mod pipeline;
mod plan;
#[cfg(test)]
mod plan_tests;
mod record;
mod roles;
mod stage;
mod start;
mod state;
mod structure;
mod tags;
mod triggers;
mod variables;
mod watch;
mod webhook;

use cloud::{Service, Watch};

pub use delivery::{Delivery, deliver, is_address};

/// Everything that AWS CodePipeline brings.
pub fn service() -> Service {
    Service::new(&shapes::codepipeline::MODEL)
        .on(catalog::list_action_types)
        .on(pipeline::create_pipeline)
        .on(pipeline::update_pipeline)
        .on(pipeline::get_pipeline)
        .on(pipeline::list_pipelines)
        .on(pipeline::delete_pipeline)
        .on(state::get_pipeline_state)
        .on(execution::start_pipeline_execution)
        .on(execution::stop_pipeline_execution)
        .on(execution::retry_stage_execution)
        .on(execution::rollback_stage)
        .on(history::get_pipeline_execution)
        .on(history::list_pipeline_executions)
        .on(history::list_action_executions)
        .on(stage::disable_stage_transition)
        .on(stage::enable_stage_transition)
        .on(stage::put_approval_result)
        .on(tags::tag_resource)
        .on(tags::untag_resource)
        .on(tags::list_tags_for_resource)
        .on(webhook::put_webhook)
        .on(webhook::list_webhooks)
        .on(webhook::delete_webhook)
        .on(webhook::register_webhook_with_third_party)
        .on(webhook::deregister_webhook_with_third_party)
        .resource(cfn::PipelineType)
        .resource(cfn::WebhookType)
        .reconciles(flow::FlowReconciler)
        .reconciles(act::ActionReconciler)
        .reconciles(watch::WatchReconciler)
        .watches(Watch {
            changes: |engine| engine.git.changes(),
            keys: watch::keys_of_push,
        })
}
