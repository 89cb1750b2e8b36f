//! Services: whether they are as they should be, and the tasks that tell why not.

use std::net::IpAddr;

use cloud::{Cx, Error};
use shapes::ecs::{Deployment, DeploymentRolloutState, Service, Task};

use super::list::{self, last_part};
use super::{Gathered, instances, placement, targets, tasks};
use crate::facts::{ServiceFacts, Situation};

/// Tasks of one service that are looked at: those that failed first tell what the others follow from.
const TASKS_LOOKED_AT_MAX: usize = 3;
/// What is remembered of a service's events.
const EVENTS_MAX: usize = 20;

/// What a service is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    AsItIs,
    /// A deployment of it failed: that it runs now says nothing.
    WhyItFailed,
}

pub fn facts(service: &Service) -> ServiceFacts {
    let configuration = service.deployment_configuration.clone().unwrap_or_default();
    let newest = newest(service);
    let events = service.events.iter().flatten();
    ServiceFacts {
        name: service.service_name.clone().unwrap_or_default(),
        cluster: last_part(service.cluster_arn.as_deref().unwrap_or_default()),
        desired: service.desired_count.unwrap_or_default(),
        running: service.running_count.unwrap_or_default(),
        pending: service.pending_count.unwrap_or_default(),
        minimum_healthy_percent: configuration.minimum_healthy_percent.unwrap_or(100),
        maximum_percent: configuration.maximum_percent.unwrap_or(200),
        events: events
            .filter_map(|it| it.message.clone())
            .take(EVENTS_MAX)
            .collect(),
        rollout_state: newest
            .and_then(|it| it.rollout_state)
            .map_or(String::new(), |it| it.as_str().to_owned()),
        failed_tasks: newest.and_then(|it| it.failed_tasks).unwrap_or_default(),
        is_rolled_back: is_rolled_back(service),
        place: None,
    }
}

fn shown(own: &ServiceFacts) -> String {
    format!("service {} in cluster {}", own.name, own.cluster)
}

fn newest(service: &Service) -> Option<&Deployment> {
    let created = |it: &&Deployment| it.created_at.map_or(0, |it| (it.0 * 1000.0) as i64);
    service.deployments.iter().flatten().max_by_key(created)
}

/// Whether the circuit breaker went back to the deployment that is there.
fn is_rolled_back(service: &Service) -> bool {
    let Some(id) = newest(service).and_then(|it| it.id.as_deref()) else {
        return false;
    };
    let says = format!("rolling back to deployment {id}.");
    let messages = service
        .events
        .iter()
        .flatten()
        .filter_map(|it| it.message.as_deref());
    messages.take(EVENTS_MAX).any(|it| it.ends_with(&says))
}

/// Looks at a service, once, adds what is wrong with it, and says whether something is.
pub async fn look(
    cx: &Cx,
    service: &Service,
    asked: Asked,
    gathered: &mut Gathered,
) -> Result<bool, Error> {
    let own = facts(service);
    if gathered.looked_at.contains(&shown(&own)) {
        let of_this = |it: &Situation| {
            let service = it.service.as_ref();
            service.is_some_and(|it| it.name == own.name && it.cluster == own.cluster)
        };
        return Ok(gathered.situations.iter().any(of_this));
    }
    let ids = list::task_ids(cx, &own.cluster, Some(&own.name)).await?;
    let all = list::tasks(cx, &own.cluster, &ids).await?;
    look_with(cx, service, &all, asked, gathered).await
}

/// The same of a service whose tasks are known, all of them, and that nobody has looked at yet.
pub async fn look_with(
    cx: &Cx,
    service: &Service,
    all: &[Task],
    asked: Asked,
    gathered: &mut Gathered,
) -> Result<bool, Error> {
    let own = facts(service);
    gathered.looked_at.push(shown(&own));
    let has_all = own.running >= own.desired && own.pending == 0;
    let rolls = newest(service).and_then(|it| it.rollout_state);
    let is_steady = has_all && matches!(rolls, None | Some(DeploymentRolloutState::Completed));
    let goes_back = own.is_rolled_back || asked == Asked::WhyItFailed;
    let unwell = unwell(cx, service, all, is_steady).await?;
    let is_well = is_steady && unwell.is_empty();
    if is_well && !goes_back {
        return Ok(false);
    }
    // What still runs can be looked at better than what is over.
    let mut suspects = unwell;
    suspects.extend(failed(service, all.to_vec()));
    suspects.truncate(TASKS_LOOKED_AT_MAX);
    if is_well && suspects.is_empty() {
        return Ok(false);
    }
    for task in &suspects {
        gathered
            .situations
            .push(tasks::situation(cx, task, Some(service)).await?);
    }
    // On its way, with nothing that went wrong: that is not red.
    let moves = own.failed_tasks == 0 && rolls == Some(DeploymentRolloutState::InProgress);
    let is_blocked = (own.events.first()).is_some_and(|it| it.contains("was unable to"));
    if suspects.is_empty() && (!moves || is_blocked) {
        let event = own.events.first().filter(|it| it.contains(placement::SAYS));
        let placement = match event {
            Some(event) => Some(placement::of(cx, &own.cluster, service, event).await?),
            None => None,
        };
        // Those that should have joined failed before it did.
        if placement.as_ref().is_some_and(|it| it.instances.is_empty()) {
            instances::look_for(cx, &own.cluster, gathered).await?;
        }
        gathered.situations.push(Situation {
            placement,
            thing: format!("service {}", own.name),
            region: cx.region.clone(),
            account: cx.account().to_owned(),
            service: Some(own),
            ..Situation::default()
        });
        return Ok(true);
    }
    Ok(!suspects.is_empty())
}

/// Tasks that failed, of the newest deployment that has such, the first to fail first.
fn failed(service: &Service, all: Vec<Task>) -> Vec<Task> {
    let mut failed: Vec<Task> = all.into_iter().filter(tasks::has_failed).collect();
    failed.sort_by(|one, other| tasks::moment(one).total_cmp(&tasks::moment(other)));
    let newest = newest(service).and_then(|it| it.id.clone());
    let of_newest = |it: &Task| newest.is_none() || it.started_by == newest;
    let of = match failed.iter().any(of_newest) {
        true => newest,
        false => failed.last().and_then(|it| it.started_by.clone()),
    };
    failed.retain(|it| of.is_none() || it.started_by == of);
    failed
}

/// Tasks that run and that their balancer does not find well, or does not know any more, and those that are not well
/// by themselves.
async fn unwell(
    cx: &Cx,
    service: &Service,
    all: &[Task],
    is_steady: bool,
) -> Result<Vec<Task>, Error> {
    let (mut addresses, mut groups) = (Vec::new(), Vec::new());
    for balanced in service.load_balancers.iter().flatten() {
        let arn = balanced.target_group_arn.as_deref().unwrap_or_default();
        let targets = targets::health(cx, arn).await?;
        let known: Vec<IpAddr> = targets
            .iter()
            .flatten()
            .filter_map(targets::address)
            .collect();
        if targets.is_some() && is_steady {
            groups.push(known);
        }
        let bad = targets.into_iter().flatten().filter(targets::is_bad);
        addresses.extend(bad.filter_map(|it| targets::address(&it)));
    }
    let is_bad = |task: &&Task| {
        let address = tasks::address(task);
        let is_lost = |it: &IpAddr| groups.iter().any(|known| !known.contains(it));
        let is_bad = address.is_some_and(|it| {
            addresses.contains(&it) || tasks::runs_long(cx, task) && is_lost(&it)
        });
        task.stop_code.is_none() && (is_bad || tasks::is_unwell(task))
    };
    Ok(all.iter().filter(is_bad).cloned().collect())
}
