//! A folder that the CDK wrote: its manifest names the templates of the stacks.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;

use super::outcome::Outcome;
use super::{Part, Surroundings, files, template};

const STACK: &str = "aws:cloudformation:stack";
/// What a stage's own folder is (`cdk.out/assembly-Prod`).
const NESTED: &str = "cdk:cloud-assembly";
/// Stages in stages: nobody has more than two.
const DEPTH_MAX: usize = 8;

pub fn read(folder: &Path, around: &Surroundings<'_>, outcome: &mut Outcome) -> Result<Vec<Part>> {
    let mut all = Vec::new();
    enter(folder, around, outcome, &mut all, 0)?;
    ensure!(!all.is_empty(), "`{}` has no stacks", folder.display());
    Ok(all)
}

fn enter(
    folder: &Path,
    around: &Surroundings<'_>,
    outcome: &mut Outcome,
    all: &mut Vec<Part>,
    depth: usize,
) -> Result<()> {
    ensure!(
        depth < DEPTH_MAX,
        "`{}` has too many stages in each other",
        folder.display()
    );
    let file = folder.join("manifest.json");
    let manifest: Json = serde_json::from_str(&files::text(&file)?)
        .with_context(|| format!("`{}` is not the CDK's", file.display()))?;
    let artifacts = manifest["artifacts"].as_object();
    for artifact in artifacts.into_iter().flat_map(|it| it.values()) {
        let properties = &artifact["properties"];
        match artifact["type"].as_str() {
            Some(STACK) => {
                let name = properties["templateFile"].as_str().unwrap_or_default();
                let path = folder.join(name);
                let text = files::text(&path)?;
                all.extend(template::read(&path, text, around, outcome)?);
            }
            Some(NESTED) => {
                let name = properties["directoryName"].as_str().unwrap_or_default();
                enter(&folder.join(name), around, outcome, all, depth + 1)?;
            }
            _ => {}
        }
    }
    Ok(())
}
