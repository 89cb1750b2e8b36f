//! Things by their names: what Ctrl-K asks for, and the same as a page.

use maud::html;

use super::Page;
use crate::asked::Asked;
use crate::facts::finder::FinderFacts;

pub fn page(facts: &FinderFacts, _: &Asked) -> Page {
    let body = html! {
        h1 { "Find" }
        @if facts.things.is_empty() { p { "Nothing is called so." } }
        ul data-rows="" { @for it in &facts.things {
            li #{ (it.kind) "-" (it.name) } data-row=(it.address) { a href=(it.address) { (it.name) } " " small { (it.kind) } }
        } }
        @if facts.left_off > 0 { p { (facts.left_off) " more: say more of the name." } }
    };
    Page::new("Find", "").body(body).at_rest()
}
