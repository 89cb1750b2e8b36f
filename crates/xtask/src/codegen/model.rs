//! A service model, as far as the generator reads it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use super::Wanted;

#[derive(Deserialize)]
pub struct Model {
    pub metadata: Metadata,
    pub operations: BTreeMap<String, Operation>,
    pub shapes: BTreeMap<String, Shape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub api_version: String,
    pub endpoint_prefix: String,
    pub signing_name: Option<String>,
    pub protocol: String,
    #[serde(default)]
    pub protocols: Vec<String>,
    pub json_version: Option<String>,
    pub target_prefix: Option<String>,
    pub xml_namespace: Option<String>,
}

#[derive(Deserialize)]
pub struct Operation {
    pub input: Option<ShapeRef>,
    pub output: Option<ShapeRef>,
    #[serde(default)]
    pub errors: Vec<ShapeRef>,
    pub authtype: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShapeRef {
    pub shape: String,
    pub location_name: Option<String>,
    pub query_name: Option<String>,
    #[serde(default)]
    pub flattened: bool,
}

/// A member that is known and refused.
pub struct Unbuilt {
    pub name: String,
    pub reference: ShapeRef,
    /// The one value that is let pass; `*` where all of them are.
    pub only: Option<String>,
}

#[derive(Deserialize)]
pub struct Shape {
    #[serde(rename = "type")]
    pub kind: String,
    /// Ordered as the model has them: answers are written in this order.
    #[serde(default)]
    pub members: Members,
    /// Those that the list does not name.
    #[serde(skip)]
    pub unbuilt: Vec<Unbuilt>,
    #[serde(default)]
    pub required: BTreeSet<String>,
    pub member: Option<ShapeRef>,
    pub key: Option<ShapeRef>,
    pub value: Option<ShapeRef>,
    #[serde(rename = "enum")]
    pub names: Option<Vec<String>>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub pattern: Option<String>,
    #[serde(default)]
    pub sensitive: bool,
    #[serde(default)]
    pub document: bool,
    #[serde(default)]
    pub flattened: bool,
    #[serde(default)]
    pub eventstream: bool,
    #[serde(default)]
    pub exception: bool,
    #[serde(default)]
    pub fault: bool,
    pub error: Option<ErrorTrait>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorTrait {
    pub code: Option<String>,
    pub http_status_code: Option<u16>,
}

/// The members of a structure, in the order of the file.
#[derive(Default)]
pub struct Members(pub Vec<(String, ShapeRef)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a map of members")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Visitor)
    }
}

impl Model {
    pub fn shape(&self, name: &str) -> anyhow::Result<&Shape> {
        self.shapes
            .get(name)
            .with_context(|| format!("no shape `{name}` in the model"))
    }

    /// Leaves every structure that inputs reach the members that are listed for it. All of them have to be
    /// listed, so that a newer model brings no member that nobody has decided about.
    pub fn keep_listed(&mut self, wanted: &Wanted) -> anyhow::Result<()> {
        let mut listed = BTreeMap::new();
        for (name, members) in &wanted.operations {
            let operation = self.operations.get(name);
            let operation = operation.with_context(|| format!("no operation `{name}`"))?;
            match &operation.input {
                Some(input) => {
                    let before = listed.insert(input.shape.clone(), members);
                    ensure!(
                        before.is_none_or(|it| it == members),
                        "`{name}` shares its input with an operation that takes other members"
                    );
                }
                None => ensure!(members.is_empty(), "`{name}` has no members"),
            }
        }
        let inputs: Vec<String> = listed.keys().cloned().collect();
        for (name, members) in &wanted.structures {
            let clash = listed.insert(name.clone(), members);
            ensure!(clash.is_none(), "`{name}` is an operation's input");
        }
        for (name, members) in &listed {
            self.keep(name, members)?;
        }
        let reached = self.reach(inputs.iter().map(String::as_str))?;
        for name in &reached {
            let shape = self.shape(name)?;
            if shape.kind == "structure" && !shape.document && !listed.contains_key(*name) {
                let members: Vec<&str> = shape.members.0.iter().map(|it| it.0.as_str()).collect();
                bail!(
                    "inputs hold `{name}`: list the members that are honoured under [structures], of these:\n\
                     {name} = \"{}\"",
                    members.join(" ")
                );
            }
        }
        match listed.keys().find(|it| !reached.contains(it.as_str())) {
            Some(name) => bail!("no input holds `{name}`: it is not to be listed"),
            None => Ok(()),
        }
    }

    /// Leaves the structure the listed members. `name=value` is one that is refused with any other value, and
    /// `name=*` one that nothing here depends on. `name!` is one that answers show and inputs may not have,
    /// `name!=value` one that they may have with this value.
    fn keep(&mut self, structure: &str, listed: &str) -> anyhow::Result<()> {
        let shape = self.shapes.get_mut(structure);
        let shape = shape.with_context(|| format!("no structure `{structure}`"))?;
        let mut takes = BTreeMap::new();
        for member in listed.split_whitespace() {
            let (name, only) = match member.split_once('=') {
                Some((name, only)) => (name, Some(only.to_owned())),
                None => (member, None),
            };
            let (name, is_shown) = match name.strip_suffix('!') {
                Some(name) => (name, true),
                None => (name, false),
            };
            let is_taken = only.is_none() && !is_shown;
            let twice = takes.insert(name, (is_taken, is_shown, only)).is_some();
            ensure!(!twice, "`{structure}` lists `{name}` twice");
        }
        for (name, reference) in std::mem::take(&mut shape.members.0) {
            let (is_taken, is_shown, only) = takes.remove(name.as_str()).unwrap_or_default();
            if !is_taken {
                shape.unbuilt.push(Unbuilt {
                    name: name.clone(),
                    reference: reference.clone(),
                    only,
                });
            }
            if is_taken || is_shown {
                shape.members.0.push((name, reference));
            }
        }
        match takes.keys().next() {
            Some(name) => bail!("`{structure}` has no member `{name}`"),
            None => Ok(()),
        }
    }

    pub fn signing_name(&self) -> &str {
        self.metadata
            .signing_name
            .as_ref()
            .unwrap_or(&self.metadata.endpoint_prefix)
    }

    /// S3 speaks through a door of its own: its shapes serve calls between services only, which know
    /// nothing of headers, paths and elements.
    pub fn is_rest_xml(&self) -> bool {
        self.metadata.protocol == "rest-xml"
    }

    /// The shapes that `roots` lead to, themselves included.
    pub fn reach<'a>(
        &'a self,
        roots: impl Iterator<Item = &'a str>,
    ) -> anyhow::Result<BTreeSet<&'a str>> {
        let mut reached = BTreeSet::new();
        let mut waiting: Vec<&str> = roots.collect();
        while let Some(name) = waiting.pop() {
            if reached.insert(name) {
                waiting.extend(
                    self.shape(name)?
                        .references()
                        .map(|reference| reference.shape.as_str()),
                );
            }
        }
        Ok(reached)
    }

    /// Does a structure contain itself without a list or map between?
    pub fn holds_itself(&self, name: &str) -> anyhow::Result<bool> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![name];
        while let Some(current) = waiting.pop() {
            for (_, member) in &self.shape(current)?.members.0 {
                if member.shape == name {
                    return Ok(true);
                }
                if seen.insert(member.shape.as_str()) {
                    waiting.push(&member.shape);
                }
            }
        }
        Ok(false)
    }
}

impl Shape {
    fn references(&self) -> impl Iterator<Item = &ShapeRef> {
        let inner = [&self.member, &self.key, &self.value].into_iter().flatten();
        self.members.0.iter().map(|(_, member)| member).chain(inner)
    }
}
