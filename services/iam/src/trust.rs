//! Whether a role's trust policy lets somebody assume it.

use cloud::Caller;
use serde_json::Value as Json;

use crate::document::{statements, texts};

/// Who asks, and with what.
pub struct Asked<'a> {
    pub account: &'a str,
    pub caller: &'a Caller,
    pub external_id: Option<&'a str>,
}

/// Some statement allows it and none denies it. A statement with a condition that is not understood
/// here allows nothing.
pub fn allows(document: &str, asked: &Asked<'_>) -> bool {
    let Ok(document) = serde_json::from_str::<Json>(document) else {
        return false;
    };
    let concerned: Vec<&Json> = statements(&document)
        .into_iter()
        .filter(|it| names_the_action(it) && names_the_caller(it, asked))
        .collect();
    let effect = |it: &Json, effect: &str| it["Effect"] == effect;
    // A denial counts whatever its condition: better to refuse too much.
    !concerned.iter().any(|it| effect(it, "Deny"))
        && concerned
            .iter()
            .any(|it| effect(it, "Allow") && condition_holds(it, asked))
}

fn names_the_action(statement: &Json) -> bool {
    texts(&statement["Action"])
        .into_iter()
        .any(|it| ["sts:assumerole", "sts:*", "*"].contains(&it.to_lowercase().as_str()))
}

fn names_the_caller(statement: &Json, asked: &Asked<'_>) -> bool {
    let principals = match &statement["Principal"] {
        Json::String(all) if all == "*" => vec!["*"],
        // A service is never meant by an account or by everybody in one.
        principals if matches!(asked.caller, Caller::Service(_)) => texts(&principals["Service"]),
        principals => texts(&principals["AWS"]),
    };
    let own = identities(asked);
    principals
        .into_iter()
        .any(|it| it == "*" || own.iter().any(|own| own == it))
}

/// Every way in which a principal may name the caller.
fn identities(asked: &Asked<'_>) -> Vec<String> {
    let account = asked.account;
    if *asked.caller == Caller::Anonymous {
        return Vec::new();
    }
    if let Caller::Service(principal) = asked.caller {
        return vec![(*principal).to_owned()];
    }
    let mut names = vec![account.to_owned(), format!("arn:aws:iam::{account}:root")];
    match asked.caller {
        Caller::Root(_)
        | Caller::RootSession { .. }
        | Caller::Daemon
        | Caller::Service(_)
        | Caller::Anonymous => {}
        Caller::User { arn, .. } => names.push(arn.clone()),
        Caller::AssumedRole {
            role_arn,
            session_name,
            ..
        } => {
            let role = role_arn.rsplit('/').next().unwrap_or_default();
            names.push(role_arn.clone());
            names.push(format!(
                "arn:aws:sts::{account}:assumed-role/{role}/{session_name}"
            ));
        }
    }
    names
}

fn condition_holds(statement: &Json, asked: &Asked<'_>) -> bool {
    let Some(condition) = statement.get("Condition") else {
        return true;
    };
    let Some(operators) = condition.as_object() else {
        return false;
    };
    operators.iter().all(|(operator, keys)| {
        let Some(keys) = keys.as_object().filter(|_| operator == "StringEquals") else {
            return false;
        };
        keys.iter().all(|(key, values)| {
            key.eq_ignore_ascii_case("sts:ExternalId")
                && asked
                    .external_id
                    .is_some_and(|it| texts(values).contains(&it))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_follows_principals_and_conditions() {
        let role = Caller::AssumedRole {
            role_arn: "arn:aws:iam::1:role/x/a".into(),
            role_id: None,
            session_name: "s".into(),
            access_key: "k".into(),
        };
        let user = Caller::User {
            arn: "arn:aws:iam::1:user/u".into(),
            id: "AIDA".into(),
            access_key: "k".into(),
        };
        let cases = [
            (r#""Principal":{"AWS":"1"}"#, true, true),
            (r#""Principal":{"AWS":"arn:aws:iam::1:root"}"#, true, true),
            (
                r#""Principal":{"AWS":["arn:aws:iam::2:root"]}"#,
                false,
                false,
            ),
            (r#""Principal":"*""#, true, true),
            (
                r#""Principal":{"Service":"ecs-tasks.amazonaws.com"}"#,
                false,
                false,
            ),
            (
                r#""Principal":{"AWS":"arn:aws:iam::1:role/x/a"}"#,
                true,
                false,
            ),
            (
                r#""Principal":{"AWS":"arn:aws:sts::1:assumed-role/a/s"}"#,
                true,
                false,
            ),
            (
                r#""Principal":{"AWS":"arn:aws:iam::1:user/u"}"#,
                false,
                true,
            ),
            (
                r#""Principal":"*","Condition":{"StringEquals":{"sts:ExternalId":["e"]}}"#,
                true,
                true,
            ),
            (
                r#""Principal":"*","Condition":{"StringEquals":{"sts:ExternalId":"f"}}"#,
                false,
                false,
            ),
            (
                r#""Principal":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#,
                false,
                false,
            ),
        ];
        for (rest, for_role, for_user) in cases {
            let document =
                format!(r#"{{"Statement":{{"Effect":"Allow","Action":"sts:AssumeRole",{rest}}}}}"#);
            for (caller, expected) in [(&role, for_role), (&user, for_user)] {
                let asked = Asked {
                    account: "1",
                    caller,
                    external_id: Some("e"),
                };
                assert_eq!(allows(&document, &asked), expected, "{rest} {caller:?}");
            }
        }
    }

    #[test]
    fn a_service_is_trusted_by_its_name_alone() {
        let service = Caller::Service("codebuild.amazonaws.com");
        let asked = Asked {
            account: "1",
            caller: &service,
            external_id: None,
        };
        for (principal, expected) in [
            (r#"{"Service":"codebuild.amazonaws.com"}"#, true),
            (
                r#"{"Service":["ec2.amazonaws.com","codebuild.amazonaws.com"]}"#,
                true,
            ),
            (r#"{"Service":"codepipeline.amazonaws.com"}"#, false),
            (r#"{"AWS":"1"}"#, false),
            (r#"{"AWS":"codebuild.amazonaws.com"}"#, false),
        ] {
            let document = format!(
                r#"{{"Statement":{{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{principal}}}}}"#
            );
            assert_eq!(allows(&document, &asked), expected, "{principal}");
        }
    }

    #[test]
    fn a_denial_wins() {
        let document = r#"{"Statement":[
            {"Effect":"Allow","Action":"sts:*","Principal":"*"},
            {"Effect":"Deny","Action":"sts:AssumeRole","Principal":{"AWS":"1"}}]}"#;
        let asked = Asked {
            account: "1",
            caller: &Caller::Daemon,
            external_id: None,
        };
        assert!(!allows(document, &asked));
        assert!(!allows("no json", &asked));
    }
}
