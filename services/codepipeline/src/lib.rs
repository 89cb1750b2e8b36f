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
        .on_unlisted(catalog::list_action_types)
        .on_unlisted(pipeline::create_pipeline)
        .on_unlisted(pipeline::update_pipeline)
        .on_unlisted(pipeline::get_pipeline)
        .on_unlisted(pipeline::list_pipelines)
        .on_unlisted(pipeline::delete_pipeline)
        .on_unlisted(state::get_pipeline_state)
        .on_unlisted(execution::start_pipeline_execution)
        .on_unlisted(execution::stop_pipeline_execution)
        .on_unlisted(execution::retry_stage_execution)
        .on_unlisted(execution::rollback_stage)
        .on_unlisted(history::get_pipeline_execution)
        .on_unlisted(history::list_pipeline_executions)
        .on_unlisted(history::list_action_executions)
        .on_unlisted(stage::disable_stage_transition)
        .on_unlisted(stage::enable_stage_transition)
        .on_unlisted(stage::put_approval_result)
        .on_unlisted(tags::tag_resource)
        .on_unlisted(tags::untag_resource)
        .on_unlisted(tags::list_tags_for_resource)
        .on_unlisted(webhook::put_webhook)
        .on_unlisted(webhook::list_webhooks)
        .on_unlisted(webhook::delete_webhook)
        .on_unlisted(webhook::register_webhook_with_third_party)
        .on_unlisted(webhook::deregister_webhook_with_third_party)
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
