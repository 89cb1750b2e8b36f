//! One task: when it did what, its containers, and what they printed last.

use maud::{Markup, html};

use super::{Page, parts};
use crate::asked::{Asked, link};
use crate::facts::task::TaskFacts;

pub fn page(facts: &TaskFacts, _: &Asked) -> Page {
    let (row, cluster) = (&facts.task, &facts.cluster);
    let body = html! {
        h1 { "Task " code { (row.id) } }
        p { (parts::said(row.state, &row.status))
            @if let Some(reason) = &row.stopped_reason { ": " (reason) } }
        p .links {
            (parts::why_link(&format!("{cluster}/{}", row.id))) " "
            @if let Some(service) = &row.service { a href=(parts::service_link(cluster, service)) { "Service " (service) } }
        }
        (phases(facts))
        @for it in &row.containers {
            section {
                h2 { "Container " (it.name) }
                dl {
                    dt { "Image" } dd { (it.image) @if let Some(digest) = &it.digest { " " small { (digest) } } }
                    dt { "State" } dd { (it.status) @if let Some(code) = it.exit_code { ", ended with " (code) } @if let Some(reason) = &it.reason { ": " (reason) } }
                    @if let Some(health) = &it.health { dt { "Health" } dd { (health) } }
                    @if let Some(log) = &it.log {
                        dt { "Logs" } dd { a data-key="l" href=(link(&["logs"], &[("group", &log.group), ("stream", &log.stream)])) { (log.group) " " (log.stream) } }
                    }
                }
                @if !it.printed.is_empty() { pre .lines { @for line in &it.printed { (line.trim_end()) "\n" } } }
            }
        }
    };
    Page::new(format!("Task {}", row.id), "Services")
        .body(body)
        .by([parts::aws(&[
            "ecs",
            "describe-tasks",
            "--cluster",
            cluster,
            "--tasks",
            &row.id,
        ])])
}

fn phases(facts: &TaskFacts) -> Markup {
    let row = &facts.task;
    let all = [
        ("asked for", row.created_ms),
        ("pull begun", row.pull_begun_ms),
        ("image there", row.pull_ended_ms),
        ("started", row.started_ms),
        ("stopping", row.stopping_ms),
        ("stopped", row.stopped_ms),
    ];
    html! {
        section {
            h2 { "Phases" }
            table {
                thead { tr { th scope="col" { "Phase" } th scope="col" { "At" } th scope="col" { "After" } } }
                tbody {
                    @for (name, at) in all {
                        @if let Some(at) = at {
                            tr { th scope="row" { (name) } td { (parts::moment(at)) }
                                td { @if let Some(created) = row.created_ms { (format!("{:.1} s", (at - created) as f64 / 1000.0)) } } }
                        }
                    }
                }
            }
            @if let Some(address) = &row.address { p { "Address " (address) @if let Some(zone) = &row.zone { " in " (zone) } } }
        }
    }
}
