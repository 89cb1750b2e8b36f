//! One load balancer: what comes in at which listener, which rule takes it, and where it goes.

use maud::{Markup, html};

use super::{Page, parts, plot};
use crate::asked::{Asked, link};
use crate::facts::State;
use crate::facts::balancers::{BalancerFacts, GroupRow};

pub fn page(facts: &BalancerFacts, _: &Asked) -> Page {
    let it = &facts.balancer;
    let is_red = facts
        .groups
        .iter()
        .any(|it| it.targets.iter().any(|it| it.state == State::Failed));
    let body = html! {
        h1 { (it.name) " " small { "load balancer" } }
        p { (parts::said(it.state, &it.status)) ", " (it.scheme) ": " (parts::outward(&it.url)) }
        p .links {
            @if is_red { (parts::why_link(&it.name)) " " }
            a href=(link(&["network", &it.vpc], &[])) { "Network " (it.vpc) }
        }
        @for listener in &facts.listeners {
            section {
                h2 { "Listener " (listener.address) }
                table {
                    thead { tr { th scope="col" { "Rule" } th scope="col" { "If" } th scope="col" { "Then" } } }
                    tbody { @for rule in &listener.rules { tr {
                        th scope="row" { (rule.priority) }
                        td { @if rule.conditions.is_empty() { "nothing else takes it" } @else { (rule.conditions.join(" and ")) } }
                        td {
                            @if rule.forwards.is_empty() { (rule.actions.join(", ")) }
                            @for (name, weight) in &rule.forwards {
                                "→ " a href={ "#group-" (name) } { (name) }
                                @if rule.forwards.len() > 1 { " (weight " (weight) ")" }
                                " "
                            }
                        }
                    } } }
                }
            }
        }
        @for group in &facts.groups { (shown(group)) }
    };
    let mut commands = vec![
        parts::aws(&["elbv2", "describe-load-balancers", "--names", &it.name]),
        parts::aws(&[
            "elbv2",
            "describe-listeners",
            "--load-balancer-arn",
            &it.arn,
        ]),
    ];
    commands.extend(facts.groups.iter().map(|it| {
        parts::aws(&[
            "elbv2",
            "describe-target-health",
            "--target-group-arn",
            &it.arn,
        ])
    }));
    Page::new(format!("Load balancer {}", it.name), "Balancers")
        .body(body)
        .by(commands)
}

fn shown(group: &GroupRow) -> Markup {
    html! {
        section #{ "group-" (group.name) } {
            h2 { "Group " (group.name) }
            p {
                @match group.requests_per_second {
                    Some(rate) => { (plot::number(rate)) " requests a second, " (plot::number(group.failed_per_second.unwrap_or_default())) " of them answered 5xx" },
                    None => "no requests of late",
                }
            }
            @if group.targets.is_empty() { p { "It has no targets." } }
            @else {
                table {
                    thead { tr { th scope="col" { "Target" } th scope="col" { "Health" } th scope="col" { "Reason" } } }
                    tbody { @for it in &group.targets { tr {
                        th scope="row" { (it.address) ":" (it.port) }
                        td { (parts::said(it.state, &it.health)) }
                        td { (it.reason) " " (it.description) }
                    } } }
                }
            }
        }
    }
}
