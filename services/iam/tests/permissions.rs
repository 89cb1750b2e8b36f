//! Permissions, decided over calls as they come from the network.

use std::ops::Deref;

use cloud::{Caller, Cx};
use iam::{Mode, Policies};
use serde_json::{Value, json};
use shapes::iam::{CreateRoleInput, PutRolePolicyInput};

const ROLE: &str = "arn:aws:iam::000000000000:role/build";

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    /// With a role that may list roles, and see one of them.
    async fn new(mode: Mode) -> Self {
        let world = testkit::world([iam::service(), iam::sts_service()]).at_rest();
        let world = world.decided_by(Policies::new(mode));
        let role = CreateRoleInput {
            role_name: "build".into(),
            assume_role_policy_document: json!({"Statement": {"Effect": "Allow", "Principal": {"Service": "codebuild.amazonaws.com"}, "Action": "sts:AssumeRole"}}).to_string(),
            ..Default::default()
        };
        world.call(role).await;
        let policy = PutRolePolicyInput {
            role_name: "build".into(),
            policy_name: "some".into(),
            policy_document: json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": ["iam:GetRole", "iam:GetUser"], "Resource": ROLE},
                {"Effect": "Allow", "Action": "iam:List*", "Resource": "*"},
                {"Effect": "Deny", "Action": "iam:ListUsers", "Resource": "*"},
            ]})
            .to_string(),
        };
        world.call(policy).await;
        Self(world)
    }

    fn session(&self) -> Cx {
        self.cx.with_caller(Caller::AssumedRole {
            role_arn: ROLE.into(),
            role_id: None,
            session_name: "1".into(),
            access_key: "ASIA".into(),
        })
    }

    async fn ask(&self, operation: &str, input: Value) -> Result<Value, String> {
        testkit::serve(&self.session(), "iam", operation, input).await
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_in_awss_words() {
    let world = World::new(Mode::Enforce).await;
    world.ask("ListRoles", json!({})).await.unwrap();
    let own = json!({"RoleName": "build"});
    world.ask("GetRole", own).await.unwrap();
    let other = world.ask("GetRole", json!({"RoleName": "other"})).await;
    assert_eq!(
        other.unwrap_err(),
        "AccessDenied: User: arn:aws:sts::000000000000:assumed-role/build/1 is not authorized to perform: \
         iam:GetRole on resource: role other because no identity-based policy \
         allows the iam:GetRole action"
    );
    let denied = world.ask("ListUsers", json!({})).await.unwrap_err();
    assert!(
        denied.ends_with("with an explicit deny in an identity-based policy"),
        "{denied}"
    );
    // Nothing is created by a call that is refused.
    let create = json!({"RoleName": "new", "AssumeRolePolicyDocument": "{}"});
    world.ask("CreateRole", create).await.unwrap_err();
    let roles = world.ask("ListRoles", json!({})).await.unwrap();
    assert_eq!(roles["Roles"].as_array().unwrap().len(), 1);
}

/// What is authorized is what is executed: a member that the operation does not have chooses nothing.
#[tokio::test]
async fn a_member_that_the_operation_does_not_have_decides_nothing() {
    let world = World::new(Mode::Enforce).await;
    for input in [
        json!({"UserName": "ann", "RoleName": "build"}),
        json!({"UserName": "ann", "roleName": "build"}),
        json!({"RoleName": "build", "UserName": "ann"}),
    ] {
        let sent = wire::read_json(input.clone());
        let answer = world.session().serve("iam", "GetUser", sent).await;
        let refused = answer.map(|_| ()).unwrap_err().message;
        assert!(refused.contains("user ann"), "{refused}");
        // The command line's own door does not pass over what the operation does not have.
        let refused = world.ask("GetUser", input).await.unwrap_err();
        assert!(refused.contains("must be known"), "{refused}");
    }
}

#[tokio::test]
async fn an_audit_lets_everything_through_and_finds_out_what_is_needed() {
    let world = World::new(Mode::Audit).await;
    world.ask("ListUsers", json!({})).await.unwrap();
    for _ in 0..3 {
        world
            .ask("GetRole", json!({"RoleName": "build"}))
            .await
            .unwrap();
    }
    let calls = iam::calls(&world.cloud, ROLE).unwrap();
    let seen: Vec<_> = calls
        .iter()
        .map(|it| (it.action.as_str(), it.resource.as_str(), it.allowed))
        .collect();
    assert_eq!(
        seen,
        [("iam:GetRole", ROLE, true), ("iam:ListUsers", "*", false)]
    );
    assert_eq!(
        iam::policy_for(&calls)["Statement"],
        json!([
            {"Effect": "Allow", "Action": ["iam:ListUsers"], "Resource": "*"},
            {"Effect": "Allow", "Action": ["iam:GetRole"], "Resource": ROLE},
        ])
    );
    assert!(
        iam::calls(&world.cloud, "arn:aws:iam::000000000000:role/bui")
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_service_acts_with_the_permissions_of_its_role() {
    let world = World::new(Mode::Enforce).await;
    let cx = &world.cx;
    let get = |name: &str| shapes::iam::GetRoleInput {
        role_name: name.into(),
    };
    cx.call_as(ROLE, "pipeline", get("build")).await.unwrap();
    let refused = cx
        .call_as(ROLE, "pipeline", get("other"))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "AccessDenied");
}

/// What was begun in somebody's name goes on under that name only as long as it is the same somebody.
#[tokio::test]
async fn a_namesake_lends_nobody_its_permissions() {
    let world = World::new(Mode::Enforce).await;
    let cx = &world.cx;
    let role = shapes::iam::GetRoleInput {
        role_name: "build".into(),
    };
    let found = cx.call(role.clone()).await.unwrap().role;
    let assume = shapes::sts::AssumeRoleInput {
        role_arn: ROLE.into(),
        role_session_name: "session".into(),
        ..Default::default()
    };
    let session = cx.as_service("codebuild.amazonaws.com").call(assume).await;
    let access_key = session.unwrap().credentials.unwrap().access_key_id;
    let session_of = |role_id: &str| {
        cx.acting_as(Caller::AssumedRole {
            role_arn: ROLE.into(),
            role_id: Some(role_id.to_owned()),
            session_name: "session".into(),
            access_key: access_key.clone(),
        })
    };
    session_of(&found.role_id).call(role.clone()).await.unwrap();
    let refused = session_of("AROAOFANOTHER").call(role.clone()).await;
    assert_eq!(refused.unwrap_err().code, "AccessDenied");
    let user = shapes::iam::CreateUserInput {
        user_name: "ann".into(),
        ..Default::default()
    };
    let made = cx.call(user).await.unwrap().user.unwrap();
    let policy = shapes::iam::PutUserPolicyInput {
        user_name: "ann".into(),
        policy_name: "all".into(),
        policy_document: json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
        ]})
        .to_string(),
    };
    cx.call(policy).await.unwrap();
    let key_of = |id: &str| {
        cx.acting_as(Caller::User {
            arn: made.arn.clone(),
            id: id.to_owned(),
            access_key: String::new(),
        })
    };
    key_of(&made.user_id).call(role.clone()).await.unwrap();
    let refused = key_of("AIDAOFANOTHER").call(role).await;
    assert_eq!(refused.unwrap_err().code, "AccessDenied");
}

#[tokio::test]
async fn nobody_may_do_nothing_in_any_mode() {
    for mode in [Mode::Audit, Mode::Enforce] {
        let world = World::new(mode).await;
        let nobody = world.cx.with_caller(Caller::Anonymous);
        let answer = nobody.serve_json("iam", "ListRoles", json!({})).await;
        assert_eq!(answer.unwrap_err().code, "AccessDenied");
    }
}

#[tokio::test]
async fn a_role_is_found_by_its_name_or_by_its_own_arn() {
    let world = World::new(Mode::Enforce).await;
    let cx = &world.cx;
    let role = CreateRoleInput {
        role_name: "deep".into(),
        path: Some("/team/a/".into()),
        assume_role_policy_document: json!({"Statement": {"Effect": "Allow", "Principal": {"Service": "ecs.amazonaws.com"}, "Action": "sts:AssumeRole"}}).to_string(),
        ..Default::default()
    };
    cx.call(role).await.unwrap();
    let deep = "arn:aws:iam::000000000000:role/team/a/deep";
    for (given, found) in [
        ("deep", Some(deep)),
        (deep, Some(deep)),
        ("build", Some(ROLE)),
        ("arn:aws:iam::000000000000:role/deep", None),
        ("arn:aws:iam::000000000000:role/team/b/deep", None),
        ("arn:aws:iam::000000000000:role/team/a/build", None),
        ("arn:aws:iam::111111111111:role/team/a/deep", None),
        ("arn:aws:iam::000000000000:user/team/a/deep", None),
        ("a/deep", None),
        ("", None),
        ("arn:", None),
        ("arn:aws:iam::000000000000:role/", None),
    ] {
        let role = cx.find_role(given).unwrap();
        assert_eq!(role.map(|it| it.arn).as_deref(), found, "{given}");
        // Acting with one that is not there is acting as nobody.
        let acts_as = cx.role_arn(given).unwrap();
        let acting = cx.acting_as(Caller::AssumedRole {
            role_arn: acts_as,
            role_id: None,
            session_name: "1".into(),
            access_key: String::new(),
        });
        let may = acting.call(shapes::iam::ListRolesInput::default()).await;
        assert_eq!(may.is_ok(), found == Some(ROLE), "{given}");
    }
}

#[tokio::test]
async fn what_is_recorded_grows_neither_with_resources_nor_with_roles_that_are_gone() {
    let world = World::new(Mode::Audit).await;
    for number in 0..120 {
        let other = json!({"RoleName": format!("other{number}")});
        world.ask("GetRole", other).await.unwrap_err();
    }
    let recorded = || iam::calls(&world.cloud, ROLE).unwrap();
    assert_eq!(recorded().len(), 51);
    let folder = "arn:aws:iam::000000000000:role/*";
    assert!(
        recorded()
            .iter()
            .any(|it| it.resource == folder && !it.allowed)
    );
    // One that was recorded by itself still is, and counts as it was decided last.
    let owner = &world.cx;
    let policy = PutRolePolicyInput {
        role_name: "build".into(),
        policy_name: "some".into(),
        policy_document: json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "iam:GetRole", "Resource": "*"},
        ]})
        .to_string(),
    };
    owner.call(policy).await.unwrap();
    for name in ["other0", "other119"] {
        world
            .ask("GetRole", json!({"RoleName": name}))
            .await
            .unwrap_err();
    }
    let allowed: Vec<String> = (recorded().into_iter())
        .filter(|it| it.allowed)
        .map(|it| it.resource)
        .collect();
    assert_eq!(allowed, [folder, "arn:aws:iam::000000000000:role/other0"]);

    let (role_name, policy_name) = ("build".to_owned(), "some".to_owned());
    let gone = shapes::iam::DeleteRolePolicyInput {
        role_name: role_name.clone(),
        policy_name,
    };
    owner.call(gone).await.unwrap();
    let gone = shapes::iam::DeleteRoleInput { role_name };
    owner.call(gone).await.unwrap();
    assert!(recorded().is_empty());
}
