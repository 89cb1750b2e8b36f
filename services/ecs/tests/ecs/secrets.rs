//! Values out of Parameter Store and Secrets Manager, which are the real services here.

use shapes::ecs::*;
use shapes::secretsmanager::CreateSecretInput;
use shapes::ssm::{ParameterType, PutParameterInput};

use crate::support::*;

const VALUE: &str = "hunter2-of-the-parameter";

fn with_secrets(secrets: &[(&str, &str)]) -> RegisterTaskDefinitionInput {
    let mut definition = definition(IMAGE);
    let secret = |(name, value_from): &(&str, &str)| Secret {
        name: (*name).into(),
        value_from: (*value_from).into(),
    };
    definition.container_definitions[0].secrets = Some(secrets.iter().map(secret).collect());
    definition
}

async fn put_values(world: &World) -> String {
    let parameter = PutParameterInput {
        name: "/web/key".into(),
        r#type: Some(ParameterType::SecureString),
        value: VALUE.into(),
        ..Default::default()
    };
    world.call(parameter).await;
    let secret = CreateSecretInput {
        name: "db".into(),
        secret_string: Some(r#"{"password": "s3cret", "port": 5432}"#.into()),
        ..Default::default()
    };
    world.call(secret).await.arn.unwrap()
}

async fn start(world: &World, definition: RegisterTaskDefinitionInput) -> String {
    world.call(definition).await;
    let made = world.call(run("web")).await.tasks.unwrap().remove(0);
    made.task_arn.unwrap()
}

#[tokio::test(start_paused = true)]
async fn containers_find_values_in_their_environment_and_nobody_else_does() {
    let world = World::new().await;
    let arn = put_values(&world).await;
    let by_arn = "arn:aws:ssm:us-east-1:000000000000:parameter/web/key";
    let password = format!("{arn}:password::");
    let port = format!("{arn}:port:AWSCURRENT:");
    let task = start(
        &world,
        with_secrets(&[
            ("KEY", "/web/key"),
            ("SAME", by_arn),
            ("WHOLE", &arn),
            ("PASSWORD", &password),
            ("PORT", &port),
        ]),
    )
    .await;
    let shown = world.task_until(&task, "RUNNING").await;
    let spec = world
        .sim
        .tasks
        .spec(task.rsplit('/').next().unwrap())
        .unwrap();
    for variable in [
        &format!("KEY={VALUE}"),
        &format!("SAME={VALUE}"),
        "WHOLE={\"password\": \"s3cret\", \"port\": 5432}",
        "PASSWORD=s3cret",
        "PORT=5432",
    ] {
        let env = &spec.containers[0].env;
        assert!(env.iter().any(|it| it == variable), "{variable} of {env:?}");
    }
    let describe = DescribeTaskDefinitionInput {
        task_definition: "web".into(),
        ..Default::default()
    };
    let described = format!("{:?}{shown:?}", world.call(describe).await);
    assert!(described.contains("/web/key"));
    assert!(!described.contains(VALUE) && !described.contains("s3cret"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_fetched_stops_the_task_in_awss_words() {
    let world = World::new().await;
    let arn = put_values(&world).await;
    let check = async |value_from: &str, expected: &str| {
        let task = start(&world, with_secrets(&[("KEY", value_from)])).await;
        let task = world.task_until(&task, "STOPPED").await;
        let reason = task.stopped_reason.unwrap_or_default();
        let start = "ResourceInitializationError: unable to pull secrets or registry auth: ";
        assert!(
            reason.starts_with(start) && reason.contains(expected),
            "{reason}"
        );
    };
    check("/web/nothing", "invalid parameters: /web/nothing").await;
    check(&format!("{arn}:other::"), "did not contain json key other").await;
    check(
        &format!("{arn}::AWSPREVIOUS:"),
        "can't find the specified secret value for staging label: AWSPREVIOUS",
    )
    .await;
    check(
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:nothing-AbCdEf",
        "ResourceNotFoundException",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_private_registrys_login_has_to_be_there() {
    let world = World::new().await;
    let arn = put_values(&world).await;
    let mut private = definition(IMAGE);
    private.container_definitions[0].repository_credentials = Some(RepositoryCredentials {
        credentials_parameter: arn,
    });
    let task = start(&world, private).await;
    let task = world.task_until(&task, "STOPPED").await;
    let reason = task.stopped_reason.unwrap_or_default();
    assert!(reason.contains("username and password"), "{reason}");
}
