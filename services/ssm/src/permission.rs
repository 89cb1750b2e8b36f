//! What calls of Systems Manager need permission for: parameters, by the record that a name, an ARN or one
//! with a selector finds. `/a` and `a` have one ARN, and are one resource.

use cloud::permission::{ConditionKey, Permission};
use cloud::{Cx, Touched, permission};
use shapes::ssm::*;

use crate::names::{is_public, parse};
use crate::public::public_arn;
use crate::record::{ParameterRecord, arn};

/// Of the reference.
const PARAMETER: &str = "parameter";

/// The parameter that a text finds, whatever version or label of it, whether it is there or not.
fn parameter(cx: &Cx, text: &str) -> Touched {
    if is_public(text) {
        return Touched::absent(public_arn(cx, text));
    }
    let found = cx.read(|tx| {
        let named = parse(cx, tx, text)?;
        let record: Option<ParameterRecord> = tx.get(&cx.key(&named.name))?;
        Ok((named.name, record))
    });
    match found {
        Ok((name, Some(it))) => Touched::named(arn(cx, &name)).tagged(it.tags),
        Ok((name, None)) => Touched::absent(arn(cx, &name)),
        // Another account's or region's: the operation does not find it.
        Err(error) if error.status < 500 => Touched::absent(text),
        // Its tags are not known.
        Err(_) => Touched::named(arn(cx, text)),
    }
}

fn parameters(cx: &Cx, names: &[String]) -> Vec<Touched> {
    names.iter().map(|it| parameter(cx, it)).collect()
}

/// The operation's action on one parameter.
pub fn on_parameter<I: 'static>(name: fn(&I) -> &str) -> Permission<I> {
    permission::on(PARAMETER, move |cx, it| parameter(cx, name(it)))
}

pub fn on_parameters<I: 'static>(names: fn(&I) -> &[String]) -> Permission<I> {
    permission::on(PARAMETER, move |cx, it| parameters(cx, names(it)))
}

/// Tagging takes other types of resources, too, which are not built and refused.
pub fn on_tagged<I: 'static>(id: fn(&I) -> &str) -> Permission<I> {
    on_parameter(id)
}

/// On the parameter, and on tagging it where it gets tags at once.
pub fn put() -> Permission<PutParameterInput> {
    on_parameter(|it: &PutParameterInput| &it.name)
        .and(
            "ssm:AddTagsToResource",
            PARAMETER,
            |cx, it: &PutParameterInput| {
                let has_tags = it.tags.as_ref().is_some_and(|tags| !tags.is_empty());
                has_tags.then(|| parameter(cx, &it.name))
            },
        )
        .supplying(&["ssm:Overwrite", "ssm:Policies"], |_, it| {
            vec![ConditionKey::new(
                "ssm:Overwrite",
                Some(it.overwrite == Some(true)),
            )]
        })
}

/// On the path, as if it were a parameter: AWS asks for nothing else, "even if a user has explicitly been
/// denied access to the parameter `/a/b`, they can still call it for `/a`" (Parameter Store's guide).
pub fn get_by_path() -> Permission<GetParametersByPathInput> {
    permission::on(PARAMETER, |cx, it: &GetParametersByPathInput| {
        // A slash at its end is part of the ARN, as AWS's refusals show; more of them say the same.
        let path = it.path.trim_end_matches('/');
        let end = if it.path.ends_with('/') { "/" } else { "" };
        Touched::absent(arn(cx, &format!("{path}{end}")))
    })
    .supplying(&["ssm:Recursive"], |_, it| {
        let recursive = it.recursive == Some(true);
        vec![ConditionKey::new("ssm:Recursive", Some(recursive))]
    })
}
