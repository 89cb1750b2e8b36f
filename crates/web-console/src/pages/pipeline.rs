//! One pipeline: stages from left to right, the log of its build, and what ran before.

use maud::{Markup, html};

use super::{Page, parts};
use crate::asked::{Asked, link};
use crate::facts::State;
use crate::facts::pipelines::{BuildRow, PipelineFacts, StageRow};

pub fn page(facts: &PipelineFacts, asked: &Asked) -> Page {
    let act = |verb: &str, fields: &[(&str, &str)]| link(&["pipelines", &facts.name, verb], fields);
    let is_red = facts.stages.iter().any(|it| it.state == State::Failed);
    let body = html! {
        h1 { (facts.name) " " small { "pipeline" } }
        p .links { @if is_red { (parts::why_link(&facts.name)) } }
        div .acts { (parts::action(asked.can_write, &act("start", &[]), "Release", "Start this pipeline?")) }
        ol .stages { @for stage in &facts.stages { (shown(stage, facts.now_ms, asked.can_write, &act)) } }
        @if let Some(build) = &facts.build { (log(build)) }
        section {
            h2 { "Executions" }
            table {
                thead { tr { th scope="col" { "Execution" } th scope="col" { "State" } th scope="col" { "Revision" } th scope="col" { "Begun" } th scope="col" { "By" } } }
                tbody { @for it in &facts.executions { tr #{ "execution-" (it.id) } {
                    th scope="row" { code { (it.id.get(..8).unwrap_or(&it.id)) } }
                    td { (parts::said(it.state, &it.status)) }
                    td { (it.revision.as_deref().unwrap_or("–")) }
                    td { (parts::ago(facts.now_ms, it.begun_ms)) }
                    td { (it.trigger.as_deref().unwrap_or("–"))
                        @if it.status == "InProgress" {
                            " " (parts::action(asked.can_write, &act("stop", &[("execution", &it.id)]), "Stop", "Stop this execution?"))
                        } }
                } } }
            }
        }
    };
    Page::new(format!("Pipeline {}", facts.name), "Pipelines")
        .body(body)
        .by([
            parts::aws(&["codepipeline", "get-pipeline-state", "--name", &facts.name]),
            parts::aws(&[
                "codepipeline",
                "list-pipeline-executions",
                "--pipeline-name",
                &facts.name,
            ]),
        ])
}

/// The address of what is done with a stage: a verb, and what it is told.
type Act<'a> = &'a dyn Fn(&str, &[(&str, &str)]) -> String;

fn shown(stage: &StageRow, now_ms: i64, can_write: bool, act: Act<'_>) -> Markup {
    let execution = stage.execution.as_deref().unwrap_or_default();
    html! {
        li .card.(stage.state.class()) #{ "stage-" (stage.name) } {
            h2 { (stage.name) }
            p { (parts::said(stage.state, if stage.status.is_empty() { "did not run" } else { &stage.status })) }
            @if stage.state == State::Failed {
                (parts::action(can_write, &act("retry", &[("stage", &stage.name), ("execution", execution)]), "Retry", "Run what failed again?"))
            }
            @for it in &stage.actions {
                div .step {
                    p { strong { (it.name) } " " (parts::said(it.state, &it.status)) " " (parts::ago(now_ms, it.changed_ms)) }
                    @if let Some(summary) = &it.summary { p .detail { (summary) } }
                    @if let Some(error) = &it.error { p .cause { (error) } }
                    @if let Some(token) = &it.approval_token {
                        @for (verb, label) in [("approve", "Approve"), ("reject", "Reject")] {
                            (parts::action(can_write, &act(verb, &[("stage", &stage.name), ("step", &it.name), ("token", token)]), label, "Are you sure?"))
                        }
                    }
                }
            }
        }
    }
}

fn log(build: &BuildRow) -> Markup {
    html! {
        section {
            h2 { "Build " code { (build.id) } }
            p { (parts::said(build.state, &build.status)) " "
                @if let (Some(group), Some(stream)) = (&build.log_group, &build.log_stream) {
                    a data-key="l" href=(link(&["logs"], &[("group", group), ("stream", stream)])) { "Whole log" }
                } }
            ul .phases { @for (name, status, seconds) in &build.phases {
                li { (name) " " (status) @if let Some(seconds) = seconds { ", " (seconds) " s" } }
            } }
            pre .lines role="log" tabindex="0" aria-label="Last lines of the build" { @for line in &build.lines { (line.trim_end()) "\n" } }
        }
    }
}
