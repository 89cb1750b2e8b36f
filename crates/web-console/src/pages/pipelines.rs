//! All pipelines.

use maud::html;

use super::{Page, parts};
use crate::asked::{Asked, link};
use crate::facts::pipelines::PipelinesFacts;

pub fn page(facts: &PipelinesFacts, _: &Asked) -> Page {
    let body = html! {
        h1 { "Pipelines" }
        @if facts.pipelines.is_empty() { p { "There are none." } }
        @else {
            table data-rows="" {
                thead { tr { th scope="col" { "Pipeline" } th scope="col" { "State" } th scope="col" { "Revision" } th scope="col" { "Changed" } } }
                tbody { @for it in &facts.pipelines {
                    @let address = link(&["pipelines", &it.name], &[]);
                    tr #{ "pipeline-" (it.name) } data-row=(address) {
                        th scope="row" { a href=(address) { (it.name) } }
                        td { (parts::said(it.state, it.last.as_ref().map_or("never ran", |it| &it.status))) }
                        td { (it.last.as_ref().and_then(|it| it.revision.as_deref()).unwrap_or("–")) }
                        td { (parts::ago(facts.now_ms, it.last.as_ref().and_then(|it| it.changed_ms))) }
                    }
                } }
            }
        }
    };
    Page::new("Pipelines", "Pipelines")
        .body(body)
        .by([parts::aws(&["codepipeline", "list-pipelines"])])
}
