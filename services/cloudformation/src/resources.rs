//! A stack's resources as its record holds them: each is kept on its own, so that a step of an operation
//! reads and writes the one that it is about, however many there are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};

use crate::record::Resource;

/// Resources by their logical ids, as far as they were read, and which of them have to be kept anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    known: BTreeMap<String, Resource>,
    scope: Scope,
    changed: BTreeSet<String>,
}

/// How much was read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    Whole,
    /// One, which may not be there.
    One(String),
    Nothing,
}

/// Those of a stack whose head alone was read.
impl Default for Resources {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            scope: Scope::Nothing,
            changed: BTreeSet::new(),
        }
    }
}

/// Stacks once held their resources in their own record: all of those have to be kept apart from now on.
impl<'de> Deserialize<'de> for Resources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let known = BTreeMap::<String, Resource>::deserialize(deserializer)?;
        Ok(Self {
            changed: known.keys().cloned().collect(),
            known,
            scope: Scope::Whole,
        })
    }
}

impl Resources {
    /// Those of a new stack.
    pub fn none() -> Self {
        Self::all(BTreeMap::new())
    }

    pub fn all(known: BTreeMap<String, Resource>) -> Self {
        Self {
            known,
            scope: Scope::Whole,
            changed: BTreeSet::new(),
        }
    }

    /// One of them as it was read.
    pub fn one(id: &str, resource: Option<Resource>) -> Self {
        Self {
            known: resource.map(|it| (id.to_owned(), it)).into_iter().collect(),
            scope: Scope::One(id.to_owned()),
            changed: BTreeSet::new(),
        }
    }

    pub fn is_whole(&self) -> bool {
        self.scope == Scope::Whole
    }

    /// What nobody has read must not be taken for what is not there.
    fn require(&self, id: &str) {
        let is_read = match &self.scope {
            Scope::Whole => true,
            Scope::One(one) => one == id,
            Scope::Nothing => false,
        };
        assert!(is_read, "the resource `{id}` was not read");
    }

    fn require_whole(&self) {
        assert!(self.is_whole(), "not all resources were read");
    }

    pub fn get(&self, id: &str) -> Option<&Resource> {
        self.require(id);
        self.known.get(id)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Resource> {
        self.require(id);
        let found = self.known.get_mut(id)?;
        self.changed.insert(id.to_owned());
        Some(found)
    }

    pub fn get_or_insert_with(
        &mut self,
        id: &str,
        new: impl FnOnce() -> Resource,
    ) -> &mut Resource {
        self.require(id);
        self.changed.insert(id.to_owned());
        self.known.entry(id.to_owned()).or_insert_with(new)
    }

    pub fn contains_key(&self, id: &str) -> bool {
        self.get(id).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Resource)> {
        self.require_whole();
        self.known.iter()
    }

    pub fn values(&self) -> impl Iterator<Item = &Resource> {
        self.iter().map(|it| it.1)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Resource> {
        self.require_whole();
        self.changed.extend(self.known.keys().cloned());
        self.known.values_mut()
    }

    pub fn retain(&mut self, keep: impl Fn(&Resource) -> bool) {
        self.require_whole();
        let changed = &mut self.changed;
        self.known.retain(|id, resource| {
            let stays = keep(resource);
            if !stays {
                changed.insert(id.clone());
            }
            stays
        });
    }

    /// Those that have to be kept anew; None for one that is no more. Asked once.
    pub fn take_changed(&mut self) -> Vec<(String, Option<&Resource>)> {
        (std::mem::take(&mut self.changed).into_iter())
            .map(|id| {
                let resource = self.known.get(&id);
                (id, resource)
            })
            .collect()
    }

    /// Takes over what is newer of the same stack's, and answers which.
    pub fn absorb(&mut self, newer: Self) -> Vec<String> {
        let ids = match &newer.scope {
            Scope::Whole => {
                *self = newer;
                return self.known.keys().cloned().collect();
            }
            Scope::One(id) => vec![id.clone()],
            Scope::Nothing => Vec::new(),
        };
        self.known.extend(newer.known);
        ids
    }
}
