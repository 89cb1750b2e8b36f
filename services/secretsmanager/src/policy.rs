//! Resource policies: kept here, and evaluated with the policies of whoever uses the secret.

use ::policy::{Document, Malformed, Purpose};
use cloud::{Cx, Error};
use shapes::secretsmanager::*;

use crate::names::find;

pub async fn put_resource_policy(
    cx: Cx,
    input: PutResourcePolicyInput,
) -> Result<PutResourcePolicyOutput, Error> {
    // What cannot be read would deny everything to everybody.
    if let Err(malformed) = Document::put(&input.resource_policy, Purpose::Resource) {
        let why = match malformed {
            Malformed::NotJson => "This resource policy contains invalid Json".to_owned(),
            other => other.to_string(),
        };
        return Err(errors::MalformedPolicyDocumentException.because(why));
    }
    let kept = cx.keep_policy(&input.resource_policy)?.map_err(|_| {
        errors::MalformedPolicyDocumentException
            .because("This resource policy contains an unsupported principal.")
    })?;
    cx.write(|tx| {
        let mut secret = find(&cx, tx, &input.secret_id)?;
        secret.policy = Some(kept);
        tx.put(&secret)?;
        Ok(PutResourcePolicyOutput {
            arn: Some(secret.arn()),
            name: Some(secret.name),
            policy_name: None,
        })
    })
}

pub async fn get_resource_policy(
    cx: Cx,
    input: GetResourcePolicyInput,
) -> Result<GetResourcePolicyOutput, Error> {
    let secret = cx.read(|tx| find(&cx, tx, &input.secret_id))?;
    let shown = secret.policy.as_deref().map(|it| cx.show_policy(it));
    let shown = shown.transpose()?;
    Ok(GetResourcePolicyOutput {
        arn: Some(secret.arn()),
        name: Some(secret.name),
        resource_policy: shown,
        policy_name: None,
    })
}

pub async fn delete_resource_policy(
    cx: Cx,
    input: DeleteResourcePolicyInput,
) -> Result<DeleteResourcePolicyOutput, Error> {
    cx.write(|tx| {
        let mut secret = find(&cx, tx, &input.secret_id)?;
        secret.policy = None;
        tx.put(&secret)?;
        Ok(DeleteResourcePolicyOutput {
            arn: Some(secret.arn()),
            name: Some(secret.name),
            policy_name: None,
        })
    })
}
