//! What is wrong, and what mends it.

use maud::html;
use why::{Outcome, Report};

use super::{Page, parts};
use crate::asked::Asked;
use crate::facts::State;

pub fn page(report: &Report, asked: &Asked) -> Page {
    let thing = asked.field("thing");
    let title = match report.outcome {
        Outcome::NothingWrong => format!("Nothing is wrong with {}", report.thing),
        Outcome::CauseFound | Outcome::Unknown => format!("Why {} is red", report.thing),
    };
    let body = html! {
        h1 { (title) }
        @if report.outcome == Outcome::NothingWrong { p { (parts::said(State::Well, "nothing is wrong")) } }
        (parts::report(report))
        details #looked {
            summary { "What was looked at" }
            ul { @for it in &report.looked_at { li { (it) } } }
        }
        @if !report.not_looked_at.is_empty() {
            p { "Not looked at: " (report.not_looked_at.join(", ")) }
        }
    };
    let command = match thing {
        Some(thing) => format!("neargate why {}", parts::quoted(thing)),
        None => "neargate why".to_owned(),
    };
    Page::new(title, "Why").body(body).by([command])
}
