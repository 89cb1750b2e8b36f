//! The workspace's own tools, as `cargo xtask <tool>`.

mod codegen;
mod coverage;
mod licences;
mod tidy;

use std::path::{Path, PathBuf};

const USAGE: &str = "usage: cargo xtask TOOL

  codegen [--models DIR] [--out DIR]
      writes the generated files of crates/shapes from the service models;
      crates/xtask/fetch-models gets them
  coverage [--program FILE] [--check]
      writes what the executable answers into the README, or says whether it is there
  licences
      says which dependencies have a licence that deny.toml does not allow
  tidy
      says where the workspace breaks a rule of the house";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match arguments.next().as_deref() {
        Some("codegen") => codegen(&root, arguments),
        Some("coverage") => {
            let (mut program, mut check_only) = (None, false);
            while let Some(flag) = arguments.next() {
                match flag.as_str() {
                    "--check" => check_only = true,
                    "--program" => program = Some(value(arguments.next())?),
                    _ => anyhow::bail!("{USAGE}"),
                }
            }
            coverage::run(&root, program, check_only)
        }
        Some("licences") => licences::run(&root),
        Some("tidy") => tidy::run(&root),
        _ => anyhow::bail!("{USAGE}"),
    }
}

fn codegen(root: &Path, mut arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let list = root.join("crates/shapes/operations.toml");
    let (mut models, mut out) = (None, root.join("crates/shapes"));
    while let Some(flag) = arguments.next() {
        match flag.as_str() {
            "--models" => models = Some(value(arguments.next())?),
            "--out" => out = value(arguments.next())?,
            _ => anyhow::bail!("{USAGE}"),
        }
    }
    codegen::run(&list, models.as_deref(), &root.join("target/models"), &out)
}

fn value(argument: Option<String>) -> anyhow::Result<PathBuf> {
    argument
        .map(PathBuf::from)
        .ok_or_else(|| anyhow::anyhow!("{USAGE}"))
}
