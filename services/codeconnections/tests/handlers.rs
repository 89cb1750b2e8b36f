//! The operations over a machine that is not there.

use std::ops::Deref;

use serde_json::json;
use shapes::codeconnections::*;
use shapes::codestar_connections as star;
use shapes::secretsmanager::{CreateSecretInput, ListSecretsInput};

struct World(testkit::World);

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    fn new() -> Self {
        let world = testkit::world([
            codeconnections::service(),
            codeconnections::codestar_service(),
            secretsmanager::service(),
        ]);
        Self(world.at_rest())
    }

    async fn refused<I: wire::Operation>(&self, input: I) -> &'static str {
        self.err(input).await.code
    }

    async fn create(&self, name: &str) -> String {
        let input = CreateConnectionInput {
            connection_name: name.into(),
            provider_type: Some(ProviderType::GitHub),
            ..Default::default()
        };
        self.call(input).await.connection_arn
    }

    async fn status(&self, arn: &str) -> ConnectionStatus {
        let input = GetConnectionInput {
            connection_arn: arn.into(),
        };
        let found = self.call(input).await.connection.unwrap();
        found.connection_status.unwrap()
    }

    /// User and password that are lent for a connection.
    fn login(&self, arn: &str) -> Option<(String, String)> {
        let found = self.cx.find_login(arn).unwrap();
        found.map(|it| (it.username, it.password))
    }

    async fn secrets(&self) -> usize {
        let all = self.call(ListSecretsInput::default()).await;
        all.secret_list.unwrap_or_default().len()
    }
}

#[tokio::test]
async fn a_connection_is_pending_until_it_is_authorized_and_tells_nobody_its_token() {
    let world = World::new();
    let arn = world.create("hub").await;
    assert_eq!(world.status(&arn).await, ConnectionStatus::Pending);
    assert_eq!(world.login(&arn), None);
    for token in ["first", "second"] {
        let shown = codeconnections::authorize(&world.cx, "hub", Some(token.into())).await;
        assert_eq!(shown.unwrap().connection_arn.as_ref(), Some(&arn));
        let login = ("x-access-token".to_owned(), token.to_owned());
        assert_eq!(world.login(&arn), Some(login));
    }
    assert_eq!(
        world.secrets().await,
        0,
        "a token is no secret of anybody's"
    );
    assert_eq!(world.status(&arn).await, ConnectionStatus::Available);
    codeconnections::authorize(&world.cx, "hub", None)
        .await
        .unwrap();
    assert_eq!(world.login(&arn), None);
    codeconnections::authorize(&world.cx, "hub", Some("third".into()))
        .await
        .unwrap();
    let delete = DeleteConnectionInput {
        connection_arn: arn.clone(),
    };
    world.call(delete.clone()).await;
    assert_eq!(world.refused(delete).await, "ResourceNotFoundException");
    assert!(world.cx.find_login(&arn).is_err());
}

/// A record as earlier versions wrote it, when tokens were secrets.
#[derive(serde::Serialize, serde::Deserialize)]
struct Old {
    region: String,
    account: String,
    id: String,
    made: String,
    name: String,
    provider: ProviderType,
    host_arn: Option<String>,
    available: bool,
    created_ms: i64,
    tags: std::collections::BTreeMap<String, String>,
}

impl cloud::Record for Old {
    const KIND: &'static str = "codeconnections.connection";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

#[tokio::test]
async fn tokens_that_were_secrets_become_records_once() {
    let world = World::new();
    let id = "11111111-2222-4333-a444-555555555555";
    let old = Old {
        region: "us-east-1".into(),
        account: "000000000000".into(),
        id: id.into(),
        made: "CodeConnections".into(),
        name: "old".into(),
        provider: ProviderType::GitHub,
        host_arn: None,
        available: true,
        created_ms: 1,
        tags: Default::default(),
    };
    world.cx.write(|tx| tx.put(&old)).unwrap();
    let secret = |password: &str| CreateSecretInput {
        name: format!("neargate/connections/{id}"),
        secret_string: Some(json!({"username": "me", "password": password}).to_string()),
        ..Default::default()
    };
    world.call(secret("hunter2")).await;
    tokio::spawn(world.cloud.clone().run());
    let arn = format!("arn:aws:codeconnections:us-east-1:000000000000:connection/{id}");
    while world.login(&arn).is_none() || world.secrets().await > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let login = Some(("me".to_owned(), "hunter2".to_owned()));
    assert_eq!(world.login(&arn), login);
    // Whoever makes a secret of that name now gives nobody a token.
    world.call(secret("another's")).await;
    let tags = vec![Tag {
        key: "a".into(),
        value: "b".into(),
    }];
    let tag = TagResourceInput {
        resource_arn: arn.clone(),
        tags,
    };
    world.call(tag).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(world.login(&arn), login);
    assert_eq!(world.secrets().await, 1);
}

#[tokio::test]
async fn both_names_answer_for_the_same_connections() {
    let world = World::new();
    let new = world.create("new").await;
    let input = star::CreateConnectionInput {
        connection_name: "old".into(),
        provider_type: Some(star::ProviderType::Bitbucket),
        ..Default::default()
    };
    let old = world.call(input).await.connection_arn;
    assert!(new.starts_with("arn:aws:codeconnections:us-east-1:000000000000:connection/"));
    assert!(old.starts_with("arn:aws:codestar-connections:us-east-1:000000000000:connection/"));
    assert_eq!(world.status(&old).await, ConnectionStatus::Pending);
    let list = world.call(star::ListConnectionsInput::default()).await;
    let mut arns: Vec<_> = list.connections.unwrap().into_iter().collect();
    arns.sort_by_key(|it| it.connection_name.clone());
    let arns: Vec<_> = arns
        .into_iter()
        .filter_map(|it| it.connection_arn)
        .collect();
    assert_eq!(arns, [new, old]);
}

#[tokio::test]
async fn a_hosts_connections_make_it_available_and_hold_it() {
    let world = World::new();
    let host = CreateHostInput {
        name: "own".into(),
        provider_type: ProviderType::GitHubEnterpriseServer,
        provider_endpoint: "https://git.example.com/".into(),
        ..Default::default()
    };
    let host = world.call(host).await.host_arn.unwrap();
    let get = || GetHostInput {
        host_arn: host.clone(),
    };
    let shown = world.call(get()).await;
    assert_eq!(
        shown.provider_endpoint.as_deref(),
        Some("https://git.example.com")
    );
    assert_eq!(shown.status.as_deref(), Some("PENDING"));
    let connection = CreateConnectionInput {
        connection_name: "own".into(),
        host_arn: Some(host.clone()),
        ..Default::default()
    };
    world.call(connection).await;
    codeconnections::authorize(&world.cx, "own", None)
        .await
        .unwrap();
    assert_eq!(world.call(get()).await.status.as_deref(), Some("AVAILABLE"));
    // Another server gets the token only when the owner says so.
    let update = |endpoint: &str| UpdateHostInput {
        host_arn: host.clone(),
        provider_endpoint: Some(endpoint.into()),
    };
    world.call(update("https://git.example.com")).await;
    assert_eq!(world.call(get()).await.status.as_deref(), Some("AVAILABLE"));
    world.call(update("https://other.example.com")).await;
    assert_eq!(world.call(get()).await.status.as_deref(), Some("PENDING"));
    let all = world.call(ListConnectionsInput::default()).await;
    assert_eq!(
        all.connections.unwrap()[0].connection_status,
        Some(ConnectionStatus::Pending)
    );
    let delete = DeleteHostInput {
        host_arn: host.clone(),
    };
    assert_eq!(world.refused(delete).await, "ResourceUnavailableException");
    let bad = CreateConnectionInput {
        connection_name: "neither".into(),
        ..Default::default()
    };
    assert_eq!(world.refused(bad).await, "InvalidInputException");
}

#[tokio::test]
async fn a_stacks_connection_is_made_once() {
    let world = World::new();
    for name in [
        "AWS::CodeConnections::Connection",
        "AWS::CodeStarConnections::Connection",
    ] {
        let kind = world.cloud.resource_type(name).unwrap();
        let properties = json!({ "ConnectionName": "hub", "ProviderType": "GitHub" });
        let mut request = testkit::request("stack", "Hub", properties);
        request.token = name.into();
        let made = kind.create(&world.cx, &request).await.unwrap();
        assert_eq!(kind.create(&world.cx, &request).await.unwrap(), made);
        let status = kind
            .attribute(&world.cx, &made.physical_id, "ConnectionStatus")
            .await;
        assert_eq!(status.unwrap(), "PENDING");
        let old = request.properties.clone();
        kind.update(&world.cx, &made.physical_id, &old, &request)
            .await
            .unwrap();
        for _ in 0..2 {
            kind.delete(&world.cx, &made.physical_id, &old)
                .await
                .unwrap();
        }
    }
}
