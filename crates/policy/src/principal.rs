//! Who asks, and whom statements name (IAM User Guide, "AWS JSON policy elements: Principal").

use crate::document::{Effect, Malformed};
use crate::tree::Tree;

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Nobody who could be known: an unsigned request.
    Anonymous,
    /// The account's owner, whom no policy of an identity restricts.
    Owner { account: String },
    User {
        account: String,
        arn: String,
        id: String,
    },
    /// A session of a role.
    Session {
        account: String,
        role_arn: String,
        role_id: String,
        /// `arn:aws:sts::<account>:assumed-role/<role>/<session>`
        session_arn: String,
    },
    /// `codebuild.amazonaws.com`
    Service { name: String },
}

/// How a statement of a resource's policy names somebody. What is named more narrowly is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named {
    Not,
    /// Its account, which leaves the decision to its own policies.
    Account,
    /// Itself, or everybody.
    Itself,
}

/// The `Principal` or `NotPrincipal` of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Principals {
    pub negated: bool,
    listed: Vec<Listed>,
}

#[derive(Debug, Clone, PartialEq)]
enum Listed {
    Everybody,
    Account(String),
    /// An ARN, or an id such as `AIDA…`.
    One(String),
    Service(String),
    /// An identity provider, or S3's canonical user: nobody who could ask here.
    Stranger,
}

impl Principals {
    pub fn parse(tree: &Tree, negated: bool) -> Result<Self, Malformed> {
        let invalid = || Malformed::because("Invalid principal in policy");
        let listed = match tree {
            Tree::Text(all) if all == "*" => vec![Listed::Everybody],
            Tree::Object(kinds) => {
                let mut listed = Vec::new();
                for (kind, names) in kinds {
                    for name in names.texts().ok_or_else(invalid)? {
                        listed.push(Listed::parse(kind, name)?);
                    }
                }
                listed
            }
            _ => return Err(invalid()),
        };
        if listed.is_empty() {
            return Err(invalid());
        }
        Ok(Self { negated, listed })
    }

    pub fn names_everybody(&self) -> bool {
        self.negated || self.listed.contains(&Listed::Everybody)
    }

    /// How a statement with these names the one who asks.
    pub fn names(&self, who: &Principal, effect: Effect) -> Named {
        if !self.negated {
            let all = self.listed.iter().map(|it| it.names(who));
            return all.max().unwrap_or(Named::Not);
        }
        let is_excepted = match effect {
            Effect::Allow => self.lists_something_of(who),
            Effect::Deny => self.lists_all_of(who),
        };
        match is_excepted {
            true => Named::Not,
            false => Named::Itself,
        }
    }

    fn lists_something_of(&self, who: &Principal) -> bool {
        self.listed.iter().any(|it| it.names(who) > Named::Not)
    }

    /// An exception from a denial names the account as well as the user or role, because each of them
    /// is looked at (IAM User Guide, "NotPrincipal").
    fn lists_all_of(&self, who: &Principal) -> bool {
        let account = |account: &str| {
            let is_it = |it: &Listed| matches!(it, Listed::Account(named) if named == account);
            self.listed.iter().any(is_it)
        };
        let one = |arn: &str, id: &str| self.listed.iter().any(|it| it.is(&[arn, id]));
        self.listed.contains(&Listed::Everybody)
            || match who {
                Principal::Anonymous => false,
                Principal::Owner { account: own } => account(own),
                Principal::User {
                    account: own,
                    arn,
                    id,
                } => account(own) && one(arn, id),
                Principal::Session {
                    account: own,
                    role_arn,
                    role_id,
                    ..
                } => account(own) && one(role_arn, role_id),
                Principal::Service { .. } => self.lists_something_of(who),
            }
    }
}

impl Listed {
    fn parse(kind: &str, name: &str) -> Result<Self, Malformed> {
        let invalid = || {
            Malformed::because(format!(
                "Invalid principal in policy: \"{kind}\":\"{name}\""
            ))
        };
        match kind {
            "AWS" | "*" if name == "*" => Ok(Self::Everybody),
            "AWS" if name.contains(['*', '?']) || name.is_empty() => Err(invalid()),
            "AWS" => {
                let root = name.strip_prefix("arn:aws:iam::");
                let root = root.and_then(|it| it.strip_suffix(":root"));
                Ok(match root {
                    Some(account) => Self::Account(account.to_owned()),
                    None if name.bytes().all(|it| it.is_ascii_digit()) => {
                        Self::Account(name.to_owned())
                    }
                    None => Self::One(name.to_owned()),
                })
            }
            "Service" => Ok(Self::Service(name.to_owned())),
            "Federated" | "CanonicalUser" => Ok(Self::Stranger),
            _ => Err(invalid()),
        }
    }

    fn is(&self, names: &[&str]) -> bool {
        matches!(self, Self::One(own) if names.contains(&own.as_str()))
    }

    fn names(&self, who: &Principal) -> Named {
        let named = |is_named: bool, how: Named| if is_named { how } else { Named::Not };
        match (self, who) {
            (Self::Everybody, _) => Named::Itself,
            (Self::Stranger, _) | (_, Principal::Anonymous) => Named::Not,
            (Self::Account(it), Principal::Owner { account }) => {
                named(it == account, Named::Itself)
            }
            (
                Self::Account(it),
                Principal::User { account, .. } | Principal::Session { account, .. },
            ) => named(it == account, Named::Account),
            (Self::One(_), Principal::User { arn, id, .. }) => {
                named(self.is(&[arn, id]), Named::Itself)
            }
            (
                Self::One(_),
                Principal::Session {
                    role_arn,
                    role_id,
                    session_arn,
                    ..
                },
            ) => {
                // As the ARN of a session is kept: by the id of its role.
                let session = session_arn.rsplit('/').next().unwrap_or_default();
                let by_id = format!("{role_id}:{session}");
                named(
                    self.is(&[role_arn, role_id, session_arn, &by_id]),
                    Named::Itself,
                )
            }
            (Self::Service(it), Principal::Service { name }) => named(it == name, Named::Itself),
            _ => Named::Not,
        }
    }
}
