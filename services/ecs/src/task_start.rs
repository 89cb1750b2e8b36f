//! The way of a task to RUNNING: interface, images, logs, containers. Every step may be repeated.

use std::collections::BTreeMap;
use std::time::Duration;

use cloud::{Cx, Error};
use engine::{Fault, ImageName};
use shapes::ec2::{
    CreateNetworkInterfaceInput, ModifyNetworkInterfaceAttributeInput, NetworkInterface,
};
use shapes::ecs::{AssignPublicIp, AwsVpcConfiguration, ContainerDefinition, LogConfiguration};
use shapes::logs::{CreateLogGroupInput, CreateLogStreamInput};

use crate::bridge;
use crate::container_rules::is_ecr;
use crate::execution_role::ExecutionRole;
use crate::record::Definition;
use crate::roles;
use crate::secrets;
use crate::spec::{Ready, task_spec};
use crate::task_record::{Interface, Task};

/// An interface is attached in a few milliseconds: it is waited for on the spot, in small steps,
/// before the task's record is written and looked at again.
const ATTACH_STEP: Duration = Duration::from_millis(2);
const ATTACH_STEPS: usize = 40;

/// Why a task cannot be started, in the words of `stoppedReason`.
pub struct CannotStart(pub String);

/// Makes the task's interface, or finds the one that was made.
pub async fn make_interface(
    cx: &Cx,
    task: &Task,
) -> Result<Result<Interface, CannotStart>, converge::Error> {
    // By when the interface is there, so is the machine.
    cx.engine().tasks.expect();
    let network = task
        .network
        .awsvpc_configuration
        .clone()
        .unwrap_or_default();
    let cx = cx.with_token(format!("ecs-task/{}", task.id));
    match create(&cx, task, &network).await {
        Ok(interface) => Ok(Ok(interface)),
        Err(error) if error.status >= 500 => Err(error.into()),
        Err(error) => Ok(Err(CannotStart(format!(
            "Unexpected EC2 error while attempting to Create Network Interface in subnet '{}': {}: {}",
            task.subnet, error.code, error.message
        )))),
    }
}

async fn create(cx: &Cx, task: &Task, network: &AwsVpcConfiguration) -> Result<Interface, Error> {
    let input = CreateNetworkInterfaceInput {
        subnet_id: task.subnet.clone(),
        groups: network.security_groups.clone().filter(|it| !it.is_empty()),
        description: Some(interface_description(cx, task)),
        client_token: Some(task.id.clone()),
        ..Default::default()
    };
    let made = cx.call(input).await?.network_interface.unwrap_or_default();
    if network.assign_public_ip == Some(AssignPublicIp::Enabled) {
        let input = ModifyNetworkInterfaceAttributeInput {
            network_interface_id: made.network_interface_id.clone().unwrap_or_default(),
            associate_public_ip_address: Some(true),
            ..Default::default()
        };
        cx.call(input).await?;
    }
    Ok(interface(made))
}

/// As AWS describes a Fargate task's interface; a lost one is found by it.
pub fn interface_description(cx: &Cx, task: &Task) -> String {
    cx.arn("ecs", &format!("attachment/{}", task.attachment_id))
}

fn interface(made: NetworkInterface) -> Interface {
    Interface {
        id: made.network_interface_id.unwrap_or_default(),
        address: made.private_ip_address.unwrap_or_default(),
        mac: made.mac_address.unwrap_or_default(),
        private_dns_name: made.private_dns_name,
        zone: made.availability_zone.unwrap_or_default(),
    }
}

/// Waits a moment for the interface to be attached to the machine's network.
pub async fn is_attached(cx: &Cx, interface: &Interface) -> Result<bool, converge::Error> {
    for _ in 0..ATTACH_STEPS {
        match cx.engine().network.namespace(&interface.id).await {
            Ok(_) => return Ok(true),
            Err(error) if error.fault == Fault::NotFound => (),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(ATTACH_STEP).await;
    }
    Ok(false)
}

/// Are all images here already, so that nothing has to be pulled?
pub async fn images_at_hand(cx: &Cx, definition: &Definition) -> bool {
    for container in definition.shape.container_definitions.iter().flatten() {
        let name = container
            .image
            .as_deref()
            .unwrap_or_default()
            .parse::<ImageName>();
        match name {
            Ok(name) if cx.engine().images.resolve(&name).await.is_ok() => (),
            _ => return false,
        }
    }
    true
}

/// Makes images and log streams ready and hands the task to the engine.
pub async fn start(
    cx: &Cx,
    task: &mut Task,
    definition: &Definition,
) -> Result<Result<(), CannotStart>, converge::Error> {
    if let Some(reason) = roles::unusable_role(cx, &task.overrides, definition)? {
        return Ok(Err(CannotStart(reason)));
    }
    let mut ready = BTreeMap::new();
    let whose = task.clone();
    let role = ExecutionRole::of(cx, &whose, definition)?;
    let containers = || definition.shape.container_definitions.iter().flatten();
    let needs_role = containers().any(|it| {
        it.log_configuration.is_some() || is_ecr(it.image.as_deref().unwrap_or_default())
    });
    if needs_role && role.is_missing() {
        return Ok(Err(CannotStart(
            "CannotPullContainerError: unable to get credentials of the container instance: \
             NoCredentialProviders: no valid providers in chain. Deprecated. Give the instance an \
             instance profile, or the task definition an executionRoleArn."
                .into(),
        )));
    }
    task.pull_started_ms.get_or_insert(cx.clock().now_ms());
    for container in definition.shape.container_definitions.iter().flatten() {
        let name = container.name.clone().unwrap_or_default();
        let secrets = match secrets::variables(cx, task, definition, container).await? {
            Ok(secrets) => secrets,
            Err(reason) => return Ok(Err(reason)),
        };
        let login = match secrets::registry_login(cx, task, definition, container).await? {
            Ok(login) => login,
            Err(reason) => return Ok(Err(reason)),
        };
        let image = match prepare(cx, &role, container, login).await {
            Ok(image) => image,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Some(own) = task.containers.iter_mut().find(|it| it.name == name) {
            own.digest = Some(image.digest.to_string());
        }
        ready.insert(
            name,
            Ready {
                image,
                log_file: None,
                secrets,
            },
        );
    }
    task.pull_stopped_ms.get_or_insert(cx.clock().now_ms());
    for container in definition.shape.container_definitions.iter().flatten() {
        let name = container.name.clone().unwrap_or_default();
        let Some(log) = &container.log_configuration else {
            continue;
        };
        match open_log(cx, &role, &whose, &name, log).await? {
            Ok(file) => {
                if let Some(own) = ready.get_mut(&name) {
                    own.log_file = Some(file);
                }
            }
            Err(reason) => return Ok(Err(reason)),
        }
    }
    if let Err(reason) = bridge::plug(cx, task).await? {
        return Ok(Err(reason));
    }
    let spec = match task_spec(task, definition, &ready, cx.clock()) {
        Ok(spec) => spec,
        Err(name) => {
            return Ok(Err(CannotStart(format!(
                "CannotStartContainerError: container {name}: no command specified"
            ))));
        }
    };
    let (door, started) = tokio::join!(open_door(cx, task), cx.engine().tasks.start(spec));
    door?;
    match started {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.fault == Fault::Unreachable => Err(error.into()),
        Err(error) => Ok(Err(CannotStart(format!(
            "CannotStartContainerError: {}",
            error.chain()
        )))),
    }
}

/// Lets the task's containers find their credentials and metadata.
pub async fn open_door(cx: &Cx, task: &Task) -> Result<(), converge::Error> {
    for interface in task.interfaces() {
        cx.engine().inside.open(&interface).await?;
    }
    Ok(())
}

/// On Fargate images, logs and secrets go through the task's own interface: asks the machine whether
/// that leads anywhere.
pub async fn has_way_out(cx: &Cx, task: &Task) -> Result<bool, converge::Error> {
    // On an instance it is the agent that pulls, over the instance's own interface.
    let placed = task.placed.as_ref().map(|it| it.interface.as_str());
    match placed.or(task.interface.as_ref().map(|it| it.id.as_str())) {
        Some(interface) => Ok(cx.engine().network.has_way_out(interface).await?),
        None => Ok(true),
    }
}

/// What AWS says when it does not.
pub fn no_way_out(task: &Task, definition: &Definition) -> CannotStart {
    if task.placed.is_some() {
        let first = definition
            .shape
            .container_definitions
            .iter()
            .flatten()
            .next();
        let image = first.and_then(|it| it.image.clone()).unwrap_or_default();
        return CannotStart(format!(
            "CannotPullContainerError: Error response from daemon: Get \"https://{}/v2/\": net/http: \
             request canceled while waiting for connection (Client.Timeout exceeded while awaiting \
             headers)",
            registry_of(&image)
        ));
    }
    let images = definition.shape.container_definitions.iter().flatten();
    let image = images
        .filter_map(|it| it.image.as_deref())
        .find(|it| is_ecr(it));
    let reason = match image {
        Some(_) => format!(
            "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot \
             pull registry auth from Amazon ECR: There is a connection issue between the task and \
             Amazon ECR. Check your task network configuration. operation error ECR: \
             GetAuthorizationToken, exceeded maximum number of attempts, 3, https response error \
             StatusCode: 0, RequestID: , request send failed, Post \
             \"https://api.ecr.{}.amazonaws.com/\": dial tcp: i/o timeout",
            task.region
        ),
        None => {
            "CannotPullContainerError: The task cannot pull the image from its registry. There is \
                 a connection issue between the task and the registry. Check your task network \
                 configuration: dial tcp: i/o timeout"
                .to_owned()
        }
    };
    CannotStart(reason)
}

/// The host that an image is pulled from.
fn registry_of(image: &str) -> String {
    let name = image.parse::<ImageName>();
    name.map_or_else(|_| image.to_owned(), |it| it.repository.host.to_string())
}

async fn prepare(
    cx: &Cx,
    role: &ExecutionRole<'_>,
    container: &ContainerDefinition,
    login: Option<engine::RegistryLogin>,
) -> Result<engine::PreparedImage, CannotStart> {
    let text = container.image.as_deref().unwrap_or_default();
    let name: ImageName = text.parse().map_err(|error: engine::EngineError| {
        CannotStart(format!(
            "CannotPullContainerError: invalid reference format: {}",
            error.chain()
        ))
    })?;
    role.may_pull(&name)?;
    cx.engine().images.prepare(&name, login).await.map_err(|error| {
        let cause = match error.fault {
            Fault::NotFound => format!("{name}: not found"),
            _ => error.chain(),
        };
        CannotStart(format!(
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to \
             resolve ref {name}: {cause}"
        ))
    })
}

/// Makes the container's stream and answers with the file that the container's output goes to.
async fn open_log(
    cx: &Cx,
    role: &ExecutionRole<'_>,
    task: &Task,
    container: &str,
    log: &LogConfiguration,
) -> Result<Result<std::path::PathBuf, CannotStart>, converge::Error> {
    let options = log.options.clone().unwrap_or_default();
    let option = |name: &str| options.get(name).cloned().unwrap_or_default();
    let (group, region) = (option("awslogs-group"), option("awslogs-region"));
    let stream = match option("awslogs-stream-prefix") {
        // A stream without a prefix is called as its container is.
        prefix if prefix.is_empty() => format!("{}-{container}", task.id),
        prefix => format!("{prefix}/{container}/{}", task.id),
    };
    if option("awslogs-create-group") == "true" {
        let input = CreateLogGroupInput {
            log_group_name: group.clone(),
            ..Default::default()
        };
        if let Err(error) = role.call(&region, input).await
            && !error.is(shapes::logs::errors::ResourceAlreadyExistsException)
        {
            return Ok(Err(bad_log(task, &error, "group", "CreateLogGroup")));
        }
    }
    let input = CreateLogStreamInput {
        log_group_name: group.clone(),
        log_stream_name: stream.clone(),
    };
    match role.call(&region, input).await {
        Err(error) if error.status >= 500 => return Err(error.into()),
        Err(error) if !error.is(shapes::logs::errors::ResourceAlreadyExistsException) => {
            return Ok(Err(bad_log(task, &error, "stream", "CreateLogStream")));
        }
        _ => (),
    }
    // The task itself delivers what it prints, so that this is asked before it does.
    if let Err(error) = role.may_deliver(&region, &group, &stream) {
        return Ok(Err(bad_log(task, &error, "stream", "PutLogEvents")));
    }
    Ok(Ok(cx
        .engine()
        .logs
        .stream_file(&format!("{region}/{group}"), &stream)
        .await?))
}

fn bad_log(task: &Task, error: &Error, what: &str, operation: &str) -> CannotStart {
    if task.placed.is_some() {
        return CannotStart(format!(
            "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: \
             failed to create Cloudwatch log {what}: {}: {}",
            error.code, error.message
        ));
    }
    CannotStart(format!(
        "ResourceInitializationError: failed to validate logger args: create stream has been retried \
         1 times: failed to create Cloudwatch log {what}: operation error CloudWatch Logs: {operation}, \
         https response error StatusCode: {}, {}: {} : exit status 1",
        error.status, error.code, error.message
    ))
}
