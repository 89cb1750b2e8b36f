//! What `neargate doctor` finds, asked by the daemon.

use maud::html;

use super::{Page, parts};
use crate::asked::Asked;
use crate::facts::machine::MachineFacts;

pub fn page(facts: &MachineFacts, _: &Asked) -> Page {
    let body = html! {
        h1 { "Machine" }
        p { "Version " (facts.version) ", process " (facts.process) ", state in " code { (facts.state) } }
        table data-rows="" {
            thead { tr { th scope="col" { "What" } th scope="col" { "State" } th scope="col" { "Found" } th scope="col" { "What mends it" } } }
            tbody { @for it in &facts.checks { tr #{ "check-" (it.what.replace(' ', "-")) } data-row="" {
                th scope="row" { (it.what) }
                td { (parts::said(it.state(), &it.level)) }
                td { (it.message) }
                td { (it.fix.as_deref().unwrap_or("")) }
            } } }
        }
    };
    Page::new("Machine", "Machine")
        .body(body)
        .by(["neargate doctor".to_owned()])
        .at_rest()
}
