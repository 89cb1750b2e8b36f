//! Which kind of file one is: by its name, and by what stands in it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value as Json;
use template::{Content, Node, read_yaml};

/// A plan of thousands of resources has some megabytes.
const BYTES_MAX: u64 = 64 << 20;

pub enum Kind {
    Template(String),
    Plan(Box<Json>),
    /// A folder that the CDK wrote.
    Assembly,
    Compose(String),
    Dockerfile(String),
    Buildspec(String),
}

/// The text of a file.
pub fn text(file: &Path) -> Result<String> {
    let shown = file.display();
    let opened = File::open(file).with_context(|| format!("cannot read `{shown}`"))?;
    let mut bytes = Vec::new();
    let read = opened.take(BYTES_MAX + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("cannot read `{shown}`"))?;
    ensure!(
        u64::try_from(bytes.len()).is_ok_and(|it| it <= BYTES_MAX),
        "`{shown}` is larger than {BYTES_MAX} bytes"
    );
    String::from_utf8(bytes).with_context(|| format!("`{shown}` is not text"))
}

pub fn kind(file: &Path) -> Result<Kind> {
    let shown = file.display();
    if file.is_dir() {
        ensure!(
            file.join("manifest.json").is_file(),
            "`{shown}` is a folder without manifest.json: name a file, or the CDK's cdk.out"
        );
        return Ok(Kind::Assembly);
    }
    let text = text(file)?;
    let name = file
        .file_name()
        .map(|it| it.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let is_dockerfile = ["dockerfile", "containerfile"].iter().any(|it| {
        name == *it || name.starts_with(&format!("{it}.")) || name.ends_with(&format!(".{it}"))
    });
    if is_dockerfile {
        return Ok(Kind::Dockerfile(text));
    }
    if text.trim_start().starts_with('{')
        && let Ok(json) = serde_json::from_str::<Json>(&text)
        && json["format_version"].is_string()
        && json["planned_values"].is_object()
    {
        return Ok(Kind::Plan(Box::new(json)));
    }
    let sections = sections(&text);
    let has = |it: &str| sections.iter().any(|name| name == it);
    Ok(match () {
        () if has("Resources") || has("AWSTemplateFormatVersion") => Kind::Template(text),
        () if has("phases") || name.starts_with("buildspec") => Kind::Buildspec(text),
        () if has("services") || name.contains("compose") => Kind::Compose(text),
        // What cannot be read is told where templates are.
        () if [".template", ".yaml", ".yml", ".json"]
            .iter()
            .any(|it| name.ends_with(it)) =>
        {
            Kind::Template(text)
        }
        () => bail!(
            "`{shown}` is no file that can be checked: a template, a plan of `terraform show -json`, cdk.out, a compose file, a Dockerfile or a buildspec"
        ),
    })
}

/// The names at the top of a YAML or JSON text.
fn sections(text: &str) -> Vec<String> {
    match read_yaml(text).map(|it| it.content) {
        Ok(Content::Map(entries)) => entries.into_iter().map(|(key, _)| key.text).collect(),
        _ => Vec::new(),
    }
}

/// A member of a mapping.
pub fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Content::Map(entries) = &node.content else {
        return None;
    };
    entries
        .iter()
        .find(|(key, _)| key.text == name)
        .map(|it| &it.1)
}

/// The members of a mapping; none of anything else.
pub fn members(node: &Node) -> &[(template::Key, Node)] {
    match &node.content {
        Content::Map(entries) => entries,
        _ => &[],
    }
}
