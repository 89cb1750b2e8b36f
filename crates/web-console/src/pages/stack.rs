//! One stack: the first failure on top, its resources with how long each took, outputs, events.

use maud::{Markup, html};

use super::{Page, graph, parts};
use crate::asked::{Asked, link};
use crate::facts::State;
use crate::facts::stack::{Bar, StackFacts};

pub fn page(facts: &StackFacts, _: &Asked) -> Page {
    let it = &facts.stack;
    let body = html! {
        h1 { (it.name) " " small { "stack" } }
        p { (parts::said(it.state, &it.status)) @if let Some(reason) = &it.reason { ": " (reason) } }
        p .links {
            @if it.state == State::Failed { (parts::why_link(&it.name)) " " }
            @if let Some(parent) = &facts.parent { a href=(link(&["stacks", parent], &[])) { "Within " (parent) } }
        }
        @if let Some(failure) = &facts.first_failure {
            section .finding {
                h2 { (parts::said(State::Failed, &format!("{} failed first", failure.logical_id))) }
                p .cause { (failure.reason) }
                p .detail { (failure.kind) ", " (parts::ago(facts.now_ms, Some(failure.at_ms))) }
            }
        }
        @if !facts.outputs.is_empty() {
            section {
                h2 { "Outputs" }
                dl { @for (name, value) in &facts.outputs { dt { (name) } dd { (parts::outward(value)) } } }
            }
        }
        section {
            h2 { "What needs what" }
            (graph::graph(&facts.needs, |id| state_of(facts, id), "The resources of this stack; lines lead from what is needed to what needs it"))
        }
        section {
            h2 { "Resources" }
            table data-rows="" {
                thead { tr { th scope="col" { "Resource" } th scope="col" { "Type" } th scope="col" { "State" } th scope="col" { "Is" } } }
                tbody { @for resource in &facts.resources {
                    tr #{ "resource-" (resource.logical_id) } data-row=[resource.address()] {
                        th scope="row" {
                            @match resource.address() {
                                Some(address) => { a href=(address) { (resource.logical_id) } },
                                None => { (resource.logical_id) },
                            }
                        }
                        td { (resource.kind) }
                        td { (parts::said(resource.state, &resource.status)) @if let Some(reason) = &resource.reason { br; small { (reason) } } }
                        td { code { (resource.physical_id.as_deref().unwrap_or("–")) } }
                    }
                } }
            }
        }
        (gantt(&facts.bars))
        section {
            h2 { "Events" }
            ol .events reversed { @for event in &facts.events {
                li {
                    (parts::ago(facts.now_ms, Some(event.at_ms))) " " (event.logical_id) " "
                    (parts::said(State::of_words(&event.status), &event.status)) " " (event.reason)
                }
            } }
        }
    };
    Page::new(format!("Stack {}", it.name), "Stacks")
        .body(body)
        .by([
            parts::aws(&[
                "cloudformation",
                "describe-stacks",
                "--stack-name",
                &it.name,
            ]),
            parts::aws(&[
                "cloudformation",
                "describe-stack-events",
                "--stack-name",
                &it.name,
            ]),
            parts::aws(&[
                "cloudformation",
                "describe-stack-resources",
                "--stack-name",
                &it.name,
            ]),
        ])
}

fn state_of(facts: &StackFacts, id: &str) -> State {
    let mut resources = facts.resources.iter();
    let found = resources.find(|it| it.logical_id == id);
    found.map_or(State::Idle, |it| it.state)
}

const WIDTH: i64 = 600;
const LABEL: i64 = 220;
const ROW: usize = 20;

/// How long each resource took in the last operation, below each other.
fn gantt(bars: &[Bar]) -> Markup {
    let (Some(from), Some(to)) = (
        bars.iter().map(|it| it.from_ms).min(),
        bars.iter().map(|it| it.to_ms).max(),
    ) else {
        return html! {};
    };
    let whole = (to - from).max(1);
    let at = |ms: i64| LABEL + (ms - from) * WIDTH / whole;
    let height = bars.len() * ROW + 4;
    html! {
        section {
            h2 { "How long it took" }
            svg .gantt viewBox={ "0 0 " (LABEL + WIDTH + 80) " " (height) } role="img" aria-labelledby="gantt-title" {
                title #gantt-title { "The resources of the last operation, by when each began and ended" }
                @for (row, bar) in bars.iter().enumerate() {
                    @let y = row * ROW;
                    text x="0" y=(y + 14) { (bar.logical_id.chars().take(30).collect::<String>()) }
                    rect class=(bar.state.class()) x=(at(bar.from_ms)) y=(y + 3) height=(ROW - 6) width=((at(bar.to_ms) - at(bar.from_ms)).max(2)) {}
                    text x=(at(bar.to_ms) + 4) y=(y + 14) { (seconds(bar)) }
                }
            }
            details {
                summary { "As a table" }
                table {
                    thead { tr { th scope="col" { "Resource" } th scope="col" { "Began" } th scope="col" { "Took" } th scope="col" { "Ended as" } } }
                    tbody { @for bar in bars { tr {
                        th scope="row" { (bar.logical_id) } td { (parts::moment(bar.from_ms)) } td { (seconds(bar)) } td { (bar.status) }
                    } } }
                }
            }
        }
    }
}

fn seconds(bar: &Bar) -> String {
    format!("{:.1} s", (bar.to_ms - bar.from_ms) as f64 / 1000.0)
}
