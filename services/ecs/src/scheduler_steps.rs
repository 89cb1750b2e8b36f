//! Writing down the steps of a plan, with the events that AWS would say.

use std::sync::LazyLock;

use cloud::{Error, Records};
use shapes::ecs::{PropagateTags, TaskOverride, TaskStopCode};

use crate::fleet::{Placing, Wish};
use crate::launch::{is_on_instances, places_named};
use crate::names::find_definition;
use crate::new_task::{NewTask, put_new_task};
use crate::place::{Place, Spread};
use crate::plan::{Facts, Plan, Rollout, Step, StopWhy, TaskHealth};
use crate::record::{Definition, Deployment, Outcome, Service, ServiceStatus};
use crate::run_task::{add_missing, dice, tag};
use crate::scheduler::Turn;
use crate::task_record::{Failure, OfService, Registration, Stop};

/// Tasks that are seen healthy for the first time: their deployment works.
pub fn note_health(turn: &mut Turn<'_>, facts: &Facts, tx: &Records<'_>) -> Result<(), Error> {
    let breaker = turn
        .service
        .configuration
        .deployment_circuit_breaker
        .as_ref();
    let resets = breaker.is_none_or(|it| it.reset_on_healthy_task != Some(false));
    for (task, fact) in turn.tasks.iter_mut().zip(&facts.tasks) {
        if fact.health != TaskHealth::Healthy || task.was_healthy {
            continue;
        }
        task.was_healthy = true;
        tx.put(task)?;
        turn.service.said_inconsistent = false;
        if let Some(deployment) = turn.service.deployment_mut(&fact.deployment)
            && resets
        {
            deployment.failed_tasks = 0;
        }
    }
    Ok(())
}

pub fn take(turn: &mut Turn<'_>, plan: &Plan, tx: &Records<'_>) -> Result<(), Error> {
    let mut draining = 0;
    for step in &plan.steps {
        match step {
            Step::Start { deployment, count } => start(turn, deployment, *count, tx)?,
            Step::Stop { task, why } => draining += usize::from(stop(turn, task, why, tx)?),
            Step::Complete { deployment } => complete(turn, deployment),
            Step::Fail { deployment } => fail(turn, deployment),
            Step::RollBack { from, to } => roll_back(turn, from, to),
            Step::Forget { deployment } => forget(turn, deployment),
            Step::Blocked => say_blocked(turn),
            Step::Inactive => {
                turn.service.status = ServiceStatus::Inactive;
                turn.service.deployments.clear();
            }
        }
    }
    if draining > 0 {
        let text = format!("has begun draining connections on {draining} tasks.");
        turn.service.say(turn.now_ms, &text);
    }
    if plan.steady && !turn.service.said_steady {
        turn.service.say(turn.now_ms, "has reached a steady state.");
    }
    turn.service.said_steady = plan.steady;
    Ok(())
}

fn start(
    turn: &mut Turn<'_>,
    deployment: &str,
    count: usize,
    tx: &Records<'_>,
) -> Result<(), Error> {
    let Some(deployment) = turn
        .service
        .deployments
        .iter()
        .find(|it| it.id == deployment)
        .cloned()
    else {
        return Ok(());
    };
    let revision = &deployment.revision;
    let Some(definition) = find_definition(turn.cx, tx, &revision.task_definition)? else {
        turn.service.say(
            turn.now_ms,
            "was unable to place a task. Reason: TaskDefinition not found.",
        );
        return Ok(());
    };
    let mut tags = Vec::new();
    match turn.service.propagate_tags {
        PropagateTags::Service => add_missing(&mut tags, &turn.service.tags),
        PropagateTags::TaskDefinition => add_missing(&mut tags, &definition.tags),
        PropagateTags::None => (),
    }
    if turn.service.managed_tags {
        let cluster = tag("aws:ecs:clusterName", &turn.service.cluster);
        add_missing(
            &mut tags,
            &[cluster, tag("aws:ecs:serviceName", &turn.service.name)],
        );
    }
    let network = revision.network.clone().unwrap_or_default();
    let places = match turn.places.get(&deployment.id) {
        Some(places) => places.clone(),
        None => places_named(&network),
    };
    let there = turn.tasks.iter().filter(|it| it.stop.is_none());
    let mut spread = Spread::new(places.clone(), there.map(|it| it.subnet.as_str()));
    let group = format!("service:{}", turn.service.name);
    let service = turn.service.clone();
    let mut placing = match is_on_instances(revision.launch_type) {
        false => None,
        true => {
            let wish = wish(&service, &definition, &group, places);
            Some(Placing::new(turn.fleet.clone(), wish)?)
        }
    };
    if turn.service.is_daemon {
        placing = placing.map(Placing::one_on_each);
    }
    let mut started = Vec::new();
    for _ in 0..count {
        let (placed, subnet) = match &mut placing {
            None => (None, spread.place()),
            Some(placing) => match placing.place(dice()) {
                Ok((placed, subnet)) => (Some(placed), subnet),
                Err(unplaced) => {
                    turn.unplaced = true;
                    turn.service.say_once(turn.now_ms, &unplaced.event());
                    break;
                }
            },
        };
        let new = NewTask {
            id: cloud::random_hex(32),
            cluster: &turn.service.cluster,
            definition: &definition,
            service: Some(OfService {
                name: turn.service.name.clone(),
                deployment: deployment.id.clone(),
            }),
            group: group.clone(),
            started_by: Some(deployment.id.clone()),
            subnet,
            placed,
            network: network.clone(),
            launch_type: revision.launch_type,
            strategy: revision.strategy.clone(),
            load_balancers: &revision.load_balancers,
            overrides: Default::default(),
            enable_execute_command: turn.service.enable_execute_command,
            tags: tags.clone(),
        };
        let task = put_new_task(turn.cx, tx, new)?;
        started.push(format!(" (task {})", task.id));
        turn.tasks.push(task);
    }
    if !started.is_empty() {
        let said = format!("has started {} tasks:{}.", started.len(), started.concat());
        turn.service.say(turn.now_ms, &said);
    }
    turn.service.said_blocked = false;
    Ok(())
}

/// What a service says of where its tasks come to be.
pub fn wish<'a>(
    service: &'a Service,
    definition: &'a Definition,
    group: &'a str,
    places: Vec<Place>,
) -> Wish<'a> {
    static NOTHING: LazyLock<TaskOverride> = LazyLock::new(TaskOverride::default);
    Wish {
        definition,
        overrides: &NOTHING,
        group,
        constraints: &service.placement_constraints,
        strategy: &service.placement_strategy,
        places,
    }
}

/// Whether the task has targets that drain first.
fn stop(turn: &mut Turn<'_>, task: &str, why: &StopWhy, tx: &Records<'_>) -> Result<bool, Error> {
    let primary = turn
        .service
        .deployments
        .first()
        .map(|it| it.id.clone())
        .unwrap_or_default();
    let Some(task) = turn.tasks.iter_mut().find(|it| it.id == task) else {
        return Ok(false);
    };
    let (reason, failure) = match why {
        StopWhy::ScaledIn | StopWhy::Replaced => (
            format!("Scaling activity initiated by (deployment {primary})"),
            Failure::No,
        ),
        StopWhy::Unhealthy(reason) => (reason.clone(), Failure::HealthCheck),
    };
    let stop = Stop {
        code: TaskStopCode::ServiceSchedulerInitiated,
        reason,
        failure,
    };
    task.ask_to_stop(stop, turn.now_ms);
    tx.put(task)?;
    if let StopWhy::Unhealthy(_) = why {
        let text = match task.targets.first() {
            Some(target) if task.container_health() != shapes::ecs::HealthStatus::Unhealthy => {
                let key = (task.target_id().unwrap_or_default().to_owned(), target.port);
                let probed = turn.health.get(&target.group).and_then(|it| it.get(&key));
                let because = probed.map(|it| it.description.as_str()).unwrap_or_default();
                format!(
                    "(port {}) is unhealthy in (target-group {}) due to (reason {because})",
                    target.port, target.group
                )
            }
            _ => format!("(task {}) failed container health checks.", task.id),
        };
        turn.service.say(turn.now_ms, &text);
    }
    Ok(task.registration == Registration::Registered)
}

fn complete(turn: &mut Turn<'_>, id: &str) {
    let now_ms = turn.now_ms;
    let Some(deployment) = turn.service.deployment_mut(id) else {
        return;
    };
    deployment.rollout = Rollout::Completed;
    deployment.reason = format!("ECS deployment {id} completed.");
    deployment.updated_ms = now_ms;
    deployment.failed_tasks = 0;
    let done = Deployment {
        is_rollback: false,
        ..deployment.clone()
    };
    turn.service.remember(
        deployment_for_history(turn, id),
        Outcome::Successful,
        now_ms,
    );
    turn.service.last_completed = Some(done);
    turn.service
        .say(now_ms, &format!("(deployment {id}) deployment completed."));
}

fn deployment_for_history(turn: &Turn<'_>, id: &str) -> Deployment {
    let found = turn.service.deployments.iter().find(|it| it.id == id);
    found.cloned().expect("the caller has just found it")
}

fn fail(turn: &mut Turn<'_>, id: &str) {
    let now_ms = turn.now_ms;
    let Some(deployment) = turn.service.deployment_mut(id) else {
        return;
    };
    deployment.rollout = Rollout::Failed;
    deployment.reason = "ECS deployment circuit breaker: tasks failed to start.".into();
    deployment.updated_ms = now_ms;
    let failed = deployment.clone();
    turn.service.remember(failed, Outcome::Failed, now_ms);
    turn.service.say(
        now_ms,
        &format!("(deployment {id}) deployment failed: tasks failed to start."),
    );
}

fn roll_back(turn: &mut Turn<'_>, from: &str, to: &str) {
    let now_ms = turn.now_ms;
    let service = &mut turn.service;
    let kept = service.deployments.iter().position(|it| it.id == to);
    let found = match kept {
        Some(index) => Some(service.deployments.remove(index)),
        None => service.last_completed.clone().filter(|it| it.id == to),
    };
    let Some(mut target) = found else { return };
    target.rollout = Rollout::InProgress;
    target.is_rollback = true;
    target.reason = format!("ECS deployment circuit breaker: rolling back to deploymentId {to}.");
    target.updated_ms = now_ms;
    (target.failed_tasks, target.crashes) = (0, 0);
    service.deployments.insert(0, target);
    if let Some(past) = service
        .history
        .iter_mut()
        .find(|it| it.deployment.id == from)
    {
        past.outcome = Outcome::RolledBack;
    }
    service.say(now_ms, &format!("rolling back to deployment {to}."));
}

fn forget(turn: &mut Turn<'_>, id: &str) {
    let Some(index) = turn.service.deployments.iter().position(|it| it.id == id) else {
        return;
    };
    let gone = turn.service.deployments.remove(index);
    if gone.rollout == Rollout::InProgress {
        turn.service
            .remember(gone, Outcome::Superseded, turn.now_ms);
    }
}

fn say_blocked(turn: &mut Turn<'_>) {
    if !turn.service.said_blocked {
        turn.service.said_blocked = true;
        turn.service.say(
            turn.now_ms,
            "was unable to stop or start tasks during a deployment because of the service deployment \
             configuration. Update the minimumHealthyPercent or maximumPercent value and try again.",
        );
    }
}
