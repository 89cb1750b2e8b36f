//! `neargate coverage`: what this version answers.

use std::process::ExitCode;

use anyhow::Result;
use cloud::{ResourceType, Service};
use serde_json::json;

use crate::config::Config;
use crate::daemon::services;
use crate::say;

pub fn run(config: &Config) -> Result<ExitCode> {
    let services = services();
    if config.json {
        let all: Vec<_> = services.iter().map(|it| json!({ "service": it.model().signing_name, "operations": operations(it), "resourceTypes": types(it) })).collect();
        say::line(serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    for service in &services {
        let built = operations(service);
        say::line(format_args!(
            "{}: {} of {} operations",
            service.model().signing_name,
            built.len(),
            service.model().operations.len()
        ));
        say::line(format_args!("  {}", built.join(" ")));
        for name in types(service) {
            say::line(format_args!("  {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
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
