//! `neargate coverage`: what this version answers.

use std::process::ExitCode;

use anyhow::Result;
use cloud::{ResourceType, Service};
use serde_json::json;

use crate::config::Config;
use crate::daemon::services;

pub fn run(config: &Config) -> Result<ExitCode> {
    let services = services();
    if config.json {
        let all: Vec<_> = services.iter().map(|it| json!({ "service": it.model().signing_name, "operations": it.operations().collect::<Vec<_>>(), "resourceTypes": types(it) })).collect();
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    for service in &services {
        let built: Vec<&str> = service.operations().collect();
        println!(
            "{}: {} of {} operations",
            service.model().signing_name,
            built.len(),
            service.model().operations.len()
        );
        println!("  {}", built.join(" "));
        for name in types(service) {
            println!("  {name}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn types(service: &Service) -> Vec<&'static str> {
    service.resource_types().map(ResourceType::name).collect()
}
