//! Pages: pure functions from facts to markup.

pub mod balancer;
pub mod balancers;
pub mod calls;
pub mod deployment;
pub mod finder;
mod graph;
pub mod home;
pub mod images;
pub mod keys;
pub mod logs;
pub mod machine;
pub mod metrics;
pub mod network;
pub mod networks;
mod parts;
pub mod pipeline;
pub mod pipelines;
mod plot;
pub mod service;
pub mod services;
pub mod stack;
pub mod stacks;
pub mod task;
#[cfg(test)]
mod tests;
pub mod why;

use maud::{DOCTYPE, Markup, html};

use crate::asked::{Asked, link};
use crate::files;

/// One view, without what all pages have around it.
pub struct Page {
    pub title: String,
    /// Which of the places of [`PLACES`] it belongs to.
    pub place: &'static str,
    body: Markup,
    /// How to ask the same with AWS's command line.
    pub commands: Vec<String>,
    pub is_live: bool,
    pub is_missing: bool,
}

impl Page {
    pub fn new(title: impl Into<String>, place: &'static str) -> Self {
        Self {
            title: title.into(),
            place,
            body: html! {},
            commands: Vec::new(),
            is_live: true,
            is_missing: false,
        }
    }

    pub fn body(mut self, body: Markup) -> Self {
        self.body = body;
        self
    }

    pub fn by(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        self.commands.extend(commands);
        self
    }

    /// It shows what was asked for once, and does not change by itself.
    pub fn at_rest(mut self) -> Self {
        self.is_live = false;
        self
    }

    /// What is inside of `main`, which a stream sends again.
    pub fn main(&self) -> Markup {
        html! {
            (self.body)
            @if !self.commands.is_empty() {
                details #commands {
                    summary { "As " code { "aws" } " commands" }
                    @for command in &self.commands {
                        pre { code { (command) } }
                    }
                }
            }
        }
    }
}

/// A place's name, its path, and the key that leads there after `g`.
pub const PLACES: [(&str, &str, char); 11] = [
    ("Home", "", 'h'),
    ("Services", "services", 's'),
    ("Stacks", "stacks", 'c'),
    ("Logs", "logs", 'l'),
    ("Network", "network", 'n'),
    ("Balancers", "balancers", 'b'),
    ("Pipelines", "pipelines", 'p'),
    ("Images", "images", 'i'),
    ("Calls", "calls", 'a'),
    ("Machine", "machine", 'd'),
    ("Why", "why", 'w'),
];

/// No style element is made by the script, details that somebody opened stay open, and pages are pages.
const SETTINGS: &str =
    r#"{"includeIndicatorCSS":false,"history":false,"morphIgnore":["data-htmx-powered","open"]}"#;

pub fn whole(region: &str, asked: &Asked, page: &Page) -> String {
    let [icons, styles, scripts] = files::addresses();
    let stream = asked.with(&[("format", "stream")]);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(SETTINGS);
                title { (page.title) " · neargate" }
                @for icon in &icons { link rel="icon" href=(icon); }
                @for style in &styles { link rel="stylesheet" href=(style); }
                @for script in &scripts { script src=(script) defer {} }
            }
            body {
                a .skip href="#main" { "Skip to the content" }
                (header(region, asked, page))
                @if page.is_live {
                    main #main tabindex="-1" hx-sse:connect=(stream) hx-swap="innerMorph" { (page.main()) }
                } @else {
                    main #main tabindex="-1" { (page.main()) }
                }
                footer {
                    a #json href=(asked.with(&[("format", "json")])) { "JSON" }
                    " · "
                    a href=(link(&["keys"], &[])) { "Keys" }
                    @if page.is_live { " · " span #live { "live" } }
                }
            }
        }
    };
    markup.into_string()
}

fn header(region: &str, asked: &Asked, page: &Page) -> Markup {
    html! {
        header {
            nav aria-label="Places" {
                @for (name, path, key) in PLACES {
                    a href=(link(&[path], &[])) data-key=(key) aria-current=[(name == page.place).then_some("page")] { (name) }
                }
            }
            form #find role="search" action=(link(&["find"], &[])) method="get" {
                input type="search" name="q" aria-label="Find a thing by name, id or ARN" placeholder="Find (Ctrl-K)" autocomplete="off";
            }
            p .who {
                (region) " · "
                @if asked.can_write { "may change things" } @else { "looks only" }
            }
        }
    }
}
