//! Log groups, and the lines of one: all streams merged, searched by the daemon.

use maud::{Markup, html};

use super::{Page, parts};
use crate::asked::{Asked, link};
use crate::facts::logs::{Line, LogsFacts, Piece};

pub fn page(facts: &LogsFacts, asked: &Asked) -> Page {
    let Some(group) = &facts.group else {
        return groups(facts);
    };
    let body = html! {
        h1 { "Logs of " (group) }
        (form(facts, asked, group))
        @if let Some(trouble) = &facts.trouble { p .cause role="alert" { (trouble) } }
        p .links {
            @if let Some(next) = &facts.next { a href=(asked.with(&[("next", next)])) rel="next" { "Later lines" } " " }
            a href=(asked.with(&[("format", "text")])) { "Download" } " "
            @if facts.is_searched { a href=(link(&["logs"], &[("group", group)])) { "Follow the end" } }
        }
        div #log .log role="log" aria-label={ "Lines of " (group) } tabindex="0" {
            @for line in &facts.lines { (shown(line, facts.streams.len() > 1)) }
            @if facts.lines.is_empty() { p { "There are no such lines." } }
        }
        p .detail { (facts.lines.len()) " lines of " (facts.streams.len()) " streams"
            @if facts.scanned > 0 { ", " (facts.scanned) " looked at" } }
    };
    let page = Page::new(format!("Logs {group}"), "Logs").body(body).by([
        parts::aws(&["logs", "tail", group, "--follow"]),
        match &facts.aws_pattern {
            Some(pattern) => parts::aws(&[
                "logs",
                "filter-log-events",
                "--log-group-name",
                group,
                "--filter-pattern",
                pattern,
            ]),
            None => parts::aws(&["logs", "filter-log-events", "--log-group-name", group]),
        },
    ]);
    match facts.is_searched {
        true => page.at_rest(),
        false => page,
    }
}

fn form(facts: &LogsFacts, asked: &Asked, group: &str) -> Markup {
    let value = |name: &str| asked.field(name).unwrap_or_default().to_owned();
    let kind = facts.kind.word();
    html! {
        form #search method="get" action=(link(&["logs"], &[])) hx-morph-skip="" {
            input type="hidden" name="group" value=(group);
            @if let Some(stream) = asked.field("stream") { input type="hidden" name="stream" value=(stream); }
            label { "Search " input type="search" name="q" value=(value("q")) data-filter="" autocomplete="off"; }
            label { "as " select name="kind" {
                @for it in ["text", "regex", "json"] { option value=(it) selected[it == kind] { (it) } }
            } }
            label { input type="checkbox" name="mark" value="1" checked[asked.field("mark").is_some()]; " highlight only" }
            label { "from level " select name="level" {
                @for it in ["", "debug", "info", "warn", "error"] { option value=(it) selected[it == value("level")] { (if it.is_empty() { "any" } else { it }) } }
            } }
            label { "from time " input name="at" value=(value("at")) placeholder="2026-12-01T10:00:00Z" size="22"; }
            button type="submit" { "Look" }
        }
    }
}

fn shown(line: &Line, names_stream: bool) -> Markup {
    html! {
        p .line.(line.level.class()) #{ "l-" (line.id) } {
            time { (parts::moment(line.at_ms)) } " "
            @if names_stream { span class={ "stream s" (line.colour) } { (line.stream) } " " }
            @if let Some(word) = line.level.word() { span .level { (word) } " " }
            span .text { @for piece in &line.pieces {
                @match piece {
                    Piece::Plain(text) => { (text) },
                    Piece::Marked(text) => { mark { (text) } },
                }
            } }
            @if let Some(value) = &line.json {
                details #{ "j-" (line.id) } { summary { "JSON" } pre { (value) } }
            }
        }
    }
}

fn groups(facts: &LogsFacts) -> Page {
    let body = html! {
        h1 { "Log groups" }
        @if facts.groups.is_empty() { p { "There are none." } }
        ul data-rows="" { @for group in &facts.groups {
            @let address = link(&["logs"], &[("group", group)]);
            li #{ "log-" (group) } data-row=(address) { a href=(address) { (group) } }
        } }
    };
    Page::new("Logs", "Logs")
        .body(body)
        .by([parts::aws(&["logs", "describe-log-groups"])])
}
