//! What a task's supervisor should do next, decided from what is asked for and what is known. Pure:
//! no clock but the one handed in, no effect.

use engine::{
    ContainerSpec, ContainerState, ContainerStatus, DependsOn, Health, StopReason, TaskState,
};

/// Whether a container that has not been started may be started now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    Waiting,
    /// It never will be; the container it waits for, and why.
    Never(StopReason),
}

pub(super) fn readiness(
    spec: &ContainerSpec,
    specs: &[ContainerSpec],
    statuses: &[ContainerStatus],
    now_ms: i64,
) -> Readiness {
    let mut waiting = false;
    for (name, condition) in &spec.depends_on {
        let found = specs.iter().position(|candidate| candidate.name == *name);
        let never = |what: String| {
            Readiness::Never(StopReason::DependencyFailed {
                container: name.clone(),
                message: format!("`{}` waits for `{name}`, which {what}", spec.name),
            })
        };
        let Some(index) = found else {
            return never("is not in the task".to_owned());
        };
        match reached(&statuses[index], *condition) {
            Reached::Yes => {}
            Reached::Never(what) => return never(what),
            Reached::NotYet if is_overdue(&specs[index], &statuses[index], now_ms) => {
                return never("did not get there in its start time-out".to_owned());
            }
            Reached::NotYet => waiting = true,
        }
    }
    if waiting {
        Readiness::Waiting
    } else {
        Readiness::Ready
    }
}

enum Reached {
    Yes,
    NotYet,
    Never(String),
}

fn reached(status: &ContainerStatus, condition: DependsOn) -> Reached {
    let stopped = status.state == ContainerState::Stopped;
    let succeeded = status.exit_code == Some(0);
    let never_ran = stopped && status.exit_code.is_none();
    match condition {
        _ if never_ran => Reached::Never("did not run".to_owned()),
        DependsOn::Start if status.state == ContainerState::Pending => Reached::NotYet,
        DependsOn::Start => Reached::Yes,
        DependsOn::Complete if stopped => Reached::Yes,
        DependsOn::Success if stopped && succeeded => Reached::Yes,
        DependsOn::Success if stopped => {
            let code = status.exit_code.unwrap_or_default();
            Reached::Never(format!("exited with code {code}"))
        }
        DependsOn::Healthy if stopped => Reached::Never("stopped before it was healthy".to_owned()),
        DependsOn::Healthy if status.health == Health::Healthy => Reached::Yes,
        DependsOn::Healthy if status.health == Health::Unhealthy => {
            Reached::Never("is unhealthy".to_owned())
        }
        _ => Reached::NotYet,
    }
}

fn is_overdue(spec: &ContainerSpec, status: &ContainerStatus, now_ms: i64) -> bool {
    deadline_ms(spec, status).is_some_and(|deadline| now_ms >= deadline)
}

/// When those that wait for this container give up.
fn deadline_ms(spec: &ContainerSpec, status: &ContainerStatus) -> Option<i64> {
    let timeout = i64::try_from(spec.start_timeout_ms?).unwrap_or(i64::MAX);
    Some(status.started_at_ms?.saturating_add(timeout))
}

/// The next moment at which [`readiness`] may change by time alone.
pub(super) fn next_deadline_ms(
    specs: &[ContainerSpec],
    statuses: &[ContainerStatus],
    now_ms: i64,
) -> Option<i64> {
    if statuses
        .iter()
        .all(|status| status.state != ContainerState::Pending)
    {
        return None;
    }
    let deadlines = specs
        .iter()
        .zip(statuses)
        .filter_map(|(spec, status)| deadline_ms(spec, status));
    deadlines.filter(|deadline| *deadline > now_ms).min()
}

/// Why the task has to end by itself, if it has to. A container that is not essential ends alone, also
/// when it never ran.
pub(super) fn reason_to_end(
    specs: &[ContainerSpec],
    statuses: &[ContainerStatus],
) -> Option<StopReason> {
    let stopped = |status: &ContainerStatus| status.state == ContainerState::Stopped;
    let exited = |container: &String| StopReason::EssentialContainerExited {
        container: container.clone(),
    };
    let mut pairs = specs.iter().zip(statuses);
    let essential = pairs.find(|(spec, status)| spec.essential && stopped(status));
    if let Some((spec, _)) = essential {
        return Some(exited(&spec.name));
    }
    let all = statuses.iter().all(stopped);
    specs.last().filter(|_| all).map(|spec| exited(&spec.name))
}

/// Whether a running container may be stopped now: those that depend on it go first.
pub(super) fn may_stop(
    spec: &ContainerSpec,
    specs: &[ContainerSpec],
    statuses: &[ContainerStatus],
) -> bool {
    let running = specs
        .iter()
        .zip(statuses)
        .filter(|(_, status)| status.state == ContainerState::Running);
    !running
        .flat_map(|(dependent, _)| &dependent.depends_on)
        .any(|(name, _)| *name == spec.name)
}

pub(super) fn task_state(statuses: &[ContainerStatus], stopping: bool) -> TaskState {
    let pending = statuses
        .iter()
        .any(|status| status.state == ContainerState::Pending);
    if stopping {
        TaskState::Stopping
    } else if pending {
        TaskState::Starting
    } else {
        TaskState::Running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, depends_on: &[(&str, DependsOn)]) -> ContainerSpec {
        ContainerSpec {
            name: name.to_owned(),
            essential: true,
            depends_on: depends_on
                .iter()
                .map(|(name, on)| ((*name).to_owned(), *on))
                .collect(),
            start_timeout_ms: Some(1_000),
            ..ContainerSpec::default()
        }
    }

    fn status(state: ContainerState, exit_code: Option<i32>, health: Health) -> ContainerStatus {
        ContainerStatus {
            name: String::new(),
            state,
            pid: None,
            exit_code,
            reason: None,
            health,
            started_at_ms: Some(0),
            stopped_at_ms: None,
        }
    }

    fn check(
        condition: DependsOn,
        state: ContainerState,
        code: Option<i32>,
        health: Health,
    ) -> Readiness {
        let specs = [spec("a", &[]), spec("b", &[("a", condition)])];
        let statuses = [
            status(state, code, health),
            status(ContainerState::Pending, None, Health::Unknown),
        ];
        readiness(&specs[1], &specs, &statuses, 500)
    }

    #[test]
    fn a_dependency_is_met_missed_or_waited_for() {
        use ContainerState::{Pending, Running, Stopped};
        use Health::{Healthy, Unhealthy, Unknown};
        let is_never = |readiness| matches!(readiness, Readiness::Never(_));
        assert_eq!(
            check(DependsOn::Start, Pending, None, Unknown),
            Readiness::Waiting
        );
        assert_eq!(
            check(DependsOn::Start, Running, None, Unknown),
            Readiness::Ready
        );
        assert_eq!(
            check(DependsOn::Healthy, Running, None, Unknown),
            Readiness::Waiting
        );
        assert_eq!(
            check(DependsOn::Healthy, Running, None, Healthy),
            Readiness::Ready
        );
        assert!(is_never(check(
            DependsOn::Healthy,
            Running,
            None,
            Unhealthy
        )));
        assert!(is_never(check(
            DependsOn::Healthy,
            Stopped,
            Some(0),
            Healthy
        )));
        assert_eq!(
            check(DependsOn::Complete, Stopped, Some(3), Unknown),
            Readiness::Ready
        );
        assert_eq!(
            check(DependsOn::Success, Running, None, Unknown),
            Readiness::Waiting
        );
        assert_eq!(
            check(DependsOn::Success, Stopped, Some(0), Unknown),
            Readiness::Ready
        );
        assert!(is_never(check(
            DependsOn::Success,
            Stopped,
            Some(3),
            Unknown
        )));
    }

    #[test]
    fn waiting_ends_with_the_start_timeout() {
        let specs = [spec("a", &[]), spec("b", &[("a", DependsOn::Healthy)])];
        let statuses = [
            status(ContainerState::Running, None, Health::Unknown),
            status(ContainerState::Pending, None, Health::Unknown),
        ];
        assert_eq!(next_deadline_ms(&specs, &statuses, 500), Some(1_000));
        assert_eq!(
            readiness(&specs[1], &specs, &statuses, 999),
            Readiness::Waiting
        );
        assert!(matches!(
            readiness(&specs[1], &specs, &statuses, 1_000),
            Readiness::Never(_)
        ));
    }

    #[test]
    fn dependents_stop_first() {
        let specs = [spec("a", &[]), spec("b", &[("a", DependsOn::Start)])];
        let running = status(ContainerState::Running, None, Health::Unknown);
        let stopped = status(ContainerState::Stopped, Some(0), Health::Unknown);
        let both = [running.clone(), running.clone()];
        assert!(!may_stop(&specs[0], &specs, &both));
        assert!(may_stop(&specs[1], &specs, &both));
        assert!(may_stop(&specs[0], &specs, &[running, stopped]));
    }

    #[test]
    fn an_essential_exit_ends_the_task() {
        let mut specs = [spec("a", &[]), spec("b", &[])];
        specs[1].essential = false;
        let running = status(ContainerState::Running, None, Health::Unknown);
        let stopped = status(ContainerState::Stopped, Some(0), Health::Unknown);
        assert_eq!(
            reason_to_end(&specs, &[running.clone(), stopped.clone()]),
            None
        );
        let reason = reason_to_end(&specs, &[stopped, running]);
        assert_eq!(
            reason,
            Some(StopReason::EssentialContainerExited {
                container: "a".into()
            })
        );
    }

    #[test]
    fn what_never_ran_is_waited_for_by_nobody() {
        use ContainerState::Stopped;
        for condition in [
            DependsOn::Start,
            DependsOn::Complete,
            DependsOn::Success,
            DependsOn::Healthy,
        ] {
            let readiness = check(condition, Stopped, None, Health::Unknown);
            assert!(matches!(readiness, Readiness::Never(_)), "{condition:?}");
        }
        let readiness = check(DependsOn::Start, Stopped, Some(1), Health::Unknown);
        assert_eq!(readiness, Readiness::Ready, "it has started");
    }
}
