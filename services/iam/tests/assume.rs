//! Who may assume a role, and what is known of a call when policies are held against it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cloud::{Caller, ClientOrigin, Clock, Cx, InsideOrigin, Need, Pace, Touched};
use iam::{Mode, Policies};
use serde_json::{Value, json};
use shapes::iam::*;
use shapes::sts::{AssumeRoleInput, GetAccessKeyInfoInput};

const ACCOUNT: &str = "000000000000";
const ANN: &str = "arn:aws:iam::000000000000:user/ann";
const TARGET: &str = "arn:aws:iam::000000000000:role/target";

struct World {
    world: testkit::World,
    ann: Caller,
}

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.world
    }
}

impl World {
    /// With a user `ann`, who may do nothing.
    async fn new(mode: Mode) -> Self {
        Self::by(mode, Clock::new(Pace::Fast)).await
    }

    async fn by(mode: Mode, clock: Clock) -> Self {
        let world = testkit::world([iam::service(), iam::sts_service()])
            .by(clock)
            .at_rest();
        let world = world.decided_by(Policies::new(mode));
        let user = CreateUserInput {
            user_name: "ann".into(),
            tags: Some(vec![Tag {
                key: "team".into(),
                value: "a".into(),
            }]),
            ..Default::default()
        };
        let user = world.call(user).await.user.unwrap();
        let ann = Caller::User {
            arn: user.arn,
            id: user.user_id,
            access_key: "AKIAANN".into(),
        };
        Self { world, ann }
    }

    async fn ann_may(&self, statements: Value) {
        let policy = PutUserPolicyInput {
            user_name: "ann".into(),
            policy_name: "own".into(),
            policy_document: json!({"Version": "2012-10-17", "Statement": statements}).to_string(),
        };
        self.cx.call(policy).await.unwrap();
    }

    async fn role(&self, name: &str, trust: Value) {
        let role = CreateRoleInput {
            role_name: name.into(),
            assume_role_policy_document: json!({"Version": "2012-10-17", "Statement": trust})
                .to_string(),
            ..Default::default()
        };
        self.cx.call(role).await.unwrap();
    }

    async fn trusts(&self, trust: Value) {
        let delete = DeleteRoleInput {
            role_name: "target".into(),
        };
        self.cx.call(delete).await.ok();
        self.role("target", trust).await;
    }

    async fn assume(&self, caller: Caller) -> Result<(), String> {
        let cx = self.client(caller, outside("192.0.2.7"));
        assume(&cx).await
    }
}

async fn assume(cx: &Cx) -> Result<(), String> {
    let input = AssumeRoleInput {
        role_arn: TARGET.into(),
        role_session_name: "s".into(),
        external_id: Some("e".into()),
        ..Default::default()
    };
    let answer = cx.call(input).await;
    answer.map(drop).map_err(|it| it.message)
}

fn outside(address: &str) -> ClientOrigin {
    ClientOrigin {
        address: Some(address.parse().unwrap()),
        user_agent: Some("aws-cli/2".into()),
        is_secure: false,
        inside: None,
    }
}

fn allow(principal: Value) -> Value {
    json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal})
}

#[tokio::test]
async fn naming_somebody_suffices_and_naming_the_account_does_not() {
    let world = World::new(Mode::Enforce).await;
    let may = json!({"Effect": "Allow", "Action": "sts:*", "Resource": TARGET});
    let refused =
        format!("User: {ANN} is not authorized to perform: sts:AssumeRole on resource: {TARGET}");
    world.trusts(allow(json!({"AWS": ANN}))).await;
    assert_eq!(world.assume(world.ann.clone()).await, Ok(()));
    world.trusts(allow(json!({"AWS": ACCOUNT}))).await;
    assert_eq!(
        world.assume(world.ann.clone()).await.unwrap_err(),
        format!("{refused} because no identity-based policy allows the sts:AssumeRole action")
    );
    world.ann_may(may.clone()).await;
    assert_eq!(world.assume(world.ann.clone()).await, Ok(()));
    // Who may ask is not trusted for that.
    let bob = CreateUserInput {
        user_name: "bob".into(),
        ..Default::default()
    };
    world.cx.call(bob).await.unwrap();
    world
        .trusts(allow(json!({"AWS": "arn:aws:iam::000000000000:user/bob"})))
        .await;
    assert_eq!(world.assume(world.ann.clone()).await.unwrap_err(), refused);
    // A denial on either side wins.
    world
        .trusts(json!([
            allow(json!({"AWS": ANN})),
            {"Effect": "Deny", "Action": "STS:Assume*", "Principal": {"AWS": ACCOUNT}},
        ]))
        .await;
    assert_eq!(world.assume(world.ann.clone()).await.unwrap_err(), refused);
    world
        .trusts(json!([
            allow(json!("*")),
            {"Effect": "Deny", "Action": "sts:*", "Principal": "*", "Condition": {"ArnNotEquals":
                {"aws:PrincipalArn": "arn:aws:iam::000000000000:user/bob"}}},
        ]))
        .await;
    assert_eq!(world.assume(world.ann.clone()).await.unwrap_err(), refused);
    world.trusts(allow(json!({"AWS": ANN}))).await;
    world
        .ann_may(json!([may, {"Effect": "Deny", "NotAction": "iam:*", "Resource": "*"}]))
        .await;
    assert_eq!(
        world.assume(world.ann.clone()).await.unwrap_err(),
        format!("{refused} with an explicit deny in an identity-based policy")
    );
    // The owner has everything, and takes on nobody's rights, whoever trusts it.
    world.trusts(allow(json!({"AWS": ACCOUNT}))).await;
    let session = Caller::RootSession {
        access_key: "ASIAOWNER".into(),
    };
    for owner in [testkit::owner(), session] {
        assert_eq!(
            world.assume(owner).await.unwrap_err(),
            "Roles may not be assumed by root accounts."
        );
    }
}

#[tokio::test]
async fn an_audit_enforces_trust_and_records_what_the_caller_lacks() {
    let world = World::new(Mode::Audit).await;
    world.trusts(allow(json!({"AWS": ACCOUNT}))).await;
    assert_eq!(world.assume(world.ann.clone()).await, Ok(()));
    let calls = iam::calls(&world.cloud, ANN).unwrap();
    let seen: Vec<_> = calls
        .iter()
        .map(|it| (it.action.as_str(), it.resource.as_str(), it.allowed))
        .collect();
    assert_eq!(seen, [("sts:AssumeRole", TARGET, false)]);
    for trust in [
        allow(json!({"AWS": "111111111111"})),
        json!([allow(json!("*")), {"Effect": "Deny", "Action": "sts:*", "Principal": {"AWS": ANN}}]),
    ] {
        world.trusts(trust.clone()).await;
        assert!(world.assume(world.ann.clone()).await.is_err(), "{trust}");
    }
    // Also where a denial of her own would be let through.
    world
        .ann_may(json!({"Effect": "Deny", "Action": "*", "Resource": "*"}))
        .await;
    world.trusts(allow(json!({"AWS": "111111111111"}))).await;
    assert!(world.assume(world.ann.clone()).await.is_err());
    world.trusts(allow(json!({"AWS": ANN}))).await;
    assert_eq!(world.assume(world.ann.clone()).await, Ok(()));
}

#[tokio::test]
async fn a_service_is_trusted_by_its_name_and_by_what_is_known_of_it() {
    let world = World::new(Mode::Audit).await;
    let client = world.client(world.ann.clone(), outside("192.0.2.7"));
    let service = client.as_service("codebuild.amazonaws.com");
    let own = json!({"Service": ["ec2.amazonaws.com", "codebuild.amazonaws.com"]});
    let with = |condition: Value| {
        let mut statement = allow(own.clone());
        statement["Condition"] = condition;
        statement
    };
    for (trust, expected) in [
        (allow(own.clone()), true),
        (allow(json!({"Service": "ecs-tasks.amazonaws.com"})), false),
        (allow(json!({"AWS": ACCOUNT})), false),
        (
            json!([allow(own.clone()), {"Effect": "Deny", "Action": "sts:*", "Principal": own}]),
            false,
        ),
        (
            with(json!({"StringEquals": {"aws:SourceAccount": ACCOUNT}})),
            true,
        ),
        (
            with(json!({"StringEquals": {"aws:SourceAccount": "111111111111"}})),
            false,
        ),
        (
            with(json!({"ArnLike": {"aws:SourceArn": "arn:aws:codebuild:*:*:project/*"}})),
            false,
        ),
        // Where the client is whose request made the service ask says nothing of the service.
        (
            with(json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})),
            false,
        ),
        (with(json!({"StringEquals": {"sts:ExternalId": "e"}})), true),
        (
            with(json!({"StringNotEquals": {"sts:ExternalId": "e"}})),
            false,
        ),
        (
            with(json!({"Bool": {"aws:MultiFactorAuthPresent": "true"}})),
            false,
        ),
    ] {
        world.trusts(trust.clone()).await;
        let found = assume(&service).await;
        assert_eq!(found.is_ok(), expected, "{trust} {found:?}");
        if trust.to_string().contains("SourceArn") {
            assert!(
                found.unwrap_err().ends_with(
                    "because the value of the condition key aws:SourceArn is not known to neargate"
                ),
                "AWS would know it: it is named"
            );
            // A service that says for what it asks is held against that.
            let own = "arn:aws:codebuild:us-east-1:000000000000:project/web";
            for (source, expected) in [(own, true), ("arn:aws:ecs:us-east-1:1:task/a", false)] {
                let service = client.as_service_for("codebuild.amazonaws.com", source);
                assert_eq!(assume(&service).await.is_ok(), expected, "{source}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_called_through_a_service_says_so() {
    let world = World::new(Mode::Enforce).await;
    let direct = world.cx.acting_as(world.ann.clone());
    let through = direct.clone().via("cloudformation.amazonaws.com");
    let direct = world.client(world.ann.clone(), outside("192.0.2.7"));
    for (condition, by_stack, by_hand) in [
        (
            json!({"ForAnyValue:StringEquals": {"aws:CalledVia": ["cloudformation.amazonaws.com"]}}),
            true,
            false,
        ),
        (
            json!({"ForAnyValue:StringEquals": {"aws:CalledVia": ["athena.amazonaws.com"]}}),
            false,
            false,
        ),
        (
            json!({"StringEquals": {"aws:CalledViaFirst": "cloudformation.amazonaws.com"}}),
            true,
            false,
        ),
        (
            json!({"StringEquals": {"aws:CalledViaLast": "cloudformation.amazonaws.com"}}),
            true,
            false,
        ),
        (json!({"Null": {"aws:CalledViaLast": "true"}}), false, true),
        (json!({"Bool": {"aws:ViaAWSService": "true"}}), true, false),
    ] {
        let statement = json!({"Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*",
            "Condition": condition});
        world.ann_may(json!([statement])).await;
        let answer = through.call(ListRolesInput::default()).await;
        assert_eq!(answer.is_ok(), by_stack, "{condition} {answer:?}");
        let answer = direct.serve_json("iam", "ListRoles", json!({})).await;
        assert_eq!(answer.is_ok(), by_hand, "{condition} {answer:?}");
    }
}

#[tokio::test]
async fn other_operations_of_sts_are_asked_about() {
    let world = World::new(Mode::Enforce).await;
    let cx = world.cx.acting_as(world.ann.clone());
    let input = GetAccessKeyInfoInput {
        access_key_id: "AKIAANN".into(),
    };
    let refused = cx.call(input).await.unwrap_err();
    assert_eq!(refused.code, "AccessDenied");
}

/// Denials with conditions on what is and what is not known of a call.
#[tokio::test]
async fn what_is_known_of_a_call_is_supplied_and_what_is_not_denies() {
    let world = World::new(Mode::Enforce).await;
    let far = outside("203.0.113.9");
    let inside = ClientOrigin {
        address: None,
        user_agent: None,
        is_secure: true,
        inside: Some(InsideOrigin {
            interface: "eni-1".into(),
            vpc: Some("vpc-1".into()),
        }),
    };
    for (condition, near_may, far_may, inside_may) in [
        (
            json!({"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}),
            true,
            false,
            false,
        ),
        (
            json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}),
            false,
            true,
            true,
        ),
        (
            json!({"StringLike": {"aws:UserAgent": "aws-cli*"}}),
            false,
            false,
            true,
        ),
        (
            json!({"Bool": {"aws:SecureTransport": "false"}}),
            false,
            false,
            true,
        ),
        (
            json!({"StringEquals": {"aws:SourceVpc": "vpc-1"}}),
            true,
            true,
            false,
        ),
        (
            json!({"Null": {"aws:SourceVpce": "false"}}),
            true,
            true,
            true,
        ),
        (
            json!({"NumericGreaterThan": {"aws:EpochTime": 1}}),
            false,
            false,
            false,
        ),
        (
            json!({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}),
            true,
            true,
            true,
        ),
        (
            json!({"StringEquals": {"aws:PrincipalTag/team": "a"}}),
            false,
            false,
            false,
        ),
        (
            json!({"StringEquals": {"aws:PrincipalTag/none": "a"}}),
            true,
            true,
            true,
        ),
        (
            json!({"StringNotEquals": {"aws:username": "ann"}}),
            true,
            true,
            true,
        ),
        (
            json!({"ArnNotEquals": {"aws:PrincipalArn": ANN}}),
            true,
            true,
            true,
        ),
        (
            json!({"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}),
            false,
            false,
            false,
        ),
        (
            json!({"Bool": {"aws:MultiFactorAuthPresent": "false"}}),
            true,
            true,
            true,
        ),
        (
            json!({"Bool": {"aws:ViaAWSService": "true"}}),
            true,
            true,
            true,
        ),
        (
            json!({"StringEquals": {"s3:prefix": "a"}}),
            true,
            true,
            true,
        ),
        (
            json!({"StringEquals": {"aws:Referer": "a"}}),
            false,
            false,
            false,
        ),
        (
            json!({"StringEquals": {"aws:NeverHeardOf": "a"}}),
            false,
            false,
            false,
        ),
        (
            json!({"StringEquals": {"iam:NeverHeardOf": "a"}}),
            false,
            false,
            false,
        ),
    ] {
        world
            .ann_may(json!([
                {"Effect": "Allow", "Action": "*", "Resource": "*"},
                {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition},
            ]))
            .await;
        for (origin, expected) in [
            (outside("192.0.2.7"), near_may),
            (far.clone(), far_may),
            (inside.clone(), inside_may),
        ] {
            let cx = world.client(world.ann.clone(), origin.clone());
            let answer = cx.serve_json("iam", "ListRoles", json!({})).await;
            assert_eq!(
                answer.is_ok(),
                expected,
                "{condition} {origin:?} {answer:?}"
            );
        }
    }

    let calls = iam::calls(&world.cloud, ANN).unwrap();
    let unknown: Vec<_> = calls.iter().flat_map(|it| &it.unknown).collect();
    assert_eq!(unknown, ["iam:NeverHeardOf"]);
    let cx = world.client(world.ann.clone(), far);
    let refused = cx.serve_json("iam", "ListRoles", json!({})).await;
    assert!(refused.unwrap_err().message.ends_with(
        "with an explicit deny in an identity-based policy, because the value of the condition \
             key iam:NeverHeardOf is not known to neargate"
    ));
    let denial = json!({"Bool": {"aws:SecureTransport": "false"}});
    world
        .ann_may(json!([
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": denial},
        ]))
        .await;
    // It does not leave the machine.
    let cx = world.client(world.ann.clone(), outside("127.0.0.1"));
    let answer = cx.serve_json("iam", "ListRoles", json!({})).await;
    assert!(answer.is_ok(), "{answer:?}");
}

/// The policy with which AWS revokes sessions of before some time.
#[tokio::test]
async fn older_sessions_are_revoked_by_their_time() {
    let world = World::new(Mode::Enforce).await;
    world.role("target", allow(json!({"AWS": ACCOUNT}))).await;
    let revoke = async |time: &str| {
        let policy = PutRolePolicyInput {
            role_name: "target".into(),
            policy_name: "AWSRevokeOlderSessions".into(),
            policy_document: json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "*", "Resource": "*"},
                {"Effect": "Deny", "Action": "*", "Resource": "*",
                 "Condition": {"DateLessThan": {"aws:TokenIssueTime": time}}},
            ]})
            .to_string(),
        };
        world.cx.call(policy).await.unwrap();
    };
    let session = AssumeRoleInput {
        role_arn: TARGET.into(),
        role_session_name: "s".into(),
        ..Default::default()
    };
    let session = world.cx.call(session).await.unwrap().credentials.unwrap();
    let signer = iam::find_key(
        &world.cloud,
        &session.access_key_id,
        Some(&session.session_token),
    );
    let caller = signer
        .unwrap()
        .if_secret(&session.secret_access_key)
        .unwrap();
    let cx = world.client(caller, outside("192.0.2.7"));
    revoke("2020-01-01T00:00:00Z").await;
    cx.serve_json("iam", "ListRoles", json!({})).await.unwrap();
    revoke("2999-01-01T00:00:00Z").await;
    cx.serve_json("iam", "ListRoles", json!({}))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_resource_s_policy_binds_the_owner_and_grants_to_others() {
    let secret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:a-abcdef";
    let need = |statements: Value| {
        let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let touched = Touched::absent(secret).bound_by(Some(policy));
        Need::new("secretsmanager:GetSecretValue", Some(touched))
    };
    let statement = |effect: &str, principal: Value| json!({"Effect": effect, "Action": "secretsmanager:*", "Resource": "*", "Principal": principal});
    let world = World::new(Mode::Enforce).await;
    let as_owner = world.client(testkit::owner(), outside("192.0.2.7"));
    let as_ann = world.client(world.ann.clone(), outside("192.0.2.7"));
    let ask = |cx: &Cx, statements: Value| {
        let answer = cx.authorize_one("secretsmanager", need(statements));
        answer.map_err(|it| it.message)
    };
    let denial = statement("Deny", json!("*"));
    assert_eq!(
        ask(&as_owner, denial.clone()).unwrap_err(),
        format!(
            "User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: \
             secretsmanager:GetSecretValue on resource: {secret} with an explicit deny in a \
             resource-based policy"
        )
    );
    assert!(ask(&world.cx, denial).is_ok());
    let others = statement("Deny", json!({"AWS": ANN}));
    assert!(ask(&as_owner, others).is_ok());
    assert!(ask(&as_ann, statement("Allow", json!({"AWS": ANN}))).is_ok());
    assert!(ask(&as_ann, statement("Allow", json!({"AWS": ACCOUNT}))).is_err());
}

/// A session ends at the time that its credentials carry, by the machine's clock.
#[tokio::test]
async fn a_session_ends_at_its_time_when_the_machine_has_slept() {
    let off = Arc::new(AtomicI64::new(0));
    let (machine, read) = (Clock::new(Pace::Fast), off.clone());
    let wall = move || machine.now_ms() + read.load(Ordering::Relaxed);
    let world = World::by(Mode::Audit, Clock::by(Pace::Fast, Arc::new(wall))).await;
    world.trusts(allow(json!({"AWS": ANN}))).await;
    let input = AssumeRoleInput {
        role_arn: TARGET.into(),
        role_session_name: "s".into(),
        ..Default::default()
    };
    let cx = world.client(world.ann.clone(), outside("192.0.2.7"));
    let credentials = cx.call(input).await.unwrap().credentials.unwrap();
    let (key, token) = (credentials.access_key_id, credentials.session_token);
    let lives = || iam::find_key(&world.cloud, &key, Some(&token)).is_some();
    for (minutes, alive) in [(0, true), (59, true), (61, false), (-61, true), (61, false)] {
        off.store(minutes * 60_000, Ordering::Relaxed);
        world.cloud.look_at_clock();
        assert_eq!(lives(), alive, "{minutes}");
    }
    // It was forgotten, and a clock that is set back brings nothing back.
    tokio::spawn(world.cloud.clone().run());
    let start = std::time::Instant::now();
    loop {
        off.store(0, Ordering::Relaxed);
        world.cloud.look_at_clock();
        if !lives() {
            break;
        }
        assert!(start.elapsed().as_secs() < 20, "it is never forgotten");
        off.store(61 * 60_000, Ordering::Relaxed);
        world.cloud.look_at_clock();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.cloud.converge.stop();
}
