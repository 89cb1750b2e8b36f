//! One VPC: zones, subnets and interfaces as a picture and as text, and the question whether one reaches another.

use maud::{Markup, html};
use why::Way;

use super::{Page, parts};
use crate::asked::{Asked, link};
use crate::facts::State;
use crate::facts::network::{InterfaceRow, NetworkFacts, SubnetRow};

pub fn page(facts: &NetworkFacts, asked: &Asked) -> Page {
    let vpc = &facts.vpc;
    let body = html! {
        h1 { "Network " (vpc.id) " " small { (vpc.name) " " (vpc.range) } }
        (question(facts, asked))
        @if let Some(trouble) = &facts.trouble { p .cause role="alert" { (trouble) } }
        @if let Some(way) = &facts.way { (answer(way)) }
        p { "Ways out: "
            @if facts.gateways.is_empty() && facts.nats.is_empty() { "none" }
            @for it in &facts.gateways { span .gateway { "internet gateway " (it) } " " }
            @for it in &facts.nats {
                span .gateway { "NAT gateway " (it.id) " in " (it.subnet) ", " }
                (parts::said(if it.state == "available" { State::Well } else { State::Failed }, &it.state)) " "
            }
        }
        div .zones {
            @for zone in &facts.zones {
                section .zone {
                    h2 { (zone.name) }
                    @for it in &zone.subnets { (subnet(it)) }
                }
            }
        }
        @if facts.left_off > 0 { p { (facts.left_off) " more interfaces are not shown." } }
    };
    let filter = format!("Name=vpc-id,Values={}", vpc.id);
    Page::new(format!("Network {}", vpc.id), "Network")
        .body(body)
        .by([
            parts::aws(&["ec2", "describe-subnets", "--filters", &filter]),
            parts::aws(&["ec2", "describe-route-tables", "--filters", &filter]),
            parts::aws(&["ec2", "describe-network-interfaces", "--filters", &filter]),
            parts::aws(&["ec2", "describe-network-acls", "--filters", &filter]),
        ])
}

fn interfaces(facts: &NetworkFacts) -> impl Iterator<Item = &InterfaceRow> {
    facts
        .zones
        .iter()
        .flat_map(|it| &it.subnets)
        .flat_map(|it| &it.interfaces)
}

fn question(facts: &NetworkFacts, asked: &Asked) -> Markup {
    let value = |name: &str| asked.field(name).unwrap_or_default().to_owned();
    html! {
        form #way method="get" action=(link(&["network", &facts.vpc.id], &[])) hx-morph-skip="" {
            label { "Does " select name="from" {
                @for it in interfaces(facts) { option value=(it.id) selected[it.id == value("from")] { (label(it)) } }
            } }
            label { " reach " input name="to" list="ends" value=(value("to")) required size="24"; }
            label { " on TCP port " input name="port" inputmode="numeric" value=(value("port")) required size="6"; }
            button type="submit" { "Ask" }
            datalist #ends { @for it in interfaces(facts) { option value=(it.id) { (label(it)) } } }
        }
    }
}

fn label(it: &InterfaceRow) -> String {
    format!("{} {}", it.address, it.description)
}

fn answer(way: &Way) -> Markup {
    let question = &way.question;
    let words = match way.reaches {
        true => format!(
            "{} reaches {} on port {}",
            question.from, question.to, question.port
        ),
        false => format!(
            "{} does not reach {} on port {}",
            question.from, question.to, question.port
        ),
    };
    html! {
        section #answer .finding {
            h2 { (parts::said(if way.reaches { State::Well } else { State::Failed }, &words)) }
            (parts::way(&way.hops))
            @if !way.not_looked_at.is_empty() { p .detail { "Not looked at: " (way.not_looked_at.join(", ")) } }
        }
    }
}

/// Interfaces in a row of a subnet's picture.
const COLUMNS: usize = 8;
const CELL: usize = 34;

fn subnet(it: &SubnetRow) -> Markup {
    let rows = it.interfaces.len().div_ceil(COLUMNS).max(1);
    let kind = match it.leads_out_by.as_deref() {
        Some(out) if out.starts_with("igw-") => format!("public, by {out}"),
        Some(out) => format!("private, out by {out}"),
        None => "nothing leads out".to_owned(),
    };
    html! {
        div .subnet #{ "subnet-" (it.id) } {
            h3 { (it.id) " " (it.name) " " small { (it.range) ", " (it.free) " addresses free" } }
            p .detail { (kind) }
            svg viewBox={ "0 0 " (COLUMNS * CELL) " " (rows * CELL) } role="img" aria-label={ (it.interfaces.len()) " interfaces in " (it.id) } {
                @for (at, interface) in it.interfaces.iter().enumerate() {
                    @let (x, y) = (at % COLUMNS * CELL + 2, at / COLUMNS * CELL + 2);
                    g {
                        title { (interface.address) " " (interface.description) }
                        @if interface.public.is_some() {
                            circle class="well" cx=(x + 14) cy=(y + 14) r="13" {}
                        } @else {
                            rect class="idle" x=(x) y=(y) width=(CELL - 6) height=(CELL - 6) {}
                        }
                        text .inside x=(x + 14) y=(y + 18) text-anchor="middle" { (interface.address.rsplit('.').next().unwrap_or_default()) }
                    }
                }
            }
            details #{ "routes-" (it.id) } {
                summary { "Routes of " (it.route_table) " and interfaces" }
                ul { @for route in &it.routes { li { (route) } } }
                table {
                    thead { tr { th scope="col" { "Interface" } th scope="col" { "Address" } th scope="col" { "Public" } th scope="col" { "Groups" } th scope="col" { "Of" } } }
                    tbody { @for interface in &it.interfaces { tr {
                        th scope="row" { code { (interface.id) } } td { (interface.address) }
                        td { (interface.public.as_deref().unwrap_or("–")) } td { (interface.groups.join(", ")) } td { (interface.description) }
                    } } }
                }
            }
        }
    }
}
