//! What groups, permissions boundaries and sessions' own policies give and take, by calls as they come
//! from the network.

use cloud::{Caller, Cx};
use iam::{Mode, Policies};
use serde_json::{Value, json};

const ROLE: &str = "arn:aws:iam::000000000000:role/worker";

struct World(testkit::World);

fn document(statements: Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn allow(actions: Value) -> String {
    document(json!({"Effect": "Allow", "Action": actions, "Resource": "*"}))
}

impl World {
    fn new() -> Self {
        let world = testkit::world([iam::service(), iam::sts_service()]).at_rest();
        Self(world.decided_by(Policies::new(Mode::Enforce)))
    }

    async fn iam(&self, operation: &str, input: Value) -> Value {
        let answer = testkit::serve(self.owner(), "iam", operation, input).await;
        answer.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    async fn refused(&self, operation: &str, input: Value) -> String {
        let answer = testkit::serve(self.owner(), "iam", operation, input).await;
        answer.unwrap_err()
    }

    /// Who may do everything.
    fn owner(&self) -> &Cx {
        &self.0.cx
    }

    /// The ARN of a new managed policy.
    async fn policy(&self, name: &str, document: String) -> String {
        let input = json!({"PolicyName": name, "PolicyDocument": document});
        let made = self.iam("CreatePolicy", input).await;
        made["Policy"]["Arn"].as_str().unwrap().to_owned()
    }

    /// A context in which a new user calls.
    async fn user(&self, name: &str) -> Cx {
        let made = self.iam("CreateUser", json!({"UserName": name})).await;
        let user = &made["User"];
        self.owner().with_caller(Caller::User {
            arn: user["Arn"].as_str().unwrap().into(),
            id: user["UserId"].as_str().unwrap().into(),
            access_key: "AKIA".into(),
        })
    }

    /// A role that the account may assume, and that may do what is given.
    async fn role(&self, may: String) {
        let trust = document(
            json!({"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
            "Principal": {"AWS": "000000000000"}}),
        );
        let input = json!({"RoleName": "worker", "AssumeRolePolicyDocument": trust,
            "Tags": [{"Key": "team", "Value": "red"}]});
        self.iam("CreateRole", input).await;
        let input = json!({"RoleName": "worker", "PolicyName": "own", "PolicyDocument": may});
        self.iam("PutRolePolicy", input).await;
    }

    /// A context in which a session of the role calls, which was assumed with these members.
    async fn session(&self, from: &Cx, members: Value) -> Result<Cx, String> {
        let mut input = json!({"RoleArn": ROLE, "RoleSessionName": "session"});
        for (name, value) in members.as_object().unwrap() {
            input[name] = value.clone();
        }
        let answer = testkit::serve(from, "sts", "AssumeRole", input).await?;
        let credentials = &answer["Credentials"];
        let key = credentials["AccessKeyId"].as_str().unwrap();
        let caller = iam::find_holder(&self.0.cloud, key).unwrap();
        Ok(self.owner().with_caller(caller))
    }
}

async fn may(cx: &Cx, operation: &str) -> Result<(), String> {
    let answer = cx.serve_json("iam", operation, json!({})).await;
    answer.map(drop).map_err(|it| it.message)
}

#[track_caller]
fn ends(outcome: Result<(), String>, reason: &str) {
    let message = outcome.unwrap_err();
    assert!(message.ends_with(reason), "{message}");
}

#[tokio::test]
async fn a_group_gives_its_users_its_policies() {
    let world = World::new();
    let ann = world.user("ann").await;
    world
        .iam("CreateGroup", json!({"GroupName": "staff"}))
        .await;
    let both = json!({"GroupName": "staff", "UserName": "ann"});
    let policy = json!({"GroupName": "staff", "PolicyName": "p", "PolicyDocument": allow(json!("iam:ListRoles"))});
    world.iam("PutGroupPolicy", policy).await;
    let arn = world.policy("users", allow(json!("iam:ListUsers"))).await;
    world
        .iam(
            "AttachGroupPolicy",
            json!({"GroupName": "staff", "PolicyArn": arn}),
        )
        .await;
    assert!(may(&ann, "ListRoles").await.is_err());
    world.iam("AddUserToGroup", both.clone()).await;
    assert_eq!(may(&ann, "ListRoles").await, Ok(()));
    assert_eq!(may(&ann, "ListUsers").await, Ok(()));

    let group = world.iam("GetGroup", json!({"GroupName": "staff"})).await;
    assert_eq!(group["Users"][0]["UserName"], "ann");
    let groups = world
        .iam("ListGroupsForUser", json!({"UserName": "ann"}))
        .await;
    assert_eq!(groups["Groups"][0]["GroupName"], "staff");
    let entities = world
        .iam("ListEntitiesForPolicy", json!({"PolicyArn": arn}))
        .await;
    assert_eq!(entities["PolicyGroups"][0]["GroupName"], "staff");

    // What is called otherwise keeps its users.
    let rename = json!({"GroupName": "staff", "NewGroupName": "crew"});
    world.iam("UpdateGroup", rename).await;
    assert_eq!(may(&ann, "ListRoles").await, Ok(()));
    let in_use = "DeleteConflict: Cannot delete entity, must remove users from group first.";
    assert_eq!(
        world
            .refused("DeleteGroup", json!({"GroupName": "crew"}))
            .await,
        in_use
    );
    assert_eq!(
        world
            .refused("DeleteUser", json!({"UserName": "ann"}))
            .await,
        in_use
    );

    let deny = document(json!({"Effect": "Deny", "Action": "iam:ListRoles", "Resource": "*"}));
    let policy = json!({"GroupName": "crew", "PolicyName": "p", "PolicyDocument": deny});
    world.iam("PutGroupPolicy", policy).await;
    ends(
        may(&ann, "ListRoles").await,
        "with an explicit deny in an identity-based policy",
    );
    let both = json!({"GroupName": "crew", "UserName": "ann"});
    world.iam("RemoveUserFromGroup", both).await;
    assert!(may(&ann, "ListUsers").await.is_err());
    let attached = "DeleteConflict: Cannot delete entity, must detach all policies first.";
    assert_eq!(
        world
            .refused("DeleteGroup", json!({"GroupName": "crew"}))
            .await,
        attached
    );
}

#[tokio::test]
async fn a_user_is_in_ten_groups_at_most() {
    let world = World::new();
    world.user("ann").await;
    for at in 0..11 {
        let name = format!("g{at}");
        world.iam("CreateGroup", json!({"GroupName": name})).await;
        let both = json!({"GroupName": name, "UserName": "ann"});
        if at < 10 {
            world.iam("AddUserToGroup", both).await;
        } else {
            let refused = world.refused("AddUserToGroup", both).await;
            assert_eq!(
                refused,
                "LimitExceeded: Cannot exceed quota for GroupsPerUser: 10"
            );
        }
    }
}

#[tokio::test]
async fn a_boundary_takes_what_it_does_not_allow() {
    let world = World::new();
    let ann = world.user("ann").await;
    let input =
        json!({"UserName": "ann", "PolicyName": "own", "PolicyDocument": allow(json!("iam:*"))});
    world.iam("PutUserPolicy", input).await;
    let arn = world
        .policy("bound", allow(json!(["iam:ListRoles", "sts:*"])))
        .await;
    let missing =
        json!({"UserName": "ann", "PermissionsBoundary": "arn:aws:iam::000000000000:policy/none"});
    assert_eq!(
        world.refused("PutUserPermissionsBoundary", missing).await,
        "NoSuchEntity: Scope ARN: arn:aws:iam::000000000000:policy/none does not exist or is not attachable."
    );
    let bound = json!({"UserName": "ann", "PermissionsBoundary": arn});
    world.iam("PutUserPermissionsBoundary", bound).await;
    assert_eq!(may(&ann, "ListRoles").await, Ok(()));
    ends(
        may(&ann, "ListUsers").await,
        "because no permissions boundary allows the iam:ListUsers action",
    );
    let shown = world.iam("GetUser", json!({"UserName": "ann"})).await;
    assert_eq!(
        shown["User"]["PermissionsBoundary"],
        json!({"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": arn})
    );
    let policy = world.iam("GetPolicy", json!({"PolicyArn": arn})).await;
    assert_eq!(policy["Policy"]["PermissionsBoundaryUsageCount"], 1);
    assert_eq!(policy["Policy"]["AttachmentCount"], 0);
    assert_eq!(
        world
            .refused("DeletePolicy", json!({"PolicyArn": arn}))
            .await,
        "DeleteConflict: Cannot delete a policy attached to entities."
    );
    world
        .iam("DeleteUserPermissionsBoundary", json!({"UserName": "ann"}))
        .await;
    assert_eq!(may(&ann, "ListUsers").await, Ok(()));

    // The same for a role, and for those that are made with one.
    world.role(allow(json!("iam:*"))).await;
    let session = world.session(world.owner(), json!({})).await.unwrap();
    assert_eq!(may(&session, "ListUsers").await, Ok(()));
    let bound = json!({"RoleName": "worker", "PermissionsBoundary": arn});
    world.iam("PutRolePermissionsBoundary", bound).await;
    assert_eq!(may(&session, "ListRoles").await, Ok(()));
    assert!(may(&session, "ListUsers").await.is_err());
    let trust = document(
        json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "000000000000"}}),
    );
    let made =
        json!({"RoleName": "other", "AssumeRolePolicyDocument": trust, "PermissionsBoundary": arn});
    let made = world.iam("CreateRole", made).await;
    assert_eq!(
        made["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"],
        json!(arn)
    );
}

/// Who may do things to others within a boundary alone is held to it by the boundary that is asked for.
#[tokio::test]
async fn policies_see_the_boundary_that_is_given() {
    let world = World::new();
    let ann = world.user("ann").await;
    let arn = world.policy("bound", allow(json!("iam:ListRoles"))).await;
    let only_bounded = document(
        json!({"Effect": "Allow", "Action": "iam:CreateUser", "Resource": "*",
        "Condition": {"StringEquals": {"iam:PermissionsBoundary": arn}}}),
    );
    let input = json!({"UserName": "ann", "PolicyName": "own", "PolicyDocument": only_bounded});
    world.iam("PutUserPolicy", input).await;
    let create = |input: Value| ann.serve_json("iam", "CreateUser", input);
    assert!(create(json!({"UserName": "free"})).await.is_err());
    create(json!({"UserName": "bound", "PermissionsBoundary": arn}))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_session_has_no_more_than_its_policies_allow() {
    let world = World::new();
    world.role(allow(json!("iam:List*"))).await;
    let arn = world.policy("users", allow(json!("iam:ListUsers"))).await;
    let policy = allow(json!(["iam:ListRoles", "iam:CreateUser"]));
    let session = world
        .session(world.owner(), json!({"Policy": policy}))
        .await
        .unwrap();
    assert_eq!(may(&session, "ListRoles").await, Ok(()));
    ends(
        may(&session, "ListUsers").await,
        "because no session policy allows the iam:ListUsers action",
    );
    // Nor does it get what its role has not.
    let create = session
        .serve_json("iam", "CreateUser", json!({"UserName": "x"}))
        .await;
    assert!(
        create
            .unwrap_err()
            .message
            .contains("no identity-based policy")
    );
    let both = json!({"Policy": policy, "PolicyArns": [{"arn": arn}]});
    let session = world.session(world.owner(), both).await.unwrap();
    assert_eq!(may(&session, "ListUsers").await, Ok(()));
    assert_eq!(may(&session, "ListRoles").await, Ok(()));
    let deny = document(json!([{"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "iam:ListRoles", "Resource": "*"}]));
    let session = world
        .session(world.owner(), json!({"Policy": deny}))
        .await
        .unwrap();
    ends(
        may(&session, "ListRoles").await,
        "with an explicit deny in a session policy",
    );
    for (members, code) in [
        (json!({"Policy": "{"}), "MalformedPolicyDocument"),
        (
            json!({"PolicyArns": [{"arn": "arn:aws:iam::000000000000:policy/none"}]}),
            "MalformedPolicyDocument",
        ),
        (
            json!({"Policy": allow(json!(vec!["iam:ListRoles"; 150]))}),
            "PackedPolicyTooLarge",
        ),
    ] {
        let refused = world
            .session(world.owner(), members)
            .await
            .map(drop)
            .unwrap_err();
        assert!(refused.starts_with(code), "{refused}");
    }
}

#[tokio::test]
async fn tags_of_a_session_are_its_principals() {
    let world = World::new();
    let by_team = |team: &str| {
        document(
            json!({"Effect": "Allow", "Action": ["iam:ListRoles", "sts:*"], "Resource": "*",
            "Condition": {"StringEqualsIfExists": {"aws:PrincipalTag/team": team}}}),
        )
    };
    world.role(by_team("blue")).await;
    let plain = world.session(world.owner(), json!({})).await.unwrap();
    assert!(
        may(&plain, "ListRoles").await.is_err(),
        "the role's tag is red"
    );
    let tags = json!([{"Key": "team", "Value": "blue"}, {"Key": "x", "Value": "1"}]);
    let tagged = json!({"Tags": tags, "TransitiveTagKeys": ["team"]});
    let session = world.session(world.owner(), tagged).await.unwrap();
    assert_eq!(may(&session, "ListRoles").await, Ok(()));
    // What is transitive goes on to the next session, and cannot be set by it.
    let next = world.session(&session, json!({})).await.unwrap();
    assert_eq!(may(&next, "ListRoles").await, Ok(()));
    let again = json!({"Tags": [{"Key": "Team", "Value": "red"}]});
    assert!(world.session(&session, again).await.is_err());
    let unlisted = json!({"TransitiveTagKeys": ["team"]});
    assert!(world.session(world.owner(), unlisted).await.is_err());

    // Tags and a source identity need a trust policy that lets them be set.
    let trust = document(
        json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "000000000000"}}),
    );
    let input = json!({"RoleName": "worker", "PolicyDocument": trust});
    world.iam("UpdateAssumeRolePolicy", input).await;
    assert!(world.session(world.owner(), json!({})).await.is_ok());
    for (members, action) in [
        (json!({"Tags": tags}), "sts:TagSession"),
        (json!({"SourceIdentity": "ann"}), "sts:SetSourceIdentity"),
    ] {
        let refused = world
            .session(world.owner(), members)
            .await
            .map(drop)
            .unwrap_err();
        assert!(
            refused.contains(&format!("not authorized to perform: {action}")),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_source_identity_stays_along_a_chain() {
    let world = World::new();
    let only_ann = document(
        json!({"Effect": "Allow", "Action": ["iam:ListRoles", "sts:*"], "Resource": "*",
        "Condition": {"StringEquals": {"aws:SourceIdentity": "ann"}}}),
    );
    world.role(only_ann).await;
    let bob = world
        .session(world.owner(), json!({"SourceIdentity": "bob"}))
        .await
        .unwrap();
    assert!(may(&bob, "ListRoles").await.is_err());
    let ann = world
        .session(world.owner(), json!({"SourceIdentity": "ann"}))
        .await
        .unwrap();
    assert_eq!(may(&ann, "ListRoles").await, Ok(()));
    let next = world.session(&ann, json!({})).await.unwrap();
    assert_eq!(may(&next, "ListRoles").await, Ok(()));
    assert!(
        world
            .session(&ann, json!({"SourceIdentity": "bob"}))
            .await
            .is_err()
    );
}

/// A policy by the condition keys that a trust policy has, whoever assumes.
#[tokio::test]
async fn a_trust_policy_sees_the_tags_that_are_asked_for() {
    let world = World::new();
    world.role(allow(json!("iam:List*"))).await;
    let trust = document(
        json!({"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Principal": {"AWS": "000000000000"},
        "Condition": {
            "StringEquals": {"aws:RequestTag/team": ["red", "blue"]},
            "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]},
            "StringLike": {"sts:RoleSessionName": "s*"},
            "Null": {"sts:ExternalId": "true"}}}),
    );
    let input = json!({"RoleName": "worker", "PolicyDocument": trust});
    world.iam("UpdateAssumeRolePolicy", input).await;
    let tag = |key: &str, value: &str| json!({"Tags": [{"Key": key, "Value": value}]});
    assert!(
        world
            .session(world.owner(), tag("team", "red"))
            .await
            .is_ok()
    );
    for members in [json!({}), tag("team", "green"), tag("other", "red")] {
        assert!(
            world.session(world.owner(), members.clone()).await.is_err(),
            "{members}"
        );
    }
    let mut other = tag("team", "red");
    other["ExternalId"] = json!("xyz");
    assert!(world.session(world.owner(), other).await.is_err());
}

/// What limits a session is kept with it: where that is gone, nothing is known of what it may do.
#[tokio::test(start_paused = true)]
async fn a_session_that_has_ended_while_it_calls_is_not_its_whole_role() {
    let world = World::new();
    world.role(allow(json!("*"))).await;
    let policy = json!({"Policy": allow(json!("iam:ListRoles")), "DurationSeconds": 900});
    let session = world.session(world.owner(), policy).await.unwrap();
    assert_eq!(may(&session, "ListRoles").await, Ok(()));
    assert!(may(&session, "ListUsers").await.is_err());
    tokio::time::advance(std::time::Duration::from_secs(901)).await;
    for operation in ["ListRoles", "ListUsers"] {
        let answer = session.serve_json("iam", operation, json!({})).await;
        assert_eq!(answer.unwrap_err().code, "ExpiredTokenException");
    }
    // The same where nothing is kept of it.
    let Caller::AssumedRole {
        role_arn, role_id, ..
    } = session.caller.clone()
    else {
        unreachable!()
    };
    for access_key in ["", "ASIAUNKNOWN"] {
        let unknown = session.with_caller(Caller::AssumedRole {
            role_arn: role_arn.clone(),
            role_id: role_id.clone(),
            session_name: "session".into(),
            access_key: access_key.into(),
        });
        assert!(may(&unknown, "ListRoles").await.is_err());
    }
}

#[tokio::test]
async fn a_user_s_session_makes_nothing_that_outlives_it() {
    let world = World::new();
    let ann = world.user("ann").await;
    let all = json!({"UserName": "ann", "PolicyName": "p", "PolicyDocument": allow(json!("*"))});
    world.iam("PutUserPolicy", all).await;
    let answer = ann.serve_json("sts", "GetSessionToken", json!({})).await;
    let answer = answer.unwrap_or_else(|it| panic!("{}", it.message));
    let key = answer["Credentials"]["AccessKeyId"].as_str().unwrap();
    let session = (ann).with_caller(iam::find_holder(&world.0.cloud, key).unwrap());
    let again = session
        .serve_json("sts", "GetSessionToken", json!({}))
        .await;
    assert_eq!(again.unwrap_err().code, "AccessDenied");
    let key = json!({"UserName": "ann"});
    let refused = session
        .serve_json("iam", "CreateAccessKey", key.clone())
        .await;
    assert_eq!(refused.unwrap_err().code, "InvalidClientTokenId");
    let owner = Caller::RootSession {
        access_key: "ASIAOWNER".into(),
    };
    let owner = ann.with_caller(owner);
    let refused = owner
        .serve_json("iam", "CreateAccessKey", key.clone())
        .await;
    assert_eq!(refused.unwrap_err().code, "InvalidClientTokenId");
    let who = owner.serve_json("sts", "GetCallerIdentity", json!({}));
    assert!(who.await.is_ok());
    // It is the user everywhere else, and the user itself may.
    world.role(allow(json!("*"))).await;
    world.session(&session, json!({})).await.unwrap();
    let own = ann.serve_json("iam", "CreateAccessKey", key).await;
    assert!(own.is_ok());
}

#[tokio::test]
async fn who_renames_a_group_may_have_both_names() {
    let world = World::new();
    let ann = world.user("ann").await;
    let arn = "arn:aws:iam::000000000000:group";
    let policy = document(json!({"Effect": "Allow", "Action": "iam:UpdateGroup",
        "Resource": [format!("{arn}/dev*"), format!("{arn}/team/dev*")]}));
    let own = json!({"UserName": "ann", "PolicyName": "p", "PolicyDocument": policy});
    world.iam("PutUserPolicy", own).await;
    world.iam("CreateGroup", json!({"GroupName": "dev"})).await;
    let renames = async |input: Value| {
        let answer = ann.serve_json("iam", "UpdateGroup", input).await;
        answer.map(drop).map_err(|it| it.code)
    };
    for refused in [
        json!({"GroupName": "dev", "NewGroupName": "admins"}),
        json!({"GroupName": "dev", "NewPath": "/admins/"}),
        json!({"GroupName": "dev", "NewPath": "/team/", "NewGroupName": "ops"}),
    ] {
        assert_eq!(renames(refused).await, Err("AccessDenied"));
    }
    let moved = json!({"GroupName": "dev", "NewPath": "/team/", "NewGroupName": "dev2"});
    assert_eq!(renames(moved).await, Ok(()));
}
