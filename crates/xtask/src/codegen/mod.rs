//! Service models → Rust: a file of shapes per service, and the table of everything that is known.

mod limits;
mod model;
mod names;
mod service;
mod structs;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

use model::Model;

/// `crates/shapes/operations.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    botocore: String,
    known: Vec<String>,
    service: BTreeMap<String, Wanted>,
}

/// What is wanted of one service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    model: String,
    operations: Vec<String>,
    #[serde(default)]
    plain: Vec<String>,
    #[serde(default)]
    sensitive: Vec<String>,
}

/// Writes all generated files of `crates/shapes` into `out`.
pub fn run(list: &Path, models: Option<&Path>, downloads: &Path, out: &Path) -> anyhow::Result<()> {
    let list: List = toml::from_str(&fs::read_to_string(list)?).context("operations.toml")?;
    let models = models.map_or_else(|| downloads.join(&list.botocore), Path::to_owned);
    let load = |name: &str| -> anyhow::Result<Model> {
        let path = models.join(format!("{name}.json"));
        let text = fs::read(&path).with_context(|| {
            format!(
                "cannot read `{}`; run crates/xtask/fetch-models first",
                path.display()
            )
        })?;
        serde_json::from_slice(&text).with_context(|| format!("the model of `{name}`"))
    };
    let mut files = Vec::new();
    for (module, wanted) in &list.service {
        let text = service::generate(&load(&wanted.model)?, wanted)
            .with_context(|| format!("the shapes of `{module}`"))?;
        files.push((out.join(format!("{module}.rs")), text));
    }
    let known = list
        .known
        .iter()
        .map(|name| Ok((name.as_str(), load(name)?)));
    let known = known.collect::<anyhow::Result<Vec<_>>>()?;
    let modules: Vec<&str> = list.service.keys().map(String::as_str).collect();
    files.push((out.join("known.rs"), tables::known(&modules, &known)?));
    for (path, text) in &files {
        fs::write(path, text)?;
    }
    let paths = files.iter().map(|(path, _)| path);
    let formatted = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .args(paths)
        .status()?;
    ensure!(formatted.success(), "rustfmt refused the generated code");
    Ok(())
}
