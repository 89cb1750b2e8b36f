//! What AWS takes for a document when one is put, in its words and its order.
//!
//! Reading ([`Document::parse`]) takes more than this: what was stored before a rule was known goes on
//! meaning what it means. Texts and their order were recorded from IAM by many; where a document has
//! several faults, the one that AWS names first is named.

pub(crate) mod arn;
mod attached;
mod identity;

use crate::document::{Document, Kind, Malformed};
use crate::tree::Tree;

/// What a document is put for, which decides what it has to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A managed policy, which names the newest version of the language.
    Managed,
    /// A policy within a role, user or group, or of a session.
    Inline,
    /// Who may assume a role.
    Trust,
    /// A bucket's, repository's or secret's own policy.
    Resource,
}

impl Purpose {
    pub fn kind(self) -> Kind {
        match self {
            Self::Managed | Self::Inline => Kind::Identity,
            Self::Trust => Kind::Trust,
            Self::Resource => Kind::Resource,
        }
    }
}

/// The members of an object.
type Members = [(String, Tree)];

fn get<'a>(members: &'a Members, name: &str) -> Option<&'a Tree> {
    members.iter().find(|it| it.0 == name).map(|it| &it.1)
}

/// The texts of a member that is there: one, or a list.
fn texts<'a>(statement: &'a Members, name: &str) -> Vec<&'a str> {
    let texts = get(statement, name).and_then(Tree::texts);
    texts.unwrap_or_default()
}

fn because<T>(message: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed::because(message))
}

/// Refuses what AWS refuses.
pub(crate) fn check(document: &Tree, purpose: Purpose) -> Result<(), Malformed> {
    match purpose {
        Purpose::Managed | Purpose::Inline => identity::check(document, purpose),
        Purpose::Trust | Purpose::Resource => attached::check(document, purpose),
    }
}

impl Document {
    /// Reads a document that is put now, and refuses what AWS would.
    pub fn put(text: &str, purpose: Purpose) -> Result<Self, Malformed> {
        let tree = Self::tree(text)?;
        check(&tree, purpose)?;
        Self::of_tree(&tree, purpose.kind())
    }
}
