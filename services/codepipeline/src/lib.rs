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
mod permissions;
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

use cloud::permission::{everywhere, touching};
use cloud::{Service, Watch};
use shapes::codepipeline::{
    CreatePipelineInput, ListTagsForResourceInput, PutWebhookInput, TagResourceInput,
    UntagResourceInput, UpdatePipelineInput,
};

use permissions::{
    PRINCIPAL, action_touched, any_webhook, pipeline_of_arn, pipeline_touched, roles,
    stage_touched, webhook_of_arn, webhook_touched,
};

pub use delivery::{Delivery, deliver, is_address};

/// Everything that AWS CodePipeline brings.
pub fn service() -> Service {
    Service::new(&shapes::codepipeline::MODEL)
        .on(catalog::list_action_types, everywhere())
        .on(
            pipeline::create_pipeline,
            touching("pipeline", |cx, it: &CreatePipelineInput| {
                pipeline_touched(cx, &it.pipeline.name)
            })
            .passing(PRINCIPAL, |it| roles(&it.pipeline)),
        )
        .on(
            pipeline::update_pipeline,
            touching("pipeline", |cx, it: &UpdatePipelineInput| {
                pipeline_touched(cx, &it.pipeline.name)
            })
            .passing(PRINCIPAL, |it| roles(&it.pipeline)),
        )
        .on(
            pipeline::get_pipeline,
            touching("pipeline", |cx, it| pipeline_touched(cx, &it.name)),
        )
        .on(pipeline::list_pipelines, everywhere())
        .on(
            pipeline::delete_pipeline,
            touching("pipeline", |cx, it| pipeline_touched(cx, &it.name)),
        )
        .on(
            state::get_pipeline_state,
            touching("pipeline", |cx, it| pipeline_touched(cx, &it.name)),
        )
        .on(
            execution::start_pipeline_execution,
            touching("pipeline", |cx, it| pipeline_touched(cx, &it.name)),
        )
        .on(
            execution::stop_pipeline_execution,
            touching("pipeline", |cx, it| pipeline_touched(cx, &it.pipeline_name)),
        )
        .on(
            execution::retry_stage_execution,
            touching("stage", |cx, it| {
                stage_touched(cx, &it.pipeline_name, &it.stage_name)
            }),
        )
        .on(
            execution::rollback_stage,
            touching("stage", |cx, it| {
                stage_touched(cx, &it.pipeline_name, &it.stage_name)
            }),
        )
        .on(
            history::get_pipeline_execution,
            touching("pipeline", |cx, it| pipeline_touched(cx, &it.pipeline_name)),
        )
        .on(
            history::list_pipeline_executions,
            touching("pipeline", |cx, it| pipeline_touched(cx, &it.pipeline_name)),
        )
        .on(
            history::list_action_executions,
            touching("pipeline", |cx, it| pipeline_touched(cx, &it.pipeline_name)),
        )
        .on(
            stage::disable_stage_transition,
            touching("stage", |cx, it| {
                stage_touched(cx, &it.pipeline_name, &it.stage_name)
            }),
        )
        .on(
            stage::enable_stage_transition,
            touching("stage", |cx, it| {
                stage_touched(cx, &it.pipeline_name, &it.stage_name)
            }),
        )
        .on(
            stage::put_approval_result,
            touching("action", |cx, it| {
                action_touched(cx, &it.pipeline_name, &it.stage_name, &it.action_name)
            }),
        )
        .on(
            tags::tag_resource,
            touching("pipeline", |cx, it: &TagResourceInput| {
                pipeline_of_arn(cx, &it.resource_arn)
            })
            .also("webhook", |cx, it: &TagResourceInput| {
                webhook_of_arn(cx, &it.resource_arn)
            }),
        )
        .on(
            tags::untag_resource,
            touching("pipeline", |cx, it: &UntagResourceInput| {
                pipeline_of_arn(cx, &it.resource_arn)
            })
            .also("webhook", |cx, it: &UntagResourceInput| {
                webhook_of_arn(cx, &it.resource_arn)
            }),
        )
        .on(
            tags::list_tags_for_resource,
            touching("pipeline", |cx, it: &ListTagsForResourceInput| {
                pipeline_of_arn(cx, &it.resource_arn)
            })
            .also("webhook", |cx, it: &ListTagsForResourceInput| {
                webhook_of_arn(cx, &it.resource_arn)
            }),
        )
        .on(
            webhook::put_webhook,
            touching("pipeline", |cx, it: &PutWebhookInput| {
                pipeline_touched(cx, &it.webhook.target_pipeline)
            })
            .also("webhook", |cx, it: &PutWebhookInput| {
                webhook_touched(cx, &it.webhook.name)
            }),
        )
        .on(
            webhook::list_webhooks,
            touching("webhook", |cx, _| any_webhook(cx)),
        )
        .on(
            webhook::delete_webhook,
            touching("webhook", |cx, it| webhook_touched(cx, &it.name)),
        )
        .on(
            webhook::register_webhook_with_third_party,
            touching("webhook", |cx, it| {
                it.webhook_name
                    .as_ref()
                    .map(|name| webhook_touched(cx, name))
            }),
        )
        .on(
            webhook::deregister_webhook_with_third_party,
            touching("webhook", |cx, it| {
                it.webhook_name
                    .as_ref()
                    .map(|name| webhook_touched(cx, name))
            }),
        )
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
