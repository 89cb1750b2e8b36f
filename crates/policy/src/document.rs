//! Documents: read once, checked while they are read (IAM User Guide, "Grammar of the IAM JSON policy
//! language").

use std::sync::Arc;

use base::glob::Glob;

use crate::condition::Condition;
use crate::grammar::arn;
use crate::limits::{BYTES_MAX, NESTING_MAX, STATEMENTS_MAX};
use crate::principal::Principals;
use crate::text::{BadVariable, Template};
use crate::tree::Tree;

/// What a document is attached to, which decides what its statements have to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A user, role or group: statements have resources and no principals.
    Identity,
    /// A bucket, repository, secret or key: statements have principals, and may leave the resource
    /// out, which then is what the document is attached to.
    Resource,
    /// A role, saying who may assume it: statements have principals and no resources.
    Trust,
    /// A user or role, whose policies give no more than this allows. Like [`Kind::Identity`].
    Boundary,
    /// A session of a role, to which the role's policies give no more than this allows. Like
    /// [`Kind::Identity`].
    Session,
}

impl Kind {
    /// Whether its documents speak of who has them, and name no principals.
    fn is_of_holder(self) -> bool {
        matches!(self, Self::Identity | Self::Boundary | Self::Session)
    }
}

/// A policy document. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Document(Arc<Parsed>);

#[derive(Debug, PartialEq)]
struct Parsed {
    kind: Kind,
    statements: Vec<Statement>,
}

/// One statement of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    /// None in documents of identities, which speak of who has them.
    pub(crate) principals: Option<Principals>,
    pub(crate) actions: Selection<Action>,
    /// None where the document is attached to the resource, and speaks of it.
    pub(crate) resources: Option<Selection<Template>>,
    pub(crate) conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Deny,
}

/// What a statement lists, or (`NotAction`, `NotResource`) all but what it lists.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selection<T> {
    pub negated: bool,
    pub listed: Vec<T>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Action {
    written: String,
    pub glob: Glob,
}

/// Whether `${…}` means something. It does since 2012-10-17; a document that does not tell its version
/// is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    WithVariables,
    WithoutVariables,
}

/// Why a text is no document. The messages are IAM's where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// What is no JSON, or has a member twice.
    #[error("Syntax errors in policy.")]
    NotJson,
    #[error("policy documents of more than {BYTES_MAX} bytes are not read")]
    TooLarge,
    #[error("{0}")]
    Because(String),
}

impl Malformed {
    pub(crate) fn because(message: impl Into<String>) -> Self {
        Self::Because(message.into())
    }
}

impl From<BadVariable> for Malformed {
    fn from(it: BadVariable) -> Self {
        Self::Because(format!("Invalid policy variable in `{}`.", it.0))
    }
}

fn syntax() -> Malformed {
    Malformed::because("Syntax errors in policy.")
}

impl Document {
    /// Reads a document that is kept. One that is put now is read by [`Document::put`].
    pub fn parse(text: &str, kind: Kind) -> Result<Self, Malformed> {
        Self::of_tree(&Self::tree(text)?, kind)
    }

    pub(crate) fn tree(text: &str) -> Result<Tree, Malformed> {
        if text.len() > BYTES_MAX {
            return Err(Malformed::TooLarge);
        }
        let tree = Tree::parse(text).map_err(|_| Malformed::NotJson)?;
        match tree.depth() > NESTING_MAX {
            true => Err(syntax()),
            false => Ok(tree),
        }
    }

    pub(crate) fn of_tree(tree: &Tree, kind: Kind) -> Result<Self, Malformed> {
        let Tree::Object(members) = tree else {
            return Err(syntax());
        };
        let mut version = Version::WithoutVariables;
        let mut statements = Vec::new();
        for (name, value) in members {
            match (name.as_str(), value) {
                ("Version", Tree::Text(it)) if it == "2012-10-17" => {
                    version = Version::WithVariables;
                }
                ("Version", Tree::Text(it)) if it == "2008-10-17" => {}
                ("Version", _) => {
                    let message = "The policy must contain a valid version string";
                    return Err(Malformed::because(message));
                }
                ("Id", Tree::Text(_)) => {}
                ("Id", _) => return Err(syntax()),
                ("Statement", Tree::List(items)) => statements.extend(items),
                ("Statement", one) => statements.push(one),
                (other, _) => {
                    let message = format!("Syntax error: unknown field {other}");
                    return Err(Malformed::because(message));
                }
            }
        }
        if statements.is_empty() {
            return Err(missing("Statement"));
        }
        if statements.len() > STATEMENTS_MAX {
            let message = format!("more than {STATEMENTS_MAX} statements are not read");
            return Err(Malformed::because(message));
        }
        let statements = statements.into_iter();
        let statements = statements.map(|it| Statement::parse(it, kind, version));
        Ok(Self(Arc::new(Parsed {
            kind,
            statements: statements.collect::<Result<_, _>>()?,
        })))
    }

    /// In place of a stored text that cannot be read: it may have denied anything, so it denies
    /// everything.
    pub fn unreadable(kind: Kind) -> Self {
        let everything = |written: &str| Selection {
            negated: true,
            listed: vec![Action {
                written: written.to_owned(),
                glob: Glob::new(written),
            }],
        };
        let statement = Statement {
            sid: None,
            effect: Effect::Deny,
            principals: None,
            actions: everything("unreadable:"),
            resources: None,
            conditions: Vec::new(),
        };
        Self(Arc::new(Parsed {
            kind,
            statements: vec![statement],
        }))
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub fn statements(&self) -> &[Statement] {
        &self.0.statements
    }

    /// Whether some statement allows something to everybody, whatever the circumstances.
    pub fn is_public(&self) -> bool {
        (self.statements().iter()).any(|it| {
            it.effect == Effect::Allow && it.names_everybody() && it.conditions.is_empty()
        })
    }
}

impl Statement {
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The patterns of `Action` or `NotAction`, as they were written.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.actions.listed.iter().map(|it| it.written.as_str())
    }

    /// Whether the patterns are those of what is not meant.
    pub fn excludes_actions(&self) -> bool {
        self.actions.negated
    }

    /// The patterns of `Resource` or `NotResource`, as they were written.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        let listed = self.resources.iter().flat_map(|it| &it.listed);
        listed.map(Template::written)
    }

    pub fn excludes_resources(&self) -> bool {
        self.resources.as_ref().is_some_and(|it| it.negated)
    }

    /// Whether its principal is `*`, or everybody but some.
    pub fn names_everybody(&self) -> bool {
        (self.principals.as_ref()).is_some_and(Principals::names_everybody)
    }

    /// The condition keys that it asks for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let resources = self.resources.iter().flat_map(|it| &it.listed);
        let of_conditions = self.conditions.iter().map(Condition::key);
        of_conditions.chain(resources.flat_map(Template::keys))
    }

    pub fn has_conditions(&self) -> bool {
        !self.conditions.is_empty()
    }

    fn parse(tree: &Tree, kind: Kind, version: Version) -> Result<Self, Malformed> {
        let Tree::Object(members) = tree else {
            return Err(syntax());
        };
        let known = |it: &str| MEMBERS.contains(&it);
        if let Some((name, _)) = members.iter().find(|it| !known(&it.0)) {
            let message = format!("Syntax error: unknown field {name}");
            return Err(Malformed::because(message));
        }
        let members = Members(members);
        let effect = match members.get("Effect") {
            Some(Tree::Text(it)) if it == "Allow" => Effect::Allow,
            Some(Tree::Text(it)) if it == "Deny" => Effect::Deny,
            Some(Tree::Text(it)) => {
                return Err(Malformed::because(format!("Invalid effect: {it}")));
            }
            _ => return Err(missing("Effect")),
        };
        let conditions = match members.get("Condition") {
            Some(tree) => Condition::parse_all(tree, version)?,
            None => Vec::new(),
        };
        let sid = match members.get("Sid") {
            None => None,
            Some(Tree::Text(sid)) => Some(sid.clone()),
            Some(_) => return Err(syntax()),
        };
        // What a document of this kind cannot do without is missed first.
        if kind.is_of_holder() {
            members.resources(kind, version)?;
        }
        Ok(Self {
            sid,
            effect,
            principals: members.principals(kind)?,
            actions: members.actions()?,
            resources: members.resources(kind, version)?,
            conditions,
        })
    }
}

/// All that a statement may have.
pub(crate) const MEMBERS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

fn missing(name: &str) -> Malformed {
    Malformed::because(format!("Missing required field {name}"))
}

/// The members of a statement.
struct Members<'a>(&'a [(String, Tree)]);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a Tree> {
        self.0.iter().find(|it| it.0 == name).map(|it| &it.1)
    }

    /// A member, or the one that says all but: which of them is there, and not both.
    fn either(&self, name: &str, not: &str) -> Result<Option<(&'a Tree, bool)>, Malformed> {
        match (self.get(name), self.get(not)) {
            (Some(_), Some(_)) => Err(Malformed::because(format!(
                "{name} and {not} cannot both be given"
            ))),
            (Some(tree), None) => Ok(Some((tree, false))),
            (None, Some(tree)) => Ok(Some((tree, true))),
            (None, None) => Ok(None),
        }
    }

    fn principals(&self, kind: Kind) -> Result<Option<Principals>, Malformed> {
        let own = kind.is_of_holder();
        match self.either("Principal", "NotPrincipal")? {
            Some(_) if own => Err(Malformed::because(
                "Policy document should not specify a principal.",
            )),
            None if own => Ok(None),
            Some((tree, negated)) => Principals::parse(tree, negated).map(Some),
            None => Err(missing("Principal")),
        }
    }

    fn actions(&self) -> Result<Selection<Action>, Malformed> {
        let (tree, negated) =
            (self.either("Action", "NotAction")?).ok_or_else(|| missing("Action"))?;
        let written = tree.texts().ok_or_else(syntax)?;
        if written.is_empty() {
            let message = "Policy statement must contain actions.";
            return Err(Malformed::because(message));
        }
        if written.iter().any(|it| *it != "*" && !it.contains(':')) {
            return Err(Malformed::because(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ));
        }
        let listed = written.into_iter().map(|it| Action {
            written: it.to_owned(),
            glob: Glob::new(it),
        });
        Ok(Selection {
            negated,
            listed: listed.collect(),
        })
    }

    fn resources(
        &self,
        kind: Kind,
        version: Version,
    ) -> Result<Option<Selection<Template>>, Malformed> {
        let must = || Malformed::because("Policy statement must contain resources.");
        if kind == Kind::Trust {
            let prohibited = |name| Malformed::because(format!("Has prohibited field {name}"));
            return match ["Resource", "NotResource"]
                .into_iter()
                .find(|it| self.get(it).is_some())
            {
                Some(name) => Err(prohibited(name)),
                None => Ok(None),
            };
        }
        let Some((tree, negated)) = self.either("Resource", "NotResource")? else {
            return match kind.is_of_holder() {
                true => Err(must()),
                false => Ok(None),
            };
        };
        let written = tree.texts().ok_or_else(syntax)?;
        if written.is_empty() {
            return Err(must());
        }
        let listed = written.into_iter().map(|it| resource(it, version));
        Ok(Some(Selection {
            negated,
            listed: listed.collect::<Result<_, _>>()?,
        }))
    }
}

fn resource(written: &str, version: Version) -> Result<Template, Malformed> {
    if written != "*" && !written.starts_with("arn:") {
        return Err(Malformed::because(format!(
            "Resource {written} must be in ARN format or \"*\"."
        )));
    }
    let whole = arn::whole(written);
    match version {
        Version::WithVariables => Ok(Template::parse(&whole)?),
        Version::WithoutVariables => Ok(Template::without_variables(&whole)),
    }
}
