//! Which view a path leads to: facts are gathered, and a page is made of them, or they are answered as they are.

use cloud::{Cx, Error};
use maud::html;
use serde::Serialize;
use serde_json::Value as Json;

use crate::asked::{Asked, Form};
use crate::facts::{self, finder, home, logs, service, stack, task, why};
use crate::pages::{self, Page};

/// What is to be answered.
pub enum Shown {
    Page(Page),
    Data(Json),
    File { name: String, text: String },
}

pub async fn look(cx: &Cx, asked: &Asked) -> Result<Shown, Error> {
    match asked.parts()[..] {
        [] => Ok(shown(asked, home::gather(cx).await?, pages::home::page)),
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
        ["find"] => Ok(shown(
            asked,
            finder::gather(cx, asked.field("q")).await?,
            pages::finder::page,
        )),
        ["keys"] => Ok(Shown::Page(pages::keys::page())),
        _ => Ok(Shown::Page(missing("there is no such page"))),
    }
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
