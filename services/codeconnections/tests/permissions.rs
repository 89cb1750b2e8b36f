//! What each operation needs permission for, under both of the service's names.

use serde_json::{Value as Json, json};
use shapes::codeconnections::*;
use shapes::codestar_connections as star;
use testkit::{Recorder, Watched, key_of};

const ACCOUNT: &str = "us-east-1:000000000000";

struct World {
    watched: Watched,
    /// Made under the older name.
    connection: String,
    /// Made under the newer one.
    host: String,
}

impl World {
    async fn new() -> Self {
        let services = [
            codeconnections::service(),
            codeconnections::codestar_service(),
        ];
        let world = testkit::world(services).at_rest();
        let tags = json!([{"Key": "team", "Value": "a"}]);
        let made = json!({"ConnectionName": "c", "ProviderType": "GitHub", "Tags": tags});
        let made = world.call(input::<star::CreateConnectionInput>(made)).await;
        let host = json!({"Name": "h", "ProviderType": "GitLabSelfManaged", "ProviderEndpoint": "https://git.example", "Tags": tags});
        let host = world.call(input::<CreateHostInput>(host)).await;
        Self {
            watched: world.watched(),
            connection: made.connection_arn,
            host: host.host_arn.unwrap(),
        }
    }

    async fn lines<I: wire::Operation>(&self, more: Json) -> Vec<String> {
        self.watched.lines(input::<I>(more)).await
    }
}

fn input<I: wire::Operation>(json: Json) -> I {
    wire::from_json(json).unwrap()
}

#[tokio::test]
async fn operations_are_on_the_record_under_the_name_that_it_was_made_by() {
    let world = World::new().await;
    let (connection, host) = (world.connection.as_str(), world.host.as_str());
    assert!(connection.starts_with(&format!("arn:aws:codestar-connections:{ACCOUNT}:")));
    assert!(host.starts_with(&format!("arn:aws:codeconnections:{ACCOUNT}:")));
    // The other name in the ARN is the same resource.
    let other = connection.replace("codestar-connections", "codeconnections");
    macro_rules! check {
        ($($of:expr, $input:ident $more:tt;)*) => {
            $({
                let action = stringify!($input).strip_suffix("Input").unwrap();
                let needed = |prefix: &str| vec![format!("{prefix}:{action} {} {{team=a}}", $of)];
                assert_eq!(world.lines::<$input>(json!($more)).await, needed("codeconnections"));
                assert_eq!(world.lines::<star::$input>(json!($more)).await, needed("codestar-connections"));
            })*
        };
    }
    check! {
        connection, GetConnectionInput {"ConnectionArn": connection};
        connection, GetConnectionInput {"ConnectionArn": other};
        connection, DeleteConnectionInput {"ConnectionArn": connection};
        host, GetHostInput {"HostArn": host};
        host, UpdateHostInput {"HostArn": host};
        host, DeleteHostInput {"HostArn": host};
        connection, TagResourceInput {"ResourceArn": other, "Tags": [{"Key": "team", "Value": "b"}]};
        host, UntagResourceInput {"ResourceArn": host, "TagKeys": ["team"]};
        connection, ListTagsForResourceInput {"ResourceArn": connection};
    }
}

#[tokio::test]
async fn a_stack_makes_a_connection_by_the_operation_alone() {
    let world = World::new().await;
    for (kind, action) in [
        (
            "AWS::CodeConnections::Connection",
            "codeconnections:CreateConnection",
        ),
        (
            "AWS::CodeStarConnections::Connection",
            "codestar-connections:CreateConnection",
        ),
    ] {
        let properties = json!({ "ConnectionName": "hub", "ProviderType": "GitHub" });
        let mut request = testkit::request("stack", "Hub", properties);
        request.tags.clear();
        let somebody = Recorder::somebody(&world.watched.cx);
        let kind = world.watched.cloud.resource_type(kind).unwrap();
        assert!(kind.create(&somebody, &request).await.is_err());
        let needs = world.watched.take().unwrap();
        assert_eq!(testkit::told(&needs.all[0]), format!("{action} *"));
    }
}

#[tokio::test]
async fn lists_are_of_all_connections() {
    let world = World::new().await;
    let any = |prefix: &str, service: &str| {
        format!("{prefix}:ListConnections any arn:aws:{service}:{ACCOUNT}:connection/* {{?}}")
    };
    // One was made under the other name, and is listed as well.
    let found = world.lines::<ListConnectionsInput>(json!({})).await;
    let prefix = "codeconnections";
    assert_eq!(
        found,
        [any(prefix, prefix), any(prefix, "codestar-connections")]
    );
    let found = world.lines::<star::ListConnectionsInput>(json!({})).await;
    let prefix = "codestar-connections";
    assert_eq!(found, [any(prefix, prefix)]);
    let found = world.lines::<ListHostsInput>(json!({})).await;
    assert_eq!(found, ["codeconnections:ListHosts *"]);
}

#[tokio::test]
async fn the_provider_is_told_also_where_the_host_tells_it() {
    let world = World::new().await;
    let by_host = json!({"ConnectionName": "d", "HostArn": world.host});
    let needs = world
        .watched
        .needs(input::<CreateConnectionInput>(by_host.clone()))
        .await;
    let provider = key_of(&needs.all[0], "codeconnections:ProviderType");
    assert_eq!(provider.unwrap(), ["GitLabSelfManaged"]);
    let needs = world
        .watched
        .needs(input::<star::CreateConnectionInput>(by_host))
        .await;
    let provider = key_of(&needs.all[0], "codestar-connections:ProviderType");
    assert_eq!(provider.unwrap(), ["GitLabSelfManaged"]);
}
