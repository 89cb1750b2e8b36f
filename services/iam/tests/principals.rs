//! A policy names whoever was there when it was put, and no namesake.

use std::ops::Deref;

use cloud::{Caller, Error};
use iam::{Mode, Policies};
use serde_json::{Value, json};
use shapes::iam::*;
use shapes::sts::AssumeRoleInput;

const ANN: &str = "arn:aws:iam::000000000000:user/staff/ann";
const HELPER: &str = "arn:aws:iam::000000000000:role/helper";
const SESSION: &str = "arn:aws:sts::000000000000:assumed-role/helper/s";

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    fn new() -> Self {
        let world = testkit::world([iam::service(), iam::sts_service()]).at_rest();
        Self(world.decided_by(Policies::new(Mode::Enforce)))
    }

    async fn user(&self) -> Caller {
        let user = CreateUserInput {
            user_name: "ann".into(),
            path: Some("/staff/".into()),
            ..Default::default()
        };
        let user = self.cx.call(user).await.unwrap().user.unwrap();
        assert_eq!(user.arn, ANN);
        Caller::User {
            arn: user.arn,
            id: user.user_id,
            access_key: "AKIAANN".into(),
        }
    }

    async fn without_user(&self) {
        let user_name = "ann".into();
        self.cx.call(DeleteUserInput { user_name }).await.unwrap();
    }

    async fn role(&self, name: &str, principal: Value) -> Result<Role, Error> {
        let role = CreateRoleInput {
            role_name: name.into(),
            assume_role_policy_document: trust(principal),
            ..Default::default()
        };
        self.cx.call(role).await.map(|it| it.role)
    }

    async fn without_role(&self, name: &str) {
        let role_name = name.into();
        self.cx.call(DeleteRoleInput { role_name }).await.unwrap();
    }

    async fn session_of(&self, role: &Role) -> Caller {
        let input = AssumeRoleInput {
            role_arn: role.arn.clone(),
            role_session_name: "s".into(),
            ..Default::default()
        };
        let ecs = self.cx.as_service("ecs.amazonaws.com");
        let session = ecs.call(input).await.unwrap();
        Caller::AssumedRole {
            role_arn: role.arn.clone(),
            role_id: Some(role.role_id.clone()),
            session_name: "s".into(),
            access_key: session.credentials.unwrap().access_key_id,
        }
    }

    async fn may_assume(&self, who: Caller) -> bool {
        let input = AssumeRoleInput {
            role_arn: "arn:aws:iam::000000000000:role/target".into(),
            role_session_name: "t".into(),
            ..Default::default()
        };
        self.cx.with_caller(who).call(input).await.is_ok()
    }

    /// Whom the trust policy names, as it is shown.
    async fn shown(&self) -> Value {
        let role_name = "target".into();
        let role = self.cx.call(GetRoleInput { role_name }).await.unwrap();
        let listed = self.cx.call(ListRolesInput::default()).await.unwrap();
        let listed = listed.roles.into_iter().find(|it| it.role_name == "target");
        assert_eq!(
            listed.unwrap().assume_role_policy_document,
            role.role.assume_role_policy_document
        );
        let text = role.role.assume_role_policy_document.unwrap();
        let text = percent_encoding::percent_decode_str(&text).decode_utf8();
        let trust: Value = serde_json::from_str(&text.unwrap()).unwrap();
        trust["Statement"]["Principal"]["AWS"].clone()
    }

    async fn put(&self, principal: Value) -> Result<(), Error> {
        let input = UpdateAssumeRolePolicyInput {
            role_name: "target".into(),
            policy_document: trust(principal),
        };
        self.cx.call(input).await.map(drop)
    }
}

fn trust(principal: Value) -> String {
    let statement = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal});
    json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

#[tokio::test]
async fn a_namesake_of_a_user_inherits_nothing() {
    let world = World::new();
    let ann = world.user().await;
    world.role("target", json!({"AWS": ANN})).await.unwrap();
    assert_eq!(world.shown().await, ANN);
    assert!(world.may_assume(ann.clone()).await);
    let Caller::User { id, .. } = &ann else {
        unreachable!()
    };

    world.without_user().await;
    assert_eq!(world.shown().await, json!(id));
    let namesake = world.user().await;
    assert!(!world.may_assume(namesake.clone()).await);
    assert_eq!(world.shown().await, json!(id));
    // Who is gone cannot be named again; the next one can.
    let refused = world.put(json!({"AWS": id})).await.unwrap_err();
    let message = format!("Invalid principal in policy: \"AWS\":\"{id}\"");
    assert_eq!(
        (refused.code, refused.message),
        ("MalformedPolicyDocument", message)
    );
    world.put(json!({"AWS": [ANN]})).await.unwrap();
    assert!(world.may_assume(namesake.clone()).await);
    assert_eq!(world.shown().await, json!([ANN]));
    // By its id as well, as it is told by GetUser.
    let Caller::User { id, .. } = &namesake else {
        unreachable!()
    };
    world.put(json!({"AWS": id})).await.unwrap();
    assert!(world.may_assume(namesake).await);
}

#[tokio::test]
async fn a_namesake_of_a_role_inherits_nothing_and_neither_do_its_sessions() {
    let world = World::new();
    let service = json!({"Service": "ecs.amazonaws.com"});
    for named in [HELPER, SESSION] {
        let helper = world.role("helper", service.clone()).await.unwrap();
        world.role("target", json!({"AWS": named})).await.unwrap();
        assert_eq!(world.shown().await, named);
        assert!(world.may_assume(world.session_of(&helper).await).await);
        world.without_role("helper").await;
        let namesake = world.role("helper", service.clone()).await.unwrap();
        assert!(
            !world.may_assume(world.session_of(&namesake).await).await,
            "{named}"
        );
        let shown = world.shown().await;
        assert!(
            shown.as_str().unwrap().starts_with(&helper.role_id),
            "{shown}"
        );
        world.without_role("target").await;
        world.without_role("helper").await;
    }
}

#[tokio::test]
async fn who_is_not_there_cannot_be_named() {
    let world = World::new();
    world.user().await;
    for nobody in [
        "arn:aws:iam::000000000000:user/bob",
        // The user of that name has another path.
        "arn:aws:iam::000000000000:user/ann",
        "arn:aws:iam::000000000000:role/ann",
        "arn:aws:iam::000000000000:group/all",
        "arn:aws:sts::000000000000:assumed-role/nobody/s",
        "arn:aws:sts::000000000000:assumed-role/nobody",
        "AIDAAAAAAAAAAAAAAAAAA",
    ] {
        for principal in [json!({"AWS": nobody}), json!({"AWS": [ANN, nobody]})] {
            let refused = world.role("target", principal).await.unwrap_err();
            let message = format!("Invalid principal in policy: \"AWS\":\"{nobody}\"");
            assert_eq!(
                (refused.code, refused.message),
                ("MalformedPolicyDocument", message)
            );
        }
    }
    // Of other accounts nothing is known here.
    for other in [
        "arn:aws:iam::111111111111:user/bob",
        "arn:aws:iam::000000000000:root",
        "000000000000",
        "*",
    ] {
        let made = world.role("target", json!({"AWS": other})).await;
        made.unwrap_or_else(|error| panic!("{other}: {error:?}"));
        assert_eq!(world.shown().await, other);
        world.without_role("target").await;
    }
}

#[tokio::test]
async fn users_have_tags_and_policies_know_them() {
    let world = World::new();
    let ann = world.user().await;
    let trust = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": ANN},
        "Condition": {"StringEquals": {"aws:PrincipalTag/team": "a"}},
    }});
    let role = CreateRoleInput {
        role_name: "target".into(),
        assume_role_policy_document: trust.to_string(),
        ..Default::default()
    };
    world.cx.call(role).await.unwrap();
    assert!(!world.may_assume(ann.clone()).await);
    let tag = |value: &str| TagUserInput {
        user_name: "ann".into(),
        tags: vec![Tag {
            key: "team".into(),
            value: value.into(),
        }],
    };
    world.cx.call(tag("b")).await.unwrap();
    assert!(!world.may_assume(ann.clone()).await);
    world.cx.call(tag("a")).await.unwrap();
    assert!(world.may_assume(ann.clone()).await);
    let list = ListUserTagsInput {
        user_name: "ann".into(),
        ..Default::default()
    };
    let listed = world.cx.call(list).await.unwrap().tags;
    assert_eq!((listed.len(), listed[0].value.as_str()), (1, "a"));
    let untag = UntagUserInput {
        user_name: "ann".into(),
        tag_keys: vec!["team".into()],
    };
    world.cx.call(untag).await.unwrap();
    assert!(!world.may_assume(ann).await);
}

/// What is refused is called as it was asked for, whether it is there or not.
#[tokio::test]
async fn refusals_do_not_tell_what_there_is() {
    let world = World::new();
    let ann = world.user().await;
    let role = CreateRoleInput {
        role_name: "hidden".into(),
        path: Some("/deep/".into()),
        assume_role_policy_document: trust(json!({"Service": "ecs.amazonaws.com"})),
        ..Default::default()
    };
    world.cx.call(role).await.unwrap();
    let cx = world
        .cloud
        .context("us-east-1", ann, world.cx.origin.clone());
    for name in ["hidden", "nobody"] {
        let input = json!({"RoleName": name});
        let refused = cx.serve_json("iam", "GetRole", input).await.unwrap_err();
        assert_eq!(
            refused.message,
            format!(
                "User: {ANN} is not authorized to perform: iam:GetRole on resource: role {name} because \
                 no identity-based policy allows the iam:GetRole action"
            )
        );
    }
}
