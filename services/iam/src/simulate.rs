//! What would be decided over a request: by the same evaluator as over those that are made.
//!
//! Nothing is known of a simulated request but what its caller says: a condition key that no
//! `ContextEntries` names is absent, and is told as missing where a policy asks for it.

use ::policy::{
    Attached, Bound, Context, Decision, Document, Effect, Kind, Matched, Outcome, Principal,
    Purpose, Request, Resource, decide_within, keys_asked, matched, places,
};
use cloud::{Cx, Error};
use shapes::iam::*;

use crate::document;
use crate::grants::{Grants, Holder};
use crate::group::{GroupRecord, groups_of};
use crate::names::{Page, invalid_marker, no_such, page_length};
use crate::policy;
use crate::role::RoleRecord;
use crate::user::UserRecord;

/// A document that is simulated with, and what the answer calls it.
struct SimulatedPolicy {
    id: String,
    kind: PolicySourceType,
    text: String,
}

/// Policies are read once for each result, and each of their statements may stand in it: how much is read
/// for one page. A page may be shorter than was asked for (API reference, "SimulateCustomPolicy").
const PAGE_BYTES_MAX: usize = 16 << 20;

/// All that a simulation is made of.
struct SimulatedScene {
    sources: Vec<SimulatedPolicy>,
    /// Where the statements of each stand.
    places: Vec<Vec<(::policy::Place, ::policy::Place)>>,
    /// Of all policies together.
    bytes: usize,
    documents: Vec<Document>,
    bounds: Vec<Bound>,
    resource_policy: Option<Document>,
    principal: Principal,
    context: Context,
}

pub async fn simulate_custom_policy(
    cx: Cx,
    input: SimulateCustomPolicyInput,
) -> Result<SimulateCustomPolicyOutput, Error> {
    let asked = Simulation {
        sources: given(&input.policy_input_list),
        boundaries: (input.permissions_boundary_policy_input_list).unwrap_or_default(),
        caller: input.caller_arn,
        actions: input.action_names,
        resources: input.resource_arns,
        resource_policy: input.resource_policy,
        entries: input.context_entries,
    };
    let page = asked.page(&cx, input.marker.as_deref(), input.max_items)?;
    Ok(SimulateCustomPolicyOutput {
        evaluation_results: Some(page.items),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

pub async fn simulate_principal_policy(
    cx: Cx,
    input: SimulatePrincipalPolicyInput,
) -> Result<SimulatePrincipalPolicyOutput, Error> {
    let arn = &input.policy_source_arn;
    let (mut sources, boundary) = sources_of(&cx, arn)?;
    sources.extend(given(
        input.policy_input_list.as_deref().unwrap_or_default(),
    ));
    let is_user = arn.contains(":user/");
    if input.resource_policy.is_some() && input.caller_arn.is_none() && !is_user {
        return Err(errors::InvalidInputException.because(
            "CallerArn is required when a ResourcePolicy is given and the PolicySourceArn is not the ARN of a user",
        ));
    }
    let asked = Simulation {
        sources,
        // A boundary that is given stands for the one that is there.
        boundaries: (input.permissions_boundary_policy_input_list).unwrap_or(boundary),
        caller: input.caller_arn.or(Some(arn.clone())),
        actions: input.action_names,
        resources: input.resource_arns,
        resource_policy: input.resource_policy,
        entries: input.context_entries,
    };
    let page = asked.page(&cx, input.marker.as_deref(), input.max_items)?;
    Ok(SimulatePrincipalPolicyOutput {
        evaluation_results: Some(page.items),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

fn given(texts: &[String]) -> Vec<SimulatedPolicy> {
    let source = |(at, text): (usize, &String)| SimulatedPolicy {
        id: format!("PolicyInputList.{}", at + 1),
        kind: PolicySourceType::None,
        text: text.clone(),
    };
    texts.iter().enumerate().map(source).collect()
}

/// The policies of a user (and its groups), group or role, and what bounds it.
fn sources_of(cx: &Cx, arn: &str) -> Result<(Vec<SimulatedPolicy>, Vec<String>), Error> {
    let name = arn.rsplit('/').next().unwrap_or_default();
    let not_there = || no_such(format!("The entity with ARN {arn} cannot be found."));
    let rest = arn.splitn(6, ':').nth(5).unwrap_or_default();
    cx.read(|tx| {
        let mut sources = Vec::new();
        let mut add = |kind, what: &str, name: &str, grants: &Grants| -> Result<(), Error> {
            for (policy, text) in &grants.inline {
                sources.push(SimulatedPolicy {
                    id: format!("{what}_{name}_{policy}"),
                    kind,
                    text: text.clone(),
                });
            }
            for arn in &grants.attached {
                let kind = match arn.starts_with("arn:aws:iam::aws:") {
                    true => PolicySourceType::AwsManaged,
                    false => PolicySourceType::UserManaged,
                };
                let text = policy::document_of(cx, tx, arn)?;
                sources.extend(text.map(|text| SimulatedPolicy {
                    id: policy::name_of(arn).to_owned(),
                    kind,
                    text,
                }));
            }
            Ok(())
        };
        let bounding = match rest.split('/').next() {
            Some("user") => {
                let user = UserRecord::find(tx, name)?;
                if user.arn() != arn {
                    return Err(not_there());
                }
                add(PolicySourceType::User, "user", name, &user.grants)?;
                for group in groups_of(tx, &user)? {
                    add(PolicySourceType::Group, "group", &group.name, &group.grants)?;
                }
                user.grants.boundary
            }
            Some("role") => {
                let role = RoleRecord::of_arn(tx, arn)?.ok_or_else(not_there)?;
                add(PolicySourceType::Role, "role", name, &role.grants)?;
                role.grants.boundary
            }
            Some("group") => {
                let group = GroupRecord::find(tx, name)?;
                if group.arn() != arn {
                    return Err(not_there());
                }
                add(PolicySourceType::Group, "group", name, &group.grants)?;
                None
            }
            _ => {
                return Err(errors::InvalidInputException.because(format!(
                    "Invalid Entity Arn: {arn} does not clearly define entity type and name."
                )));
            }
        };
        let bounding = match &bounding {
            Some(arn) => vec![policy::document_of(cx, tx, arn)?.unwrap_or_default()],
            None => Vec::new(),
        };
        Ok((sources, bounding))
    })
}

/// What both operations are asked.
struct Simulation {
    sources: Vec<SimulatedPolicy>,
    boundaries: Vec<String>,
    caller: Option<String>,
    actions: Vec<String>,
    resources: Option<Vec<String>>,
    resource_policy: Option<String>,
    entries: Option<Vec<ContextEntry>>,
}

impl Simulation {
    /// The results of one page, and no others: as many as actions and resources together make are more
    /// than anybody has asked to see. Results have no names: a page is found again by the number of its
    /// first.
    fn page(
        self,
        cx: &Cx,
        marker: Option<&str>,
        max_items: Option<i32>,
    ) -> Result<Page<EvaluationResult>, Error> {
        for action in &self.actions {
            if !action.contains(':') {
                return Err(errors::InvalidInputException.because(format!(
                    "Invalid action name {action}: it must be service:Action"
                )));
            }
        }
        let resources = self.resources.clone().filter(|it| !it.is_empty());
        let resources = resources.unwrap_or_else(|| vec!["*".to_owned()]);
        let actions = self.actions.clone();
        let all = actions.len().saturating_mul(resources.len());
        let first = match marker {
            None => 0,
            Some(marker) => match marker.parse::<usize>() {
                Ok(last) if last < all => last + 1,
                _ => return Err(invalid_marker(marker)),
            },
        };
        let scene = self.scene(cx)?;
        let most = (PAGE_BYTES_MAX / scene.bytes.max(1)).clamp(1, page_length(max_items));
        let end = all.min(first.saturating_add(most));
        let asked = (first..end).map(|at| (at / resources.len(), at % resources.len()));
        let results = asked.map(|(action, of)| scene.result(&actions[action], &resources[of]));
        Ok(Page {
            items: results.collect(),
            is_truncated: Some(end < all),
            marker: (end < all).then(|| (end - 1).to_string()),
        })
    }

    fn scene(self, cx: &Cx) -> Result<SimulatedScene, Error> {
        let read = |text: &str, kind| {
            Document::parse(text, kind)
                .map_err(|it| errors::InvalidInputException.because(it.to_string()))
        };
        let mut documents = Vec::new();
        for source in &self.sources {
            // What is given is checked as if it were put; what is kept was.
            if source.kind == PolicySourceType::None {
                document::check(&source.text, Purpose::Inline)
                    .map_err(|it| errors::InvalidInputException.because(it.message))?;
            }
            documents.push(read(&source.text, Kind::Identity)?);
        }
        let boundaries: Result<Vec<_>, Error> = (self.boundaries.iter())
            .map(|it| read(it, Kind::Boundary))
            .collect();
        let boundaries = boundaries?;
        let bounds = match boundaries.is_empty() {
            true => Vec::new(),
            false => vec![Bound {
                kind: Kind::Boundary,
                documents: boundaries,
            }],
        };
        let resource_policy = self.resource_policy.as_deref();
        let resource_policy = resource_policy
            .map(|it| read(it, Kind::Resource))
            .transpose()?;
        let given = self.resource_policy.iter().chain(&self.boundaries);
        let texts = self.sources.iter().map(|it| &it.text).chain(given);
        let bytes = texts.map(String::len).sum();
        let mut context = Context::new();
        context.know_all();
        for entry in self.entries.into_iter().flatten() {
            let name = entry.context_key_name.unwrap_or_default();
            context.set_all(&name, entry.context_key_values.unwrap_or_default());
        }
        Ok(SimulatedScene {
            places: self.sources.iter().map(|it| places(&it.text)).collect(),
            bytes,
            sources: self.sources,
            documents,
            bounds,
            resource_policy,
            principal: principal(cx, self.caller.as_deref()),
            context,
        })
    }
}

/// Whose request it would be.
fn principal(cx: &Cx, arn: Option<&str>) -> Principal {
    let arn = arn.unwrap_or_default().to_owned();
    let account = cx.account().to_owned();
    match arn.contains(":role/") {
        true => Principal::Session {
            account,
            session_arn: String::new(),
            role_id: String::new(),
            role_arn: arn,
        },
        false => Principal::User {
            account,
            arn,
            id: String::new(),
        },
    }
}

impl SimulatedScene {
    fn result(&self, action: &str, resource: &str) -> EvaluationResult {
        let request = Request {
            action,
            resource: Resource::One(resource),
            principal: &self.principal,
            context: &self.context,
        };
        let attached = match &self.resource_policy {
            None => Attached::None,
            Some(document) => Attached::Grants(document),
        };
        let decision = decide_within(&request, &self.documents, &self.bounds, attached);
        let missing = self.missing(&request);
        let statements = self.matched(&request, &decision);
        let boundary = self.bounds.first().map(|bound| {
            let by_it = decide_within(&request, &bound.documents, &[], Attached::None);
            PermissionsBoundaryDecisionDetail {
                allowed_by_permissions_boundary: Some(by_it.is_allowed()),
            }
        });
        let decided = match decision.outcome {
            Outcome::Allowed => PolicyEvaluationDecisionType::Allowed,
            Outcome::DeniedExplicitly(_) => PolicyEvaluationDecisionType::ExplicitDeny,
            Outcome::DeniedImplicitly(_) => PolicyEvaluationDecisionType::ImplicitDeny,
        };
        EvaluationResult {
            eval_action_name: action.to_owned(),
            eval_resource_name: Some(resource.to_owned()),
            eval_decision: decided,
            matched_statements: Some(statements.clone()),
            missing_context_values: Some(missing.clone()),
            permissions_boundary_decision_detail: boundary.clone(),
            resource_specific_results: Some(vec![ResourceSpecificResult {
                eval_resource_name: resource.to_owned(),
                eval_resource_decision: decided,
                matched_statements: Some(statements),
                missing_context_values: Some(missing),
                permissions_boundary_decision_detail: boundary,
                ..Default::default()
            }]),
            ..Default::default()
        }
    }

    /// The keys that policies ask for and nobody gave.
    fn missing(&self, request: &Request<'_>) -> Vec<String> {
        let bounding = self.bounds.iter().flat_map(|it| &it.documents);
        let all = self
            .documents
            .iter()
            .chain(bounding)
            .chain(&self.resource_policy);
        let keys = keys_asked(request, all).into_iter();
        keys.filter(|it| matches!(self.context.get(it), ::policy::Value::Absent))
            .collect()
    }

    /// The statements that decide: those that deny when some do, and otherwise those that allow.
    fn matched(&self, request: &Request<'_>, decision: &Decision) -> Vec<Statement> {
        let deciding = match decision.outcome {
            Outcome::Allowed => Effect::Allow,
            Outcome::DeniedExplicitly(_) => Effect::Deny,
            Outcome::DeniedImplicitly(_) => return Vec::new(),
        };
        let documents = self.documents.iter().chain(&self.resource_policy);
        let statements = matched(request, documents).into_iter();
        let deciding = statements.filter(|it| it.effect == deciding);
        deciding.map(|it| self.shown(it)).collect()
    }

    fn shown(&self, it: Matched) -> Statement {
        let Some(source) = self.sources.get(it.document) else {
            return Statement {
                source_policy_id: Some("ResourcePolicy".to_owned()),
                source_policy_type: Some(PolicySourceType::Resource),
                ..Default::default()
            };
        };
        let place = self.places[it.document].get(it.statement).copied();
        let position = |it: ::policy::Place| Position {
            line: i32::try_from(it.line).ok(),
            column: i32::try_from(it.column).ok(),
        };
        Statement {
            source_policy_id: Some(source.id.clone()),
            source_policy_type: Some(source.kind),
            start_position: place.map(|it| position(it.0)),
            end_position: place.map(|it| position(it.1)),
        }
    }
}
