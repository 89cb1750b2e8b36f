//! One service: its deployments, targets, tasks with what became of them, and events.

use maud::{Markup, html};

use super::{Page, parts};
use crate::asked::{Asked, link};
use crate::facts::State;
use crate::facts::service::{DeploymentRow, ServiceFacts, TargetRow};
use crate::facts::task::TaskRow;

pub fn page(facts: &ServiceFacts, asked: &Asked) -> Page {
    let it = &facts.summary;
    let thing = format!("{}/{}", it.cluster, it.name);
    let act = |verb: &str| link(&["services", &it.cluster, &it.name, verb], &[]);
    let body = html! {
        h1 { (it.name) " " small { "service in cluster " (it.cluster) } }
        p { (parts::state(it.state)) " " (parts::squares(it)) }
        p .links {
            @if it.state != State::Well { (parts::why_link(&thing)) " " }
            @for group in &facts.log_groups {
                a data-key="l" href=(link(&["logs"], &[("group", group)])) { "Logs " (group) } " "
            }
            a href=(link(&["services", &it.cluster, &it.name, "metrics"], &[])) { "Metrics" } " "
            a href=(link(&["services", &it.cluster, &it.name, "deployment"], &[])) { "Deployment" }
            @if let Some(stack) = &facts.stack { a href=(link(&["stacks", stack], &[])) { "Stack " (stack) } }
        }
        div .acts {
            (parts::action(asked.can_write, &act("force"), "Deploy again", "Start all tasks of this service anew?"))
            @if let Some(previous) = &facts.previous {
                (parts::action(asked.can_write, &act("rollback"), &format!("Roll back to {}", short(previous)), "Deploy the definition before this one?"))
            }
            @if asked.can_write {
                form .act method="post" action=(act("scale")) data-sure="Change how many tasks run?" hx-morph-skip="" {
                    label { "Tasks " input type="number" name="count" min="0" max="1000" value=(it.desired); }
                    button type="submit" { "Scale" }
                }
            }
        }
        @if let Some(report) = &facts.report { (parts::report(report)) }
        (deployments(&facts.deployments, facts.now_ms))
        (targets(&facts.targets))
        (tasks(&facts.tasks, &it.cluster, facts.now_ms))
        (stopped(&facts.tasks))
        section {
            h2 { "Events" }
            ol .events reversed { @for event in &facts.events {
                li { (parts::ago(facts.now_ms, event.at_ms)) " " (event.message) }
            } }
        }
    };
    Page::new(format!("Service {}", it.name), "Services")
        .body(body)
        .by([
            parts::aws(&[
                "ecs",
                "describe-services",
                "--cluster",
                &it.cluster,
                "--services",
                &it.name,
            ]),
            parts::aws(&[
                "ecs",
                "list-tasks",
                "--cluster",
                &it.cluster,
                "--service-name",
                &it.name,
            ]),
            parts::aws(&[
                "ecs",
                "list-tasks",
                "--cluster",
                &it.cluster,
                "--service-name",
                &it.name,
                "--desired-status",
                "STOPPED",
            ]),
        ])
}

fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Ten blocks are the whole of what is wanted.
const BLOCKS: i32 = 10;

fn deployments(all: &[DeploymentRow], now_ms: i64) -> Markup {
    html! {
        section {
            h2 { "Deployments" }
            table {
                thead { tr {
                    th scope="col" { "Definition" } th scope="col" { "Running" } th scope="col" { "Progress" }
                    th scope="col" { "State" } th scope="col" { "Failed tasks" } th scope="col" { "Begun" }
                } }
                tbody { @for it in all {
                    @let filled = if it.desired > 0 { (it.running * BLOCKS / it.desired).clamp(0, BLOCKS) } else { 0 };
                    tr #{ "deployment-" (it.id) } {
                        th scope="row" { (short(&it.definition)) " " small { (it.status) } }
                        td { (it.running) " of " (it.desired) @if it.pending > 0 { ", " (it.pending) " starting" } }
                        td .squares aria-hidden="true" {
                            @for at in 0..BLOCKS { @if at < filled { "■" } @else { "□" } }
                        }
                        td { (parts::said(it.state, &it.rollout)) @if let Some(reason) = &it.reason { br; small { (reason) } } }
                        td { (it.failed) }
                        td { (parts::ago(now_ms, it.begun_ms)) }
                    }
                } }
            }
        }
    }
}

fn targets(all: &[TargetRow]) -> Markup {
    html! {
        @if !all.is_empty() {
            section {
                h2 { "Targets" }
                table {
                    thead { tr { th scope="col" { "Target" } th scope="col" { "Group" } th scope="col" { "Health" } th scope="col" { "Reason" } } }
                    tbody { @for it in all {
                        tr {
                            th scope="row" { (it.address) ":" (it.port) }
                            td { (it.group) }
                            td { (parts::said(it.state, &it.health)) }
                            td { (it.reason) " " (it.description) }
                        }
                    } }
                }
            }
        }
    }
}

fn tasks(all: &[TaskRow], cluster: &str, now_ms: i64) -> Markup {
    html! {
        section {
            h2 { "Tasks" }
            @if all.is_empty() { p { "There are none." } }
            @else {
                table data-rows="" {
                    thead { tr {
                        th scope="col" { "Task" } th scope="col" { "State" } th scope="col" { "Definition" }
                        th scope="col" { "Address" } th scope="col" { "Started" } th scope="col" { "Why it stopped" }
                    } }
                    tbody { @for it in all {
                        @let address = link(&["tasks", cluster, &it.id], &[]);
                        tr #{ "task-" (it.id) } data-row=(address) {
                            th scope="row" { a href=(address) { code { (it.id.get(..8).unwrap_or(&it.id)) } } }
                            td { (parts::said(it.state, &it.status)) }
                            td { (short(&it.definition)) }
                            td { (it.address.as_deref().unwrap_or("–")) }
                            td { (parts::ago(now_ms, it.started_ms)) }
                            td { (it.stopped_reason.as_deref().unwrap_or("")) (codes(it)) }
                        }
                    } }
                }
            }
        }
    }
}

fn codes(task: &TaskRow) -> Markup {
    html! {
        @for it in &task.containers {
            @if let Some(code) = it.exit_code { " " span .code { (it.name) " ended with " (code) } }
            @if let Some(reason) = &it.reason { " " span .code { (it.name) ": " (reason) } }
        }
    }
}

/// The last lines of tasks that are over.
fn stopped(all: &[TaskRow]) -> Markup {
    html! {
        @for it in all.iter().filter(|it| it.containers.iter().any(|it| !it.printed.is_empty())) {
            section {
                h3 { "Last lines of task " code { (it.id.get(..8).unwrap_or(&it.id)) } }
                @for container in it.containers.iter().filter(|it| !it.printed.is_empty()) {
                    pre .lines { @for line in &container.printed { (line.trim_end()) "\n" } }
                }
            }
        }
    }
}
