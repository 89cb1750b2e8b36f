//! All services.

use maud::html;

use super::{Page, parts};
use crate::asked::Asked;
use crate::facts::services::ServicesFacts;

pub fn page(facts: &ServicesFacts, _: &Asked) -> Page {
    let body = html! {
        h1 { "Services" }
        @if facts.services.is_empty() { p { "There are none." } }
        @else {
            table data-rows="" {
                thead { tr { th scope="col" { "Service" } th scope="col" { "State" } th scope="col" { "Tasks" } th scope="col" { "Deployment" } } }
                tbody { @for it in &facts.services {
                    @let address = parts::service_link(&it.cluster, &it.name);
                    tr #{ "service-" (it.cluster) "-" (it.name) } data-row=(address) {
                        th scope="row" { a href=(address) { (it.name) } " " small { (it.cluster) } }
                        td { (parts::state(it.state)) }
                        td { (parts::squares(it)) }
                        td { @if let Some(deployment) = &it.deployment {
                            (deployment.state) " " (parts::ago(facts.now_ms, deployment.changed_ms))
                        } }
                    }
                } }
            }
        }
    };
    Page::new("Services", "Services").body(body).by([
        parts::aws(&["ecs", "list-clusters"]),
        parts::aws(&["ecs", "list-services", "--cluster", "CLUSTER"]),
    ])
}
