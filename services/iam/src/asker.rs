//! Who asks, with its policies, and the decision over what it needs.

use ::policy::{
    Attached, Bound, Context, Decision, Document, Kind, Outcome, Principal, Request, Resource,
    decide_within,
};
use cloud::{Caller, Cx, Error, Need, Needs};

use crate::documents;
use crate::group::groups_of;
use crate::known::{self, PrincipalKeys};
use crate::names::key;
use crate::role::RoleRecord;
use crate::session::{self, SessionExtras};
use crate::tags::Tags;
use crate::user::UserRecord;

/// What the owner of a bucket may do whatever its policy says, so that it cannot lock itself out
/// (S3 User Guide, "Bucket policies").
const OWNER_MAY_ALWAYS: &[&str] = &[
    "s3:DeleteBucketPolicy",
    "s3:GetBucketPolicy",
    "s3:PutBucketPolicy",
];

/// What a role's trust policy decides over.
const TRUSTED: &[&str] = &["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"];

pub struct Asker {
    principal: Principal,
    /// The ARN of the role or user itself; None for others, whose calls are not recorded.
    pub arn: Option<String>,
    /// As messages name it.
    pub caller_arn: String,
    account: String,
    documents: Vec<Document>,
    /// What limits them.
    bounds: Vec<Bound>,
    context: Context,
}

impl Asker {
    /// Of the role or user itself, which no namesake has.
    pub fn id(&self) -> Option<&str> {
        match &self.principal {
            Principal::User { id, .. } | Principal::Session { role_id: id, .. } => Some(id),
            _ => None,
        }
    }

    pub fn of(cx: &Cx) -> Result<Self, Error> {
        let kept = session::kept(cx, &cx.caller)?;
        let mut context = known::of_call(cx, kept.as_ref());
        let account = cx.account().to_owned();
        let caller_arn = cx.caller.arn(&account);
        let none = Tags::new();
        let mut grants_of_groups = Vec::new();
        let mut bounds = Vec::new();
        let keys = PrincipalKeys {
            account: &account,
            arn: None,
            kind: "Anonymous",
            user_id: None,
            name: None,
            tags: &none,
        };
        let (principal, arn, grants) = match &cx.caller {
            // What the daemon does by itself it does for the owner.
            Caller::Root(_) | Caller::RootSession { .. } | Caller::Daemon => {
                let keys = PrincipalKeys {
                    arn: Some(&caller_arn),
                    kind: "Account",
                    user_id: Some(&account),
                    ..keys
                };
                keys.add_to(&mut context);
                let account = account.clone();
                (Principal::Owner { account }, None, None)
            }
            Caller::Anonymous => {
                keys.add_to(&mut context);
                (Principal::Anonymous, None, None)
            }
            Caller::Service(name) => {
                let keys = PrincipalKeys {
                    kind: "AWSService",
                    ..keys
                };
                keys.add_to(&mut context);
                let name = (*name).to_owned();
                (Principal::Service { name }, None, None)
            }
            Caller::User { arn, id, .. } => {
                let name = name_in(arn);
                let user: Option<UserRecord> = cx.read(|tx| tx.get(&key(name)))?;
                // A namesake's policies are not this user's.
                let user = user.filter(|it| it.id == *id && it.arn() == *arn);
                let keys = PrincipalKeys {
                    arn: Some(arn),
                    kind: "User",
                    user_id: Some(id),
                    name: Some(name),
                    tags: user.as_ref().map_or(&none, |it| &it.tags),
                    ..keys
                };
                keys.add_to(&mut context);
                if let Some(user) = &user {
                    let groups = cx.read(|tx| groups_of(tx, user))?;
                    grants_of_groups.extend(groups.into_iter().map(|it| it.grants));
                }
                let principal = Principal::User {
                    account: account.clone(),
                    arn: arn.clone(),
                    id: id.clone(),
                };
                (principal, Some(arn.clone()), user.map(|it| it.grants))
            }
            Caller::AssumedRole {
                role_arn,
                role_id,
                session_name,
                ..
            } => {
                let session = SessionExtras::of_kept(cx, &cx.caller, kept)?;
                bounds.extend(documents::session_bound(cx, &session)?);
                let role = cx.read(|tx| RoleRecord::of_arn(tx, role_arn))?;
                let role = role.filter(|it| role_id.as_ref().is_none_or(|id| it.id == *id));
                let id = role.as_ref().map(|it| it.id.clone()).or(role_id.clone());
                let id = id.unwrap_or_default();
                let tags = with_sessions(role.as_ref().map_or(&none, |it| &it.tags), session.tags);
                let keys = PrincipalKeys {
                    arn: Some(role_arn),
                    kind: "AssumedRole",
                    user_id: Some(&format!("{id}:{session_name}")),
                    tags: &tags,
                    ..keys
                };
                keys.add_to(&mut context);
                let principal = Principal::Session {
                    account: account.clone(),
                    role_arn: role_arn.clone(),
                    role_id: id,
                    session_arn: caller_arn.clone(),
                };
                (principal, Some(role_arn.clone()), role.map(|it| it.grants))
            }
        };
        let grants = grants.unwrap_or_default();
        bounds.extend(documents::boundary_of(cx, &grants)?);
        let mut documents = documents::of_grants(cx, &grants)?;
        for grants in &grants_of_groups {
            documents.extend(documents::of_grants(cx, grants)?);
        }
        Ok(Self {
            principal,
            arn,
            caller_arn,
            account,
            documents,
            bounds,
            context,
        })
    }

    /// By its own policies and the one of what it asks for.
    pub fn decide(&self, need: &Need, needs: &Needs) -> Decision {
        self.decide_with(&self.documents, &self.bounds, need, needs)
    }

    /// The same as if its own policies allowed everything.
    pub fn decide_by_the_other_side(&self, need: &Need, needs: &Needs) -> Decision {
        const EVERYTHING: &str = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
        let everything = documents::parsed(EVERYTHING, Kind::Identity);
        self.decide_with(&[everything], &[], need, needs)
    }

    fn decide_with(
        &self,
        own: &[Document],
        bounds: &[Bound],
        need: &Need,
        needs: &Needs,
    ) -> Decision {
        let mut context = self.context.clone();
        known::add_need(&mut context, &self.account, need, needs);
        let resource = match &need.resource {
            None => Resource::One("*"),
            Some(touched) if touched.is_any => Resource::AnyOf(&touched.arn),
            Some(touched) => Resource::One(&touched.arn),
        };
        let request = Request {
            action: &need.action,
            resource,
            principal: &self.principal,
            context: &context,
        };
        let is_trust = TRUSTED.contains(&need.action.as_str());
        let kind = if is_trust {
            Kind::Trust
        } else {
            Kind::Resource
        };
        let touched = need.resource.as_ref();
        let must_grant = is_trust || touched.is_some_and(|it| it.policy_must_grant);
        let attached = touched.and_then(|it| it.policy.as_deref());
        let attached = attached.map(|it| documents::parsed(it, kind));
        let attached = match &attached {
            None => Attached::None,
            Some(document) if must_grant => Attached::MustGrant(document),
            Some(document) => Attached::Grants(document),
        };
        let decision = decide_within(&request, own, bounds, attached);
        let keeps = matches!(self.principal, Principal::Owner { .. })
            && OWNER_MAY_ALWAYS.contains(&need.action.as_str());
        match keeps {
            true => Decision {
                outcome: Outcome::Allowed,
                unknown: Default::default(),
            },
            false => decision,
        }
    }
}

/// The tags of a role, or those of its session where both have one.
fn with_sessions(of_role: &Tags, of_session: Tags) -> Tags {
    let mut tags = of_session;
    for (key, value) in of_role {
        if !tags.keys().any(|it| it.eq_ignore_ascii_case(key)) {
            tags.insert(key.clone(), value.clone());
        }
    }
    tags
}

fn name_in(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}
