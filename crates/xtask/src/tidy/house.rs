//! What the rules look at: the workspace's manifests, sources and papers, read once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::codegen::{self, Wanted};

/// Folders whose children are crates.
const FOLDERS: &[&str] = &["crates", "services"];
/// What the papers are: files at the root that promise something to readers.
const PAPERS: &[&str] = &["README.md", "ARCHITECTURE.md", ".ci/run"];

pub struct House {
    pub members: Vec<Member>,
    /// What is wanted of each service, by its module's name.
    pub services: BTreeMap<String, Wanted>,
    /// Files at the root by their name; what is not there is not here.
    pub papers: BTreeMap<&'static str, String>,
}

pub struct Member {
    pub name: String,
    /// `crates` or `services`.
    pub folder: &'static str,
    /// From the root of the workspace.
    pub path: PathBuf,
    /// Packages that what is shipped is built of; those of tests alone are not here.
    pub dependencies: BTreeSet<String>,
    pub takes_workspace_lints: bool,
    pub sources: Vec<Source>,
}

pub struct Source {
    /// From the root of the workspace.
    pub path: PathBuf,
    pub text: String,
    /// Compiled for tests alone.
    pub is_test: bool,
}

impl House {
    pub fn read(root: &Path) -> Result<Self> {
        let mut members = Vec::new();
        for folder in FOLDERS {
            for path in children(&root.join(folder))? {
                if path.join("Cargo.toml").is_file() {
                    members.push(Member::read(root, folder, &path)?);
                }
            }
        }
        let papers = PAPERS
            .iter()
            .filter_map(|name| Some((*name, fs::read_to_string(root.join(name)).ok()?)))
            .collect();
        let list = root.join("crates/shapes/operations.toml");
        let services = match list.exists() {
            true => codegen::services(&list)?,
            false => BTreeMap::new(),
        };
        Ok(Self {
            members,
            services,
            papers,
        })
    }

    /// Whether a package of this name is one of ours.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|it| it.name == name)
    }
}

impl Member {
    fn read(root: &Path, folder: &'static str, path: &Path) -> Result<Self> {
        let manifest = path.join("Cargo.toml");
        let text = fs::read_to_string(&manifest)?;
        let table: toml::Table =
            toml::from_str(&text).with_context(|| format!("`{}`", manifest.display()))?;
        let mut sources = Vec::new();
        collect_sources(root, path, &mut sources)?;
        Ok(Self {
            name: table
                .get("package")
                .and_then(|it| it.get("name"))
                .and_then(toml::Value::as_str)
                .with_context(|| format!("`{}` names no package", manifest.display()))?
                .to_owned(),
            folder,
            path: relative(root, path),
            dependencies: dependencies(&table),
            takes_workspace_lints: table
                .get("lints")
                .and_then(|it| it.get("workspace"))
                .and_then(toml::Value::as_bool)
                .unwrap_or(false),
            sources,
        })
    }
}

/// Packages of `[dependencies]` and `[build-dependencies]`, for every target.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let for_targets = manifest
        .get("target")
        .and_then(toml::Value::as_table)
        .into_iter()
        .flat_map(|targets| targets.values().filter_map(toml::Value::as_table));
    let mut names = BTreeSet::new();
    for table in for_targets.chain([manifest]) {
        for kind in ["dependencies", "build-dependencies"] {
            let listed = table.get(kind).and_then(toml::Value::as_table);
            for (name, value) in listed.into_iter().flatten() {
                let renamed = value.get("package").and_then(toml::Value::as_str);
                names.insert(renamed.unwrap_or(name).to_owned());
            }
        }
    }
    names
}

fn collect_sources(root: &Path, folder: &Path, found: &mut Vec<Source>) -> Result<()> {
    for path in children(folder)? {
        if path.is_dir() {
            collect_sources(root, &path, found)?;
        } else if path.extension().is_some_and(|it| it == "rs") {
            let path_in_house = relative(root, &path);
            found.push(Source {
                is_test: is_test(&path_in_house),
                text: fs::read_to_string(&path)
                    .with_context(|| format!("cannot read `{}`", path.display()))?,
                path: path_in_house,
            });
        }
    }
    Ok(())
}

/// By the names that are used here: `tests/`, `tests.rs`, `plan_tests.rs`, `benches/`,
/// `test-helper/`.
fn is_test(path: &Path) -> bool {
    path.components().any(|it| {
        let name = it.as_os_str().to_string_lossy();
        let stem = name.strip_suffix(".rs").unwrap_or(&name);
        ["tests", "benches", "test-helper"].contains(&stem) || stem.ends_with("_tests")
    })
}

/// In the order of their names.
fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut paths = entries
        .map(|it| Ok(it?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn relative(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root)
        .expect("everything was found below the root")
        .to_owned()
}
