//! A deployment while it happens.

use maud::{Markup, html};

use super::{Page, parts, plot};
use crate::asked::Asked;
use crate::facts::deployment::{DeploymentFacts, Requests};
use crate::facts::service::DeploymentRow;
use crate::facts::task::TaskRow;

pub fn page(facts: &DeploymentFacts, _: &Asked) -> Page {
    let it = &facts.summary;
    let body = html! {
        h1 { "Deployment of " a href=(parts::service_link(&it.cluster, &it.name)) { (it.name) } }
        p { (parts::state(it.state)) " " (parts::squares(it)) }
        p .cause { (requests(facts.requests)) }
        div .zones { @for it in &facts.deployments { (side(it, facts)) } }
        (timeline(facts))
    };
    Page::new(format!("Deployment {}", it.name), "Services")
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
                "list-service-deployments",
                "--cluster",
                &it.cluster,
                "--service",
                &it.name,
            ]),
        ])
}

fn requests(it: Option<Requests>) -> String {
    match it {
        None => "No balancer tells of requests.".to_owned(),
        Some(it) if !it.any => {
            "Failed requests: none, for there were no requests since it began.".to_owned()
        }
        Some(it) if it.failed_percent == 0.0 => {
            "Failed requests: none of those since it began.".to_owned()
        }
        Some(it) => format!(
            "Failed requests: {} % of those since it began.",
            plot::number(it.failed_percent)
        ),
    }
}

fn side(it: &DeploymentRow, facts: &DeploymentFacts) -> Markup {
    let all: i32 = facts.deployments.iter().map(|it| it.running).sum();
    let share = if all > 0 { it.running * 100 / all } else { 0 };
    let name = it.definition.rsplit('/').next().unwrap_or_default();
    html! {
        section .card.(it.state.class()) #{ "side-" (it.id) } {
            h2 { (name) " " small { (it.status) } }
            p { (parts::said(it.state, &it.rollout)) }
            p { (it.running) " of " (it.desired) " run, " (it.pending) " starting, " (it.failed) " failed" }
            p { label { (share) " % of what runs " meter min="0" max="100" value=(share) { (share) " %" } } }
            p .detail { "begun " (parts::ago(facts.now_ms, it.begun_ms)) @if let Some(reason) = &it.reason { ": " (reason) } }
        }
    }
}

const WIDTH: i64 = 600;
const LABEL: i64 = 150;
const ROW: usize = 22;

/// What a task does between two of its moments.
fn phases(it: &TaskRow, now_ms: i64) -> Vec<(&'static str, &'static str, i64, i64)> {
    let end = it.stopped_ms.unwrap_or(now_ms);
    let moments = [
        ("asked for", "idle", it.created_ms),
        ("image is fetched", "changing", it.pull_begun_ms),
        ("starts", "changing", it.pull_ended_ms),
        ("runs", "well", it.started_ms),
        ("stops", "failed", it.stopping_ms),
    ];
    let known: Vec<_> = moments
        .into_iter()
        .filter_map(|(word, class, at)| Some((word, class, at?)))
        .collect();
    let ends = known.iter().skip(1).map(|it| it.2).chain([end]);
    known
        .iter()
        .zip(ends)
        .map(|(it, to)| (it.0, it.1, it.2, to))
        .collect()
}

fn timeline(facts: &DeploymentFacts) -> Markup {
    let from = facts.tasks.iter().filter_map(|it| it.created_ms).min();
    // Tasks of before began long ago: what is told begins with the deployment.
    let from = from.unwrap_or(facts.begun_ms).max(facts.begun_ms - 1000);
    let whole = (facts.now_ms - from).max(1);
    let at = |ms: i64| LABEL + ((ms - from) * WIDTH / whole).clamp(0, WIDTH);
    let height = facts.tasks.len() * ROW + 4;
    html! {
        section {
            h2 { "Tasks over time" }
            @if facts.tasks.is_empty() { p { "There are none." } }
            @else {
                svg .gantt viewBox={ "0 0 " (LABEL + WIDTH + 10) " " (height) } role="img" aria-labelledby="tasks-title" {
                    title #tasks-title { (facts.tasks.len()) " tasks, by what each did since " (parts::moment(from)) }
                    @for (row, it) in facts.tasks.iter().enumerate() {
                        @let y = row * ROW;
                        text x="0" y=(y + 15) { (it.id.get(..8).unwrap_or(&it.id)) " " (it.definition.rsplit(':').next().unwrap_or_default()) }
                        @for (word, class, begun, ended) in phases(it, facts.now_ms) {
                            rect class=(class) x=(at(begun)) y=(y + 3) height=(ROW - 6) width=((at(ended) - at(begun)).max(1)) {
                                title { (word) ", " (format!("{:.1}", (ended - begun) as f64 / 1000.0)) " s" }
                            }
                        }
                    }
                }
                details #tasks-table {
                    summary { "As a table" }
                    table {
                        thead { tr { th scope="col" { "Task" } th scope="col" { "Definition" } th scope="col" { "State" } th scope="col" { "Phases" } } }
                        tbody { @for it in &facts.tasks { tr {
                            th scope="row" { (it.id.get(..8).unwrap_or(&it.id)) }
                            td { (it.definition.rsplit('/').next().unwrap_or_default()) }
                            td { (parts::said(it.state, &it.status)) }
                            td { @for (word, _, begun, ended) in phases(it, facts.now_ms) { (word) " " (format!("{:.1}", (ended - begun) as f64 / 1000.0)) " s; " } }
                        } } }
                    }
                }
            }
        }
    }
}
