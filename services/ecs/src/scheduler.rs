//! The loop around [`crate::plan`]: gathers the facts of a service, plans, and writes the steps down.
//!
//! Steps only change records: starting a task is writing its record, stopping one is writing that it
//! is to stop. The task's own reconciler does the rest, so that many tasks change at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Next, Reconciler, Records, all_keys};
use shapes::ecs::HealthStatus;
use shapes::elbv2::TargetHealthStateEnum;

use crate::fleet::{Member, Placing, members};
use crate::instance_record::InstanceStatus;
use crate::launch::{is_on_instances, places_of};
use crate::ledger::back_off;
use crate::names::find_definition;
use crate::place::Place;
use crate::plan::{
    Breaker, DeploymentFact, Facts, Plan, Stage, Step, TaskFact, TaskHealth, Threshold, plan,
};
use crate::record::{Service, ServiceStatus};
use crate::scheduler_steps;
use crate::targets::{GroupHealth, group_health};
use crate::task_record::{Phase, Task};

/// Without a load balancer and without a health check a task counts as healthy when it has run for
/// so long (API reference, `minimumHealthyPercent`).
const HEALTHY_AFTER: Duration = Duration::from_secs(40);
/// AWS's target groups probe twice, every 30 seconds, before they call a target unhealthy.
const UNHEALTHY_AFTER: Duration = Duration::from_secs(60);
/// The edge announces changes of targets; this only guards against one that was missed.
const TARGET_POLL: Duration = Duration::from_millis(250);

/// What makes room for a task wakes its service; this only guards against what nobody tells of, as an agent
/// that is lost.
const PLACE_AGAIN: Duration = Duration::from_secs(5);

pub struct ServiceReconciler;

#[async_trait]
impl Reconciler for ServiceReconciler {
    fn kind(&self) -> &'static str {
        <Service as cloud::Record>::KIND
    }

    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, store::StoreError> {
        all_keys::<Service>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some((service, tasks)) = cx.read(|tx| {
            let Some(service) = tx.get::<Service>(key)? else {
                return Ok(None);
            };
            let tasks = tx.list::<Task>(&prefix(&service))?;
            Ok(Some((service, tasks)))
        })?
        else {
            return Ok(Next::Idle);
        };
        if service.status == ServiceStatus::Inactive {
            return Ok(Next::Idle);
        }
        let health = target_health(&cx, &tasks).await?;
        let places = places(&cx, service, tasks, &health).await;
        let next = cx.write(|tx| {
            let Some(before) = tx.get::<Service>(key)? else {
                return Ok(Next::Idle);
            };
            let tasks = tx.list::<Task>(&prefix(&before))?;
            let mut turn = Turn {
                cx: &cx,
                service: before.clone(),
                tasks,
                health: health.clone(),
                places: places.clone(),
                fleet: fleet(&cx, tx, &before)?,
                unplaced: false,
                now_ms: cx.clock().now_ms(),
            };
            desire_daemons(&mut turn, tx)?;
            let facts = facts(&turn, &health);
            scheduler_steps::note_health(&mut turn, &facts, tx)?;
            let plan = plan(&facts);
            scheduler_steps::take(&mut turn, &plan, tx)?;
            if turn.service != before {
                tx.put(&turn.service)?;
            }
            Ok(next_look(&turn, &facts, &plan))
        })?;
        Ok(next)
    }
}

/// One look at a service, in one transaction.
pub struct Turn<'a> {
    pub cx: &'a Cx,
    pub service: Service,
    pub tasks: Vec<Task>,
    /// What the probes say of every target, by target group.
    pub health: BTreeMap<String, GroupHealth>,
    /// Where tasks may be, by the deployments that are going to start some.
    pub places: BTreeMap<String, Vec<Place>>,
    /// The cluster's instances, where tasks are on some.
    pub fleet: Vec<Member>,
    /// There was no instance for a task.
    pub unplaced: bool,
    pub now_ms: i64,
}

/// The instances that a service's tasks may be on.
fn fleet(cx: &Cx, tx: &Records<'_>, service: &Service) -> Result<Vec<Member>, cloud::Error> {
    let mut launched = service.deployments.iter().map(|it| it.revision.launch_type);
    match launched.any(is_on_instances) {
        true => members(cx, tx, &service.cluster),
        false => Ok(Vec::new()),
    }
}

/// Of a daemon there is to be one on each instance that may have it.
fn desire_daemons(turn: &mut Turn<'_>, tx: &Records<'_>) -> Result<(), cloud::Error> {
    if !turn.service.is_daemon || turn.service.status == ServiceStatus::Draining {
        return Ok(());
    }
    let Some(primary) = turn.service.deployments.first() else {
        return Ok(());
    };
    let named = &primary.revision.task_definition;
    let Some(definition) = find_definition(turn.cx, tx, named)? else {
        return Ok(());
    };
    let wish = scheduler_steps::wish(&turn.service, &definition, "", Vec::new());
    let eligible = Placing::new(turn.fleet.clone(), wish)?.eligible();
    turn.service.desired = u32::try_from(eligible).unwrap_or(u32::MAX);
    Ok(())
}

/// EC2 is asked about subnets only where tasks are going to start.
async fn places(
    cx: &Cx,
    service: Service,
    tasks: Vec<Task>,
    health: &AllHealth,
) -> BTreeMap<String, Vec<Place>> {
    let turn = Turn {
        cx,
        service,
        tasks,
        health: health.clone(),
        places: BTreeMap::new(),
        fleet: Vec::new(),
        unplaced: false,
        now_ms: cx.clock().now_ms(),
    };
    let mut found = BTreeMap::new();
    for step in plan(&facts(&turn, health)).steps {
        let Step::Start { deployment, .. } = step else {
            continue;
        };
        let of = (turn.service.deployments.iter()).find(|it| it.id == deployment);
        let Some(network) = of.and_then(|it| it.revision.network.as_ref()) else {
            continue;
        };
        // Without an answer the names are enough: the task says what is wrong when it starts.
        if let Ok(places) = places_of(cx, network).await {
            found.insert(deployment, places);
        }
    }
    found
}

fn prefix(service: &Service) -> String {
    Task::prefix_of(&service.region, &service.cluster, Some(&service.name))
}

/// Keys of the services that may care about a change of some target group: those that have any.
pub fn keys_of_edge_change(cloud: &Cloud, _group: &str) -> Vec<(&'static str, String)> {
    let all = cloud
        .store
        .read(|tx| tx.readable::<Service>(""))
        .unwrap_or_default();
    let balanced = |it: &&Service| {
        it.status != ServiceStatus::Inactive
            && it
                .deployments
                .iter()
                .any(|it| !it.revision.load_balancers.is_empty())
    };
    (all.iter().filter(balanced))
        .map(|it| (<Service as cloud::Record>::KIND, cloud::Record::key(it)))
        .collect()
}

type AllHealth = BTreeMap<String, GroupHealth>;

async fn target_health(cx: &Cx, tasks: &[Task]) -> Result<AllHealth, cloud::Error> {
    let groups: BTreeSet<&str> = tasks
        .iter()
        .flat_map(|it| &it.targets)
        .map(|it| it.group.as_str())
        .collect();
    let mut all = BTreeMap::new();
    for group in groups {
        all.insert(group.to_owned(), group_health(cx, group).await?);
    }
    Ok(all)
}

fn facts(turn: &Turn<'_>, health: &AllHealth) -> Facts {
    let service = &turn.service;
    let desired = service.desired as usize;
    let percent =
        |value: Option<i32>, or: usize| value.and_then(|it| usize::try_from(it).ok()).unwrap_or(or);
    let configuration = &service.configuration;
    Facts {
        now_ms: turn.now_ms,
        desired,
        draining: service.status == ServiceStatus::Draining,
        minimum_healthy_percent: percent(configuration.minimum_healthy_percent, 100),
        maximum_percent: percent(configuration.maximum_percent, 200),
        breaker: breaker(service, desired),
        deployments: (service.deployments.iter())
            .map(|it| DeploymentFact {
                id: it.id.clone(),
                rollout: it.rollout,
                failed_tasks: it.failed_tasks as usize,
                may_start_at_ms: it.last_crash_ms + millis(back_off(it.crashes, turn.cx.clock())),
                is_rollback: it.is_rollback,
            })
            .collect(),
        last_completed: service.last_completed.as_ref().map(|it| it.id.clone()),
        tasks: turn
            .tasks
            .iter()
            .map(|it| task_fact(turn, it, health))
            .collect(),
    }
}

pub fn breaker(service: &Service, desired: usize) -> Option<Breaker> {
    use shapes::ecs::ThresholdType;
    const DEFAULT_PERCENT: usize = 50;
    let asked = service
        .configuration
        .deployment_circuit_breaker
        .as_ref()
        .filter(|it| it.enable)?;
    let threshold = match &asked.threshold_configuration {
        None => Threshold::BoundedPercent(DEFAULT_PERCENT),
        Some(it) => {
            let value = usize::try_from(it.value).unwrap_or(0);
            match it.r#type {
                ThresholdType::Count => Threshold::Count(value),
                ThresholdType::BoundedPercent => Threshold::BoundedPercent(value),
                ThresholdType::UnboundedPercent => Threshold::UnboundedPercent(value),
            }
        }
    };
    Some(Breaker {
        threshold: threshold.failures(desired),
        rollback: asked.rollback,
    })
}

fn task_fact(turn: &Turn<'_>, task: &Task, health: &AllHealth) -> TaskFact {
    let stage = match task.phase {
        _ if task.stop.is_some() => Stage::Ending,
        phase if phase < Phase::Running => Stage::Starting,
        Phase::Running => Stage::Running,
        _ => Stage::Ending,
    };
    TaskFact {
        id: task.id.clone(),
        deployment: task
            .service
            .as_ref()
            .map(|it| it.deployment.clone())
            .unwrap_or_default(),
        stage,
        health: if stage == Stage::Running {
            verdict(turn, task, health)
        } else {
            TaskHealth::Unknown
        },
        was_healthy: task.was_healthy,
        is_leaving: is_leaving(turn, task),
        created_ms: task.created_ms,
    }
}

fn is_leaving(turn: &Turn<'_>, task: &Task) -> bool {
    let Some(placed) = &task.placed else {
        return false;
    };
    let of = turn
        .fleet
        .iter()
        .find(|it| it.instance.id == placed.instance);
    of.is_some_and(|it| it.instance.status == InstanceStatus::Draining)
}

/// What a running task's health checks say together.
fn verdict(turn: &Turn<'_>, task: &Task, health: &AllHealth) -> TaskHealth {
    let in_grace = turn.now_ms < grace_ends_ms(turn, task);
    let failed = |why: String| match in_grace {
        true => TaskHealth::Unknown,
        false => TaskHealth::Unhealthy(why),
    };
    let container = task.container_health();
    if container == HealthStatus::Unhealthy {
        return failed("Task failed container health checks".into());
    }
    let has_check = task
        .containers
        .iter()
        .any(|it| it.essential && it.has_health_check);
    if has_check && container != HealthStatus::Healthy {
        return TaskHealth::Unknown;
    }
    let address = task.target_id().unwrap_or_default().to_owned();
    for target in &task.targets {
        let found = health
            .get(&target.group)
            .and_then(|it| it.get(&(address.clone(), target.port)));
        match found.map(|it| (it.state, it.answers)) {
            Some((TargetHealthStateEnum::Healthy, _)) => (),
            Some((TargetHealthStateEnum::Unhealthy, false))
                if turn.now_ms < patient_until_ms(turn, task) =>
            {
                return TaskHealth::Unknown;
            }
            Some((TargetHealthStateEnum::Unhealthy, _)) => {
                let why = format!(
                    "Task failed ELB health checks in (target-group {})",
                    target.group
                );
                return failed(why);
            }
            _ => return TaskHealth::Unknown,
        }
    }
    if task.targets.is_empty() && !has_check && turn.now_ms < trusted_at_ms(turn, task) {
        return TaskHealth::Unknown;
    }
    TaskHealth::Healthy
}

/// `healthCheckGracePeriodSeconds` is time that the program needs, and is not compressed.
fn grace_ends_ms(turn: &Turn<'_>, task: &Task) -> i64 {
    let grace_ms = i64::from(turn.service.grace_seconds.unwrap_or(0)) * 1000;
    task.started_ms.unwrap_or(turn.now_ms) + grace_ms
}

/// A program that does not answer yet may still be starting.
fn patient_until_ms(turn: &Turn<'_>, task: &Task) -> i64 {
    if task.was_healthy {
        return turn.now_ms;
    }
    let patience = turn.cx.clock().patience(UNHEALTHY_AFTER);
    task.started_ms.unwrap_or(turn.now_ms) + millis(patience)
}

fn trusted_at_ms(turn: &Turn<'_>, task: &Task) -> i64 {
    task.started_ms.unwrap_or(turn.now_ms) + millis(turn.cx.clock().paced(HEALTHY_AFTER))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// When the passing of time alone may change the plan.
fn next_look(turn: &Turn<'_>, facts: &Facts, plan: &Plan) -> Next {
    let mut times: Vec<i64> = plan.look_again_at_ms.into_iter().collect();
    for (task, fact) in turn.tasks.iter().zip(&facts.tasks) {
        if fact.stage != Stage::Running || fact.health == TaskHealth::Healthy {
            continue;
        }
        times.extend([
            grace_ends_ms(turn, task),
            patient_until_ms(turn, task),
            trusted_at_ms(turn, task),
        ]);
        if !task.targets.is_empty() {
            times.push(turn.now_ms + millis(TARGET_POLL));
        }
    }
    if turn.unplaced {
        times.push(turn.now_ms + millis(PLACE_AGAIN));
    }
    let soonest = times.into_iter().filter(|at| *at > turn.now_ms).min();
    match (plan.look_again_at_ms, soonest) {
        (Some(at), _) if at <= turn.now_ms => Next::After(Duration::ZERO),
        (_, Some(at)) => Next::After(Duration::from_millis(
            u64::try_from(at - turn.now_ms).unwrap_or(0),
        )),
        _ => Next::Idle,
    }
}
