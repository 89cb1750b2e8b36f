//! What roles, users and groups have in common: the policies within them and those attached to them.

use std::collections::{BTreeMap, BTreeSet};

use ::policy::Purpose;
use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::iam::AttachedPolicy;
use shapes::iam::errors::{LimitExceededException, PolicyNotAttachableException};

use crate::boundary;
use crate::document::{check, length};
use crate::managed;
use crate::names::{Page, conflict, limit, no_such, page};
use crate::policy;

/// AWS's default quota of attached policies.
pub const ATTACHED_MAX: usize = 10;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Documents by the policy's name.
    pub inline: BTreeMap<String, String>,
    /// ARNs.
    pub attached: BTreeSet<String>,
    /// The ARN of the policy that bounds the others. Groups have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
}

/// A record that has grants.
pub trait Holder: Record {
    /// `role`, `user` or `group`, as messages name it.
    const WHAT: &'static str;
    /// AWS's quota of all its inline policies together, in characters that are not white space (IAM User
    /// Guide, "IAM and AWS STS quotas").
    const INLINE_MAX: usize;
    fn find(tx: &Records<'_>, name: &str) -> Result<Self, Error>;
    /// For a change; refused where AWS alone may change it.
    fn changeable(tx: &Records<'_>, name: &str) -> Result<Self, Error> {
        Self::find(tx, name)
    }
    fn grants(&self) -> &Grants;
    fn grants_mut(&mut self) -> &mut Grants;
}

fn edit<R: Holder>(
    cx: &Cx,
    holder: &str,
    body: impl FnOnce(&Records<'_>, &mut Grants) -> Result<(), Error>,
) -> Result<(), Error> {
    cx.write(|tx| {
        let mut record = R::changeable(tx, holder)?;
        body(tx, record.grants_mut())?;
        tx.put(&record)
    })
}

pub fn put_inline<R: Holder>(
    cx: &Cx,
    holder: &str,
    name: String,
    document: String,
) -> Result<(), Error> {
    check(&document, Purpose::Inline)?;
    edit::<R>(cx, holder, |_, grants| {
        grants.inline.insert(name, document);
        let all: usize = grants.inline.values().map(|it| length(it)).sum();
        if all > R::INLINE_MAX {
            return Err(LimitExceededException.because(format!(
                "Maximum policy size of {} bytes exceeded for {} {holder}",
                R::INLINE_MAX,
                R::WHAT
            )));
        }
        Ok(())
    })
}

fn no_inline<R: Holder>(name: &str) -> Error {
    no_such(format!(
        "The {} policy with name {name} cannot be found.",
        R::WHAT
    ))
}

pub fn get_inline<R: Holder>(cx: &Cx, holder: &str, name: &str) -> Result<String, Error> {
    let record = cx.read(|tx| R::find(tx, holder))?;
    let document = record.grants().inline.get(name).cloned();
    document.ok_or_else(|| no_inline::<R>(name))
}

pub fn delete_inline<R: Holder>(cx: &Cx, holder: &str, name: &str) -> Result<(), Error> {
    edit::<R>(cx, holder, |_, grants| {
        let gone = grants.inline.remove(name);
        gone.map(drop).ok_or_else(|| no_inline::<R>(name))
    })
}

pub fn list_inline<R: Holder>(
    cx: &Cx,
    holder: &str,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<String>, Error> {
    let record = cx.read(|tx| R::find(tx, holder))?;
    let names = record.grants().inline.keys().cloned().collect();
    page(names, |it| it, marker, max_items)
}

pub fn attach<R: Holder>(cx: &Cx, holder: &str, arn: &str) -> Result<(), Error> {
    edit::<R>(cx, holder, |tx, grants| {
        if !arn.starts_with("arn:") || arn.split(':').count() < 6 {
            return Err(wire::codes::ValidationError.because("Invalid ARN:  Could not be parsed!"));
        }
        if !policy::exists(cx, tx, arn)? {
            return Err(no_such(format!(
                "Policy {arn} does not exist or is not attachable."
            )));
        }
        if arn.starts_with(managed::LINKED) {
            return Err(PolicyNotAttachableException
                .because("Cannot attach a Service Role Policy to a Customer Role."));
        }
        grants.attached.insert(arn.to_owned());
        if grants.attached.len() > ATTACHED_MAX {
            let quota = match R::WHAT {
                "role" => "PoliciesPerRole",
                "group" => "PoliciesPerGroup",
                _ => "PoliciesPerUser",
            };
            return Err(limit(quota, ATTACHED_MAX));
        }
        Ok(())
    })
}

pub fn detach<R: Holder>(cx: &Cx, holder: &str, arn: &str) -> Result<(), Error> {
    edit::<R>(cx, holder, |_, grants| {
        if grants.attached.remove(arn) {
            Ok(())
        } else {
            Err(no_such(format!("Policy {arn} was not found.")))
        }
    })
}

pub fn list_attached<R: Holder>(
    cx: &Cx,
    holder: &str,
    path_prefix: Option<&str>,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<AttachedPolicy>, Error> {
    let record = cx.read(|tx| R::find(tx, holder))?;
    let prefix = path_prefix.unwrap_or("/");
    let shown = record
        .grants()
        .attached
        .iter()
        .filter(|arn| policy::path_of(arn).starts_with(prefix))
        .map(|arn| AttachedPolicy {
            policy_name: Some(policy::name_of(arn).to_owned()),
            policy_arn: Some(arn.clone()),
        })
        .collect();
    page(
        shown,
        |it: &AttachedPolicy| it.policy_arn.as_deref().unwrap_or_default(),
        marker,
        max_items,
    )
}

/// Sets the permissions boundary, or takes it away.
pub fn set_boundary<R: Holder>(cx: &Cx, holder: &str, arn: Option<String>) -> Result<(), Error> {
    edit::<R>(cx, holder, |tx, grants| {
        boundary::check(cx, tx, arn.as_deref())?;
        grants.boundary = arn;
        Ok(())
    })
}

/// Only what has no policies may be deleted.
pub fn check_empty(grants: &Grants) -> Result<(), Error> {
    if !grants.attached.is_empty() {
        return Err(conflict(
            "Cannot delete entity, must detach all policies first.",
        ));
    }
    if !grants.inline.is_empty() {
        return Err(conflict(
            "Cannot delete entity, must delete policies first.",
        ));
    }
    Ok(())
}
