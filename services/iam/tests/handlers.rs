//! The operations over records alone.

use std::ops::Deref;

use cloud::{Caller, Cx, ResourceRequest};
use serde_json::json;
use shapes::iam::*;
use shapes::sts::{AssumeRoleInput, GetCallerIdentityInput, GetSessionTokenInput};

const EXECUTION: &str = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
const ALLOW: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;

fn trust(principal: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}]}}"#
    )
}

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    fn new() -> Self {
        Self(testkit::world([iam::service(), iam::sts_service()]).run())
    }

    async fn role(&self, name: &str, principal: &str) -> Role {
        self.call(new_role(name, principal)).await.role
    }

    /// As whom a key with this session token is let in.
    fn caller(&self, id: &str, token: Option<&str>) -> Option<(String, Caller)> {
        Some(iam::find_key(&self.cloud, id, token)?.for_another_verifier())
    }

    /// The account's owner, as its own key makes it.
    fn owner(&self) -> Cx {
        self.cx.with_caller(testkit::owner())
    }
}

fn new_role(name: &str, principal: &str) -> CreateRoleInput {
    CreateRoleInput {
        role_name: name.into(),
        assume_role_policy_document: trust(principal),
        ..Default::default()
    }
}

fn refusal<'a>(code: &'a str, message: &str) -> (&'a str, String) {
    (code, message.to_owned())
}

#[tokio::test]
async fn errors_are_awss() {
    let world = World::new();
    let service = r#"{"Service":"ecs-tasks.amazonaws.com"}"#;
    let role = world.role("r", service).await;
    assert_eq!(role.arn, "arn:aws:iam::000000000000:role/r");
    assert!(role.role_id.starts_with("AROA") && role.role_id.len() == 21);
    let document = role.assume_role_policy_document.unwrap();
    assert!(
        document.starts_with("%7B%22Version%22%3A%222012-10-17%22"),
        "{document}"
    );

    assert_eq!(
        world.refused(new_role("r", service)).await,
        refusal("EntityAlreadyExists", "Role with name r already exists.")
    );
    let get = GetRoleInput {
        role_name: "x".into(),
    };
    assert_eq!(
        world.refused(get).await,
        refusal("NoSuchEntity", "The role with name x cannot be found.")
    );
    let malformed = UpdateAssumeRolePolicyInput {
        role_name: "r".into(),
        policy_document: ALLOW.into(),
    };
    assert_eq!(world.refused(malformed).await.0, "MalformedPolicyDocument");
    let bounded = CreateRoleInput {
        permissions_boundary: Some("arn:aws:iam::aws:policy/Nothing".into()),
        ..new_role("b", service)
    };
    assert_eq!(
        world.refused(bounded).await.1,
        "Scope ARN: arn:aws:iam::aws:policy/Nothing does not exist or is not attachable."
    );
    let attach = |arn: &str| AttachRolePolicyInput {
        role_name: "r".into(),
        policy_arn: arn.into(),
    };
    let unknown = "arn:aws:iam::aws:policy/AmazonECSTaskExecutionRolePolicy";
    assert_eq!(
        world.refused(attach(unknown)).await,
        refusal(
            "NoSuchEntity",
            &format!("Policy {unknown} does not exist or is not attachable.")
        )
    );
    assert_eq!(
        world.refused(attach("longpolicynamebutnoarn")).await,
        refusal("ValidationError", "Invalid ARN:  Could not be parsed!")
    );
    world.call(attach(EXECUTION)).await;
    let delete = DeleteRoleInput {
        role_name: "r".into(),
    };
    assert_eq!(
        world.refused(delete.clone()).await,
        refusal(
            "DeleteConflict",
            "Cannot delete entity, must detach all policies first."
        )
    );
    let attached = ListAttachedRolePoliciesInput {
        role_name: "r".into(),
        ..Default::default()
    };
    let attached = world.call(attached).await.attached_policies.unwrap();
    assert_eq!(attached[0].policy_arn.as_deref(), Some(EXECUTION));
    world
        .call(DetachRolePolicyInput {
            role_name: "r".into(),
            policy_arn: EXECUTION.into(),
        })
        .await;
    world.call(delete).await;
}

#[tokio::test]
async fn policies_have_versions() {
    let world = World::new();
    let create = CreatePolicyInput {
        policy_name: "p".into(),
        path: Some("/team/".into()),
        policy_document: ALLOW.into(),
        ..Default::default()
    };
    let arn = world
        .call(create.clone())
        .await
        .policy
        .unwrap()
        .arn
        .unwrap();
    assert_eq!(arn, "arn:aws:iam::000000000000:policy/team/p");
    assert_eq!(world.refused(create).await.0, "EntityAlreadyExists");
    let version = CreatePolicyVersionInput {
        policy_arn: arn.clone(),
        policy_document: ALLOW.replace("s3", "sqs"),
        set_as_default: Some(true),
    };
    for _ in 0..4 {
        world.call(version.clone()).await;
    }
    assert_eq!(world.refused(version).await.0, "LimitExceeded");
    let policy = world
        .call(GetPolicyInput {
            policy_arn: arn.clone(),
        })
        .await
        .policy
        .unwrap();
    assert_eq!(policy.default_version_id.as_deref(), Some("v5"));
    let delete = |id: &str| DeletePolicyVersionInput {
        policy_arn: arn.clone(),
        version_id: id.into(),
    };
    assert_eq!(world.refused(delete("v5")).await.0, "DeleteConflict");
    assert_eq!(
        world
            .refused(DeletePolicyInput {
                policy_arn: arn.clone()
            })
            .await
            .0,
        "DeleteConflict"
    );
    for id in ["v1", "v2", "v3", "v4"] {
        world.call(delete(id)).await;
    }
    world
        .call(DeletePolicyInput {
            policy_arn: arn.clone(),
        })
        .await;
    assert_eq!(
        world.refused(GetPolicyInput { policy_arn: arn }).await.0,
        "NoSuchEntity"
    );
}

#[tokio::test]
async fn keys_of_users_and_sessions_sign() {
    let world = World::new();
    world
        .call(CreateUserInput {
            user_name: "ann".into(),
            ..Default::default()
        })
        .await;
    let create = CreateAccessKeyInput {
        user_name: Some("ann".into()),
    };
    let key = world.call(create).await.access_key;
    let (secret, caller) = world.caller(&key.access_key_id, None).unwrap();
    assert_eq!(secret, key.secret_access_key);
    assert!(world.caller("AKIANOBODY", None).is_none());

    world.role("open", r#"{"AWS":"000000000000"}"#).await;
    world
        .role("shut", r#"{"Service":"ecs-tasks.amazonaws.com"}"#)
        .await;
    let assume = |role: &str| AssumeRoleInput {
        role_arn: format!("arn:aws:iam::000000000000:role/{role}"),
        role_session_name: "s".into(),
        ..Default::default()
    };
    let as_ann = world.cx.with_caller(caller);
    let error = as_ann.call(assume("shut")).await.unwrap_err();
    assert_eq!(error.status, 403);
    assert_eq!(
        error.message,
        "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::000000000000:role/shut"
    );
    assert!(as_ann.call(assume("none")).await.is_err());

    let session = as_ann
        .call(assume("open"))
        .await
        .unwrap()
        .credentials
        .unwrap();
    assert!(session.access_key_id.starts_with("ASIA"));
    assert!(world.caller(&session.access_key_id, None).is_none());
    assert!(
        world
            .caller(&session.access_key_id, Some("wrong"))
            .is_none()
    );
    let token = Some(session.session_token.as_str());
    let (secret, caller) = world.caller(&session.access_key_id, token).unwrap();
    assert_eq!(secret, session.secret_access_key);
    let as_role = world.cx.with_caller(caller);
    let identity = as_role.call(GetCallerIdentityInput {}).await.unwrap();
    assert_eq!(
        identity.arn.as_deref(),
        Some("arn:aws:sts::000000000000:assumed-role/open/s")
    );
    assert!(identity.user_id.unwrap().ends_with(":s"));
    assert!(as_role.call(GetSessionTokenInput::default()).await.is_err());
    let longer = AssumeRoleInput {
        duration_seconds: Some(3601),
        ..assume("open")
    };
    assert_eq!(world.refused(longer).await.0, "ValidationError");
}

#[tokio::test(start_paused = true)]
async fn sessions_end() {
    let world = World::new();
    let input = GetSessionTokenInput {
        duration_seconds: Some(900),
    };
    let session = world
        .owner()
        .call(input)
        .await
        .unwrap()
        .credentials
        .unwrap();
    let token = Some(session.session_token.as_str());
    let found = |world: &World| world.caller(&session.access_key_id, token);
    let caller = found(&world).unwrap().1;
    assert!(matches!(caller, Caller::RootSession { .. }), "{caller:?}");
    tokio::time::advance(std::time::Duration::from_secs(899)).await;
    assert!(found(&world).is_some());
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert!(found(&world).is_none());
}

fn request(token: &str, properties: serde_json::Value) -> ResourceRequest {
    ResourceRequest {
        token: token.into(),
        tags: Default::default(),
        ..testkit::request("web", "It", properties)
    }
}

#[tokio::test]
async fn a_stack_makes_changes_and_deletes_roles_policies_and_profiles() {
    let world = World::new();
    let of = |name: &str| world.cloud.resource_type(name).unwrap();
    let role_type = of("AWS::IAM::Role");
    let first = request(
        "1",
        json!({
            "AssumeRolePolicyDocument": trust(r#""*""#),
            "ManagedPolicyArns": [EXECUTION],
            "Policies": [{"PolicyName": "a", "PolicyDocument": serde_json::from_str::<serde_json::Value>(ALLOW).unwrap()}],
        }),
    );
    assert_eq!(
        role_type.capability(&first.properties),
        Some("CAPABILITY_IAM")
    );
    assert_eq!(
        role_type.capability(&json!({"RoleName": "x"})),
        Some("CAPABILITY_NAMED_IAM")
    );
    let role = role_type
        .create(&world.cx, &first)
        .await
        .unwrap()
        .physical_id;
    assert_eq!(
        role_type
            .create(&world.cx, &first)
            .await
            .unwrap()
            .physical_id,
        role
    );
    let second = request(
        "2",
        json!({
            "AssumeRolePolicyDocument": trust(r#""*""#),
            "Policies": [{"PolicyName": "b", "PolicyDocument": ALLOW}],
        }),
    );
    role_type
        .update(&world.cx, &role, &first.properties, &second)
        .await
        .unwrap();
    let names = ListRolePoliciesInput {
        role_name: role.clone(),
        ..Default::default()
    };
    assert_eq!(world.call(names).await.policy_names, ["b"]);

    let policy_type = of("AWS::IAM::Policy");
    let policy = request(
        "3",
        json!({"PolicyName": "c", "PolicyDocument": ALLOW, "Roles": [role]}),
    );
    let policy_id = policy_type
        .create(&world.cx, &policy)
        .await
        .unwrap()
        .physical_id;
    let managed_type = of("AWS::IAM::ManagedPolicy");
    let managed = request("4", json!({"PolicyDocument": ALLOW, "Roles": [role]}));
    let arn = managed_type
        .create(&world.cx, &managed)
        .await
        .unwrap()
        .physical_id;
    let changed = request(
        "5",
        json!({"PolicyDocument": ALLOW.replace("s3", "sqs"), "Roles": [role]}),
    );
    managed_type
        .update(&world.cx, &arn, &managed.properties, &changed)
        .await
        .unwrap();
    let version = managed_type
        .attribute(&world.cx, &arn, "DefaultVersionId")
        .await
        .unwrap();
    assert_eq!(version, "v2");
    let profile_type = of("AWS::IAM::InstanceProfile");
    let profile = request("6", json!({"Roles": [role]}));
    let name = profile_type
        .create(&world.cx, &profile)
        .await
        .unwrap()
        .physical_id;

    assert!(
        role_type
            .delete(&world.cx, &role, &second.properties)
            .await
            .is_err()
    );
    for _ in 0..2 {
        profile_type
            .delete(&world.cx, &name, &profile.properties)
            .await
            .unwrap();
        managed_type
            .delete(&world.cx, &arn, &changed.properties)
            .await
            .unwrap();
        policy_type
            .delete(&world.cx, &policy_id, &policy.properties)
            .await
            .unwrap();
        role_type
            .delete(&world.cx, &role, &second.properties)
            .await
            .unwrap();
    }
    assert!(world.call(ListRolesInput::default()).await.roles.is_empty());
}

/// A user or role that can be deleted again, with what its sessions and keys sign with.
struct Held {
    key: String,
    token: Option<String>,
}

impl World {
    async fn user_with_key(&self, name: &str) -> Held {
        let user_name = Some(name.to_owned());
        self.call(CreateUserInput {
            user_name: name.into(),
            ..Default::default()
        })
        .await;
        let key = self.call(CreateAccessKeyInput { user_name }).await;
        Held {
            key: key.access_key.access_key_id,
            token: None,
        }
    }

    async fn session_of(&self, caller: Caller) -> Held {
        let asked = GetSessionTokenInput::default();
        let session = self.cx.with_caller(caller).call(asked).await.unwrap();
        let session = session.credentials.unwrap();
        Held {
            key: session.access_key_id,
            token: Some(session.session_token),
        }
    }

    fn who(&self, held: &Held) -> Option<Caller> {
        Some(self.caller(&held.key, held.token.as_deref())?.1)
    }

    /// Deletes a user as the operations do, which ask that its keys are deleted first.
    async fn delete_user(&self, name: &str, key: &Held) {
        self.call(DeleteAccessKeyInput {
            user_name: Some(name.into()),
            access_key_id: key.key.clone(),
        })
        .await;
        self.call(DeleteUserInput {
            user_name: name.into(),
        })
        .await;
    }
}

#[tokio::test]
async fn the_sessions_of_a_deleted_user_end_and_its_namesake_has_none_of_them() {
    let world = World::new();
    let key = world.user_with_key("ann").await;
    let session = world.session_of(world.who(&key).unwrap()).await;
    let Some(Caller::User { id, .. }) = world.who(&session) else {
        panic!("a session of the user's");
    };
    world.delete_user("ann", &key).await;
    assert_eq!(world.who(&session), None);
    let second = world.user_with_key("ann").await;
    assert_eq!(world.who(&session), None, "another user of the same name");
    let Some(Caller::User { id: other, .. }) = world.who(&second) else {
        panic!("a key of the second user's");
    };
    assert_ne!(id, other);
}

#[tokio::test]
async fn the_sessions_of_a_deleted_role_end_and_its_namesake_has_none_of_them() {
    let world = World::new();
    world.role("open", r#"{"AWS":"000000000000"}"#).await;
    let assume = AssumeRoleInput {
        role_arn: "arn:aws:iam::000000000000:role/open".into(),
        role_session_name: "s".into(),
        ..Default::default()
    };
    let session = world.cx.call(assume).await.unwrap();
    let session = session.credentials.unwrap();
    let session = Held {
        key: session.access_key_id,
        token: Some(session.session_token),
    };
    assert!(matches!(
        world.who(&session),
        Some(Caller::AssumedRole {
            role_id: Some(_),
            ..
        })
    ));
    let delete = DeleteRoleInput {
        role_name: "open".into(),
    };
    world.call(delete).await;
    assert_eq!(world.who(&session), None);
    world.role("open", r#"{"AWS":"000000000000"}"#).await;
    assert_eq!(world.who(&session), None, "another role of the same name");
}

/// A user's record, whatever is in it.
#[derive(serde::Serialize, serde::Deserialize)]
struct AnyUser {}

impl cloud::Record for AnyUser {
    const KIND: &'static str = "iam.user";
    fn key(&self) -> String {
        String::new()
    }
}

/// A key whose user is gone without it, as no operation leaves it: it lets nobody in all the same.
#[tokio::test]
async fn a_key_without_its_user_lets_nobody_in() {
    let world = World::new();
    let key = world.user_with_key("ann").await;
    let gone = (world.cloud.store).write(|tx| tx.delete::<AnyUser>("global/ann"));
    assert!(gone.unwrap());
    assert_eq!(world.who(&key), None);
}

#[tokio::test]
async fn sessions_of_the_owner_are_for_the_owner_by_its_own_key() {
    let world = World::new();
    let owner = world.owner().caller;
    assert!(matches!(owner, Caller::Root(_)));
    let session = world.session_of(owner).await;
    let session = world.who(&session).unwrap();
    assert!(matches!(session, Caller::RootSession { .. }));
    for caller in [
        session,
        Caller::Daemon,
        Caller::Anonymous,
        Caller::Service("ecs-tasks.amazonaws.com"),
    ] {
        let cx = world.cx.with_caller(caller.clone());
        let error = cx.call(GetSessionTokenInput::default()).await.unwrap_err();
        assert_eq!(error.code, "AccessDenied", "{caller:?}");
    }
}

/// A document of exactly this length without white space, and much white space.
fn document_of(length: usize, trust: bool) -> String {
    let with = |sid: &str| match trust {
        true => json!({"Statement": {"Sid": sid, "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"Service": "ecs.amazonaws.com"}}}),
        false => json!({"Version": "2012-10-17",
            "Statement": {"Sid": sid, "Effect": "Allow", "Action": "s3:*", "Resource": "*"}}),
    };
    let sid = "a".repeat(length - with("").to_string().len());
    with(&sid)
        .to_string()
        .replacen(':', &format!(":{}", " \n\t".repeat(3000)), 1)
}

#[tokio::test]
async fn documents_are_as_long_as_awss_quotas_let_them() {
    let world = World::new();
    let trust = |name: &str, length| CreateRoleInput {
        role_name: name.into(),
        assume_role_policy_document: document_of(length, true),
        ..Default::default()
    };
    world.call(trust("long", 2048)).await;
    let over = |message: &str| ("LimitExceeded", message.to_owned());
    let quota = over("Cannot exceed quota for ACLSizePerRole: 2048");
    assert_eq!(world.refused(trust("longer", 2049)).await, quota);
    let update = UpdateAssumeRolePolicyInput {
        role_name: "long".into(),
        policy_document: document_of(2049, true),
    };
    assert_eq!(world.refused(update).await, quota);

    let managed = |name: &str, length| CreatePolicyInput {
        policy_name: name.into(),
        policy_document: document_of(length, false),
        ..Default::default()
    };
    let made = world.call(managed("long", 6144)).await.policy.unwrap();
    let quota = over("Cannot exceed quota for PolicySize: 6144");
    assert_eq!(world.refused(managed("longer", 6145)).await, quota);
    let version = CreatePolicyVersionInput {
        policy_arn: made.arn.unwrap(),
        policy_document: document_of(6145, false),
        ..Default::default()
    };
    assert_eq!(world.refused(version).await, quota);

    // Those within a role or user count together, and one that is replaced does not count.
    let of_role = |name: &str, length| PutRolePolicyInput {
        role_name: "long".into(),
        policy_name: name.into(),
        policy_document: document_of(length, false),
    };
    world.call(of_role("one", 9000)).await;
    world.call(of_role("two", 1240)).await;
    let quota = over("Maximum policy size of 10240 bytes exceeded for role long");
    assert_eq!(world.refused(of_role("three", 100)).await, quota);
    assert_eq!(world.refused(of_role("two", 1241)).await, quota);
    world.call(of_role("one", 8000)).await;
    world.call(of_role("three", 1000)).await;
    let user = CreateUserInput {
        user_name: "ann".into(),
        ..Default::default()
    };
    world.call(user).await;
    let of_user = |name: &str, length| PutUserPolicyInput {
        user_name: "ann".into(),
        policy_name: name.into(),
        policy_document: document_of(length, false),
    };
    world.call(of_user("one", 2048)).await;
    let quota = over("Maximum policy size of 2048 bytes exceeded for user ann");
    assert_eq!(world.refused(of_user("two", 100)).await, quota);
}

#[tokio::test]
async fn roles_are_told_as_each_operation_tells_them() {
    let world = World::new();
    let tagged = CreateRoleInput {
        tags: Some(vec![Tag {
            key: "team".into(),
            value: "web".into(),
        }]),
        ..new_role("r", r#"{"Service":"ecs-tasks.amazonaws.com"}"#)
    };
    let made = world.call(tagged).await.role;
    assert_eq!(
        (made.max_session_duration, made.tags.is_some()),
        (None, true)
    );
    let get = GetRoleInput {
        role_name: "r".into(),
    };
    let found = world.call(get).await.role;
    assert_eq!(
        (found.max_session_duration, found.tags.is_some()),
        (Some(3600), true)
    );
    let listed = world.call(ListRolesInput::default()).await.roles.remove(0);
    assert_eq!(
        (listed.max_session_duration, listed.tags),
        (Some(3600), None)
    );
    let linked = CreateServiceLinkedRoleInput {
        aws_service_name: "ecs.amazonaws.com".into(),
        ..Default::default()
    };
    let role = world.call(linked).await.role.unwrap();
    let document = role.assume_role_policy_document.unwrap();
    // The action and the service are texts there, not lists.
    assert!(
        document.contains("%22Action%22%3A%22sts%3AAssumeRole%22"),
        "{document}"
    );
    assert!(
        document.contains("%22Service%22%3A%22ecs.amazonaws.com%22"),
        "{document}"
    );
}

#[tokio::test]
async fn credentials_for_services_are_refused_in_awss_words() {
    let world = World::new();
    let create = |user: &str, service: &str| CreateServiceSpecificCredentialInput {
        user_name: user.into(),
        service_name: service.into(),
    };
    let nobody = world.refused(create("nobody", "none.amazonaws.com")).await;
    assert_eq!(
        nobody,
        refusal("NoSuchEntity", "The user with name nobody cannot be found.")
    );
    let user = CreateUserInput {
        user_name: "ann".into(),
        ..Default::default()
    };
    world.call(user).await;
    let other = world.refused(create("ann", "lambda.amazonaws.com")).await;
    let words =
        "No such service lambda.amazonaws.com is supported for Service Specific Credentials";
    assert_eq!(other, refusal("NoSuchEntity", words));
    let made = world.call(create("ann", "codecommit.amazonaws.com")).await;
    let id = made
        .service_specific_credential
        .unwrap()
        .service_specific_credential_id;
    let delete = |user: &str, id: &str| DeleteServiceSpecificCredentialInput {
        user_name: Some(user.into()),
        service_specific_credential_id: id.into(),
    };
    assert_eq!(
        world.refused(delete("bob", &id)).await.1,
        "The user with name bob cannot be found."
    );
    assert_eq!(
        world
            .refused(delete("ann", "ACCANOBODYHASTHISONE0"))
            .await
            .1,
        "No such credential ACCANOBODYHASTHISONE0 exists"
    );
    let leave = DeleteUserInput {
        user_name: "ann".into(),
    };
    assert_eq!(
        world.refused(leave).await.1,
        "Cannot delete entity, must remove referenced objects first."
    );
}

#[tokio::test]
async fn what_is_no_roles_arn_is_called_invalid() {
    let world = World::new();
    for arn in [
        "nothing-valid-in-here",
        "arn:a:::something/test-role",
        "arn:aws:iam::12:role/a-role-of-nobody",
    ] {
        let assume = AssumeRoleInput {
            role_arn: arn.into(),
            role_session_name: "sess".into(),
            ..Default::default()
        };
        assert_eq!(
            world.refused(assume).await,
            refusal("ValidationError", &format!("{arn} is invalid"))
        );
    }
}
