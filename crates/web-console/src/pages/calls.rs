//! The last calls of the API, the newest first.

use maud::html;

use super::{Page, parts};
use crate::asked::{Asked, link};
use crate::facts::State;
use crate::facts::calls::CallsFacts;

pub fn page(facts: &CallsFacts, asked: &Asked) -> Page {
    let who = asked.field("who");
    let body = html! {
        h1 { "Calls" }
        @if let Some(who) = who {
            p { "Of " code { (who) } ". " a href=(link(&["calls"], &[])) { "Of everybody" } }
            @if let Some(policy) = &facts.least_policy {
                details #policy { summary { "The least policy that its calls need" } pre { code { (policy) } } }
            }
        }
        @if facts.calls.is_empty() { p { "Nobody has called since this daemon began." } }
        @else {
            table data-rows="" {
                thead { tr { th scope="col" { "When" } th scope="col" { "Call" } th scope="col" { "Answer" } th scope="col" { "Took" } th scope="col" { "Who" } th scope="col" { "With" } } }
                tbody { @for it in &facts.calls {
                    @let address = link(&["calls"], &[("who", &it.who)]);
                    tr #{ "call-" (it.number) } data-row=(address) {
                        td { (parts::moment(it.at_ms)) }
                        th scope="row" { (it.service) " " (it.operation) }
                        td {
                            @match &it.refusal {
                                None => (parts::said(State::Well, &it.status.to_string())),
                                Some(why) => { (parts::said(State::Failed, &it.status.to_string())) " " (why) },
                            }
                        }
                        td { (it.took_ms) " ms" }
                        td { a href=(address) { (it.who) } }
                        td { (it.client) }
                    }
                } }
            }
        }
    };
    Page::new("Calls", "Calls").body(body)
}
