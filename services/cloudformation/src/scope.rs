//! What a template's functions see of the stack and of the region around it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use template::{Environment, KNOWN_AFTER_APPLY, Scope};

use crate::record::Stack;

/// What exists outside of the stack: read once before a plan is made.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Zones by region.
    pub zones: BTreeMap<String, Vec<String>>,
    /// Values by the name of the export.
    pub exports: BTreeMap<String, String>,
}

/// Answers from the stack's record.
pub struct StackScope<'a> {
    stack: &'a Stack,
    around: &'a Surroundings,
    /// Resources that will be made or made anew: not known yet. None while the stack is built.
    unknown: Option<&'a BTreeSet<String>>,
    /// Resources whose attributes may be others afterwards: those that are changed.
    changing: Option<&'a BTreeSet<String>>,
    pub imports: RefCell<BTreeSet<String>>,
}

impl<'a> StackScope<'a> {
    /// For building: everything that is asked for is there, by the order of the graph.
    pub fn new(stack: &'a Stack, around: &'a Surroundings) -> Self {
        Self {
            stack,
            around,
            unknown: None,
            changing: None,
            imports: RefCell::default(),
        }
    }

    /// For looking ahead.
    pub fn ahead(
        stack: &'a Stack,
        around: &'a Surroundings,
        unknown: &'a BTreeSet<String>,
        changing: &'a BTreeSet<String>,
    ) -> Self {
        Self {
            unknown: Some(unknown),
            changing: Some(changing),
            ..Self::new(stack, around)
        }
    }

    fn is_unknown(&self, id: &str) -> bool {
        self.unknown.is_some_and(|unknown| {
            let exists = (self.stack.resources.get(id)).is_some_and(|it| it.current.is_some());
            unknown.contains(id) || !exists
        })
    }
}

impl Scope for StackScope<'_> {
    fn reference(&self, id: &str) -> Result<Json, String> {
        if self.is_unknown(id) {
            return Ok(KNOWN_AFTER_APPLY.into());
        }
        let current = self
            .stack
            .resources
            .get(id)
            .and_then(|it| it.current.as_ref());
        match current {
            Some(instance) => Ok(instance.physical_id.as_str().into()),
            None => Err(format!("Template error: resource {id} does not exist yet")),
        }
    }

    fn attribute(&self, id: &str, attribute: &str) -> Result<Json, String> {
        if self.is_unknown(id) || self.changing.is_some_and(|it| it.contains(id)) {
            return Ok(KNOWN_AFTER_APPLY.into());
        }
        let current = self
            .stack
            .resources
            .get(id)
            .and_then(|it| it.current.as_ref());
        (current.and_then(|it| it.attributes.get(attribute)).cloned()).ok_or_else(|| {
            format!("Template error: resource {id} does not support attribute type {attribute} in Fn::GetAtt")
        })
    }

    fn export(&self, name: &str) -> Result<Json, String> {
        self.imports.borrow_mut().insert(name.to_owned());
        match self.around.exports.get(name) {
            Some(value) => Ok(value.as_str().into()),
            // Somebody may export it before it is needed.
            None if self.unknown.is_some() => Ok(KNOWN_AFTER_APPLY.into()),
            None => Err(format!("No export named {name} found.")),
        }
    }

    fn availability_zones(&self, region: &str) -> Result<Vec<String>, String> {
        (self.around.zones.get(region).cloned()).ok_or_else(|| {
            format!("Template error: the region {region} of Fn::GetAZs is not known")
        })
    }
}

/// What the pseudo parameters answer in a stack.
pub fn environment(account: &str, stack: &Stack) -> Environment {
    Environment {
        account_id: account.to_owned(),
        region: stack.region.clone(),
        partition: "aws".into(),
        url_suffix: "amazonaws.com".into(),
        stack_id: stack.id.clone(),
        stack_name: stack.name.clone(),
        notification_arns: Vec::new(),
    }
}
