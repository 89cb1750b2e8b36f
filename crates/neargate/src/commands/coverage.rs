//! `neargate coverage`: what this version answers, down to the members of an operation's input.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use cloud::{ResourceType, Service};
use serde_json::json;
use wire::Node;

use crate::config::Config;
use crate::daemon::services;
use crate::say;

#[derive(Args, Debug)]
pub struct Coverage {
    /// One service alone, as the AWS command line calls it
    service: Option<String>,
    /// One of its operations: which members of its input are honoured, and which refused
    operation: Option<String>,
}

/// Services that requests are signed for by another name.
const SIGNED_AS: &[(&str, &str)] = &[
    ("cloudwatch", "monitoring"),
    ("elbv2", "elasticloadbalancing"),
];

impl Coverage {
    pub fn run(&self, config: &Config) -> Result<ExitCode> {
        let mut services = services();
        if let Some(asked) = &self.service {
            let signed = SIGNED_AS.iter().find(|it| it.0 == asked);
            let name = signed.map_or(asked.as_str(), |it| it.1);
            services.retain(|it| it.model().signing_name == name);
            if services.is_empty() {
                bail!(
                    "there is no service `{asked}` here; `neargate coverage` lists those that there are"
                );
            }
        }
        match &self.operation {
            Some(asked) => show_operation(&services[0], asked, config.json),
            None if config.json => show_as_json(&services),
            None => show(&services),
        }
    }
}

fn show_as_json(services: &[Service]) -> Result<ExitCode> {
    let all: Vec<_> = services
        .iter()
        .map(|it| {
            let members = members(it);
            json!({
                "service": it.model().signing_name,
                "operations": operations(it),
                "members": { "honoured": members.honoured, "refused": members.refused },
                "resourceTypes": types(it),
            })
        })
        .collect();
    say::line(serde_json::to_string_pretty(&all)?);
    Ok(ExitCode::SUCCESS)
}

fn show(services: &[Service]) -> Result<ExitCode> {
    for service in services {
        let built = operations(service);
        let members = members(service);
        say::line(format_args!(
            "{}: {} of {} operations, {} of {} members of their inputs",
            service.model().signing_name,
            built.len(),
            service.model().operations.len(),
            members.honoured,
            members.honoured + members.refused,
        ));
        say::line(format_args!("  {}", built.join(" ")));
        for name in types(service) {
            say::line(format_args!("  {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `create-service` and `CreateService` are one.
fn show_operation(service: &Service, asked: &str, as_json: bool) -> Result<ExitCode> {
    let plain = |name: &str| name.replace('-', "").to_ascii_lowercase();
    let name = operations(service)
        .into_iter()
        .find(|it| plain(it) == plain(asked));
    let signing_name = service.model().signing_name;
    let Some(takes) = name.and_then(|it| service.takes(it)) else {
        bail!(
            "{signing_name} has no table of members for `{asked}`; `neargate coverage` lists its operations"
        );
    };
    if as_json {
        say::line(serde_json::to_string_pretty(&wire::write_json(&takes))?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut listed = Listed::default();
    listed.add(&takes, "");
    say::line(format_args!("{signing_name} {}", name.unwrap_or_default()));
    listed
        .honoured
        .iter()
        .for_each(|it| say::line(format_args!("  {it}")));
    if !listed.refused.is_empty() {
        say::line(format_args!("not supported, and refused by name:"));
        listed
            .refused
            .iter()
            .for_each(|it| say::line(format_args!("  {it}")));
    }
    Ok(ExitCode::SUCCESS)
}

/// The members of a table, by their paths.
#[derive(Default)]
struct Listed {
    honoured: Vec<String>,
    refused: Vec<String>,
}

impl Listed {
    fn add(&mut self, takes: &Node, path: &str) {
        match takes {
            Node::Map(members) => {
                for (name, node) in members {
                    let dot = if path.is_empty() { "" } else { "." };
                    self.add_member(node, format!("{path}{dot}{name}"));
                }
            }
            Node::List(items) => items
                .iter()
                .for_each(|it| self.add(it, &format!("{path}[]"))),
            Node::Dict(entries) => {
                (entries.iter()).for_each(|it| self.add(&it.1, &format!("{path}[{}]", it.0)));
            }
            _ => {}
        }
    }

    fn add_member(&mut self, node: &Node, path: String) {
        match node {
            Node::Bool(false) => self.refused.push(path),
            Node::Str(only) if only == "*" => {
                self.honoured.push(format!("{path} (changes nothing)"))
            }
            Node::Str(only) => self.refused.push(format!("{path}, but as `{only}`")),
            _ => {
                self.honoured.push(path.clone());
                self.add(node, &path);
            }
        }
    }
}

/// How many members of inputs the service honours and refuses.
struct Members {
    honoured: usize,
    refused: usize,
}

fn members(service: &Service) -> Members {
    let mut listed = Listed::default();
    for takes in service.operations().filter_map(|it| service.takes(it)) {
        listed.add(&takes, "");
    }
    Members {
        honoured: listed.honoured.len(),
        refused: listed.refused.len(),
    }
}

/// Those of the service's table, and those that it answers at a door of its own.
fn operations(service: &Service) -> Vec<&'static str> {
    let model = service.model();
    let mut names: Vec<&'static str> = service.operations().collect();
    if model.signing_name == "s3" {
        let modelled = |it: &&&str| model.operations.contains(it);
        names.extend(s3::OPERATIONS.iter().filter(modelled));
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn types(service: &Service) -> Vec<&'static str> {
    service.resource_types().map(ResourceType::name).collect()
}
