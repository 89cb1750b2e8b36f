//! The CloudFormation types, driven as CloudFormation drives them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::support::*;
use cloud::{ResourceRequest, ResourceType, Stability};
use serde_json::{Value as Json, json};
use shapes::ecs::*;

fn request(logical_id: &str, properties: Json) -> ResourceRequest {
    ResourceRequest {
        tags: BTreeMap::from([("aws:cloudformation:stack-name".into(), "shop".into())]),
        ..testkit::request("shop", logical_id, properties)
    }
}

fn kind(world: &World, name: &str) -> Arc<dyn ResourceType> {
    world.cloud.resource_type(name).unwrap()
}

async fn wait(world: &World, service: &dyn ResourceType, id: &str) -> Stability {
    for _ in 0..2000 {
        match service.stability(&world.cx, id).await.unwrap() {
            Stability::Waiting(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            done => return done,
        }
    }
    panic!(
        "it waits for ever: {:?}",
        service.stability(&world.cx, id).await
    );
}

fn task_definition(image: &str) -> Json {
    json!({
        "Family": "shop", "Cpu": 256, "Memory": "512", "NetworkMode": "awsvpc",
        "RequiresCompatibilities": ["FARGATE"], "ExecutionRoleArn": "execution",
        "ContainerDefinitions": [{
            "Name": "web", "Image": image,
            "PortMappings": [{"ContainerPort": "80"}],
            "Environment": [{"Name": "COLOUR", "Value": "blue"}],
        }],
    })
}

fn service(definition: &str) -> Json {
    json!({
        "Cluster": "shop", "TaskDefinition": definition, "DesiredCount": "2", "LaunchType": "FARGATE",
        "DeploymentConfiguration": {
            "DeploymentCircuitBreaker": {"Enable": true, "Rollback": true},
        },
        "NetworkConfiguration": {"AwsvpcConfiguration": {
            "Subnets": ["subnet-out"], "SecurityGroups": ["sg-1"], "AssignPublicIp": "DISABLED",
        }},
        "LoadBalancers": [{"ContainerName": "web", "ContainerPort": 80, "TargetGroupArn": GROUP}],
    })
}

#[tokio::test(start_paused = true)]
async fn a_stack_of_cluster_definition_and_service_comes_changes_and_goes() {
    let world = World::new().await;
    let (clusters, definitions, services) = (
        kind(&world, "AWS::ECS::Cluster"),
        kind(&world, "AWS::ECS::TaskDefinition"),
        kind(&world, "AWS::ECS::Service"),
    );
    let named = request("Cluster", json!({"ClusterName": "shop"}));
    let cluster = clusters
        .create(&world.cx, &named)
        .await
        .unwrap()
        .physical_id;
    assert_eq!(cluster, "shop");
    let arn = clusters
        .attribute(&world.cx, &cluster, "Arn")
        .await
        .unwrap();
    assert_eq!(arn, "arn:aws:ecs:us-east-1:000000000000:cluster/shop");

    // Every request may come twice.
    let asked = request("Task", task_definition(IMAGE));
    let definition = definitions
        .create(&world.cx, &asked)
        .await
        .unwrap()
        .physical_id;
    assert_eq!(
        definitions
            .create(&world.cx, &asked)
            .await
            .unwrap()
            .physical_id,
        definition
    );
    assert!(definition.ends_with("task-definition/shop:1"));

    let asked = request("Service", service(&definition));
    let id = services
        .create(&world.cx, &asked)
        .await
        .unwrap()
        .physical_id;
    assert_eq!(
        services
            .create(&world.cx, &asked)
            .await
            .unwrap()
            .physical_id,
        id
    );
    assert!(matches!(
        services.stability(&world.cx, &id).await.unwrap(),
        Stability::Waiting(_)
    ));
    assert_eq!(wait(&world, &*services, &id).await, Stability::Stable);
    assert_eq!(world.sim.tasks.running().len(), 2);
    let name = services.attribute(&world.cx, &id, "Name").await.unwrap();
    assert!(
        name.as_str().unwrap().starts_with("shop-Service-"),
        "{name}"
    );

    // A broken image is rolled back by the circuit breaker, and the update fails with the reason.
    let mut broken = request("Broken", task_definition("nowhere.example/nothing:1"));
    broken.properties["Family"] = "other".into();
    let other = definitions
        .create(&world.cx, &broken)
        .await
        .unwrap()
        .physical_id;
    let changed = request("Service2", service(&other));
    services
        .update(&world.cx, &id, &asked.properties, &changed)
        .await
        .unwrap();
    let Stability::Failed(reason) = wait(&world, &*services, &id).await else {
        panic!("a broken deployment became stable");
    };
    assert!(
        reason.contains("ECS Deployment Circuit Breaker was triggered"),
        "{reason}"
    );
    assert!(reason.contains("CannotPullContainerError"), "{reason}");
    // CloudFormation's own roll-back asks for what was there before.
    services
        .update(&world.cx, &id, &changed.properties, &asked)
        .await
        .unwrap();
    assert_eq!(wait(&world, &*services, &id).await, Stability::Stable);

    services
        .delete(&world.cx, &id, &asked.properties)
        .await
        .unwrap();
    while services.deleted(&world.cx, &id).await.unwrap() != Stability::Stable {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    definitions
        .delete(&world.cx, &definition, &Json::Null)
        .await
        .unwrap();
    clusters
        .delete(&world.cx, &cluster, &Json::Null)
        .await
        .unwrap();
    for (kind, id) in [
        (&services, &id),
        (&definitions, &definition),
        (&clusters, &cluster),
    ] {
        kind.delete(&world.cx, id, &Json::Null).await.unwrap();
    }
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_worked_fails_with_the_reason() {
    let world = World::new().await;
    let services = kind(&world, "AWS::ECS::Service");
    world
        .call(CreateClusterInput {
            cluster_name: Some("shop".into()),
            ..Default::default()
        })
        .await;
    world.register("nowhere.example/nothing:1").await;
    let asked = request("Service", service("web"));
    let id = services
        .create(&world.cx, &asked)
        .await
        .unwrap()
        .physical_id;
    let Stability::Failed(reason) = wait(&world, &*services, &id).await else {
        panic!("a service without an image became stable");
    };
    assert!(reason.contains("CannotPullContainerError"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_property_is_named() {
    let world = World::new().await;
    let definitions = kind(&world, "AWS::ECS::TaskDefinition");
    let mut wrong = task_definition(IMAGE);
    wrong["ContainerDefinitions"][0]["PortMappings"][0]["ContainerPort"] = "eighty".into();
    let error = definitions
        .create(&world.cx, &request("Task", wrong))
        .await
        .unwrap_err();
    assert!(error.message.contains("ContainerPort"), "{error}");
    let mut wrong = task_definition(IMAGE);
    wrong["Memory"] = 9999.into();
    let error = definitions
        .create(&world.cx, &request("Task", wrong))
        .await
        .unwrap_err();
    assert!(
        error
            .message
            .contains("No Fargate configuration exists for given values."),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn tags_that_leave_the_template_leave_the_resource() {
    let world = World::new().await;
    let tagged = |mut properties: Json, keys: &[&str]| {
        properties["Tags"] = keys
            .iter()
            .map(|it| json!({"Key": it, "Value": "1"}))
            .collect();
        properties
    };
    for (name, properties) in [
        ("Cluster", json!({"ClusterName": "shop"})),
        ("TaskDefinition", task_definition(IMAGE)),
    ] {
        let kind = kind(&world, &format!("AWS::ECS::{name}"));
        let old = request(name, tagged(properties.clone(), &["kept", "gone"]));
        let id = kind
            .create(&world.cx, &old)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .physical_id;
        let new = request(name, tagged(properties, &["kept", "new"]));
        let update = kind.update(&world.cx, &id, &old.properties, &new);
        update.await.unwrap();
        let resource_arn = match name {
            "Cluster" => "arn:aws:ecs:us-east-1:000000000000:cluster/shop".to_owned(),
            _ => id,
        };
        let found = world.cx.call(ListTagsForResourceInput { resource_arn });
        let tags = found.await.unwrap().tags.unwrap_or_default();
        let mut keys: Vec<_> = tags.into_iter().filter_map(|it| it.key).collect();
        keys.sort();
        let expected = ["aws:cloudformation:stack-name", "kept", "new"];
        assert_eq!(keys, expected, "{name}");
    }
}
