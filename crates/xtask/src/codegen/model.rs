//! A service model, as far as the generator reads it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde::Deserialize;

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShapeRef {
    pub shape: String,
    pub location_name: Option<String>,
    pub query_name: Option<String>,
    #[serde(default)]
    pub flattened: bool,
}

#[derive(Deserialize)]
pub struct Shape {
    #[serde(rename = "type")]
    pub kind: String,
    /// Ordered as the model has them: answers are written in this order.
    #[serde(default)]
    pub members: Members,
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
