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
pub use names::snake;

/// `crates/shapes/operations.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    botocore: String,
    known: Vec<String>,
}

/// What is wanted of one service: a file of `crates/shapes/services`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    model: String,
    /// The operations that have shapes, each with the members of its input that are honoured: see
    /// [`Model::keep`].
    pub operations: BTreeMap<String, String>,
    /// The same of the structures that inputs hold.
    #[serde(default)]
    structures: BTreeMap<String, String>,
    #[serde(default)]
    plain: Vec<String>,
    #[serde(default)]
    sensitive: Vec<String>,
    /// Optional members of which an empty text is a value, also in form parameters.
    #[serde(default)]
    empty: Vec<String>,
    /// Enums whose values AWS names in another order than the model has them.
    #[serde(default)]
    order: BTreeMap<String, Vec<String>>,
    /// What the service answers to input that its model forbids, where its errors do not tell.
    validation: Option<String>,
    /// What it answers to what is valid and not built here, where that is another error.
    unsupported: Option<String>,
    /// In which of `wire::Words`.
    words: Option<String>,
    /// The code is the operation's: the one that it declares.
    #[serde(default)]
    validation_by_operation: bool,
    /// Members have errors of their own: `InvalidRepositoryNameException`.
    #[serde(default)]
    validation_by_member: bool,
}

/// Writes all generated files of `crates/shapes` into the folder `out`, laid out as that crate is.
pub fn run(list: &Path, models: Option<&Path>, downloads: &Path, out: &Path) -> anyhow::Result<()> {
    let services = services(list)?;
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
    let mut on_the_wire = Vec::new();
    for (module, wanted) in &services {
        let mut model = load(&wanted.model)?;
        model
            .keep_listed(wanted)
            .with_context(|| format!("crates/shapes/services/{module}.toml"))?;
        if !model.is_rest_xml() {
            on_the_wire.push((module.as_str(), &wanted.operations));
        }
        let text = service::generate(&model, wanted)
            .with_context(|| format!("the shapes of `{module}`"))?;
        files.push((out.join(format!("src/{module}.rs")), text));
    }
    let known = list
        .known
        .iter()
        .map(|name| Ok((name.as_str(), load(name)?)));
    let known = known.collect::<anyhow::Result<Vec<_>>>()?;
    let modules: Vec<&str> = services.keys().map(String::as_str).collect();
    files.push((out.join("src/known.rs"), tables::known(&modules, &known)?));
    files.push((
        out.join("tests/botocore/operations.rs"),
        tables::tested_operations(on_the_wire.into_iter())?,
    ));
    for (path, text) in &files {
        fs::create_dir_all(path.parent().context("every file has a folder")?)?;
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

/// The files of the folder `services` beside `list`, by their names.
pub fn services(list: &Path) -> anyhow::Result<BTreeMap<String, Wanted>> {
    let folder = list.with_file_name("services");
    let mut services = BTreeMap::new();
    for file in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = file?.path();
        let module = path.file_stem().context("a file has a name")?;
        let wanted = toml::from_str(&fs::read_to_string(&path)?)
            .with_context(|| path.display().to_string())?;
        services.insert(module.to_string_lossy().into_owned(), wanted);
    }
    Ok(services)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs the models in target/models, which crates/xtask/fetch-models puts there; without them
    /// the test says so and does nothing.
    #[test]
    fn the_committed_shapes_are_what_the_generator_writes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let (list, downloads) = (
            root.join("crates/shapes/operations.toml"),
            root.join("target/models"),
        );
        let version: List = toml::from_str(&fs::read_to_string(&list).unwrap()).unwrap();
        if !downloads.join(&version.botocore).is_dir() {
            eprintln!("SKIPPED: no service models; crates/xtask/fetch-models gets them");
            return;
        }
        let fresh = tempfile::tempdir().unwrap();
        run(&list, None, &downloads, fresh.path()).unwrap();
        let mut compared = 0;
        for folder in ["src", "tests/botocore"] {
            for file in fs::read_dir(fresh.path().join(folder)).unwrap() {
                let name = file.unwrap().file_name();
                let text = |root: &Path| {
                    fs::read_to_string(root.join(folder).join(&name)).unwrap_or_default()
                };
                let same = text(fresh.path()) == text(&root.join("crates/shapes"));
                assert!(
                    same,
                    "`{}` is stale: run `cargo xtask codegen`",
                    name.display()
                );
                compared += 1;
            }
        }
        assert_eq!(compared, services(&list).unwrap().len() + 2);
    }
}
