//! What a service's record learns from the end of one of its tasks.

use std::time::Duration;

use cloud::Clock;

use crate::plan::Rollout;
use crate::record::Service;
use crate::task_record::{Failure, Task};

/// A task that ran for less than this crashed soon.
const SOON: Duration = Duration::from_secs(60);
/// AWS delays starts "from 0 up to 15 minutes" when tasks keep failing ("Service throttle logic").
/// The first failure is replaced at once.
const BACK_OFF_MIN: Duration = Duration::from_secs(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(15 * 60);
/// From this many crashes in a row on, the service says that it cannot start tasks.
const INCONSISTENT: u32 = 3;

pub fn service_key(task: &Task) -> Option<String> {
    let of = task.service.as_ref()?;
    Some(Service::key_of(&task.region, &task.cluster, &of.name))
}

pub fn task_ended(service: &mut Service, task: &Task, clock: &Clock) {
    let now_ms = clock.now_ms();
    let soon_ms = i64::try_from(clock.paced_ms(SOON)).unwrap_or(i64::MAX);
    let failure = task.stop.as_ref().map_or(Failure::Ended, |it| it.failure);
    let lived_ms = task.started_ms.map_or(0, |started| now_ms - started);
    let mut inconsistent = false;
    if failure != Failure::No
        && let Some(of) = &task.service
        && let Some(deployment) = service.deployment_mut(&of.deployment)
    {
        let counts = failure == Failure::HealthCheck || !task.was_healthy;
        if deployment.rollout == Rollout::InProgress && counts {
            deployment.failed_tasks += 1;
        }
        if lived_ms >= soon_ms && failure == Failure::Ended {
            deployment.crashes = 0;
        }
        // Tasks that were started together and fail together are one round.
        if task.created_ms >= deployment.last_crash_ms {
            deployment.crashes += 1;
            deployment.last_crash_ms = now_ms;
        }
        inconsistent = deployment.crashes >= INCONSISTENT;
    }
    if inconsistent && !service.said_inconsistent {
        service.said_inconsistent = true;
        service.say(
            now_ms,
            "is unable to consistently start tasks successfully. For more information, see the \
             Troubleshooting section of the Amazon ECS Developer Guide.",
        );
    }
    service.say(
        now_ms,
        &format!("has stopped 1 running tasks: (task {}).", task.id),
    );
}

/// How long after the last crash the next task is started.
pub fn back_off(crashes: u32, clock: &Clock) -> Duration {
    match crashes {
        0 | 1 => Duration::ZERO,
        more => {
            let documented = BACK_OFF_MIN.saturating_mul(1 << (more - 2).min(16));
            clock.paced(documented.min(BACK_OFF_MAX))
        }
    }
}
