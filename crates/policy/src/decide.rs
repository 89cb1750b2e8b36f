//! The decision over a request (IAM User Guide, "Policy evaluation logic"): what a statement denies is
//! denied, what none allows is not allowed, and what cannot be known is decided for less.

use std::collections::BTreeSet;

use base::glob::Glob;

use crate::compare::filled;
use crate::context::Context;
use crate::document::{Document, Effect, Kind, Selection, Statement};
use crate::principal::{Named, Principal};
use crate::text::Template;
use crate::truth::Truth;

/// One action on one resource, by somebody.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `ecs:CreateService`, whatever its case.
    pub action: &'a str,
    pub resource: Resource<'a>,
    pub principal: &'a Principal,
    pub context: &'a Context,
}

/// What an action is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// An ARN; `*` when the action has no types of resources at all.
    One(&'a str),
    /// None is named, and all that are of this pattern may be touched: `arn:aws:logs:…:log-group:*`.
    /// An `Allow` has to cover the whole pattern, and a `Deny` on any of them counts.
    AnyOf(&'a str),
}

/// The policy of the resource itself, and what it is worth for the account's own users and roles.
#[derive(Debug, Clone, Copy)]
pub enum Attached<'a> {
    /// There is none, or the action asks none.
    None,
    /// It grants beside the policies of who asks: a bucket's, a repository's, a secret's.
    Grants(&'a Document),
    /// Nothing is allowed without it: a role's trust policy, a key's policy. Naming who asks suffices;
    /// naming the account leaves the rest to the policies of who asks.
    MustGrant(&'a Document),
}

/// What limits the policies of who asks: a permissions boundary, or the policies of a session. Nothing is
/// allowed by them that no document here allows.
#[derive(Debug, Clone)]
pub struct Bound {
    /// [`Kind::Boundary`] or [`Kind::Session`].
    pub kind: Kind,
    pub documents: Vec<Document>,
}

/// What was decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub outcome: Outcome,
    /// The condition keys that decided by not being known, as the policies write them. Never any when
    /// the request is allowed.
    pub unknown: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    /// A statement of such a policy denies it.
    DeniedExplicitly(Kind),
    /// No statement of such a policy allows it.
    DeniedImplicitly(Kind),
}

impl Decision {
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allowed
    }

    /// Why it is denied, in AWS's words, with the keys that are not known.
    pub fn reason(&self, action: &str) -> String {
        let mut reason = match self.outcome {
            Outcome::Allowed => return String::new(),
            Outcome::DeniedExplicitly(kind) => {
                let article = if kind == Kind::Identity { "an" } else { "a" };
                format!("with an explicit deny in {article} {kind}")
            }
            Outcome::DeniedImplicitly(kind) => {
                format!("because no {kind} allows the {action} action")
            }
        };
        for key in &self.unknown {
            reason.push_str(&format!(
                ", because the value of the condition key {key} is not known to neargate"
            ));
        }
        reason
    }

    fn of(outcome: Outcome, truth: Truth) -> Self {
        let unknown = match truth {
            Truth::Unknown(keys) => keys,
            _ => BTreeSet::new(),
        };
        Self { outcome, unknown }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity-based policy",
            Self::Resource => "resource-based policy",
            Self::Trust => "role trust policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
        })
    }
}

/// Decides by the documents of who asks (its own and those of its groups) and by the resource's. The
/// owner needs none of its own, and unsigned requests and services have none.
pub fn decide(request: &Request<'_>, own: &[Document], attached: Attached<'_>) -> Decision {
    decide_within(request, own, &[], attached)
}

/// [`decide`] for somebody whose policies are limited. A resource's policy that names a user or a session
/// itself gives to it all the same; one that names the session's role, or everybody, gives within the
/// bounds (IAM User Guide, "Permissions boundaries for IAM entities").
pub fn decide_within(
    request: &Request<'_>,
    own: &[Document],
    bounds: &[Bound],
    attached: Attached<'_>,
) -> Decision {
    let asked = Asked::of(request);
    let of_resource = match attached {
        Attached::None => None,
        Attached::Grants(document) | Attached::MustGrant(document) => Some(document),
    };
    let of_resource_kind = of_resource.map_or(Kind::Resource, Document::kind);
    let mut denials = vec![
        (Kind::Identity, asked.applies(own, Effect::Deny, Named::Not)),
        (
            of_resource_kind,
            asked.applies(of_resource, Effect::Deny, Named::Account),
        ),
    ];
    let of_bound = |it: &Bound, effect| asked.applies(&it.documents, effect, Named::Not);
    denials.extend((bounds.iter()).map(|it| (it.kind, of_bound(it, Effect::Deny))));
    if let Some((kind, denial)) = certain_first(denials) {
        return Decision::of(Outcome::DeniedExplicitly(kind), denial);
    }
    let by_itself = match request.principal {
        Principal::Owner { .. } => Truth::Yes,
        Principal::Anonymous | Principal::Service { .. } => Truth::No,
        _ => asked.applies(own, Effect::Allow, Named::Not),
    };
    let named = asked.applies(of_resource, Effect::Allow, Named::Itself);
    let (given, lacking) = match attached {
        Attached::None => (by_itself, Kind::Identity),
        Attached::Grants(_) => {
            let lacking = match request.principal {
                Principal::Anonymous | Principal::Service { .. } => of_resource_kind,
                _ => Kind::Identity,
            };
            (by_itself.or(named), lacking)
        }
        Attached::MustGrant(_) => {
            let delegated = asked.applies(of_resource, Effect::Allow, Named::Account);
            let lacking = match delegated {
                Truth::Yes => Kind::Identity,
                _ => of_resource_kind,
            };
            (named.or(delegated.and(by_itself)), lacking)
        }
    };
    if given != Truth::Yes {
        return Decision::of(Outcome::DeniedImplicitly(lacking), given);
    }
    let within = bounds
        .iter()
        .map(|it| (it.kind, of_bound(it, Effect::Allow)));
    match within.into_iter().find(|it| it.1 != Truth::Yes) {
        Some((kind, within)) if asked.names_only_it(of_resource) != Truth::Yes => {
            Decision::of(Outcome::DeniedImplicitly(kind), within)
        }
        _ => Decision::of(Outcome::Allowed, Truth::Yes),
    }
}

/// The denial that counts: what is not known counts too, after what is.
fn certain_first(denials: Vec<(Kind, Truth)>) -> Option<(Kind, Truth)> {
    let mut left: Vec<_> = (denials.into_iter())
        .filter(|it| it.1 != Truth::No)
        .collect();
    left.sort_by_key(|it| it.1 != Truth::Yes);
    left.into_iter().next()
}

/// A request, with the pattern of what it is about read once.
pub(crate) struct Asked<'a> {
    request: &'a Request<'a>,
    any_of: Option<Glob>,
}

impl<'a> Asked<'a> {
    pub fn of(request: &'a Request<'a>) -> Self {
        let any_of = match request.resource {
            Resource::One(_) => None,
            Resource::AnyOf(pattern) => Some(Glob::new(pattern)),
        };
        Self { request, any_of }
    }

    /// Whether some statement with this effect applies that names who asks at least like this.
    fn applies<'d>(
        &self,
        documents: impl IntoIterator<Item = &'d Document>,
        effect: Effect,
        named: Named,
    ) -> Truth {
        let documents = documents.into_iter();
        let statements = documents.flat_map(|it| it.statements());
        let concerned = statements.filter(|it| it.effect == effect && self.is_named(it, named));
        Truth::any(concerned.map(|it| self.applies_to_it(it)))
    }

    /// Whether a statement speaks of who asks, or of everybody of its account.
    pub fn names(&self, statement: &Statement) -> bool {
        self.is_named(statement, Named::Account)
    }

    fn is_named(&self, statement: &Statement, named: Named) -> bool {
        (statement.principals.as_ref())
            .is_none_or(|it| it.names(self.request.principal, statement.effect) >= named)
    }

    /// Whether a statement of the resource's policy allows it that names a user or a session, and
    /// neither the session's role nor everybody.
    fn names_only_it(&self, of_resource: Option<&Document>) -> Truth {
        let itself = match self.request.principal {
            Principal::Session { session_arn, .. } => Principal::Session {
                account: String::new(),
                role_arn: String::new(),
                role_id: String::new(),
                session_arn: session_arn.clone(),
            },
            other => other.clone(),
        };
        let statements = of_resource.into_iter().flat_map(Document::statements);
        let concerned = statements.filter(|it| {
            it.effect == Effect::Allow
                && it.principals.as_ref().is_some_and(|them| {
                    them.names(&itself, it.effect) == Named::Itself
                        && them.names(&Principal::Anonymous, it.effect) == Named::Not
                })
        });
        Truth::any(concerned.map(|it| self.applies_to_it(it)))
    }

    /// Whether a statement that names who asks speaks of the request.
    pub fn applies_to_it(&self, statement: &Statement) -> Truth {
        if !self.is_action(statement) {
            return Truth::No;
        }
        let context = self.request.context;
        let resource = match &statement.resources {
            Some(resources) => self.is_resource(resources, statement.effect),
            None => Truth::Yes,
        };
        match resource {
            Truth::No => Truth::No,
            other => other.and(Truth::all(
                statement.conditions.iter().map(|it| it.holds(context)),
            )),
        }
    }

    pub fn is_action(&self, statement: &Statement) -> bool {
        let actions = &statement.actions;
        let mut listed = actions.listed.iter();
        let is_listed = listed.any(|it| it.glob.matches_ignoring_case(self.request.action));
        is_listed != actions.negated
    }

    fn is_resource(&self, resources: &Selection<Template>, effect: Effect) -> Truth {
        let context = self.request.context;
        let listed = resources.listed.iter();
        let any = Truth::any(listed.map(|it| {
            filled(it.glob(context), |glob| {
                match (&self.any_of, self.request.resource) {
                    (None, Resource::One(arn) | Resource::AnyOf(arn)) => glob.matches(arn),
                    // What is denied for some is denied; what is allowed is allowed for all. What a
                    // statement excludes is the other way about.
                    (Some(all), _) => match (effect == Effect::Deny) != resources.negated {
                        true => glob.overlaps(all),
                        false => glob.covers(all),
                    },
                }
            })
        }));
        if resources.negated { !any } else { any }
    }
}
