//! All VPCs.

use maud::html;

use super::{Page, parts};
use crate::asked::{Asked, link};
use crate::facts::network::NetworksFacts;

pub fn page(facts: &NetworksFacts, _: &Asked) -> Page {
    let body = html! {
        h1 { "Networks" }
        @if facts.vpcs.is_empty() { p { "There are none." } }
        ul data-rows="" { @for it in &facts.vpcs {
            @let address = link(&["network", &it.id], &[]);
            li #{ "vpc-" (it.id) } data-row=(address) {
                a href=(address) { (it.id) } " " (it.name) " " (it.range)
                @if it.is_default { " " small { "default" } }
            }
        } }
    };
    Page::new("Networks", "Network")
        .body(body)
        .by([parts::aws(&["ec2", "describe-vpcs"])])
}
