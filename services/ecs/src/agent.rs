//! The agent of a container instance: it reads what its machine's `/etc/ecs/ecs.config` says, and joins that
//! cluster as its machine's role, over its machine's network. Without a way there it does not, and
//! `/var/log/ecs/ecs-agent.log` says why, as on AWS.
//!
//! It looks into the machine by what the machine has: its shell reads the one file and writes the other.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, StoreError};
use engine::EngineError;
use shapes::ec2::{DescribeInstanceTypesInput, DescribeInstancesInput, Filter, Instance};
use shapes::ecs::*;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::agent_config::AgentConfig;
use crate::instance_record::Machine;
use crate::machine;
use crate::names::DEFAULT_CLUSTER;
use crate::record::{Cluster, timestamp};

pub const KIND: &str = "ecs.agents";
pub const KEY: &str = "all";

/// How often an agent says that it is there; a third of the silence after which it is lost.
const BEAT: Duration = Duration::from_secs(10);
/// How soon a machine that boots is looked at again.
const SOON: Duration = Duration::from_millis(500);
/// What the one container of a machine's task is called.
const CONTAINER: &str = "machine";
/// Lines of a configuration that wait for being read.
const LINES_AT_ONCE: usize = 64;
/// A configuration has no more lines, and no more bytes, that are kept.
const LINES_MAX: usize = 1000;
const BYTES_MAX: usize = 64 << 10;
/// A machine's shell is whatever its owner has put there: one that does not end by then is ended.
const SHELL_WAIT: Duration = Duration::from_secs(5);
/// Capabilities that tasks may need of it, and that it has.
const CAPABILITIES: [&str; 8] = [
    "com.amazonaws.ecs.capability.docker-remote-api.1.18",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.task-eni",
];

/// What is known of a machine's agent, in memory only: a daemon that was started anew asks again.
#[derive(Default)]
struct Agent {
    /// When it was looked at last.
    looked_ms: i64,
    config: Option<AgentConfig>,
    /// Its machine is none of ECS's.
    is_absent: bool,
    registered: Option<String>,
    /// What it has written last: it is not written twice.
    said: String,
}

/// One reconciler of one key for all agents.
#[derive(Default)]
pub struct AgentReconciler(Mutex<BTreeMap<String, Agent>>);

#[async_trait]
impl Reconciler for AgentReconciler {
    fn kind(&self) -> &'static str {
        KIND
    }
    fn keys(&self, _: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(vec![KEY.to_owned()])
    }
    fn region(&self, _: &str) -> String {
        String::new()
    }

    async fn reconcile(&self, cx: Cx, _: &str) -> Result<Next, converge::Error> {
        let mut kept = BTreeMap::new();
        // All at once: no machine waits for another one's shell.
        let mut looks = JoinSet::new();
        for region in regions(&cx)? {
            let cx = cx.in_region(&region);
            for instance in running(&cx).await? {
                let id = instance.instance_id.clone().unwrap_or_default();
                let mut agent = self.take(&id);
                if agent.is_absent {
                    kept.insert(id, agent);
                    continue;
                }
                let cx = cx.clone();
                looks.spawn(async move {
                    let wait = look(&cx, &id, instance, &mut agent).await;
                    (id, agent, wait)
                });
            }
        }
        let mut next: Option<Duration> = None;
        let mut failed = None;
        while let Some(looked) = looks.join_next().await {
            let Ok((id, agent, wait)) = looked else {
                continue;
            };
            kept.insert(id, agent);
            match wait {
                Ok(wait) => next = Some(next.map_or(wait, |it| it.min(wait))),
                Err(error) => failed = Some(error),
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        match failed {
            Some(error) => Err(error),
            None => Ok(next.map_or(Next::Idle, Next::After)),
        }
    }
}

impl AgentReconciler {
    fn take(&self, id: &str) -> Agent {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(id).unwrap_or_default()
    }
}

/// Where agents may be: there is a cluster, or there may be the default one.
fn regions(cx: &Cx) -> Result<Vec<String>, Error> {
    let clusters = cx.read(|tx| tx.readable::<Cluster>(""))?;
    let mut regions: Vec<String> = clusters.into_iter().map(|it| it.region).collect();
    regions.push(cx.cloud.default_region.clone());
    regions.sort();
    regions.dedup();
    Ok(regions)
}

async fn running(cx: &Cx) -> Result<Vec<Instance>, Error> {
    let state = Filter {
        name: Some("instance-state-name".into()),
        values: Some(vec!["running".into()]),
    };
    let asked = DescribeInstancesInput {
        filters: Some(vec![state]),
        ..Default::default()
    };
    let found = match cx.call(asked).await {
        // Without instances there are no agents.
        Err(error) if error.status == 501 => return Ok(Vec::new()),
        other => other?.reservations.unwrap_or_default(),
    };
    Ok(found
        .into_iter()
        .flat_map(|it| it.instances.unwrap_or_default())
        .collect())
}

/// Does what an agent does next. When to look again.
async fn look(
    cx: &Cx,
    id: &str,
    instance: Instance,
    agent: &mut Agent,
) -> Result<Duration, converge::Error> {
    let config = match &agent.config {
        Some(config) => config.clone(),
        None => match read_config(cx, id).await {
            Found::Booting => return Ok(SOON),
            Found::Nothing => {
                agent.is_absent = true;
                return Ok(BEAT);
            }
            Found::Config(config) => {
                for complaint in &config.complaints {
                    say(cx, id, agent, "error", complaint).await;
                }
                agent.config = Some(config.clone());
                config
            }
        },
    };
    let Some(machine) = machine::found(cx, id, instance).await? else {
        return Ok(SOON);
    };
    let now_ms = cx.clock().now_ms();
    let waited = Duration::from_millis(u64::try_from(now_ms - agent.looked_ms).unwrap_or(0));
    if waited < BEAT && agent.registered.is_some() {
        // It was woken by a change of some other machine.
        return Ok(BEAT - waited);
    }
    agent.looked_ms = now_ms;
    if let Err(why) = join(cx, &machine, &config, agent).await? {
        let line = format!("Unable to register as a container instance with ECS: {why}");
        say(cx, id, agent, "error", &line).await;
    }
    Ok(BEAT)
}

enum Found {
    /// What it does when it boots has not ended: the agent is started after that.
    Booting,
    /// It has no agent.
    Nothing,
    Config(AgentConfig),
}

async fn read_config(cx: &Cx, id: &str) -> Found {
    const SCRIPT: &str = "test -e /var/lib/cloud/instance/boot-finished || exit 3
        test -d /etc/ecs || exit 4
        cat /etc/ecs/ecs.config 2>/dev/null || true";
    let (ended, lines) = in_shell(cx, id, &["-c", SCRIPT]).await;
    match ended {
        Ok(0) => Found::Config(AgentConfig::read(lines.iter().map(String::as_str))),
        Ok(4) => Found::Nothing,
        _ => Found::Booting,
    }
}

/// Runs the machine's own shell with these arguments. How it ended, and its lines.
async fn in_shell(cx: &Cx, id: &str, arguments: &[&str]) -> (engine::Result<i32>, Vec<String>) {
    let (sender, mut lines) = mpsc::channel::<String>(LINES_AT_ONCE);
    let argv = ["/bin/sh"].iter().chain(arguments);
    let argv = argv.map(|it| (*it).to_owned()).collect();
    let read = async {
        let (mut kept, mut bytes) = (Vec::new(), 0);
        while let Some(line) = lines.recv().await {
            bytes += line.len();
            if kept.len() < LINES_MAX && bytes <= BYTES_MAX {
                kept.push(line);
            }
        }
        kept
    };
    let tasks = &cx.engine().tasks;
    let both = async { tokio::join!(tasks.exec(id, CONTAINER, argv, sender), read) };
    let late = |_| {
        let error = EngineError::machine(format!("the shell of {id} does not end"));
        (Err(error), Vec::new())
    };
    tokio::time::timeout(SHELL_WAIT, both)
        .await
        .unwrap_or_else(late)
}

/// Writes a line into the agent's log, unless it is the last that is there.
async fn say(cx: &Cx, id: &str, agent: &mut Agent, level: &str, message: &str) {
    if agent.said == message {
        return;
    }
    agent.said = message.to_owned();
    let time = timestamp(cx.clock().now_ms());
    let line = format!("level={level} time={time} msg={message:?}");
    const SCRIPT: &str =
        r#"mkdir -p /var/log/ecs && printf '%s\n' "$1" >> /var/log/ecs/ecs-agent.log"#;
    let (ended, _) = in_shell(cx, id, &["-c", SCRIPT, "sh", &line]).await;
    if let Err(error) = ended {
        tracing::debug!(instance = id, error = %error, "the agent's log cannot be written");
    }
}

/// Registers, or says that it is still there. The error is in the agent's words.
async fn join(
    cx: &Cx,
    machine: &Machine,
    config: &AgentConfig,
    agent: &mut Agent,
) -> Result<Result<(), String>, converge::Error> {
    if !cx.engine().network.has_way_out(&machine.interface).await? {
        return Ok(Err(format!(
            "RequestError: send request failed caused by: Post \"https://ecs.{}.amazonaws.com/\": \
             net/http: request canceled while waiting for connection (Client.Timeout exceeded while \
             awaiting headers)",
            cx.region
        )));
    }
    let Some(role) = &machine.role else {
        return Ok(Err(
            "NoCredentialProviders: no valid providers in chain. Deprecated.".into(),
        ));
    };
    let arn = match &agent.registered {
        Some(arn) => arn.clone(),
        None => match register(cx, machine, role, config).await? {
            Ok(arn) => {
                let line = format!(
                    "Registration completed successfully. I am running as '{arn}' in cluster '{}'",
                    config.cluster
                );
                say(cx, &machine.id, agent, "info", &line).await;
                arn
            }
            Err(why) => return Ok(Err(why)),
        },
    };
    let hello = DiscoverPollEndpointInput {
        container_instance: Some(arn.clone()),
        cluster: Some(config.cluster.clone()),
    };
    match cx.call_as(role, &machine.id, hello).await {
        Ok(_) => agent.registered = Some(arn),
        Err(error) if error.status >= 500 => return Err(error.into()),
        Err(error) => {
            agent.registered = None;
            return Ok(Err(format!("{}: {}", error.code, error.message)));
        }
    }
    Ok(Ok(()))
}

async fn register(
    cx: &Cx,
    machine: &Machine,
    role: &str,
    config: &AgentConfig,
) -> Result<Result<String, String>, converge::Error> {
    let input = registration(cx, machine, config).await?;
    let mut answer = cx.call_as(role, &machine.id, input.clone()).await;
    let lacks = |it: &Error| it.message == "Cluster not found.";
    if config.cluster == DEFAULT_CLUSTER && answer.as_ref().is_err_and(lacks) {
        let make = CreateClusterInput::default();
        answer = match cx.call_as(role, &machine.id, make).await {
            Ok(_) => cx.call_as(role, &machine.id, input).await,
            Err(error) => Err(error),
        };
    }
    match answer {
        Ok(made) => {
            let arn = made
                .container_instance
                .and_then(|it| it.container_instance_arn);
            Ok(Ok(arn.unwrap_or_default()))
        }
        Err(error) if error.status >= 500 => Err(error.into()),
        Err(error) => Ok(Err(format!("{}: {}", error.code, error.message))),
    }
}

async fn registration(
    cx: &Cx,
    machine: &Machine,
    config: &AgentConfig,
) -> Result<RegisterContainerInstanceInput, Error> {
    /// One core, in the units of ECS.
    const UNITS: i64 = 1024;
    let asked = DescribeInstanceTypesInput {
        instance_types: Some(vec![machine.kind.clone()]),
        ..Default::default()
    };
    let kinds = cx.call(asked).await?.instance_types.unwrap_or_default();
    let kind = kinds.into_iter().next().unwrap_or_default();
    let cores = kind
        .v_cpu_info
        .and_then(|it| it.default_v_cpus)
        .unwrap_or(1);
    let memory = kind.memory_info.and_then(|it| it.size_in_mi_b).unwrap_or(0);
    let integer = |name: &str, value: i64| Resource {
        name: Some(name.to_owned()),
        r#type: Some("INTEGER".to_owned()),
        integer_value: Some(i32::try_from(value).unwrap_or(i32::MAX)),
        ..Default::default()
    };
    let ports = |name: &str, ports: &[u16]| Resource {
        name: Some(name.to_owned()),
        r#type: Some("STRINGSET".to_owned()),
        string_set_value: Some(ports.iter().map(u16::to_string).collect()),
        ..Default::default()
    };
    let attribute = |name: &str, value: Option<&String>| Attribute {
        name: name.to_owned(),
        value: value.cloned(),
        ..Default::default()
    };
    let own = config.attributes.iter();
    let attributes = (CAPABILITIES.iter().map(|it| attribute(it, None)))
        .chain(own.map(|(name, value)| attribute(name, Some(value))));
    Ok(RegisterContainerInstanceInput {
        cluster: Some(config.cluster.clone()),
        instance_identity_document: Some(
            serde_json::json!({ "instanceId": machine.id, "region": cx.region }).to_string(),
        ),
        total_resources: Some(vec![
            integer("CPU", i64::from(cores) * UNITS),
            integer("MEMORY", (memory - config.reserved_memory).max(0)),
            ports("PORTS", &config.reserved_ports),
            ports("PORTS_UDP", &config.reserved_udp_ports),
        ]),
        version_info: Some(VersionInfo {
            agent_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            agent_hash: None,
            docker_version: None,
        }),
        attributes: Some(attributes.collect()),
        ..Default::default()
    })
}
