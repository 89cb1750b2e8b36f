//! Permissions boundaries and session policies: they take, and never give.

use policy::{
    Attached, Bound, Context, Document, Kind, Outcome, Principal, Request, Resource, decide,
    decide_within,
};
use serde_json::{Value as Json, json};

const ACCOUNT: &str = "000000000000";
const ROLE: &str = "arn:aws:iam::000000000000:role/build";
const SESSION: &str = "arn:aws:sts::000000000000:assumed-role/build/1";
const USER: &str = "arn:aws:iam::000000000000:user/ann";

fn document(statements: Json, kind: Kind) -> Document {
    Document::parse(&json!({"Statement": statements}).to_string(), kind).unwrap()
}

fn statement(effect: &str, action: &str) -> Json {
    json!({"Effect": effect, "Action": action, "Resource": "*"})
}

fn session() -> Principal {
    Principal::Session {
        account: ACCOUNT.into(),
        role_arn: ROLE.into(),
        role_id: "AROA".into(),
        session_arn: SESSION.into(),
    }
}

fn user() -> Principal {
    Principal::User {
        account: ACCOUNT.into(),
        arn: USER.into(),
        id: "AIDA".into(),
    }
}

fn outcome(
    principal: &Principal,
    own: Json,
    bounds: &[(Kind, Json)],
    attached: Option<Json>,
) -> Outcome {
    let mut context = Context::new();
    context.know_all();
    let request = Request {
        action: "s3:GetObject",
        resource: Resource::One("arn:aws:s3:::shop/a"),
        principal,
        context: &context,
    };
    let own = [document(own, Kind::Identity)];
    let bounds: Vec<Bound> = (bounds.iter())
        .map(|(kind, statements)| Bound {
            kind: *kind,
            documents: vec![document(statements.clone(), *kind)],
        })
        .collect();
    let attached = attached.map(|it| document(it, Kind::Resource));
    let attached = match &attached {
        None => Attached::None,
        Some(document) => Attached::Grants(document),
    };
    decide_within(&request, &own, &bounds, attached).outcome
}

#[test]
fn all_of_them_have_to_allow() {
    let (all, none) = (statement("Allow", "*"), statement("Allow", "ecs:*"));
    let deny = json!([statement("Allow", "*"), statement("Deny", "s3:*")]);
    let (boundary, session_policy) = (Kind::Boundary, Kind::Session);
    for (own, bounds, expected) in [
        (&all, vec![(boundary, &all)], Outcome::Allowed),
        (
            &all,
            vec![(boundary, &all), (session_policy, &all)],
            Outcome::Allowed,
        ),
        (
            &none,
            vec![(boundary, &all)],
            Outcome::DeniedImplicitly(Kind::Identity),
        ),
        (
            &all,
            vec![(boundary, &none)],
            Outcome::DeniedImplicitly(boundary),
        ),
        (
            &all,
            vec![(boundary, &all), (session_policy, &none)],
            Outcome::DeniedImplicitly(session_policy),
        ),
        (
            &all,
            vec![(boundary, &deny)],
            Outcome::DeniedExplicitly(boundary),
        ),
        (
            &all,
            vec![(boundary, &none), (session_policy, &deny)],
            Outcome::DeniedExplicitly(session_policy),
        ),
    ] {
        let bounds: Vec<_> = bounds
            .into_iter()
            .map(|(kind, it)| (kind, it.clone()))
            .collect();
        assert_eq!(
            outcome(&session(), own.clone(), &bounds, None),
            expected,
            "{own} {bounds:?}"
        );
    }
}

/// A boundary whose policy is gone has no documents, and allows nothing.
#[test]
fn a_bound_without_documents_allows_nothing() {
    let context = Context::new();
    let principal = user();
    let request = Request {
        action: "s3:GetObject",
        resource: Resource::One("arn:aws:s3:::shop/a"),
        principal: &principal,
        context: &context,
    };
    let own = [document(statement("Allow", "*"), Kind::Identity)];
    assert!(decide(&request, &own, Attached::None).is_allowed());
    let bound = Bound {
        kind: Kind::Boundary,
        documents: Vec::new(),
    };
    let decision = decide_within(&request, &own, &[bound], Attached::None);
    assert_eq!(decision.outcome, Outcome::DeniedImplicitly(Kind::Boundary));
    assert_eq!(
        decision.reason("s3:GetObject"),
        "because no permissions boundary allows the s3:GetObject action"
    );
}

/// What a bucket gives to a user or to a session itself is not the boundary's to take; what it gives to
/// the session's role, or to everybody, is (IAM User Guide, "Permissions boundaries for IAM entities").
#[test]
fn a_resource_gives_to_a_user_and_a_session_beyond_their_bounds() {
    let none = statement("Allow", "ecs:*");
    let bounds = [(Kind::Boundary, none.clone())];
    let to = |principal: Json| json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Principal": principal});
    for (who, principal, expected) in [
        (user(), json!({"AWS": USER}), true),
        (user(), json!("*"), false),
        (session(), json!({"AWS": SESSION}), true),
        (session(), json!({"AWS": ROLE}), false),
        (session(), json!("*"), false),
    ] {
        let found = outcome(&who, none.clone(), &bounds, Some(to(principal.clone())));
        assert_eq!(found == Outcome::Allowed, expected, "{principal}");
        // Without a bound each of them has it.
        let free = outcome(&who, none.clone(), &[], Some(to(principal.clone())));
        assert_eq!(free, Outcome::Allowed, "{principal}");
        // And a bound's denial counts whoever was named.
        let deny = [(
            Kind::Boundary,
            json!([statement("Allow", "*"), statement("Deny", "s3:*")]),
        )];
        let denied = outcome(&who, none.clone(), &deny, Some(to(principal)));
        assert_eq!(denied, Outcome::DeniedExplicitly(Kind::Boundary));
    }
}
