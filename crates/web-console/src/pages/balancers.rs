//! All load balancers.

use maud::html;

use super::{Page, parts};
use crate::asked::{Asked, link};
use crate::facts::balancers::BalancersFacts;

pub fn page(facts: &BalancersFacts, _: &Asked) -> Page {
    let body = html! {
        h1 { "Load balancers" }
        @if facts.balancers.is_empty() { p { "There are none." } }
        @else {
            table data-rows="" {
                thead { tr { th scope="col" { "Balancer" } th scope="col" { "State" } th scope="col" { "Address" } th scope="col" { "Scheme" } } }
                tbody { @for it in &facts.balancers {
                    @let address = link(&["balancers", &it.name], &[]);
                    tr #{ "balancer-" (it.name) } data-row=(address) {
                        th scope="row" { a href=(address) { (it.name) } }
                        td { (parts::said(it.state, &it.status)) }
                        td { (parts::outward(&it.url)) }
                        td { (it.scheme) }
                    }
                } }
            }
        }
    };
    Page::new("Load balancers", "Balancers")
        .body(body)
        .by([parts::aws(&["elbv2", "describe-load-balancers"])])
}
