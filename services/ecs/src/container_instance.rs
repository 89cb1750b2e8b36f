//! Container instances: what their agents say of themselves, and what is asked of them.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Origin, Records};
use shapes::ecs::errors::{ClientException, NoUpdateAvailableException};
use shapes::ecs::*;

use crate::cluster::{missing, page};
use crate::fleet::{Member, counts, members};
use crate::instance_record::{self, InstanceStatus};
use crate::launch::invalid;
use crate::machine;
use crate::names::{cluster_arn, container_instance_arn, container_instance_id, find_cluster};
use crate::placement::PortProtocol;
use crate::placement::expression::Expression;
use crate::record::{Service, timestamp};
use crate::task_record::{Failure as TaskFailure, Stop, Task as TaskRecord};

/// The API reference of `DescribeContainerInstances`, and of `UpdateContainerInstancesState`.
const DESCRIBE_MAX: usize = 100;
const STATE_MAX: usize = 10;
/// An agent tells some forty capabilities.
const ATTRIBUTES_MAX: usize = 500;

/// Those who wait for a place look again.
pub fn wake_services(cx: &Cx, cluster: &str) -> Result<(), Error> {
    let keys = cx.read(|tx| tx.keys::<Service>(&cx.key(&format!("{cluster}/"))))?;
    for key in keys {
        let kind = <Service as cloud::Record>::KIND;
        cx.cloud.converge.wake(kind, key);
    }
    Ok(())
}

pub async fn register_container_instance(
    cx: Cx,
    input: RegisterContainerInstanceInput,
) -> Result<RegisterContainerInstanceOutput, Error> {
    let cluster = cx
        .read(|tx| find_cluster(&cx, tx, input.cluster.as_deref()))
        .map_err(|error| ClientException.because(error.message))?;
    let document = input.instance_identity_document.as_deref();
    let ec2_instance = machine::instance_of(document)?;
    let found = machine::find(&cx, &ec2_instance).await?;
    // Whoever asks from elsewhere does not learn which instances there are.
    let Some(machine) = found.filter(|it| speaks_for(&cx.origin, it)) else {
        return Err(invalid(format!(
            "Instance {ec2_instance} of the identity document does not run, or does not ask itself."
        )));
    };
    let attributes = attributes_of(input.attributes.unwrap_or_default(), &machine)?;
    let registered = cx.write(|tx| {
        let inside = cx.key(&format!("{}/", cluster.name));
        let all = tx.list::<instance_record::ContainerInstance>(&inside)?;
        let known = match input.container_instance_arn.as_deref() {
            Some(given) => {
                let id = container_instance_id(&cx, given)?;
                let found = all.into_iter().find(|it| it.id == id);
                let found = found.filter(|it| it.machine.id == machine.id);
                Some(found.ok_or_else(|| {
                    ClientException.because("The referenced container instance was not found.")
                })?)
            }
            // An agent that has forgotten who it is finds itself again.
            None => all.into_iter().find(|it| it.machine.id == machine.id),
        };
        let now_ms = cx.clock().now_ms();
        let new = || instance_record::ContainerInstance {
            region: cx.region.clone(),
            cluster: cluster.name.clone(),
            id: cloud::random_hex(32),
            machine: machine.clone(),
            status: InstanceStatus::Active,
            registered_ms: now_ms,
            seen_ms: 0,
            version: 0,
            version_info: None,
            resources: Vec::new(),
            attributes: BTreeMap::new(),
            custom: BTreeMap::new(),
            tags: input.tags.clone().unwrap_or_default(),
        };
        let mut instance = known.unwrap_or_else(new);
        instance.machine = machine.clone();
        instance.version += 1;
        instance.version_info = input.version_info.clone();
        instance.resources = input.total_resources.clone().unwrap_or_default();
        instance.attributes = attributes.clone();
        tx.put(&instance)?;
        shown(&cx, tx, &cluster.name, &instance.id)
    })?;
    wake_services(&cx, &cluster.name)?;
    Ok(RegisterContainerInstanceOutput {
        container_instance: registered,
    })
}

/// Whether a call comes from the machine that it is about: by its agent here, or through its own interface. On
/// AWS the signature of the identity document says so, which nobody is given but at the machine itself.
fn speaks_for(origin: &Origin, machine: &instance_record::Machine) -> bool {
    let Some(client) = origin.client() else {
        return true;
    };
    let inside = client.inside.as_ref();
    inside.is_some_and(|it| it.interface == machine.interface)
}

fn attributes_of(
    given: Vec<Attribute>,
    machine: &instance_record::Machine,
) -> Result<BTreeMap<String, String>, Error> {
    if given.len() > ATTRIBUTES_MAX {
        return Err(invalid(format!(
            "An instance can have at most {ATTRIBUTES_MAX} attributes."
        )));
    }
    let told = given.into_iter();
    let mut all: BTreeMap<String, String> = told
        .map(|it| (it.name, it.value.unwrap_or_default()))
        .collect();
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    };
    for (name, value) in [
        ("ecs.availability-zone", machine.zone.as_str()),
        ("ecs.instance-type", &machine.kind),
        ("ecs.ami-id", &machine.image),
        ("ecs.subnet-id", &machine.subnet),
        ("ecs.vpc-id", &machine.vpc),
        ("ecs.os-type", "linux"),
        ("ecs.os-family", "LINUX"),
        ("ecs.cpu-architecture", architecture),
    ] {
        all.insert(name.to_owned(), value.to_owned());
    }
    Ok(all)
}

/// One instance as it is shown.
fn shown(
    cx: &Cx,
    tx: &Records<'_>,
    cluster: &str,
    id: &str,
) -> Result<Option<ContainerInstance>, Error> {
    let all = members(cx, tx, cluster)?;
    let tasks = tx.list::<TaskRecord>(&cx.key(&format!("{cluster}/")))?;
    let counts = counts(&tasks);
    Ok((all.iter().find(|it| it.instance.id == id)).map(|it| view(cx, it, &counts)))
}

fn integer(name: &str, value: i64) -> Resource {
    Resource {
        name: Some(name.to_owned()),
        r#type: Some("INTEGER".to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(i32::try_from(value).unwrap_or(i32::MAX)),
        string_set_value: None,
    }
}

fn ports(name: &str, values: impl Iterator<Item = u16>) -> Resource {
    Resource {
        name: Some(name.to_owned()),
        r#type: Some("STRINGSET".to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(0),
        string_set_value: Some(values.map(|it| it.to_string()).collect()),
    }
}

fn view(cx: &Cx, it: &Member, counts: &BTreeMap<String, (i32, i32)>) -> ContainerInstance {
    let (instance, candidate) = (&it.instance, &it.candidate);
    let used = |wanted: PortProtocol| {
        let all = candidate.used_ports.iter();
        all.filter(move |it| it.0 == wanted).map(|it| it.1)
    };
    let (running, pending) = counts.get(&instance.id).copied().unwrap_or_default();
    let attributes = instance.attributes.iter().chain(&instance.custom);
    ContainerInstance {
        container_instance_arn: Some(container_instance_arn(cx, &instance.cluster, &instance.id)),
        ec2_instance_id: Some(instance.machine.id.clone()),
        version: Some(instance.version),
        version_info: Some(instance.version_info.clone().unwrap_or_default()),
        remaining_resources: Some(vec![
            integer("CPU", candidate.free.cpu),
            integer("MEMORY", candidate.free.memory),
            ports("PORTS", used(PortProtocol::Tcp)),
            ports("PORTS_UDP", used(PortProtocol::Udp)),
        ]),
        registered_resources: Some(vec![
            integer("CPU", instance.amount("CPU")),
            integer("MEMORY", instance.amount("MEMORY")),
            ports("PORTS", instance.reserved_ports("PORTS").into_iter()),
            ports(
                "PORTS_UDP",
                instance.reserved_ports("PORTS_UDP").into_iter(),
            ),
        ]),
        status: Some(instance.status.as_str().into()),
        agent_connected: Some(candidate.is_connected),
        running_tasks_count: Some(running),
        pending_tasks_count: Some(pending),
        attributes: Some(attributes.map(|it| attribute(it.0, it.1)).collect()),
        registered_at: Some(timestamp(instance.registered_ms)),
        attachments: Some(Vec::new()),
        tags: Some(instance.tags.clone()),
        ..Default::default()
    }
}

pub fn attribute(name: &str, value: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        value: Some(value.to_owned()).filter(|it| !it.is_empty()),
        ..Default::default()
    }
}

pub async fn describe_container_instances(
    cx: Cx,
    input: DescribeContainerInstancesInput,
) -> Result<DescribeContainerInstancesOutput, Error> {
    if input.container_instances.is_empty() {
        return Err(invalid("Container instances cannot be empty."));
    }
    if input.container_instances.len() > DESCRIBE_MAX {
        return Err(invalid("Container instances can have at most 100 items."));
    }
    let asked = input.include.unwrap_or_default();
    if asked.contains(&ContainerInstanceField::ContainerInstanceHealth) {
        return Err(crate::refuse::unsupported(
            "DescribeContainerInstances with include CONTAINER_INSTANCE_HEALTH",
        ));
    }
    let with_tags = asked.contains(&ContainerInstanceField::Tags);
    cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let (mut found, failures) = pick(&cx, tx, &cluster.name, &input.container_instances)?;
        if !with_tags {
            found.iter_mut().for_each(|it| it.tags = Some(Vec::new()));
        }
        Ok(DescribeContainerInstancesOutput {
            container_instances: Some(found),
            failures: Some(failures),
        })
    })
}

/// Those of a cluster's instances that are asked for, and what is not there.
fn pick(
    cx: &Cx,
    tx: &Records<'_>,
    cluster: &str,
    asked: &[String],
) -> Result<(Vec<ContainerInstance>, Vec<Failure>), Error> {
    let all = members(cx, tx, cluster)?;
    let tasks = tx.list::<TaskRecord>(&cx.key(&format!("{cluster}/")))?;
    let counts = counts(&tasks);
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for given in asked {
        let id = container_instance_id(cx, given)?;
        match all.iter().find(|it| it.instance.id == id) {
            Some(it) => found.push(view(cx, it, &counts)),
            None => failures.push(missing(container_instance_arn(cx, cluster, &id))),
        }
    }
    Ok((found, failures))
}

pub async fn list_container_instances(
    cx: Cx,
    input: ListContainerInstancesInput,
) -> Result<ListContainerInstancesOutput, Error> {
    let filter = match input.filter.as_deref().filter(|it| !it.trim().is_empty()) {
        None => None,
        Some(text) => Some(
            Expression::parse(text)
                .map_err(|why| invalid(format!("Invalid filter: {text} ({why})")))?,
        ),
    };
    let (cluster, all) = cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let all = members(&cx, tx, &cluster.name)?;
        Ok((cluster, all))
    })?;
    let status = input.status.as_ref().map(|it| it.as_str());
    let wanted = |it: &&Member| {
        status.is_none_or(|status| it.instance.status.as_str() == status)
            && filter
                .as_ref()
                .is_none_or(|filter| filter.is_met_by(&it.candidate))
    };
    let arns = (all.iter().filter(wanted))
        .map(|it| container_instance_arn(&cx, &cluster.name, &it.instance.id))
        .collect();
    let (arns, next_token) = page(arns, input.max_results, input.next_token.as_deref())?;
    Ok(ListContainerInstancesOutput {
        container_instance_arns: Some(arns),
        next_token,
    })
}

pub async fn deregister_container_instance(
    cx: Cx,
    input: DeregisterContainerInstanceInput,
) -> Result<DeregisterContainerInstanceOutput, Error> {
    let (cluster, gone) = cx.write(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let id = container_instance_id(&cx, &input.container_instance)?;
        let found = shown(&cx, tx, &cluster.name, &id)?;
        let mut gone =
            found.ok_or_else(|| invalid("The referenced container instance was not found."))?;
        let busy = stop_tasks_of(
            &cx,
            tx,
            &cluster.name,
            &id,
            match input.force {
                Some(true) => Some("Container instance deregistration forced by user"),
                _ => None,
            },
        )?;
        if busy > 0 && input.force != Some(true) {
            return Err(invalid("Found running tasks on the instance."));
        }
        let key = instance_record::ContainerInstance::key_of(&cx.region, &cluster.name, &id);
        tx.delete::<instance_record::ContainerInstance>(&key)?;
        gone.status = Some("INACTIVE".into());
        gone.agent_connected = Some(false);
        Ok((cluster.name, gone))
    })?;
    wake_services(&cx, &cluster)?;
    Ok(DeregisterContainerInstanceOutput {
        container_instance: Some(gone),
    })
}

/// How many tasks an instance has; where there is a reason, they are to stop.
pub fn stop_tasks_of(
    cx: &Cx,
    tx: &Records<'_>,
    cluster: &str,
    id: &str,
    reason: Option<&str>,
) -> Result<usize, Error> {
    let tasks = tx.list::<TaskRecord>(&cx.key(&format!("{cluster}/")))?;
    let mut count = 0;
    for mut task in tasks {
        if task.placed.as_ref().is_none_or(|it| it.instance != id) {
            continue;
        }
        count += 1;
        if let Some(reason) = reason {
            let stop = Stop {
                code: TaskStopCode::TerminationNotice,
                reason: reason.to_owned(),
                failure: TaskFailure::No,
            };
            task.ask_to_stop(stop, cx.clock().now_ms());
            tx.put(&task)?;
        }
    }
    Ok(count)
}

pub async fn update_container_instances_state(
    cx: Cx,
    input: UpdateContainerInstancesStateInput,
) -> Result<UpdateContainerInstancesStateOutput, Error> {
    let status = match input.status {
        ContainerInstanceStatus::Active => InstanceStatus::Active,
        ContainerInstanceStatus::Draining => InstanceStatus::Draining,
        _ => {
            return Err(invalid(
                "Container instance status should be one of [ACTIVE, DRAINING].",
            ));
        }
    };
    if input.container_instances.is_empty() || input.container_instances.len() > STATE_MAX {
        return Err(invalid(
            "Container instances must have between 1 and 10 items.",
        ));
    }
    let (cluster, answer) = cx.write(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        for given in &input.container_instances {
            let id = container_instance_id(&cx, given)?;
            let key = instance_record::ContainerInstance::key_of(&cx.region, &cluster.name, &id);
            if let Some(mut found) = tx.get::<instance_record::ContainerInstance>(&key)?
                && found.status != status
            {
                found.status = status;
                found.version += 1;
                tx.put(&found)?;
            }
        }
        let answer = pick(&cx, tx, &cluster.name, &input.container_instances)?;
        Ok((cluster.name, answer))
    })?;
    wake_services(&cx, &cluster)?;
    Ok(UpdateContainerInstancesStateOutput {
        container_instances: Some(answer.0),
        failures: Some(answer.1),
    })
}

/// The agent is of this executable, and there is no newer one.
pub async fn update_container_agent(
    cx: Cx,
    input: UpdateContainerAgentInput,
) -> Result<UpdateContainerAgentOutput, Error> {
    cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let id = container_instance_id(&cx, &input.container_instance)?;
        shown(&cx, tx, &cluster.name, &id)?
            .ok_or_else(|| invalid("The referenced container instance was not found."))
    })?;
    Err(NoUpdateAvailableException
        .because("There is no update available for your container agent."))
}

/// Where an agent asks what to do. It asks again and again: that is how it is known to be there.
pub async fn discover_poll_endpoint(
    cx: Cx,
    input: DiscoverPollEndpointInput,
) -> Result<DiscoverPollEndpointOutput, Error> {
    let endpoint = format!("https://ecs-a-1.{}.amazonaws.com/", cx.region);
    if let Some(given) = &input.container_instance {
        let (cluster, id) = cx.read(|tx| {
            let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
            Ok((cluster.name, container_instance_id(&cx, given)?))
        })?;
        let key = instance_record::ContainerInstance::key_of(&cx.region, &cluster, &id);
        let came = cx.write(|tx| {
            let found = tx.get::<instance_record::ContainerInstance>(&key)?;
            let Some(mut found) = found else {
                return Err(ClientException.because(format!(
                    "Container instance {given} of {} was not found.",
                    cluster_arn(&cx, &cluster)
                )));
            };
            let now_ms = cx.clock().now_ms();
            let was_connected = found.is_connected(now_ms);
            if found.note_seen(now_ms) {
                tx.put(&found)?;
            }
            Ok(!was_connected)
        })?;
        if came {
            wake_services(&cx, &cluster)?;
        }
    }
    Ok(DiscoverPollEndpointOutput {
        endpoint: Some(endpoint.clone()),
        telemetry_endpoint: Some(endpoint),
        service_connect_endpoint: None,
    })
}
