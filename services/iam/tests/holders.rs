//! Whom a key stands for, when what shows is derived from it.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use cloud::Caller;
use serde_json::json;
use shapes::iam::*;
use shapes::sts::{AssumeRoleInput, GetSessionTokenInput};

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    fn new() -> Self {
        Self(testkit::world([iam::service(), iam::sts_service()]).at_rest())
    }

    async fn key_of(&self, user: &str) -> String {
        self.call(CreateUserInput {
            user_name: user.into(),
            ..Default::default()
        })
        .await;
        let key = CreateAccessKeyInput {
            user_name: Some(user.into()),
        };
        self.call(key).await.access_key.access_key_id
    }

    fn holder(&self, key: &str) -> Option<Caller> {
        iam::find_holder(&self.cloud, key)
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_ends_with_its_key_its_user_and_its_session() {
    let world = World::new();
    let own = world.key_of("ann").await;
    let Some(caller @ Caller::User { .. }) = world.holder(&own) else {
        panic!("it is a user");
    };
    let origin = Arc::new(cloud::Origin::Internal);
    let as_ann = world.cloud.context("us-east-1", caller, origin);
    let short = GetSessionTokenInput {
        duration_seconds: Some(900),
    };
    let session = as_ann.call(short).await.unwrap().credentials.unwrap();
    let session = session.access_key_id;
    assert!(matches!(world.holder(&session), Some(Caller::User { .. })));
    tokio::time::advance(Duration::from_secs(901)).await;
    assert_eq!(world.holder(&session), None);

    let again = as_ann.call(GetSessionTokenInput::default()).await.unwrap();
    let session = again.credentials.unwrap().access_key_id;
    let delete = DeleteAccessKeyInput {
        user_name: Some("ann".into()),
        access_key_id: own.clone(),
    };
    world.call(delete).await;
    assert_eq!(world.holder(&own), None);
    assert!(world.holder(&session).is_some());
    let delete = DeleteUserInput {
        user_name: "ann".into(),
    };
    world.call(delete).await;
    assert_eq!(world.holder(&session), None);
    // A namesake is somebody else.
    world.key_of("ann").await;
    assert_eq!(world.holder(&session), None);
    assert_eq!(world.holder("AKIANOBODY"), None);
    assert_eq!(world.holder(""), None);
}

#[tokio::test]
async fn a_roles_session_ends_with_its_role() {
    let world = World::new();
    let trust = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}});
    let role = CreateRoleInput {
        role_name: "task".into(),
        assume_role_policy_document: trust.to_string(),
        ..Default::default()
    };
    world.call(role.clone()).await;
    let assume = AssumeRoleInput {
        role_arn: "arn:aws:iam::000000000000:role/task".into(),
        role_session_name: "one".into(),
        ..Default::default()
    };
    let task = world.cx.as_service("ecs-tasks.amazonaws.com");
    let session = task.call(assume).await.unwrap().credentials.unwrap();
    let key = session.access_key_id;
    assert!(matches!(
        world.holder(&key),
        Some(Caller::AssumedRole { .. })
    ));
    let delete = DeleteRoleInput {
        role_name: "task".into(),
    };
    world.call(delete).await;
    assert_eq!(world.holder(&key), None);
    world.call(role).await;
    assert_eq!(world.holder(&key), None);
}
