//! Is it up? A card for each application and each service that nobody's stack made.

use maud::{Markup, html};

use super::{Page, parts, plot};
use crate::asked::{Asked, link};
use crate::facts::State;
use crate::facts::home::{Card, HomeFacts};

pub fn page(facts: &HomeFacts, _: &Asked) -> Page {
    let failed = facts.cards.iter().filter(|it| it.is_red()).count();
    let title = match (facts.cards.len(), failed) {
        (0, _) => "Nothing runs yet".to_owned(),
        (1, 0) => "It is as it should be".to_owned(),
        (_, 0) => "All is as it should be, or on its way".to_owned(),
        (_, 1) => "One thing is wrong".to_owned(),
        (_, many) => format!("{many} things are wrong"),
    };
    let body = html! {
        h1 { (title) }
        @if facts.cards.is_empty() {
            p { "Put a folder online with " code { "neargate up FOLDER" } ", or make a stack or service as on AWS." }
        }
        ul .cards data-rows="" {
            @for card in &facts.cards { (shown(card, facts.now_ms)) }
        }
        @if facts.left_off > 0 {
            p { (facts.left_off) " more are in the lists of "
                a href=(link(&["services"], &[])) { "services" } " and "
                a href=(link(&["stacks"], &[])) { "stacks" } "." }
        }
    };
    Page::new(title, "Home").body(body).by([
        parts::aws(&["cloudformation", "describe-stacks"]),
        parts::aws(&["ecs", "list-clusters"]),
    ])
}

fn shown(card: &Card, now_ms: i64) -> Markup {
    let id = format!("card-{}-{}", card.kind, card.name);
    let address = match (&card.stack, card.services.first()) {
        (Some(stack), _) => link(&["stacks", &stack.name], &[]),
        (None, Some(service)) => parts::service_link(&service.cluster, &service.name),
        (None, None) => link(&["stacks"], &[]),
    };
    html! {
        li .card.(card.state.class()) #(id) data-row=(address) {
            h2 {
                a href=(address) { (card.name) } " " small { (card.kind) }
            }
            p { (parts::state(card.state)) }
            @for url in &card.urls { p { (parts::outward(url)) } }
            @if let Some(it) = &card.fetched {
                p {
                    @match (&it.status, &it.trouble) {
                        (Some(status), _) => (parts::said(if it.is_well() { State::Well } else { State::Failed }, &format!("answers {status}"))),
                        (None, trouble) => (parts::said(State::Failed, trouble.as_deref().unwrap_or("does not answer"))),
                    }
                    " " small { (parts::ago(now_ms, Some(it.at_ms))) }
                }
            }
            @for service in &card.services {
                p {
                    a href=(parts::service_link(&service.cluster, &service.name)) { (service.name) } ": "
                    (parts::squares(service))
                }
                @if let Some(deployment) = &service.deployment {
                    p .detail {
                        "Deployment " (deployment.state) ", " (parts::ago(now_ms, deployment.changed_ms))
                    }
                }
            }
            @if let Some(stack) = &card.stack {
                p .detail {
                    "Stack " code { (stack.status) } ", " (parts::ago(now_ms, stack.changed_ms))
                }
            }
            @if let Some(it) = &card.traffic {
                p .traffic {
                    (plot::spark(&it.requests, "requests of the last ten minutes")) " "
                    (plot::number(it.requests_per_second)) " requests a second"
                    @if it.failed_per_second > 0.0 { ", " strong { (plot::number(it.failed_per_second)) " failed" } }
                    @if let (Some(p50), Some(p99)) = (it.p50_ms, it.p99_ms) {
                        ", p50 " (plot::number(p50)) " ms, p99 " (plot::number(p99)) " ms"
                    }
                }
            }
            @if let Some(cause) = &card.cause {
                p .cause { (cause) }
            }
            p .links {
                @if card.is_red() { (parts::why_link(&card.thing)) " " }
                @if let Some(group) = &card.log_group {
                    a data-key="l" href=(link(&["logs"], &[("group", group)])) { "Logs" }
                }
            }
        }
    }
}
