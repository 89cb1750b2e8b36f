//! Compose files: who waits for whom, which files they name, and the Dockerfiles that they build.

use std::path::{Path, PathBuf};

use anyhow::Result;
use template::{Content, Node, read_yaml};
use why::ahead;
use why::facts::{ContainerFacts, Situation};
use why::rows;

use super::Part;
use super::dockerfile::{self, Build};
use super::files::{self, member, members};
use super::outcome::{self, Outcome};

pub fn read(file: &Path, text: &str, outcome: &mut Outcome) -> Result<Vec<Part>> {
    outcome.looked(file.display().to_string());
    let root = match read_yaml(text) {
        Ok(root) => root,
        Err(error) => {
            outcome.refused(file, &error, None);
            return Ok(Vec::new());
        }
    };
    let folder = file.parent().map(Path::to_owned).unwrap_or_default();
    let services = member(&root, "services").map(members).unwrap_or_default();
    let (mut parts, mut containers) = (Vec::new(), Vec::new());
    for (name, service) in services {
        let built = match member(service, "build") {
            Some(build) => self::build(file, &folder, &name.text, build, outcome),
            None => Vec::new(),
        };
        let mut own = container(file, name, service);
        // What an image says of its health is not known here, unless it is built here.
        let says_itself = built.iter().any(|it| match it {
            Part::Images(it) => it.has_health_check(),
            Part::Declared(_) => false,
        });
        if own.health_command.is_empty() && (says_itself || built.is_empty()) {
            own.health_command = vec!["CMD".to_owned()];
        }
        for it in env_files(service) {
            if !folder.join(&it.0).exists() {
                let cause = format!(
                    "the service {} is to get variables from `{}`, which is not there",
                    name.text, it.0
                );
                let place = outcome::place(file, Some(it.1.span));
                let thing = format!("compose file {}", file.display());
                outcome
                    .findings
                    .push(outcome::finding(&rows::ENV_FILE, thing, cause, place));
            }
        }
        containers.push(own);
        parts.extend(built);
    }
    let situation = Situation {
        thing: format!("compose file {}", file.display()),
        is_ahead: true,
        place: Some(outcome::place(file, None)),
        containers,
        ..Situation::default()
    };
    outcome.found(ahead::find(&[situation]));
    Ok(parts)
}

fn texts(node: &Node) -> Vec<String> {
    match &node.content {
        Content::List(items) => items.iter().filter_map(Node::scalar_text).collect(),
        // A text is a shell's line, or the words of one.
        _ => node.scalar_text().into_iter().collect(),
    }
}

fn container(file: &Path, name: &template::Key, service: &Node) -> ContainerFacts {
    let list = |it: &str| member(service, it).map(texts).unwrap_or_default();
    let check = member(service, "healthcheck")
        .and_then(|it| member(it, "test"))
        .map(texts);
    ContainerFacts {
        name: name.text.clone(),
        health_command: check.unwrap_or_default(),
        waits_for: member(service, "depends_on")
            .map(waits_for)
            .unwrap_or_default(),
        command: [list("entrypoint"), list("command")].concat(),
        place: Some(outcome::place(file, Some(name.span))),
        ..ContainerFacts::default()
    }
}

fn waits_for(node: &Node) -> Vec<(String, String)> {
    let until = |it: &Node| {
        let condition = member(it, "condition").and_then(Node::scalar_text);
        match condition.as_deref() {
            Some("service_healthy") => "HEALTHY",
            Some("service_completed_successfully") => "SUCCESS",
            _ => "START",
        }
    };
    match &node.content {
        Content::Map(entries) => {
            let all = entries
                .iter()
                .map(|(key, it)| (key.text.clone(), until(it).to_owned()));
            all.collect()
        }
        _ => texts(node)
            .into_iter()
            .map(|it| (it, "START".to_owned()))
            .collect(),
    }
}

/// Files that have to be there, with where they are named.
fn env_files(service: &Node) -> Vec<(String, &Node)> {
    let Some(node) = member(service, "env_file") else {
        return Vec::new();
    };
    let each: Vec<&Node> = match &node.content {
        Content::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    let is_optional = |it: &Node| {
        let required = member(it, "required").and_then(Node::scalar_text);
        required.as_deref() == Some("false")
    };
    let named = each
        .into_iter()
        .filter(|it| !is_optional(it))
        .filter_map(|it| {
            let path = it
                .scalar_text()
                .or_else(|| member(it, "path")?.scalar_text())?;
            (!path.contains('$')).then_some((path, it))
        });
    named.collect()
}

fn build(
    file: &Path,
    folder: &Path,
    service: &str,
    node: &Node,
    outcome: &mut Outcome,
) -> Vec<Part> {
    let text = |name: &str| member(node, name).and_then(Node::scalar_text);
    let context = node
        .scalar_text()
        .or_else(|| text("context"))
        .unwrap_or(".".to_owned());
    if context.contains("://") || context.contains('$') || text("dockerfile_inline").is_some() {
        outcome.not(format!(
            "what the service {service} is built from: {context}"
        ));
        return Vec::new();
    }
    let context: PathBuf = folder.join(context);
    let path = context.join(text("dockerfile").unwrap_or("Dockerfile".to_owned()));
    let Ok(source) = files::text(&path) else {
        let cause = format!(
            "the service {service} is built from `{}`, which is not there",
            path.display()
        );
        let place = outcome::place(file, Some(node.span));
        let thing = format!("compose file {}", file.display());
        outcome
            .findings
            .push(outcome::finding(&rows::COPY_MISSING, thing, cause, place));
        return Vec::new();
    };
    let given = member(node, "args").map(members).unwrap_or_default();
    let args = given
        .iter()
        .filter_map(|(key, it)| Some((key.text.clone(), it.scalar_text()?)));
    let build = Build {
        context,
        args: args.collect(),
        target: text("target"),
    };
    dockerfile::read(&path, &source, Some(build), outcome)
}
