//! What is meant by a name, an ARN, an id or its beginning.

use cloud::{Cx, Error};

use crate::gather::{builds, instances, list, pipelines};
use crate::nearest::nearest;

/// A thing that can be asked about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Stack(String),
    Cluster(String),
    Service { cluster: String, name: String },
    Task { cluster: String, id: String },
    Instance(String),
    TargetGroup { name: String, arn: String },
    LoadBalancer { name: String, arn: String },
    Pipeline(String),
    Execution { pipeline: String, id: String },
    Project(String),
}

/// Shorter beginnings of ids are meant by accident.
const BEGINNING_CHARS_MIN: usize = 4;

impl Subject {
    fn name(&self) -> &str {
        match self {
            Self::Stack(name)
            | Self::Cluster(name)
            | Self::Pipeline(name)
            | Self::Project(name)
            | Self::Service { name, .. }
            | Self::TargetGroup { name, .. }
            | Self::LoadBalancer { name, .. } => name,
            Self::Task { id, .. } | Self::Execution { id, .. } | Self::Instance(id) => id,
        }
    }

    pub fn shown(&self) -> String {
        match self {
            Self::Stack(name) => format!("stack {name}"),
            Self::Service { cluster, name } => format!("service {name} in cluster {cluster}"),
            Self::Cluster(name) => format!("cluster {name}"),
            Self::Task { cluster, id } => format!("task {id} in cluster {cluster}"),
            Self::Instance(id) => format!("instance {id}"),
            Self::TargetGroup { name, .. } => format!("target group {name}"),
            Self::LoadBalancer { name, .. } => format!("load balancer {name}"),
            Self::Pipeline(name) => format!("pipeline {name}"),
            Self::Execution { pipeline, id } => format!("execution {id} of pipeline {pipeline}"),
            Self::Project(name) => format!("builds of {name}"),
        }
    }

    fn is_called(&self, thing: &str) -> bool {
        match self {
            Self::Service { cluster, name } => {
                name == thing
                    || format!("{cluster}/{name}") == thing
                    || thing.ends_with(&format!(":service/{cluster}/{name}"))
            }
            Self::Task { cluster, id } => {
                id == thing
                    || format!("{cluster}/{id}") == thing
                    || thing.ends_with(&format!(":task/{cluster}/{id}"))
            }
            Self::Execution { id, .. } => id == thing,
            Self::Instance(id) => id == thing || thing.ends_with(&format!(":instance/{id}")),
            Self::Cluster(name) => name == thing || thing.ends_with(&format!(":cluster/{name}")),
            Self::Stack(name) => name == thing || thing.contains(&format!(":stack/{name}/")),
            Self::Pipeline(name) => {
                name == thing
                    || thing.ends_with(&format!(":{name}")) && thing.contains(":codepipeline:")
            }
            Self::Project(name) => {
                let build = thing.rsplit('/').next().unwrap_or(thing);
                name == thing || build.starts_with(&format!("{name}:"))
            }
            Self::TargetGroup { name, arn } | Self::LoadBalancer { name, arn } => {
                name == thing || arn == thing
            }
        }
    }
}

/// What is meant: all that is called so, for a stack, its service and its balancer often share a name. A beginning
/// means one thing; what is ambiguous or unknown is said with what it may be.
pub async fn find(cx: &Cx, thing: &str) -> Result<Vec<Subject>, Error> {
    let all = everything(cx).await?;
    let called = |it: &&Subject| it.is_called(thing);
    let mut found: Vec<Subject> = all.iter().filter(called).cloned().collect();
    // A cluster is often called as what runs in it, and that is meant.
    let is_cluster = |it: &Subject| matches!(it, Subject::Cluster(_));
    if found.iter().any(|it| !is_cluster(it)) {
        found.retain(|it| !is_cluster(it));
    }
    if !found.is_empty() {
        return Ok(found);
    }
    if is_uuid(thing)
        && let Some(pipeline) = pipelines::of_execution(cx, thing).await?
    {
        let id = thing.to_owned();
        return Ok(vec![Subject::Execution { pipeline, id }]);
    }
    let begins = thing.chars().count() >= BEGINNING_CHARS_MIN;
    let begun: Vec<&Subject> = (all.iter())
        .filter(|it| begins && !is_cluster(it) && it.name().starts_with(thing))
        .collect();
    match begun[..] {
        [one] => Ok(vec![one.clone()]),
        [] => Err(unknown(thing, &all)),
        _ => {
            let which: Vec<String> = begun.iter().map(|it| it.shown()).collect();
            Err(refuse(format!(
                "`{thing}` may be {}: say which",
                which.join(", ")
            )))
        }
    }
}

/// What executions of pipelines are called: looked for only then, for there may be many.
fn is_uuid(thing: &str) -> bool {
    const CHARS: usize = 36;
    let is_part = |it: char| it.is_ascii_hexdigit() || it == '-';
    thing.len() == CHARS && thing.chars().all(is_part)
}

fn unknown(thing: &str, all: &[Subject]) -> Error {
    let names: Vec<String> = all.iter().map(|it| it.name().to_owned()).collect();
    let hint = match nearest(thing, &names) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => String::new(),
    };
    refuse(format!(
        "there is no stack, cluster, service, task, instance, load balancer, target group, pipeline or build project called `{thing}` in this region{hint}"
    ))
}

fn refuse(message: String) -> Error {
    wire::codes::ValidationError.because(message)
}

async fn everything(cx: &Cx) -> Result<Vec<Subject>, Error> {
    let mut all: Vec<Subject> = (list::stacks(cx).await?.into_iter())
        .map(|it| Subject::Stack(it.stack_name))
        .collect();
    for cluster in list::clusters(cx).await? {
        all.push(Subject::Cluster(cluster.clone()));
        let services = list::services(cx, &cluster).await?;
        all.extend(services.into_iter().map(|it| Subject::Service {
            cluster: cluster.clone(),
            name: it.service_name.unwrap_or_default(),
        }));
        let tasks = list::task_ids(cx, &cluster, None).await?;
        all.extend(tasks.into_iter().map(|id| Subject::Task {
            cluster: cluster.clone(),
            id,
        }));
    }
    let instances = instances::list(cx).await?.into_iter();
    all.extend(
        instances
            .filter_map(|it| it.instance_id)
            .map(Subject::Instance),
    );
    all.extend(
        list::balancers(cx)
            .await?
            .into_iter()
            .map(|it| Subject::LoadBalancer {
                name: it.load_balancer_name.unwrap_or_default(),
                arn: it.load_balancer_arn.unwrap_or_default(),
            }),
    );
    all.extend(
        list::target_groups(cx)
            .await?
            .into_iter()
            .map(|it| Subject::TargetGroup {
                name: it.target_group_name.unwrap_or_default(),
                arn: it.target_group_arn.unwrap_or_default(),
            }),
    );
    all.extend(
        pipelines::names(cx)
            .await?
            .into_iter()
            .map(Subject::Pipeline),
    );
    all.extend(
        builds::projects(cx)
            .await?
            .into_iter()
            .map(Subject::Project),
    );
    Ok(all)
}
