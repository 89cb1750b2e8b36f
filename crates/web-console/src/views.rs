//! Which view a path leads to: facts are gathered, and a page is made of them, or they are answered as they are.

use std::sync::Arc;

use cloud::{Cx, Error};
use maud::html;
use serde::Serialize;
use serde_json::Value as Json;

use crate::Sources;
use crate::asked::{Asked, Form};
use crate::facts::machine::MachineFacts;
use crate::facts::{
    self, balancers, calls, deployment, finder, home, images, logs, metrics, network, pipelines,
    service, stack, task, why,
};
use crate::pages::{self, Page};

/// What is to be answered.
pub enum Shown {
    Page(Page),
    Data(Json),
    File { name: String, text: String },
}

pub async fn look(sources: &Arc<Sources>, cx: &Cx, asked: &Asked) -> Result<Shown, Error> {
    match asked.parts()[..] {
        [] => Ok(shown(
            asked,
            home::gather(sources, cx).await?,
            pages::home::page,
        )),
        ["why"] => Ok(shown(
            asked,
            why::gather(cx, asked.field("thing")).await?,
            pages::why::page,
        )),
        ["services"] => Ok(shown(
            asked,
            facts::services::gather(cx).await?,
            pages::services::page,
        )),
        ["services", cluster, name] => found(
            asked,
            service::gather(cx, cluster, name).await?,
            pages::service::page,
        ),
        ["tasks", cluster, id] => found(
            asked,
            task::gather(cx, cluster, id).await?,
            pages::task::page,
        ),
        ["stacks"] => Ok(shown(
            asked,
            stack::gather_all(cx).await?,
            pages::stacks::page,
        )),
        ["stacks", name] => found(asked, stack::gather(cx, name).await?, pages::stack::page),
        ["logs"] => {
            let facts = logs::gather(cx, asked).await?;
            if asked.form == Form::Text {
                return Ok(Shown::File {
                    name: "logs.txt".to_owned(),
                    text: logs::as_text(&facts),
                });
            }
            Ok(shown(asked, facts, pages::logs::page))
        }
        ["services", cluster, name, "deployment"] => {
            let facts = deployment::gather(cx, cluster, name).await?;
            found(asked, facts, pages::deployment::page)
        }
        ["services", cluster, name, "metrics"] => {
            let minutes = asked.field("minutes").and_then(|it| it.parse().ok());
            let facts = metrics::gather(cx, cluster, name, minutes).await?;
            found(asked, facts, pages::metrics::page)
        }
        ["balancers"] => Ok(shown(
            asked,
            balancers::gather_all(cx).await?,
            pages::balancers::page,
        )),
        ["balancers", name] => found(
            asked,
            balancers::gather(cx, name).await?,
            pages::balancer::page,
        ),
        ["network"] => Ok(shown(
            asked,
            network::gather_all(cx).await?,
            pages::networks::page,
        )),
        ["network", id] => found(
            asked,
            network::gather(cx, id, asked).await?,
            pages::network::page,
        ),
        ["pipelines"] => Ok(shown(
            asked,
            pipelines::gather_all(cx).await?,
            pages::pipelines::page,
        )),
        ["pipelines", name] => found(
            asked,
            pipelines::gather(cx, name).await?,
            pages::pipeline::page,
        ),
        ["images"] => Ok(shown(asked, images::gather(cx).await?, pages::images::page)),
        ["calls"] => {
            let facts = calls::gather(&sources.calls, &*sources.lent, asked);
            Ok(shown(asked, facts, pages::calls::page))
        }
        ["machine"] => Ok(shown(asked, machine(sources).await?, pages::machine::page)),
        ["find"] => Ok(shown(
            asked,
            finder::gather(cx, asked.field("q")).await?,
            pages::finder::page,
        )),
        ["keys"] => Ok(Shown::Page(pages::keys::page())),
        _ => Ok(Shown::Page(missing("there is no such page"))),
    }
}

async fn machine(sources: &Arc<Sources>) -> Result<MachineFacts, Error> {
    let sources = sources.clone();
    let looking = tokio::task::spawn_blocking(move || sources.lent.machine());
    looking.await.map_err(cloud::internal)
}

fn shown<F: Serialize>(asked: &Asked, facts: F, page: impl FnOnce(&F, &Asked) -> Page) -> Shown {
    match asked.form {
        Form::Json => Shown::Data(serde_json::to_value(&facts).unwrap_or_default()),
        _ => Shown::Page(page(&facts, asked)),
    }
}

fn found<F: Serialize>(
    asked: &Asked,
    facts: Option<F>,
    page: impl FnOnce(&F, &Asked) -> Page,
) -> Result<Shown, Error> {
    match facts {
        Some(facts) => Ok(shown(asked, facts, page)),
        None => Ok(Shown::Page(missing("it is not there, or not any more"))),
    }
}

fn missing(why: &str) -> Page {
    let mut page = Page::new("Not found", "").body(html! {
        h1 { "Not found" }
        p { "What this address names: " (why) "." }
    });
    page.is_missing = true;
    page.at_rest()
}
