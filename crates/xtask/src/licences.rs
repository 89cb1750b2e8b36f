//! `cargo xtask licences`: every crate that is built into the executable has a licence that
//! `deny.toml` allows.
//!
//! `cargo deny check` says the same and more (advisories, sources) where it is installed; this needs
//! nothing but cargo, so that it can be a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The part of `deny.toml` that is read here.
#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
    /// Crates that name a file instead of a licence.
    #[serde(default)]
    clarify: Vec<Clarification>,
}

#[derive(Deserialize)]
struct Clarification {
    #[serde(rename = "crate")]
    name: String,
    expression: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

pub fn run(root: &Path) -> Result<()> {
    let text = fs::read_to_string(root.join("deny.toml")).context("deny.toml")?;
    let deny: Deny = toml::from_str(&text).context("deny.toml")?;
    let refused = refused(&metadata(root)?, &deny.licenses);
    if refused.is_empty() {
        return Ok(());
    }
    bail!(
        "licences that deny.toml does not allow:\n  {}",
        refused.join("\n  ")
    )
}

/// What is built for the machine that this is built for.
fn metadata(root: &Path) -> Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root)
        .output()?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("what cargo metadata printed")
}

fn refused(metadata: &Metadata, licences: &Licences) -> Vec<String> {
    let built: BTreeSet<&str> = metadata
        .resolve
        .nodes
        .iter()
        .map(|it| it.id.as_str())
        .collect();
    let clarified: BTreeMap<&str, &str> = licences
        .clarify
        .iter()
        .map(|it| (it.name.as_str(), it.expression.as_str()))
        .collect();
    let packages = metadata
        .packages
        .iter()
        .filter(|it| built.contains(it.id.as_str()));
    packages
        .filter_map(|package| {
            let own = package.license.as_deref();
            let expression = own.or_else(|| clarified.get(package.name.as_str()).copied());
            match expression {
                Some(text) if satisfied(text, &licences.allow) => None,
                other => Some(format!(
                    "{} {}: {}",
                    package.name,
                    package.version,
                    other.unwrap_or("names none")
                )),
            }
        })
        .collect()
}

/// Whether an SPDX expression holds when the licences in `allow` do. `/` is an old form of `OR`, and
/// `A WITH e` is a licence of its own. A form that is not understood does not hold.
fn satisfied(expression: &str, allow: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let holds = any(&mut rest, allow);
    rest.is_empty() && holds
}

fn any(words: &mut &[&str], allow: &BTreeSet<String>) -> bool {
    let mut holds = all(words, allow);
    while let ["OR", rest @ ..] = words {
        *words = rest;
        holds |= all(words, allow);
    }
    holds
}

fn all(words: &mut &[&str], allow: &BTreeSet<String>) -> bool {
    let mut holds = one(words, allow);
    while let ["AND", rest @ ..] = words {
        *words = rest;
        holds &= one(words, allow);
    }
    holds
}

fn one(words: &mut &[&str], allow: &BTreeSet<String>) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let holds = any(words, allow);
            match *words {
                [")", rest @ ..] => {
                    *words = rest;
                    holds
                }
                _ => false,
            }
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            allow.contains(&format!("{licence} WITH {exception}"))
        }
        [licence, rest @ ..] => {
            *words = rest;
            allow.contains(*licence)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_hold_as_spdx_says() {
        let allow = ["MIT", "Apache-2.0", "Unicode-3.0"]
            .map(str::to_owned)
            .into();
        let check = |expression: &str, expected: bool| {
            assert_eq!(satisfied(expression, &allow), expected, "{expression}");
        };
        check("MIT", true);
        check("AGPL-3.0", false);
        check("AGPL-3.0 OR MIT", true);
        check("Apache-2.0 / AGPL-3.0", true);
        check("MIT AND AGPL-3.0", false);
        check("MIT OR AGPL-3.0 AND GPL-3.0", true);
        check("(MIT OR AGPL-3.0) AND Unicode-3.0", true);
        check("(MIT OR Apache-2.0) AND AGPL-3.0", false);
        check("Apache-2.0 WITH LLVM-exception", false);
        check("Apache-2.0 WITH LLVM-exception OR MIT", true);
        check("", false);
        check("(MIT", false);
        check("MIT MIT", false);
    }

    #[test]
    fn a_crate_without_a_licence_is_named_unless_it_is_clarified() {
        let metadata: Metadata = serde_json::from_str(
            r#"{"packages": [{"id": "a", "name": "a", "version": "1.0.0", "license": null},
                             {"id": "b", "name": "b", "version": "1.0.0", "license": "AGPL-3.0"}],
                "resolve": {"nodes": [{"id": "a"}]}}"#,
        )
        .unwrap();
        let allow: BTreeSet<String> = ["MIT".to_owned()].into();
        let mut licences = Licences {
            allow,
            clarify: Vec::new(),
        };
        assert_eq!(refused(&metadata, &licences), ["a 1.0.0: names none"]);
        licences.clarify.push(Clarification {
            name: "a".into(),
            expression: "MIT".into(),
        });
        assert!(refused(&metadata, &licences).is_empty());
    }

    #[test]
    fn every_crate_of_this_workspace_has_a_licence_that_is_allowed() {
        run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
    }
}
