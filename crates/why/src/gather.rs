//! Facts: read through operations and the engine's looks, and put together for the rules.

pub mod addresses;
pub mod builds;
pub mod containers;
mod failed_task;
pub mod instances;
pub mod list;
pub mod networks;
mod other;
pub mod pictures;
pub mod pipelines;
mod placement;
pub mod reach;
mod services;
mod stacks;
mod targets;
pub mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error};
use shapes::ecs::{Service, Task};

use crate::facts::{Situation, TargetFacts};
use crate::report::{Finding, Hop};
pub use networks::Place;
use services::Asked;

/// What was seen of the things that were asked about.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Each is wrong in some way, which rules may explain.
    pub situations: Vec<Situation>,
    /// What is explained already by who reports it.
    pub findings: Vec<Finding>,
    pub looked_at: Vec<String>,
    /// What would have belonged to the question.
    pub not_looked_at: Vec<String>,
    /// A thing, and what is seen of it that nobody can explain.
    pub unexplained: Vec<(String, String)>,
    /// The way that was asked about, as far as it was gone.
    pub path: Vec<Hop>,
    /// The target groups of the services that were looked at.
    pub groups: BTreeSet<String>,
}

impl Gathered {
    /// What was seen of another thing of the same name.
    pub fn add(&mut self, other: Self) {
        self.situations.extend(other.situations);
        self.findings.extend(other.findings);
        self.looked_at.extend(other.looked_at);
        self.not_looked_at.extend(other.not_looked_at);
        self.unexplained.extend(other.unexplained);
        self.path.extend(other.path);
        self.groups.extend(other.groups);
    }
}

/// What is seen of a situation that no rule explains.
pub fn symptom(situation: &Situation) -> String {
    let bad = situation.targets.iter().find(|it| it.state == "unhealthy");
    match (&situation.task, bad, &situation.service) {
        (Some(task), _, _) if task.failed_probes() => format!(
            "{}; what it answers and where it listens is seen while it runs: ask again then",
            task.stopped_reason
        ),
        (Some(task), _, _) if !task.stopped_reason.is_empty() => task.stopped_reason.clone(),
        (Some(_), None, _) if unwell_container(situation).is_some() => {
            unwell_container(situation).unwrap_or_default()
        }
        (_, Some(target), _) => format!(
            "target {} of {} is unhealthy: {} {}",
            target.port, target.group, target.reason, target.description
        ),
        (_, _, Some(service)) => {
            let counts = format!("{} of {} tasks run", service.running, service.desired);
            match service.events.first() {
                Some(event) => format!("{counts}; its last event: {event}"),
                None => counts,
            }
        }
        _ => match (&situation.build, &situation.action) {
            (Some(build), _) => format!("{}: {} {}", build.phase, build.code, build.message),
            (_, Some(action)) => format!("{}: {}", action.code, action.message),
            _ => "it is not as it should be".to_owned(),
        },
    }
}

/// A container of a task that runs, and what is wrong with it.
fn unwell_container(situation: &Situation) -> Option<String> {
    situation
        .containers
        .iter()
        .find_map(|it| match it.exit_code {
            Some(code) if code != 0 => Some(format!(
                "the task runs, and its container `{}` ended with exit code {code}: {}",
                it.name,
                crate::texts::last_lines(&it.printed)
            )),
            _ if it.health == "UNHEALTHY" => Some(format!(
                "the task runs, and its container `{}` is UNHEALTHY",
                it.name
            )),
            _ => None,
        })
}

/// Every service, every task that runs by itself, every instance, every target group that is served and no
/// service's, every stack, pipeline and build project.
pub async fn all(cx: &Cx) -> Result<Gathered, Error> {
    let mut gathered = Gathered {
        not_looked_at: vec![format!("regions other than {}", cx.region)],
        ..Gathered::default()
    };
    for name in list::clusters(cx).await? {
        gathered.add(cluster(cx, &name).await?);
    }
    let machines = instances::list(cx).await?;
    instances::look_at_all(cx, &machines, None, &mut gathered).await?;
    for group in list::target_groups(cx).await? {
        let arn = group.target_group_arn.unwrap_or_default();
        let is_served = group.load_balancer_arns.is_some_and(|it| !it.is_empty());
        if is_served && !gathered.groups.contains(&arn) {
            let name = group.target_group_name.unwrap_or_default();
            gathered.add(target_group(cx, &name, &arn).await?);
        }
    }
    other::look(cx, &mut gathered).await?;
    for stack in list::stacks(cx).await? {
        // What a nested stack suffers from is told by its root.
        if stacks::is_red(&stack) && stack.root_id.is_none() {
            stacks::look(cx, &stack.stack_name, &mut gathered).await?;
        }
    }
    for pipeline in pipelines::names(cx).await? {
        pipelines::look(cx, &pipeline, &mut gathered).await?;
    }
    for project in builds::projects(cx).await? {
        // A pipeline's build was looked at with its pipeline.
        let shown = gathered
            .situations
            .iter()
            .filter_map(|it| it.build.as_ref());
        if !shown.map(|it| &it.project).any(|it| *it == project) {
            builds::look(cx, &project, &mut gathered).await?;
        }
    }
    Ok(gathered)
}

/// Every service of a cluster, and every task of it that runs by itself.
pub async fn cluster(cx: &Cx, name: &str) -> Result<Gathered, Error> {
    let mut gathered = Gathered::default();
    let ids = list::task_ids(cx, name, None).await?;
    let all = list::tasks(cx, name, &ids).await?;
    let mut of_service: BTreeMap<&str, Vec<Task>> = BTreeMap::new();
    for task in &all {
        let group = task.group.as_deref().unwrap_or_default();
        of_service.entry(group).or_default().push(task.clone());
    }
    for service in list::services(cx, name).await? {
        let group = format!(
            "service:{}",
            service.service_name.as_deref().unwrap_or_default()
        );
        let own = of_service.remove(group.as_str()).unwrap_or_default();
        services::look_with(cx, &service, &own, Asked::AsItIs, &mut gathered).await?;
        let balanced = service.load_balancers.into_iter().flatten();
        gathered
            .groups
            .extend(balanced.filter_map(|it| it.target_group_arn));
    }
    alone(cx, name, &all, &mut gathered).await?;
    Ok(gathered)
}

/// The last build of a project.
pub async fn project(cx: &Cx, name: &str) -> Result<Gathered, Error> {
    let mut gathered = Gathered::default();
    builds::look(cx, name, &mut gathered).await?;
    Ok(gathered)
}

pub async fn execution(cx: &Cx, pipeline: &str, id: &str) -> Result<Gathered, Error> {
    let mut gathered = Gathered::default();
    pipelines::look_at_execution(cx, pipeline, id, &mut gathered).await?;
    Ok(gathered)
}

pub async fn pipeline(cx: &Cx, name: &str) -> Result<Gathered, Error> {
    let mut gathered = Gathered::default();
    pipelines::look(cx, name, &mut gathered).await?;
    Ok(gathered)
}

/// Tasks of no service that failed, or run and are not well.
async fn alone(cx: &Cx, cluster: &str, all: &[Task], gathered: &mut Gathered) -> Result<(), Error> {
    let is_red = |it: &&Task| tasks::has_failed(it) || tasks::is_unwell(it);
    for task in (all.iter()).filter(|it| !tasks::is_of_service(it) && is_red(it)) {
        gathered
            .situations
            .push(tasks::situation(cx, task, None).await?);
    }
    gathered
        .looked_at
        .push(format!("tasks of cluster {cluster}"));
    Ok(())
}

pub async fn stack(cx: &Cx, name: &str) -> Result<Gathered, Error> {
    let mut gathered = Gathered::default();
    stacks::look(cx, name, &mut gathered).await?;
    Ok(gathered)
}

pub async fn service(cx: &Cx, cluster: &str, name: &str) -> Result<Gathered, Error> {
    let mut gathered = Gathered::default();
    if let Some(service) = find_service(cx, cluster, name).await? {
        services::look(cx, &service, Asked::AsItIs, &mut gathered).await?;
    }
    Ok(gathered)
}

async fn find_service(cx: &Cx, cluster: &str, name: &str) -> Result<Option<Service>, Error> {
    let all = list::services(cx, cluster).await?;
    Ok(all
        .into_iter()
        .find(|it| it.service_name.as_deref() == Some(name)))
}

pub async fn task(cx: &Cx, cluster: &str, id: &str) -> Result<Gathered, Error> {
    let mut gathered = Gathered {
        looked_at: vec![format!("task {id}")],
        ..Gathered::default()
    };
    let Some(task) = list::tasks(cx, cluster, &[id.to_owned()])
        .await?
        .into_iter()
        .next()
    else {
        return Ok(gathered);
    };
    let service = match task
        .group
        .as_deref()
        .and_then(|it| it.strip_prefix("service:"))
    {
        Some(name) => find_service(cx, cluster, name).await?,
        None => None,
    };
    let situation = tasks::situation(cx, &task, service.as_ref()).await?;
    let is_bad = |it: &TargetFacts| it.state == "unhealthy" || it.state == TargetFacts::ABSENT;
    let is_unwell = situation.targets.iter().any(is_bad) || tasks::is_unwell(&task);
    if tasks::has_failed(&task) || is_unwell {
        gathered.situations.push(situation);
    }
    Ok(gathered)
}

pub async fn instance(cx: &Cx, id: &str) -> Result<Gathered, Error> {
    let mut gathered = Gathered::default();
    let mut all = instances::list(cx).await?;
    all.retain(|it| it.instance_id.as_deref() == Some(id));
    instances::look_at_all(cx, &all, None, &mut gathered).await?;
    Ok(gathered)
}

pub async fn target_group(cx: &Cx, name: &str, arn: &str) -> Result<Gathered, Error> {
    let mut gathered = Gathered {
        looked_at: vec![format!("target group {name}")],
        ..Gathered::default()
    };
    let health = targets::health(cx, arn).await?.unwrap_or_default();
    if !health.iter().any(targets::is_bad) {
        return Ok(gathered);
    }
    let all = targets::of_group(cx, arn).await?.unwrap_or_default();
    // The service that registers them knows more of them than the group.
    for cluster in list::clusters(cx).await? {
        for service in list::services(cx, &cluster).await? {
            let mut balanced = service.load_balancers.iter().flatten();
            if balanced.any(|it| it.target_group_arn.as_deref() == Some(arn)) {
                services::look(cx, &service, Asked::AsItIs, &mut gathered).await?;
            }
        }
    }
    if gathered.situations.is_empty() {
        registered_by_hand(cx, &all, &mut gathered).await?;
    }
    if gathered.situations.is_empty() {
        gathered.situations.push(Situation {
            thing: format!("target group {name}"),
            region: cx.region.clone(),
            account: cx.account().to_owned(),
            targets: all,
            ..Situation::default()
        });
    }
    Ok(gathered)
}

/// Targets that no service registered may be tasks all the same.
async fn registered_by_hand(
    cx: &Cx,
    targets: &[TargetFacts],
    gathered: &mut Gathered,
) -> Result<(), Error> {
    for cluster in list::clusters(cx).await? {
        let ids = list::task_ids(cx, &cluster, None).await?;
        for task in list::tasks(cx, &cluster, &ids).await? {
            let address = tasks::address(&task);
            let own = targets
                .iter()
                .filter(|it| it.address.is_some() && it.address == address);
            let own: Vec<TargetFacts> = own.cloned().collect();
            if task.stop_code.is_none() && own.iter().any(|it| it.state == "unhealthy") {
                let situation = tasks::situation(cx, &task, None).await?;
                gathered.situations.push(Situation {
                    targets: own,
                    ..situation
                });
            }
        }
    }
    Ok(())
}

pub async fn balancer(cx: &Cx, name: &str, arn: &str) -> Result<Gathered, Error> {
    let mut gathered = Gathered {
        looked_at: vec![format!("load balancer {name}")],
        ..Gathered::default()
    };
    for group in list::target_groups(cx).await? {
        let mut of = group.load_balancer_arns.iter().flatten();
        if of.any(|it| it == arn) {
            let name = group.target_group_name.unwrap_or_default();
            let arn = group.target_group_arn.unwrap_or_default();
            let of_group = target_group(cx, &name, &arn).await?;
            gathered.situations.extend(of_group.situations);
            gathered.looked_at.extend(of_group.looked_at);
        }
    }
    Ok(gathered)
}
