//! `neargate check`: what is wrong with files, before anything is made of them.
//!
//! ```text
//! FILE ─ kind ─> template, plan, assembly, compose file, Dockerfile, buildspec
//!                    │ refusals, in the engine's own words          (each with its place)
//!                    └─> resources that are asked for ─> why::ahead ─> the catalogue's rules
//! ```
//!
//! It works on files alone. Where a daemon answers, it is asked what the files only name: images, log
//! groups, roles, secrets, networks. What was not looked at is said.

mod assembly;
mod buildspec;
mod compose;
mod dockerfile;
mod files;
mod outcome;
mod plan;
mod sarif;
mod template;
mod terraform;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use cloud::{ResourceType, ResourceTypes, Service};
use http_body_util::BodyExt;
use serde_json::Value as Json;
use why::ahead::{Known, Wanted};

use crate::client::{self, Client, Presence};
use crate::commands::why as shown;
use crate::config::Config;
use crate::daemon::services;
use crate::say;
use files::Kind;
use outcome::Outcome;

#[derive(Debug, Args)]
pub struct Check {
    /// CloudFormation templates, `terraform show -json` of a plan, a CDK assembly (cdk.out), compose
    /// files, Dockerfiles, build specifications
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A value of a template's parameter
    #[arg(long = "parameter", short = 'p', value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Values of parameters: a JSON object, or a list of ParameterKey and ParameterValue
    #[arg(long = "parameters", value_name = "FILE")]
    parameter_file: Option<PathBuf>,
    /// Print SARIF 2.1.0, which code scanners of CI read
    #[arg(long)]
    sarif: bool,
}

/// What the command ends with, for CI.
const ERRORS_FOUND: u8 = 1;
const UNREADABLE: u8 = 2;

/// Types of resources as the services of this executable lend them, without a daemon.
pub struct Lent(Vec<Service>);

impl ResourceTypes for Lent {
    fn named(&self, name: &str) -> Option<&dyn ResourceType> {
        let mut all = self.0.iter().flat_map(Service::resource_types);
        all.find(|it| it.name() == name)
    }
}

/// What files are read with.
pub struct Surroundings<'a> {
    pub types: &'a Lent,
    pub region: &'a str,
    pub account: &'a str,
    pub parameters: &'a BTreeMap<String, String>,
}

impl Check {
    pub async fn run(&self, config: &Config) -> Result<ExitCode> {
        let outcome = match self.look(config).await {
            Ok(outcome) => outcome,
            // Another code than that of what was found.
            Err(error) => {
                say::failure(&error, config.json || self.sarif);
                return Ok(ExitCode::from(UNREADABLE));
            }
        };
        if self.sarif {
            say::line(serde_json::to_string_pretty(&sarif::log(&outcome))?);
        } else if config.json {
            say::line(serde_json::to_string_pretty(&outcome.report())?);
        } else {
            say::line(outcome.shown(shown::width()).trim_end());
        }
        Ok(match outcome.has_errors() {
            true => ExitCode::from(ERRORS_FOUND),
            false => ExitCode::SUCCESS,
        })
    }

    async fn look(&self, config: &Config) -> Result<Outcome> {
        let parameters = self.values()?;
        let types = Lent(services());
        let around = Surroundings {
            types: &types,
            region: &config.region,
            account: &config.account,
            parameters: &parameters,
        };
        let mut outcome = Outcome::default();
        let mut all = Vec::new();
        for file in &self.files {
            all.extend(read(file, &around, &mut outcome)?);
        }
        let mut wanted = Wanted::default();
        for part in &all {
            wanted.add(part.wanted());
        }
        let known = known(config, &wanted).await?;
        if known.is_none() {
            outcome.not("the account: no daemon answers, so images, log groups, roles and secrets that files only name are not known".to_owned());
        }
        for part in &all {
            part.look(known.as_ref(), &mut outcome);
        }
        outcome.finish();
        Ok(outcome)
    }

    /// What was given for parameters; a flag counts more than the file.
    fn values(&self) -> Result<BTreeMap<String, String>> {
        let mut values = match &self.parameter_file {
            Some(file) => from_file(&files::text(file)?)
                .with_context(|| format!("`{}` does not give parameters", file.display()))?,
            None => BTreeMap::new(),
        };
        for it in &self.parameters {
            let (name, value) = it.split_once('=').with_context(|| {
                format!("`{it}` is not a parameter: write --parameter NAME=VALUE")
            })?;
            values.insert(name.to_owned(), value.to_owned());
        }
        Ok(values)
    }
}

/// `{"Name": "value"}`, `{"Parameters": {…}}`, or `[{"ParameterKey": …, "ParameterValue": …}]`.
fn from_file(text: &str) -> Result<BTreeMap<String, String>> {
    let json: Json = serde_json::from_str(text).context("it is not JSON")?;
    let scalar = |it: &Json| match it {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(it) => Some(it.to_string()),
        _ => None,
    };
    let mut values = BTreeMap::new();
    let members = match &json {
        Json::Array(items) => {
            for it in items {
                let name = it["ParameterKey"].as_str();
                let value = scalar(&it["ParameterValue"]);
                let (Some(name), Some(value)) = (name, value) else {
                    bail!("every item needs a ParameterKey and a ParameterValue");
                };
                values.insert(name.to_owned(), value);
            }
            return Ok(values);
        }
        Json::Object(members) => members,
        _ => bail!("it is neither an object nor a list"),
    };
    let inner = members.get("Parameters").and_then(Json::as_object);
    for (name, value) in inner.unwrap_or(members) {
        let value = scalar(value);
        ensure!(
            value.is_some(),
            "the value of `{name}` is neither text nor number"
        );
        values.extend(value.map(|it| (name.clone(), it)));
    }
    Ok(values)
}

/// What is found by rules once it is known what the account has.
pub enum Part {
    Declared(Box<why::ahead::Declared>),
    Images(dockerfile::Planned),
}

impl Part {
    fn wanted(&self) -> Wanted {
        match self {
            Self::Declared(it) => why::ahead::wanted(it),
            Self::Images(it) => it.wanted(),
        }
    }

    fn look(&self, known: Option<&Known>, outcome: &mut Outcome) {
        match self {
            Self::Declared(it) => {
                let (situations, not) = why::ahead::situations(it, known, &iam::managed_policy);
                not.into_iter().for_each(|it| outcome.not(it));
                outcome.found(why::ahead::find(&situations));
                refuse_definitions(it, outcome);
            }
            Self::Images(it) => it.look(known, outcome),
        }
    }
}

/// What registering the definitions would be refused with.
fn refuse_definitions(declared: &why::ahead::Declared, outcome: &mut Outcome) {
    for (id, definition) in &declared.resources {
        if definition.kind != "AWS::ECS::TaskDefinition" {
            continue;
        }
        let Some(message) = ecs::refusal_of_definition(&definition.properties) else {
            continue;
        };
        // A template's own check says some of it, with the property's place.
        let is_told = |it: &why::Finding| it.cause.contains(&message);
        if let (false, Some(place)) = (outcome.findings.iter().any(is_told), &definition.place) {
            let row = why::rows::of_message(&message, &why::rows::INVALID);
            let thing = format!("task definition {id}");
            (outcome.findings).push(outcome::finding(row, thing, message, place.clone()));
        }
    }
}

fn read(
    file: &std::path::Path,
    around: &Surroundings<'_>,
    outcome: &mut Outcome,
) -> Result<Vec<Part>> {
    match files::kind(file)? {
        Kind::Assembly => assembly::read(file, around, outcome),
        Kind::Template(text) => template::read(file, text, around, outcome),
        Kind::Plan(plan) => Ok(plan::read(file, &plan, around, outcome)),
        Kind::Compose(text) => compose::read(file, &text, outcome),
        Kind::Dockerfile(text) => Ok(dockerfile::read(file, &text, None, outcome)),
        Kind::Buildspec(text) => {
            buildspec::read(file, &text, outcome);
            Ok(Vec::new())
        }
    }
}

/// Asks the daemon of this configuration, if there is one.
async fn known(config: &Config, wanted: &Wanted) -> Result<Option<Known>> {
    if !matches!(client::look(config).await?, Presence::Own(_)) {
        return Ok(None);
    }
    let client = Client::new(config)?;
    let answer = client
        .post("/_neargate/v1/known", &serde_json::to_value(wanted)?)
        .await?;
    let bytes = answer.collect().await?.to_bytes();
    let known = serde_json::from_slice(&bytes).context("the daemon's answer is not understood")?;
    Ok(Some(known))
}
