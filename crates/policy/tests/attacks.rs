//! Ways in which policies failed open, each as one would try it.

use policy::{
    Attached, Context, Decision, Document, Kind, Outcome, Principal, Request, Resource, decide,
};
use serde_json::{Value as Json, json};

const ACCOUNT: &str = "000000000000";
const ROLE: &str = "arn:aws:iam::000000000000:role/deploy";

fn user(name: &str) -> Principal {
    Principal::User {
        account: ACCOUNT.into(),
        arn: format!("arn:aws:iam::{ACCOUNT}:user/{name}"),
        id: format!("AIDA{name}"),
    }
}

fn session() -> Principal {
    Principal::Session {
        account: ACCOUNT.into(),
        role_arn: format!("arn:aws:iam::{ACCOUNT}:role/x/build"),
        role_id: "AROABUILD".into(),
        session_arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/build/s"),
    }
}

fn owner() -> Principal {
    Principal::Owner {
        account: ACCOUNT.into(),
    }
}

fn document(statements: Json, kind: Kind) -> Document {
    let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    Document::parse(&text, kind).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn ask(own: Json, action: &str, resource: Resource<'_>, context: &Context) -> Decision {
    let own = document(own, Kind::Identity);
    let request = Request {
        action,
        resource,
        principal: &user("ann"),
        context,
    };
    decide(&request, &[own], Attached::None)
}

/// A denial with a condition on a key that is not supplied for the call.
#[test]
fn a_denial_on_a_key_that_is_not_known_denies() {
    let attach =
        json!({"ArnNotEquals": {"iam:PolicyARN": "arn:aws:iam::aws:policy/ReadOnlyAccess"}});
    for (action, key, condition) in [
        ("iam:AttachUserPolicy", "iam:PolicyARN", attach),
        (
            "s3:GetObject",
            "aws:SourceIp",
            json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        ),
        (
            "ecs:DeleteCluster",
            "aws:ResourceTag/stage",
            json!({"StringEquals": {"aws:ResourceTag/stage": "prod"}}),
        ),
        (
            "secretsmanager:GetSecretValue",
            "secretsmanager:ResourceTag/stage",
            json!({"StringEquals": {"secretsmanager:ResourceTag/stage": "prod"}}),
        ),
        (
            "ecs:RunTask",
            "aws:EpochTime",
            json!({"NumericGreaterThan": {"aws:EpochTime": "1"}}),
        ),
        (
            "ecs:RunTask",
            "aws:EpochTime",
            json!({"DateGreaterThan": {"aws:EpochTime": 1}}),
        ),
        (
            "ecs:RunTask",
            "aws:UserAgent",
            json!({"StringLike": {"aws:UserAgent": "*curl*"}}),
        ),
        (
            "s3:ListBucket",
            "s3:prefix",
            json!({"StringLike": {"s3:prefix": "secret/*"}}),
        ),
        (
            "s3:ListBucket",
            "s3:prefix",
            json!({"StringEqualsIfExists": {"s3:prefix": "secret"}}),
        ),
        (
            "s3:ListBucket",
            "s3:prefix",
            json!({"Null": {"s3:prefix": true}}),
        ),
        (
            "s3:ListBucket",
            "s3:prefix",
            json!({"ForAnyValue:StringLike": {"s3:prefix": "secret/*"}}),
        ),
        (
            "s3:ListBucket",
            "aws:username",
            json!({"StringEquals": {"aws:PrincipalType": "${aws:username}"}}),
        ),
    ] {
        let mut context = Context::new();
        context.set("aws:PrincipalType", "User");
        let everything = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
        let denial =
            json!({"Effect": "Deny", "Action": action, "Resource": "*", "Condition": condition});
        let decision = ask(
            json!([everything, denial]),
            action,
            Resource::One("*"),
            &context,
        );
        let denied = Outcome::DeniedExplicitly(Kind::Identity);
        assert_eq!(decision.outcome, denied, "{denial}");
        let unknown: Vec<_> = decision.unknown.iter().map(String::as_str).collect();
        assert_eq!(unknown, [key], "{denial}");
        // The same condition allows nothing either.
        let allowance =
            json!({"Effect": "Allow", "Action": action, "Resource": "*", "Condition": condition});
        let decision = ask(allowance, action, Resource::One("*"), &context);
        assert_eq!(
            decision.outcome,
            Outcome::DeniedImplicitly(Kind::Identity),
            "{condition}"
        );
        assert!(
            decision.reason(action).ends_with(&format!(
                "because no identity-based policy allows the {action} action, because the value of \
                 the condition key {key} is not known to neargate"
            )),
            "{}",
            decision.reason(action)
        );
    }
}

#[test]
fn what_is_known_decides_although_something_is_not() {
    let mut context = Context::new();
    context.set("aws:RequestedRegion", "eu-west-1");
    let deny = json!([
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {
            "StringEquals": {"aws:RequestedRegion": "us-east-1", "aws:SourceVpc": "vpc-1"},
        }},
    ]);
    let decision = ask(deny, "ecs:RunTask", Resource::One("*"), &context);
    assert_eq!(decision.outcome, Outcome::Allowed);
    assert!(decision.unknown.is_empty());
}

#[test]
fn a_resource_named_by_what_is_not_known_is_denied_and_not_allowed() {
    let own = "arn:aws:s3:::home/${aws:PrincipalTag/team}/*";
    let object = Resource::One("arn:aws:s3:::home/a/x");
    let everything = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let deny = json!([everything, {"Effect": "Deny", "Action": "*", "Resource": own}]);
    let but = json!([everything, {"Effect": "Deny", "Action": "*", "NotResource": own}]);
    let allow = json!({"Effect": "Allow", "Action": "*", "Resource": own});
    let mut context = Context::new();
    for statements in [&deny, &but, &allow] {
        let decision = ask(statements.clone(), "s3:GetObject", object, &context);
        assert!(!decision.is_allowed(), "{statements}");
        assert!(decision.unknown.contains("aws:PrincipalTag/team"));
    }
    // A tag that is known not to be there fits nothing.
    context.know_family("aws:PrincipalTag");
    let is_allowed = |it: &Json| ask(it.clone(), "s3:GetObject", object, &context).is_allowed();
    assert_eq!([&deny, &but, &allow].map(is_allowed), [true, false, false]);
    context.set("aws:PrincipalTag/team", "a");
    let is_allowed = |it: &Json| ask(it.clone(), "s3:GetObject", object, &context).is_allowed();
    assert_eq!([&deny, &but, &allow].map(is_allowed), [false, true, true]);
}

/// An operation on all resources of a type is denied by a denial on one of them.
#[test]
fn none_named_is_all_of_them() {
    let groups = Resource::AnyOf("arn:aws:logs:us-east-1:000000000000:log-group:*");
    let context = Context::new();
    let check = |statements: Json, allowed: bool| {
        let decision = ask(
            statements.clone(),
            "logs:DescribeLogGroups",
            groups,
            &context,
        );
        assert_eq!(decision.is_allowed(), allowed, "{statements}");
    };
    let allow =
        |resource: &str| json!({"Effect": "Allow", "Action": "logs:*", "Resource": resource});
    let deny = |resource: &str| json!({"Effect": "Deny", "Action": "logs:*", "Resource": resource});
    check(allow("*"), true);
    check(allow("arn:aws:logs:*:*:*"), true);
    check(
        allow("arn:aws:logs:us-east-1:000000000000:log-group:/ecs/*"),
        false,
    );
    check(
        json!([allow("*"), deny("arn:aws:logs:*:*:log-group:/secret/*")]),
        false,
    );
    check(
        json!([allow("*"), deny("arn:aws:logs:eu-west-1:*:*")]),
        true,
    );
    check(
        json!({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:logs:*:*:log-group:/secret*"}),
        false,
    );
    check(
        json!({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::*"}),
        true,
    );
    check(
        json!([allow("*"), {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:logs:*:*:log-group:/mine*"}]),
        false,
    );
}

fn trust(statements: Json, who: &Principal, own: Json) -> Outcome {
    let trust = document(statements, Kind::Trust);
    let own = document(own, Kind::Identity);
    let mut context = Context::new();
    context.set("sts:ExternalId", "e");
    context.set_absent("aws:MultiFactorAuthPresent");
    let request = Request {
        action: "sts:AssumeRole",
        resource: Resource::One(ROLE),
        principal: who,
        context: &context,
    };
    let own = match who {
        Principal::User { .. } | Principal::Session { .. } => vec![own],
        _ => Vec::new(),
    };
    decide(&request, &own, Attached::MustGrant(&trust)).outcome
}

#[test]
fn a_role_is_assumed_by_whom_both_sides_let() {
    use Outcome::*;
    let may = json!({"Effect": "Allow", "Action": "sts:Assume*", "Resource": ROLE});
    let nothing = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"});
    let may_not = json!([may, {"Effect": "Deny", "Action": "sts:*", "Resource": "*"}]);
    let account = json!({"AWS": ACCOUNT});
    let root = json!({"AWS": "arn:aws:iam::000000000000:root"});
    let itself = json!({"AWS": "arn:aws:iam::000000000000:user/ann"});
    let role = json!({"AWS": "arn:aws:iam::000000000000:role/x/build"});
    let of_session = json!({"AWS": "arn:aws:sts::000000000000:assumed-role/build/s"});
    let (by_trust, by_own) = (
        DeniedImplicitly(Kind::Trust),
        DeniedImplicitly(Kind::Identity),
    );
    let refused = DeniedExplicitly(Kind::Identity);
    let service = Principal::Service {
        name: "codebuild.amazonaws.com".into(),
    };
    for (principal, who, own, expected) in [
        (&itself, user("ann"), &nothing, Allowed),
        (&itself, user("ann"), &may_not, refused),
        (&itself, user("bob"), &may, by_trust),
        (&account, user("ann"), &nothing, by_own),
        (&root, user("ann"), &nothing, by_own),
        (&root, user("ann"), &may, Allowed),
        (&account, user("ann"), &may_not, refused),
        (&account, owner(), &nothing, Allowed),
        (&itself, owner(), &nothing, by_trust),
        (&role, session(), &nothing, Allowed),
        (&of_session, session(), &nothing, Allowed),
        (&role, user("ann"), &may, by_trust),
        (&json!("*"), session(), &nothing, Allowed),
        (&json!({"AWS": "AROABUILD"}), session(), &nothing, Allowed),
        (&json!({"AWS": "111111111111"}), user("ann"), &may, by_trust),
        (
            &json!({"Service": "codebuild.amazonaws.com"}),
            service.clone(),
            &nothing,
            Allowed,
        ),
        (
            &json!({"Service": "ec2.amazonaws.com"}),
            service.clone(),
            &nothing,
            by_trust,
        ),
        (&account, service.clone(), &nothing, by_trust),
        (
            &json!({"AWS": "codebuild.amazonaws.com"}),
            service,
            &nothing,
            by_trust,
        ),
        (
            &json!({"Federated": "accounts.google.com"}),
            user("ann"),
            &may,
            by_trust,
        ),
        (&json!("*"), Principal::Anonymous, &nothing, Allowed),
        (&account, Principal::Anonymous, &nothing, by_trust),
    ] {
        for action in ["sts:AssumeRole", "STS:assume*", "sts:*", "*"] {
            let allow = json!({"Effect": "Allow", "Principal": principal, "Action": action});
            let found = trust(allow.clone(), &who, own.clone());
            assert_eq!(found, expected, "{allow} {who:?} {own}");
        }
        let other = json!({"Effect": "Allow", "Principal": principal, "NotAction": "sts:assumeR*"});
        assert_ne!(trust(other, &who, own.clone()), Allowed);
    }
}

#[test]
fn any_denial_of_a_trust_policy_wins() {
    let may = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"});
    let allow = json!({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"});
    for (denial, of_user, of_session, of_owner) in [
        (
            json!({"Principal": {"AWS": ACCOUNT}, "Action": "sts:*"}),
            true,
            true,
            true,
        ),
        (
            json!({"Principal": {"AWS": ACCOUNT}, "Action": "STS:Assume*"}),
            true,
            true,
            true,
        ),
        (
            json!({"Principal": "*", "NotAction": "sts:TagSession"}),
            true,
            true,
            true,
        ),
        (
            json!({"Principal": {"AWS": "arn:aws:iam::000000000000:user/ann"}, "Action": "*"}),
            true,
            false,
            false,
        ),
        // All but one, who has to be named with the account.
        (
            json!({"NotPrincipal": {"AWS": [ACCOUNT, "arn:aws:iam::000000000000:user/ann"]}, "Action": "*"}),
            false,
            true,
            false,
        ),
        (
            json!({"NotPrincipal": {"AWS": ["arn:aws:iam::000000000000:user/ann"]}, "Action": "*"}),
            true,
            true,
            true,
        ),
        (
            json!({"NotPrincipal": {"AWS": [ACCOUNT, "arn:aws:iam::000000000000:role/x/build"]}, "Action": "*"}),
            true,
            false,
            false,
        ),
        (
            json!({"Principal": "*", "Action": "*", "Condition": {"StringNotEquals": {"sts:ExternalId": "e"}}}),
            false,
            false,
            false,
        ),
        (
            json!({"Principal": "*", "Action": "*", "Condition": {"StringNotEquals": {"sts:RoleSessionName": "e"}}}),
            true,
            true,
            true,
        ),
        (
            json!({"Principal": "*", "Action": "*", "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}}),
            true,
            true,
            true,
        ),
    ] {
        let mut deny = denial.clone();
        deny["Effect"] = json!("Deny");
        for (who, is_denied) in [
            (user("ann"), of_user),
            (session(), of_session),
            (owner(), of_owner),
        ] {
            let expected = match is_denied {
                true => Outcome::DeniedExplicitly(Kind::Trust),
                false => Outcome::Allowed,
            };
            let found = trust(json!([allow, deny]), &who, may.clone());
            assert_eq!(found, expected, "{denial} {who:?}");
        }
    }
}

#[test]
fn a_bucket_s_policy_grants_and_binds() {
    use Outcome::*;
    let statement = |effect: &str, principal: Json| json!({"Effect": effect, "Principal": principal, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"});
    let ask = |statements: Json, who: Principal, own: Option<&str>| {
        let bucket = document(statements, Kind::Resource);
        let own = own.map(|it| {
            document(
                json!({"Effect": it, "Action": "s3:*", "Resource": "*"}),
                Kind::Identity,
            )
        });
        let own: Vec<Document> = own.into_iter().collect();
        let request = Request {
            action: "s3:GetObject",
            resource: Resource::One("arn:aws:s3:::b/k"),
            principal: &who,
            context: &Context::new(),
        };
        decide(&request, &own, Attached::Grants(&bucket)).outcome
    };
    let all = json!("*");
    let ann = json!({"AWS": "arn:aws:iam::000000000000:user/ann"});
    let (by_own, by_bucket) = (
        DeniedImplicitly(Kind::Identity),
        DeniedImplicitly(Kind::Resource),
    );
    let denied = DeniedExplicitly(Kind::Resource);
    for (effect, principal, who, own, expected) in [
        ("Allow", &ann, user("ann"), None, Allowed),
        ("Allow", &ann, user("bob"), None, by_own),
        ("Allow", &ann, user("bob"), Some("Allow"), Allowed),
        ("Allow", &ann, Principal::Anonymous, None, by_bucket),
        ("Allow", &all, Principal::Anonymous, None, Allowed),
        (
            "Allow",
            &all,
            user("bob"),
            Some("Deny"),
            DeniedExplicitly(Kind::Identity),
        ),
        ("Allow", &json!({"AWS": ACCOUNT}), user("bob"), None, by_own),
        ("Deny", &all, owner(), None, denied),
        (
            "Deny",
            &json!({"AWS": ACCOUNT}),
            user("ann"),
            Some("Allow"),
            denied,
        ),
        ("Deny", &ann, user("ann"), Some("Allow"), denied),
        ("Deny", &ann, owner(), None, Allowed),
        ("Deny", &ann, Principal::Anonymous, None, by_bucket),
    ] {
        let found = ask(statement(effect, principal.clone()), who.clone(), own);
        assert_eq!(found, expected, "{effect} {principal} {who:?} {own:?}");
    }
}

#[test]
fn what_cannot_be_read_denies_everything() {
    let request = Request {
        action: "s3:GetObject",
        resource: Resource::One("arn:aws:s3:::b/k"),
        principal: &owner(),
        context: &Context::new(),
    };
    let unreadable = Document::unreadable(Kind::Resource);
    let decision = decide(&request, &[], Attached::Grants(&unreadable));
    assert_eq!(decision.outcome, Outcome::DeniedExplicitly(Kind::Resource));
}

/// A text that two readers could take for two policies is none.
#[test]
fn documents_are_unambiguous_and_bounded() {
    let allow = r#""Effect":"Allow","Action":"*","Resource":"*""#;
    let good = format!(r#"{{"Statement":{{{allow}}}}}"#);
    assert!(Document::parse(&good, Kind::Identity).is_ok());
    for bad in [
        format!(r#"{{"Statement":{{{allow},"Effect":"Deny"}}}}"#),
        format!(r#"{{"Statement":{{{allow}}},"Statement":{{{allow}}}}}"#),
        format!(
            r#"{{"Statement":{{{allow},"Condition":{{"StringEquals":{{"a:b":"c"}},"StringEquals":{{}}}}}}}}"#
        ),
        format!(r#"{{"Statement":{{{allow},"condition":{{}}}}}}"#),
        format!(r#"{{"Statement":{{{allow},"Condition":"x"}}}}"#),
        format!(r#"{{"Statement":{{{allow},"Condition":{{"StringStrange":{{"a:b":"c"}}}}}}}}"#),
        format!(r#"{{"Statement":{{{allow},"Condition":{{"Bool":{{"a:b":"perhaps"}}}}}}}}"#),
        format!(r#"{{"Statement":{{{allow},"Condition":{{"IpAddress":{{"a:b":"10.0.0/8"}}}}}}}}"#),
        format!(r#"{{"Statement":{{{allow},"Condition":{{"NumericEquals":{{"a:b":"NaN"}}}}}}}}"#),
        format!(r#"{{"Statement":{{{allow},"Condition":{{"DateEquals":{{"a:b":"soon"}}}}}}}}"#),
        format!(r#"{{"Statement":{{{allow},"Condition":{{"Null":{{"a:b":"c"}}}}}}}}"#),
        r#"{"Statement":{"Effect":"Allow","Action":5,"Resource":"*"}}"#.to_owned(),
        r#"{"Statement":{"Effect":"Allow","Action":[],"Resource":"*"}}"#.to_owned(),
        r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"b/*"}}"#.to_owned(),
        format!(
            r#"{{"Statement":[{}]}}"#,
            vec![format!("{{{allow}}}"); 1_001].join(",")
        ),
        "[".repeat(100_000),
        " ".repeat(200_000),
    ] {
        let found = Document::parse(&bad, Kind::Identity);
        assert!(found.is_err(), "{}", &bad[..bad.len().min(200)]);
    }
}

/// A policy as bad as its size lets it be is decided in a moment.
#[test]
fn hostile_documents_take_no_time() {
    let stars = format!("arn:aws:s3:::{}", "a*".repeat(9_000));
    let many: Vec<String> = vec![stars; 6];
    let allow = json!({"Effect": "Allow", "Action": "*", "Resource": many});
    let arn = format!("arn:aws:s3:::{}", "a".repeat(1_000));
    let begun = std::time::Instant::now();
    let context = Context::new();
    assert!(
        !ask(
            allow.clone(),
            "s3:GetObject",
            Resource::One(&format!("{arn}b")),
            &context
        )
        .is_allowed()
    );
    ask(
        allow,
        "s3:GetObject",
        Resource::AnyOf(&format!("{arn}*b")),
        &context,
    );
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}
