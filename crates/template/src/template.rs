//! What a template says, section by section.

use std::collections::BTreeMap;

use crate::value::Value;
use crate::{Parameter, Rule, Span};

#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub format_version: Option<String>,
    pub description: Option<String>,
    /// The transforms that it names, which have been carried out.
    pub transforms: Vec<String>,
    /// The template's own metadata: shown, never evaluated.
    pub metadata: Option<serde_json::Value>,
    pub parameters: BTreeMap<String, Parameter>,
    pub rules: BTreeMap<String, Rule>,
    pub mappings: BTreeMap<String, Mapping>,
    pub conditions: BTreeMap<String, Value>,
    pub resources: BTreeMap<String, Resource>,
    pub outputs: BTreeMap<String, Output>,
}

/// First key, second key, value.
pub type Mapping = BTreeMap<String, BTreeMap<String, MappingValue>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingValue {
    Text(String),
    List(Vec<String>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Where its logical id stands.
    pub span: Span,
    pub resource_type: String,
    /// Where its type stands.
    pub type_span: Span,
    /// Always a map.
    pub properties: Value,
    pub depends_on: Vec<(String, Span)>,
    pub condition: Option<(String, Span)>,
    pub deletion_policy: WrittenPolicy,
    pub update_replace_policy: WrittenPolicy,
    pub creation_policy: Option<Value>,
    pub update_policy: Option<Value>,
    pub metadata: Option<Value>,
}

/// A policy as the template writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum WrittenPolicy {
    Absent,
    Literal(DeletionPolicy),
    /// By functions of parameters, mappings and conditions.
    Computed(Value),
}

impl WrittenPolicy {
    pub fn computed(&self) -> Option<&Value> {
        match self {
            Self::Computed(value) => Some(value),
            Self::Absent | Self::Literal(_) => None,
        }
    }
}

/// The policies of one resource, decided. None: the template does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policies {
    pub deletion: Option<DeletionPolicy>,
    pub update_replace: Option<DeletionPolicy>,
}

/// What becomes of a resource that leaves its stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletionPolicy {
    #[default]
    Delete,
    Retain,
    RetainExceptOnCreate,
    Snapshot,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    pub span: Span,
    pub value: Value,
    pub description: Option<String>,
    pub export: Option<Export>,
    pub condition: Option<(String, Span)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    pub name: Value,
}

/// What the pseudo parameters answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub account_id: String,
    pub region: String,
    pub partition: String,
    pub url_suffix: String,
    pub stack_id: String,
    pub stack_name: String,
    pub notification_arns: Vec<String>,
}

impl DeletionPolicy {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Delete" => Self::Delete,
            "Retain" => Self::Retain,
            "RetainExceptOnCreate" => Self::RetainExceptOnCreate,
            "Snapshot" => Self::Snapshot,
            _ => return None,
        })
    }
}

impl Environment {
    pub const PSEUDO_PARAMETERS: [&'static str; 8] = [
        "AWS::AccountId",
        "AWS::NoValue",
        "AWS::NotificationARNs",
        "AWS::Partition",
        "AWS::Region",
        "AWS::StackId",
        "AWS::StackName",
        "AWS::URLSuffix",
    ];

    /// The answer of a pseudo parameter other than `AWS::NoValue`.
    pub fn pseudo_parameter(&self, name: &str) -> Option<serde_json::Value> {
        Some(match name {
            "AWS::AccountId" => self.account_id.as_str().into(),
            "AWS::NotificationARNs" => self.notification_arns.clone().into(),
            "AWS::Partition" => self.partition.as_str().into(),
            "AWS::Region" => self.region.as_str().into(),
            "AWS::StackId" => self.stack_id.as_str().into(),
            "AWS::StackName" => self.stack_name.as_str().into(),
            "AWS::URLSuffix" => self.url_suffix.as_str().into(),
            _ => return None,
        })
    }
}
