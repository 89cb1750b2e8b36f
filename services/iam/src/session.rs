//! What a session of a role carries beside the role: policies that limit it, tags, and whose it is (IAM
//! User Guide, "Pass session tags in AWS STS", "Session policies").

use std::collections::BTreeSet;

use ::policy::Purpose;
use cloud::{Caller, Cx, Error};
use serde::{Deserialize, Serialize};
use shapes::sts::{AssumeRoleInput, errors};

use crate::credentials::{Session, is_of_session};
use crate::document;
use crate::names::key;
use crate::policy;
use crate::tags::Tags;

/// The policies of a session, and the ARNs of managed ones, have this room together (API reference,
/// "AssumeRole").
const POLICY_CHARACTERS_MAX: usize = 2048;
const POLICY_ARNS_MAX: usize = 10;
const TAGS_MAX: usize = 50;

/// What is kept of the session that a caller signs with, where it is one.
pub fn kept(cx: &Cx, caller: &Caller) -> Result<Option<Session>, Error> {
    let access_key = match caller {
        Caller::User { access_key, .. }
        | Caller::AssumedRole { access_key, .. }
        | Caller::RootSession { access_key } => access_key,
        Caller::Root(_) | Caller::Daemon | Caller::Service(_) | Caller::Anonymous => {
            return Ok(None);
        }
    };
    match is_of_session(access_key) {
        true => cx.read(|tx| tx.get(&key(access_key))),
        false => Ok(None),
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionExtras {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Managed policies, each as it is when it is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_arns: Vec<String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// The keys of the tags that sessions get which this one begins.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub transitive: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
}

impl SessionExtras {
    /// What the session of a caller has.
    pub fn of_caller(cx: &Cx, caller: &Caller) -> Result<Self, Error> {
        Self::of_kept(cx, caller, kept(cx, caller)?)
    }

    /// What the session of a caller has, of which this is kept. A role's that is not kept has ended: what
    /// limited it is not known any more, so that it may do nothing.
    pub fn of_kept(cx: &Cx, caller: &Caller, kept: Option<Session>) -> Result<Self, Error> {
        match caller {
            Caller::AssumedRole {
                role_id: Some(_), ..
            } => {}
            // A service assumes its role anew for all that it does, and nothing limits it beside the role.
            Caller::AssumedRole { role_id: None, .. }
            | Caller::Root(_)
            | Caller::RootSession { .. }
            | Caller::Daemon
            | Caller::User { .. }
            | Caller::Service(_)
            | Caller::Anonymous => return Ok(Self::default()),
        }
        let kept = kept.filter(|it| cx.clock().now_ms() < it.expires_ms);
        kept.map(|it| it.extras)
            .ok_or_else(crate::sts::expired_token)
    }

    /// What the session that is asked for will have, after the one that asks for it.
    pub fn asked(cx: &Cx, input: &AssumeRoleInput, before: &Self) -> Result<Self, Error> {
        let mut extras = Self {
            policy: input.policy.clone(),
            policy_arns: arns(cx, input)?,
            source_identity: source_identity(input, before)?,
            ..Self::default()
        };
        if let Some(text) = &extras.policy {
            document::check(text, Purpose::Inline)
                .map_err(|it| errors::MalformedPolicyDocumentException.because(it.message))?;
        }
        let inherited = before
            .tags
            .iter()
            .filter(|it| before.transitive.contains(it.0));
        extras.tags = inherited
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        extras.transitive.clone_from(&before.transitive);
        extras.add_tags(input)?;
        if extras.policy_characters() > POLICY_CHARACTERS_MAX {
            return Err(errors::PackedPolicyTooLargeException.because(format!(
                "the policies of a session have more than {POLICY_CHARACTERS_MAX} characters"
            )));
        }
        Ok(extras)
    }

    fn add_tags(&mut self, input: &AssumeRoleInput) -> Result<(), Error> {
        let given = input.tags.iter().flatten();
        for tag in given {
            let is_same = |it: &&String| it.eq_ignore_ascii_case(&tag.key);
            if self.transitive.iter().any(|it| is_same(&it)) {
                return Err(invalid(format!(
                    "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session: {}",
                    tag.key
                )));
            }
            if self.tags.keys().any(|it| is_same(&it)) {
                return Err(invalid(
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
                ));
            }
            self.tags.insert(tag.key.clone(), tag.value.clone());
        }
        if self.tags.len() > TAGS_MAX {
            return Err(invalid(format!("a session has at most {TAGS_MAX} tags")));
        }
        for name in input.transitive_tag_keys.iter().flatten() {
            let of_tag = self.tags.keys().find(|it| it.eq_ignore_ascii_case(name));
            let of_tag = of_tag.ok_or_else(|| {
                invalid("The specified transitive tag key must be included in the requested tags.")
            })?;
            self.transitive.insert(of_tag.clone());
        }
        Ok(())
    }

    fn policy_characters(&self) -> usize {
        let texts = self.policy.iter().chain(&self.policy_arns);
        texts.map(|it| it.chars().count()).sum()
    }

    /// How much of its room the session fills, in hundredths. AWS packs what it measures, and does not
    /// say how: this is measured unpacked. None where nothing was handed over.
    pub fn filled_percent(&self) -> Option<i32> {
        let tags = self.tags.iter();
        let tags: usize = tags
            .map(|(key, value)| key.chars().count() + value.chars().count())
            .sum();
        let characters = self.policy_characters() + tags;
        let percent = (characters * 100).div_ceil(POLICY_CHARACTERS_MAX);
        (characters > 0).then(|| i32::try_from(percent).unwrap_or(i32::MAX))
    }

    pub fn is_limited(&self) -> bool {
        self.policy.is_some() || !self.policy_arns.is_empty()
    }
}

fn arns(cx: &Cx, input: &AssumeRoleInput) -> Result<Vec<String>, Error> {
    let given = input.policy_arns.iter().flatten();
    let arns: Vec<String> = given.filter_map(|it| it.arn.clone()).collect();
    if arns.len() > POLICY_ARNS_MAX {
        return Err(invalid(format!(
            "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to {POLICY_ARNS_MAX}"
        )));
    }
    cx.read(|tx| {
        for arn in &arns {
            if !policy::exists(cx, tx, arn)? {
                return Err(errors::MalformedPolicyDocumentException
                    .because(format!("The managed policy {arn} does not exist.")));
            }
        }
        Ok(())
    })?;
    Ok(arns)
}

/// Whose the session is stays the same along a chain of roles.
fn source_identity(
    input: &AssumeRoleInput,
    before: &SessionExtras,
) -> Result<Option<String>, Error> {
    match (&before.source_identity, &input.source_identity) {
        (Some(is), Some(asked)) if is != asked => Err(wire::codes::AccessDenied
            .because("The source identity of a session cannot be changed by the next role's")),
        (Some(is), _) => Ok(Some(is.clone())),
        (None, asked) => Ok(asked.clone()),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    wire::codes::ValidationError.because(message)
}
