//! All stacks.

use maud::html;

use super::{Page, parts};
use crate::asked::{Asked, link};
use crate::facts::stack::StacksFacts;

pub fn page(facts: &StacksFacts, _: &Asked) -> Page {
    let body = html! {
        h1 { "Stacks" }
        @if facts.stacks.is_empty() { p { "There are none." } }
        @else {
            table data-rows="" {
                thead { tr { th scope="col" { "Stack" } th scope="col" { "State" } th scope="col" { "Changed" } th scope="col" { "Reason" } } }
                tbody { @for it in &facts.stacks {
                    @let address = link(&["stacks", &it.name], &[]);
                    tr #{ "stack-" (it.name) } data-row=(address) {
                        th scope="row" { a href=(address) { (it.name) } }
                        td { (parts::said(it.state, &it.status)) }
                        td { (parts::ago(facts.now_ms, it.changed_ms)) }
                        td { (it.reason.as_deref().unwrap_or("")) }
                    }
                } }
            }
        }
    };
    Page::new("Stacks", "Stacks")
        .body(body)
        .by([parts::aws(&["cloudformation", "describe-stacks"])])
}
