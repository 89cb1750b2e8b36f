//! Metrics of one service.

use maud::html;

use super::{Page, parts, plot};
use crate::asked::Asked;
use crate::facts::metrics::MetricsFacts;

pub fn page(facts: &MetricsFacts, asked: &Asked) -> Page {
    let it = &facts.summary;
    let body = html! {
        h1 { "Metrics of " a href=(parts::service_link(&it.cluster, &it.name)) { (it.name) } }
        p { (parts::state(it.state)) " " (parts::squares(it)) }
        p .links {
            @for (minutes, words) in [("10", "10 minutes"), ("60", "an hour"), ("360", "6 hours"), ("1440", "a day")] {
                a href=(asked.with(&[("minutes", minutes)])) aria-current=[(facts.minutes.to_string() == minutes).then_some("true")] { (words) }
            }
        }
        @for each in &facts.plots { (plot::plot(each, (facts.from_ms, facts.to_ms), facts.period_s, &facts.marks)) }
        @if !facts.marks.is_empty() {
            section {
                h2 { "What happened" }
                ul { @for mark in &facts.marks { li { (parts::moment(mark.at_ms)) " " (mark.what) } } }
            }
        }
    };
    let names = facts
        .plots
        .iter()
        .flat_map(|it| &it.lines)
        .map(|it| it.metric);
    let mut names: Vec<&str> = names.collect();
    names.dedup();
    Page::new(format!("Metrics {}", it.name), "Services")
        .body(body)
        .by(names
            .into_iter()
            .map(|metric| parts::aws(&["cloudwatch", "list-metrics", "--metric-name", metric])))
}
