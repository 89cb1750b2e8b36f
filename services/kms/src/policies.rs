//! Key policies: kept here, and evaluated whenever somebody uses the key.

use ::policy::{Attached, Context, Document, Kind, Principal, Purpose, Request, Resource, decide};
use cloud::{Caller, Cx, Error};
use shapes::kms::*;

use crate::find::{invalid, key_itself, own_key};

/// The only name that a key's policy has.
const NAME: &str = "default";
/// AWS's longest key policy.
const BYTES_MAX: usize = 32 * 1024;

/// Whether a policy is taken that locks out who puts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockout {
    Refused,
    Wanted,
}

impl Lockout {
    pub fn of(bypass: Option<bool>) -> Self {
        match bypass {
            Some(true) => Self::Wanted,
            _ => Self::Refused,
        }
    }
}

/// What a key has whose maker gives it no policy, as AWS writes it: the account's own policies decide.
pub fn usual(account: &str) -> String {
    format!(
        r#"{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "arn:aws:iam::{account}:root"
    }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"#
    )
}

fn malformed(why: impl Into<String>) -> Error {
    errors::MalformedPolicyDocumentException.because(why)
}

/// A policy as it is to be kept, if it is one that AWS takes.
pub fn kept(cx: &Cx, text: &str, lockout: Lockout) -> Result<String, Error> {
    if text.len() > BYTES_MAX {
        return Err(errors::LimitExceededException
            .because(format!("The key policy is longer than {BYTES_MAX} bytes.")));
    }
    // What cannot be read would deny everything to everybody.
    Document::put(text, Purpose::Resource).map_err(|it| malformed(it.to_string()))?;
    let kept = cx.keep_policy(text)?.map_err(|_| {
        malformed("Policy contains a statement with one or more invalid principals.")
    })?;
    let document =
        Document::parse(&kept, Kind::Resource).map_err(|it| malformed(it.to_string()))?;
    if lockout == Lockout::Refused && !lets_change(cx, &document) {
        return Err(malformed(
            "The new key policy will not allow you to update the key policy in the future.",
        ));
    }
    Ok(kept)
}

/// Whether who calls could put another policy in the place of this one, as far as this one decides.
fn lets_change(cx: &Cx, document: &Document) -> bool {
    let account = cx.account().to_owned();
    let principal = match &cx.caller {
        Caller::Root(_) | Caller::RootSession { .. } | Caller::Daemon => {
            Principal::Owner { account }
        }
        Caller::Anonymous => Principal::Anonymous,
        Caller::Service(name) => Principal::Service {
            name: (*name).to_owned(),
        },
        Caller::User { arn, id, .. } => Principal::User {
            account,
            arn: arn.clone(),
            id: id.clone(),
        },
        Caller::AssumedRole {
            role_arn, role_id, ..
        } => Principal::Session {
            session_arn: cx.caller.arn(&account),
            account,
            role_arn: role_arn.clone(),
            role_id: role_id.clone().unwrap_or_default(),
        },
    };
    const EVERYTHING: &str = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let own = Document::parse(EVERYTHING, Kind::Identity);
    let mut context = Context::new();
    for key in ["kms:CallerAccount", "aws:PrincipalAccount"] {
        context.set(key, cx.account());
    }
    let arn = cx.arn("kms", "key/any");
    let request = Request {
        action: "kms:PutKeyPolicy",
        resource: Resource::One(&arn),
        principal: &principal,
        context: &context,
    };
    let own: Vec<_> = own.into_iter().collect();
    decide(&request, &own, Attached::MustGrant(document)).is_allowed()
}

fn check_name(name: Option<&str>) -> Result<(), Error> {
    match name {
        None | Some(NAME) => Ok(()),
        Some(_) => Err(errors::NotFoundException.because("No such policy exists")),
    }
}

pub async fn get_key_policy(cx: Cx, input: GetKeyPolicyInput) -> Result<GetKeyPolicyOutput, Error> {
    let key = cx.read(|tx| key_itself(&cx, tx, &input.key_id))?;
    check_name(input.policy_name.as_deref())?;
    Ok(GetKeyPolicyOutput {
        policy: Some(cx.show_policy(&key.policy)?),
        policy_name: Some(NAME.to_owned()),
    })
}

pub async fn put_key_policy(cx: Cx, input: PutKeyPolicyInput) -> Result<PutKeyPolicyOutput, Error> {
    if input.policy_name.as_deref().is_some_and(|it| it != NAME) {
        return Err(invalid("The only valid policy name is default"));
    }
    let lockout = Lockout::of(input.bypass_policy_lockout_safety_check);
    let policy = kept(&cx, &input.policy, lockout);
    cx.write(|tx| {
        let mut key = own_key(&cx, tx, &input.key_id, "PutKeyPolicy")?;
        key.policy = policy?;
        tx.put(&key)?;
        Ok(PutKeyPolicyOutput {})
    })
}

pub async fn list_key_policies(
    cx: Cx,
    input: ListKeyPoliciesInput,
) -> Result<ListKeyPoliciesOutput, Error> {
    cx.read(|tx| key_itself(&cx, tx, &input.key_id))?;
    Ok(ListKeyPoliciesOutput {
        policy_names: Some(vec![NAME.to_owned()]),
        next_marker: None,
        truncated: Some(false),
    })
}
