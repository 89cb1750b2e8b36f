//! What is to be done about an instance next, decided from its record and from what the machine says of its
//! task. Pure.

use std::time::Duration;

use engine::{StopReason, TaskState, TaskStatus};

use super::record::{Haste, InstanceRecord, State, Want};

/// Which boot a task is of.
pub const BOOT_LABEL: &str = "ec2.boot";

/// How long a terminated instance is shown (EC2 User Guide: "after some time", of about an hour).
pub const SHOWN_FOR: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing: it is as it should be. Its doors are to be open while it runs.
    Rest,
    /// Make its root and its task.
    Start,
    /// Say that it is in another state.
    Become(State),
    /// Ask its task to end.
    Stop(Haste),
    /// Forget its task, which has ended.
    Clear,
    /// It has ended and nobody asked for it.
    Ended(Ending),
    /// Give back all that it had: it is terminated.
    Release,
    /// Nobody is shown it any more.
    Forget,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// It was turned off from inside.
    TurnedOff,
    /// Its supervisor is gone, and with it all that ran.
    Lost,
    CannotStart(String),
}

pub fn plan(instance: &InstanceRecord, task: Option<&TaskStatus>, is_forgotten: bool) -> Step {
    match instance.want {
        Want::Run => running(instance, task),
        Want::Stop(haste) => match task {
            Some(task) => end(task, haste),
            None if instance.state == State::Stopped => Step::Rest,
            None => Step::Become(State::Stopped),
        },
        Want::Terminate(haste) => match task {
            Some(task) => end(task, haste),
            None if instance.state != State::Terminated => Step::Release,
            None if is_forgotten => Step::Forget,
            None => Step::Rest,
        },
    }
}

fn end(task: &TaskStatus, haste: Haste) -> Step {
    match task.state {
        TaskState::Stopped => Step::Clear,
        TaskState::Stopping if haste == Haste::Ask => Step::Rest,
        _ => Step::Stop(haste),
    }
}

fn running(instance: &InstanceRecord, task: Option<&TaskStatus>) -> Step {
    let Some(task) = task else {
        return Step::Start;
    };
    if task.labels.get(BOOT_LABEL) != Some(&instance.boot.to_string()) {
        // Of the boot before: the machine is booted anew.
        return end(task, Haste::Ask);
    }
    match task.state {
        TaskState::Starting => Step::Rest,
        TaskState::Running if instance.state == State::Running => Step::Rest,
        TaskState::Running => Step::Become(State::Running),
        TaskState::Stopping => Step::Rest,
        TaskState::Stopped => Step::Ended(match &task.reason {
            Some(StopReason::CannotStart { message, .. }) => Ending::CannotStart(message.clone()),
            Some(StopReason::DependencyFailed { message, .. }) => {
                Ending::CannotStart(message.clone())
            }
            Some(StopReason::SupervisorLost) => Ending::Lost,
            Some(StopReason::EssentialContainerExited { .. } | StopReason::Requested(_)) | None => {
                Ending::TurnedOff
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::record::{MetadataOptions, RootVolume};
    use super::*;
    use shapes::ec2::VolumeType;

    fn instance(state: State, want: Want) -> InstanceRecord {
        InstanceRecord {
            id: "i-1".into(),
            region: "r".into(),
            reservation: "r-1".into(),
            launch_index: 0,
            client_token: None,
            asked: String::new(),
            image: "ami-1".into(),
            kind: "t3.nano".into(),
            key_name: None,
            public_key: None,
            user_data: None,
            interface: "eni-1".into(),
            keeps_interface: false,
            vpc: "vpc-1".into(),
            subnet: "subnet-1".into(),
            zone: "ra".into(),
            address: [10, 0, 0, 4].into(),
            public: false,
            profile: None,
            metadata: MetadataOptions {
                is_served: true,
                needs_token: false,
                hops: 1,
                has_tags: false,
            },
            metadata_key: String::new(),
            is_monitored: false,
            is_ebs_optimized: false,
            is_kept_from_termination: false,
            is_kept_from_stop: false,
            terminates_on_shutdown: false,
            cpu_credits: None,
            volume: RootVolume {
                id: "vol-1".into(),
                device: "/dev/xvda".into(),
                snapshot: "snap-1".into(),
                gib: 8,
                kind: VolumeType::Gp2,
                iops: None,
                throughput: None,
                goes_with_instance: true,
                attached_ms: 0,
                tags: BTreeMap::new(),
            },
            launched_ms: 0,
            state,
            want,
            boot: 2,
            root: None,
            reason: None,
            transition: String::new(),
            ended_ms: None,
            tags: BTreeMap::new(),
        }
    }

    fn task(state: TaskState, boot: u32, reason: Option<StopReason>) -> TaskStatus {
        TaskStatus {
            id: "i-1".into(),
            state,
            containers: vec![],
            reason,
            started_at_ms: None,
            stopped_at_ms: None,
            labels: [(BOOT_LABEL.to_owned(), boot.to_string())].into(),
        }
    }

    fn check(state: State, want: Want, task: Option<TaskStatus>, expected: Step) {
        let found = plan(&instance(state, want), task.as_ref(), false);
        assert_eq!(found, expected, "{state:?} {want:?} {task:?}");
    }

    #[test]
    fn one_that_is_to_run_is_started_and_noticed() {
        check(State::Pending, Want::Run, None, Step::Start);
        let at = |state| Some(task(state, 2, None));
        check(
            State::Pending,
            Want::Run,
            at(TaskState::Starting),
            Step::Rest,
        );
        let running = Step::Become(State::Running);
        check(State::Pending, Want::Run, at(TaskState::Running), running);
        check(
            State::Running,
            Want::Run,
            at(TaskState::Running),
            Step::Rest,
        );
    }

    #[test]
    fn a_reboot_ends_the_boot_before() {
        let before = |state| Some(task(state, 1, None));
        let stop = Step::Stop(Haste::Ask);
        check(State::Running, Want::Run, before(TaskState::Running), stop);
        check(
            State::Running,
            Want::Run,
            before(TaskState::Stopped),
            Step::Clear,
        );
        check(State::Running, Want::Run, None, Step::Start);
    }

    #[test]
    fn what_ends_by_itself_is_noticed() {
        let lost = task(TaskState::Stopped, 2, Some(StopReason::SupervisorLost));
        check(
            State::Running,
            Want::Run,
            Some(lost),
            Step::Ended(Ending::Lost),
        );
        let off = StopReason::EssentialContainerExited {
            container: "machine".into(),
        };
        let off = task(TaskState::Stopped, 2, Some(off));
        check(
            State::Running,
            Want::Run,
            Some(off),
            Step::Ended(Ending::TurnedOff),
        );
    }

    #[test]
    fn one_that_is_to_end_gives_everything_back() {
        let terminate = Want::Terminate(Haste::Ask);
        let running = Some(task(TaskState::Running, 2, None));
        check(
            State::ShuttingDown,
            terminate,
            running,
            Step::Stop(Haste::Ask),
        );
        let stopping = Some(task(TaskState::Stopping, 2, None));
        check(State::ShuttingDown, terminate, stopping.clone(), Step::Rest);
        let kill = Want::Stop(Haste::Kill);
        check(State::Stopping, kill, stopping, Step::Stop(Haste::Kill));
        let stopped = Some(task(TaskState::Stopped, 2, None));
        check(State::ShuttingDown, terminate, stopped, Step::Clear);
        check(State::ShuttingDown, terminate, None, Step::Release);
        check(State::Terminated, terminate, None, Step::Rest);
        let forgotten = plan(&instance(State::Terminated, terminate), None, true);
        assert_eq!(forgotten, Step::Forget);
        let stop = Want::Stop(Haste::Ask);
        check(State::Stopping, stop, None, Step::Become(State::Stopped));
        check(State::Stopped, stop, None, Step::Rest);
    }
}
