//! What one container definition may say.

use cloud::Error;
use shapes::ecs::*;

use crate::definition_rules::{Ground, client};
use crate::names::is_name;
use crate::refuse::unsupported;

/// The least memory that a container may have, in MiB (API reference, `ContainerDefinition`).
const MEMORY_MIN: i32 = 6;
/// The longest `stopTimeout` and `startTimeout` on Fargate, in seconds.
const TIMEOUT_MAX: i32 = 120;

/// What AWS fills in when it registers a definition.
pub fn fill_defaults(container: &mut ContainerDefinition, ground: Ground) {
    container.cpu.get_or_insert(0);
    container.essential.get_or_insert(true);
    container.environment.get_or_insert_default();
    container.mount_points.get_or_insert_default();
    container.volumes_from.get_or_insert_default();
    container.system_controls.get_or_insert_default();
    for mapping in container.port_mappings.get_or_insert_default() {
        if mapping.host_port.is_none_or(|port| port == 0) {
            // In a bridge, the instance chooses one.
            mapping.host_port = match ground.mode {
                NetworkMode::Bridge => Some(0),
                _ => mapping.container_port,
            };
        }
        mapping.protocol.get_or_insert(TransportProtocol::Tcp);
    }
    if let Some(check) = &mut container.health_check {
        check.interval.get_or_insert(30);
        check.timeout.get_or_insert(5);
        check.retries.get_or_insert(3);
    }
}

pub fn check(
    container: &ContainerDefinition,
    ground: Ground,
    task: (Option<u32>, Option<u32>),
    has_execution_role: bool,
) -> Result<(), Error> {
    let name = container.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(client("Container.name should not be null or empty."));
    }
    if !is_name(name) {
        return Err(client(format!(
            "Container name '{name}' contains invalid characters."
        )));
    }
    // On an instance, its own role stands in for what a task lacks.
    let has_role = has_execution_role || !ground.is_fargate;
    check_image(container, has_role)?;
    match ground.mode {
        NetworkMode::Bridge => check_surroundings(container)?,
        mode => refuse_what_bridges_have(container, mode)?,
    }
    check_privileged(container, ground)?;
    check_secrets(container, has_execution_role)?;
    check_size(container, name, task)?;
    check_ports(container, ground)?;
    check_log(container, ground, has_role)?;
    check_health(container)?;
    check_linux(container, ground)?;
    for timeout in [container.start_timeout, container.stop_timeout]
        .into_iter()
        .flatten()
    {
        if timeout < 0 || ground.is_fargate && timeout > TIMEOUT_MAX {
            return Err(client(format!(
                "Timeout of container '{name}' must be between 0 and {TIMEOUT_MAX} seconds."
            )));
        }
    }
    Ok(())
}

pub fn is_ecr(image: &str) -> bool {
    image.split('/').next().is_some_and(|host| {
        host.contains(".dkr.ecr.")
            && host
                .split(':')
                .next()
                .is_some_and(|it| it.ends_with(".amazonaws.com"))
    })
}

fn check_image(container: &ContainerDefinition, has_execution_role: bool) -> Result<(), Error> {
    let image = container.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        return Err(client("Container.image should not be null or empty."));
    }
    if is_ecr(image) && !has_execution_role {
        return Err(client(
            "Fargate requires task definition to have execution role ARN to support ECR images.",
        ));
    }
    Ok(())
}

/// What containers may say that have a network of their own.
fn refuse_what_bridges_have(
    container: &ContainerDefinition,
    mode: NetworkMode,
) -> Result<(), Error> {
    let is_asked = |list: Option<usize>| list.is_some_and(|it| it > 0);
    let count = |list: &Option<Vec<String>>| is_asked(list.as_ref().map(Vec::len));
    let links = (count(&container.links), "Links are");
    // In `awsvpc`, everything is the interface's network's to say.
    let others = [
        (count(&container.dns_servers), "DNS servers are"),
        (
            count(&container.dns_search_domains),
            "DNS search domains are",
        ),
        (
            is_asked(container.extra_hosts.as_ref().map(Vec::len)),
            "Extra hosts are",
        ),
        (container.hostname.is_some(), "Hostname is"),
    ];
    if links.0 || mode == NetworkMode::Awsvpc {
        let mut all = [links].into_iter().chain(others);
        return match all.find(|it| it.0) {
            Some((_, what)) => Err(client(format!(
                "{what} not supported on container when networkMode={mode}."
            ))),
            None => Ok(()),
        };
    }
    let names = ["dnsServers", "dnsSearchDomains", "extraHosts", "hostname"];
    match others.iter().zip(names).find(|(it, _)| it.0) {
        Some((_, name)) => Err(unsupported(format!(
            "containerDefinitions.{name} with networkMode {mode}"
        ))),
        None => Ok(()),
    }
}

/// Names and addresses of a container in a bridge become lines of its files.
fn check_surroundings(container: &ContainerDefinition) -> Result<(), Error> {
    let name = container.name.as_deref().unwrap_or_default();
    let bad = |what: &str, text: &str| {
        Err(client(format!(
            "Invalid '{what}' setting for container '{name}': '{text}'."
        )))
    };
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
    let is_host = |it: &str| !it.is_empty() && it.len() <= 253 && it.bytes().all(plain);
    let is_address = |it: &str| it.parse::<std::net::IpAddr>().is_ok();
    let links = container.links.iter().flatten();
    if let Some(link) = links.clone().find(|it| !base::links::is_link(it)) {
        return bad("links", link);
    }
    if let Some(hostname) = container
        .hostname
        .as_deref()
        .filter(|it| !it.is_empty() && !is_host(it))
    {
        return bad("hostname", hostname);
    }
    for entry in container.extra_hosts.iter().flatten() {
        if !is_host(&entry.hostname) || !is_address(&entry.ip_address) {
            return bad(
                "extraHosts",
                &format!("{}:{}", entry.hostname, entry.ip_address),
            );
        }
    }
    let servers = container.dns_servers.iter().flatten();
    if let Some(server) = servers.clone().find(|it| !is_address(it)) {
        return bad("dnsServers", server);
    }
    let domains = container.dns_search_domains.iter().flatten();
    match domains.clone().find(|it| !is_host(it)) {
        Some(domain) => bad("dnsSearchDomains", domain),
        None => Ok(()),
    }
}

/// The container of this name.
pub fn container_named<'a>(
    containers: &'a [ContainerDefinition],
    name: &str,
) -> Option<&'a ContainerDefinition> {
    containers
        .iter()
        .find(|it| it.name.as_deref() == Some(name))
}

fn check_privileged(container: &ContainerDefinition, ground: Ground) -> Result<(), Error> {
    match (container.privileged, ground.is_fargate) {
        (Some(true), true) => Err(client(
            "Tasks using FARGATE compatibility do not support privileged containers.",
        )),
        (Some(true), false) => Err(unsupported("containerDefinitions.privileged")),
        _ => Ok(()),
    }
}

fn check_secrets(container: &ContainerDefinition, has_execution_role: bool) -> Result<(), Error> {
    let secrets = container.secrets.as_deref().unwrap_or_default();
    if !secrets.is_empty() && !has_execution_role {
        return Err(client(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        ));
    }
    if container.repository_credentials.is_some() && !has_execution_role {
        return Err(client(
            "When you are specifying container repository credentials, you must also specify a value for 'executionRoleArn'.",
        ));
    }
    let variables = container.environment.iter().flatten();
    let mut names: Vec<&str> = variables.filter_map(|it| it.name.as_deref()).collect();
    for secret in secrets {
        if secret.name.is_empty() || secret.value_from.is_empty() {
            return Err(client("A container secret needs a name and valueFrom."));
        }
        if names.contains(&secret.name.as_str()) {
            return Err(client(format!(
                "The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '{}'.",
                secret.name
            )));
        }
        names.push(&secret.name);
    }
    Ok(())
}

fn check_size(
    container: &ContainerDefinition,
    name: &str,
    task: (Option<u32>, Option<u32>),
) -> Result<(), Error> {
    let cpu = task.0.map_or(i64::from(i32::MAX), i64::from);
    let memory = task.1.map_or(i64::from(i32::MAX), i64::from);
    if task.1.is_none() && container.memory.or(container.memory_reservation).is_none() {
        return Err(client(format!(
            "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must \
             be specified."
        )));
    }
    if !(0..=cpu).contains(&i64::from(container.cpu.unwrap_or(0))) {
        return Err(client(format!(
            "Invalid 'cpu' setting for container '{name}'."
        )));
    }
    for size in [container.memory, container.memory_reservation]
        .into_iter()
        .flatten()
    {
        if size < MEMORY_MIN || i64::from(size) > memory {
            return Err(client(format!(
                "Invalid 'memory' setting for container '{name}'."
            )));
        }
    }
    match (container.memory, container.memory_reservation) {
        (Some(hard), Some(soft)) if soft > hard => Err(client(format!(
            "Invalid setting for container '{name}'. 'memory' must be greater than or equal to \
             'memoryReservation'."
        ))),
        _ => Ok(()),
    }
}

fn check_ports(container: &ContainerDefinition, ground: Ground) -> Result<(), Error> {
    let mode = ground.mode;
    let maps = container.port_mappings.iter().flatten().next().is_some();
    if mode == NetworkMode::None && maps {
        return Err(client(
            "Port mappings are not supported when networkMode=none.",
        ));
    }
    for mapping in container.port_mappings.iter().flatten() {
        if !mapping
            .container_port
            .is_some_and(|port| (1..=65_535).contains(&port))
        {
            return Err(client(
                "Invalid containerPort: it must be between 1 and 65535.",
            ));
        }
        if !mapping
            .host_port
            .is_some_and(|port| (0..=65_535).contains(&port))
        {
            return Err(client("Invalid hostPort: it must be between 0 and 65535."));
        }
        if mode != NetworkMode::Bridge && mapping.host_port != mapping.container_port {
            return Err(client(format!(
                "When networkMode={mode}, the host ports and container ports in port mappings must match."
            )));
        }
    }
    Ok(())
}

/// Options of `awslogs` that mean what they do on AWS. `mode` and the buffer's size say what to do
/// when CloudWatch Logs is slow: here a line is written to its file before the container goes on.
const LOG_OPTIONS: [&str; 6] = [
    "awslogs-group",
    "awslogs-region",
    "awslogs-stream-prefix",
    "awslogs-create-group",
    "mode",
    "max-buffer-size",
];

fn check_log(
    container: &ContainerDefinition,
    ground: Ground,
    has_execution_role: bool,
) -> Result<(), Error> {
    let Some(log) = &container.log_configuration else {
        return Ok(());
    };
    if log.log_driver != LogDriver::Awslogs {
        return Err(unsupported(format!("log driver {}", log.log_driver)));
    }
    if !has_execution_role {
        return Err(client(
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        ));
    }
    let options = log.options.clone().unwrap_or_default();
    let needed = ["awslogs-group", "awslogs-region", "awslogs-stream-prefix"];
    let needed = match ground.is_fargate {
        true => &needed[..],
        false => &needed[..2],
    };
    for option in needed {
        if options.get(*option).is_none_or(String::is_empty) {
            return Err(client(format!(
                "Log driver awslogs requires options: awslogs-region, awslogs-group, \
                 awslogs-stream-prefix ({option} is missing)."
            )));
        }
    }
    match options
        .keys()
        .find(|name| !LOG_OPTIONS.contains(&name.as_str()))
    {
        Some(name) => Err(unsupported(format!("log option {name}"))),
        None => Ok(()),
    }
}

fn check_health(container: &ContainerDefinition) -> Result<(), Error> {
    let Some(check) = &container.health_check else {
        return Ok(());
    };
    let kind = check
        .command
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    let says_something = check.command.len() >= 2 || kind == "NONE";
    if !["CMD", "CMD-SHELL", "NONE"].contains(&kind) || !says_something {
        return Err(client(
            "HealthCheck command must start with CMD or CMD-SHELL, followed by the command to run.",
        ));
    }
    for (name, value, low, high) in [
        ("interval", check.interval, 5, 300),
        ("timeout", check.timeout, 2, 120),
        ("retries", check.retries, 1, 10),
        ("startPeriod", check.start_period, 0, 300),
    ] {
        if value.is_some_and(|it| !(low..=high).contains(&it)) {
            return Err(client(format!(
                "HealthCheck {name} must be between {low} and {high}."
            )));
        }
    }
    Ok(())
}

fn check_linux(container: &ContainerDefinition, ground: Ground) -> Result<(), Error> {
    for limit in container.ulimits.iter().flatten() {
        if limit.soft_limit > limit.hard_limit || limit.soft_limit < 0 {
            return Err(client(format!(
                "Invalid ulimit {}: soft above hard limit.",
                limit.name
            )));
        }
    }
    let Some(linux) = &container.linux_parameters else {
        return Ok(());
    };
    let added = linux.capabilities.as_ref().and_then(|it| it.add.as_ref());
    let mut added = added.into_iter().flatten();
    if !ground.is_fargate {
        // An instance is not a machine of its own kernel: what has power over that is nobody's.
        let harmless = |it: &&String| HARMLESS.contains(&it.as_str());
        return match added.find(|it| !harmless(it)) {
            Some(other) => Err(unsupported(format!(
                "linuxParameters.capabilities.add {other}"
            ))),
            None => Ok(()),
        };
    }
    match added.find(|it| *it != "SYS_PTRACE") {
        Some(other) => Err(client(format!(
            "Tasks using FARGATE compatibility can add no capability but SYS_PTRACE, not {other}."
        ))),
        None => Ok(()),
    }
}

/// What containers have anyway, as with Docker, and what Fargate lets them have besides.
const HARMLESS: [&str; 15] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "SYS_PTRACE",
];
