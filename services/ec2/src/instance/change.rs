//! Starting, stopping, rebooting and terminating: what is wanted is recorded.

use std::collections::BTreeSet;

use cloud::{Cx, Error, Records};
use shapes::ec2::{
    InstanceStateChange, RebootInstancesInput, RebootInstancesOutput, StartInstancesInput,
    StartInstancesOutput, StopInstancesInput, StopInstancesOutput, TerminateInstancesInput,
    TerminateInstancesOutput,
};

use super::record::{self, Haste, InstanceRecord, State, Want};
use super::{run, view};
use crate::errors::{IncorrectInstanceState, OperationNotPermitted};

/// As it is shown: `User initiated (2026-01-02 03:04:05 GMT)`.
pub fn transition(cx: &Cx, by_user: bool) -> String {
    if !by_user {
        return "Server.InternalError".to_owned();
    }
    let now = wire::Timestamp((cx.clock().now_ms() / 1000) as f64).to_string();
    let now = now.replace('T', " ");
    format!("User initiated ({} GMT)", now.trim_end_matches('Z'))
}

/// Changes each of the instances, all or none of them. Answers how each was and is.
fn change(
    cx: &Cx,
    ids: &[String],
    edit: impl Fn(&Records<'_>, &mut InstanceRecord) -> Result<(), Error>,
) -> Result<Vec<InstanceStateChange>, Error> {
    let ids: BTreeSet<&String> = ids.iter().collect();
    cx.write(|tx| {
        let mut changes = Vec::with_capacity(ids.len());
        for id in &ids {
            let mut instance = record::get(cx, tx, id)?;
            let before = instance.clone();
            edit(tx, &mut instance)?;
            if instance != before {
                tx.put(&instance)?;
            }
            changes.push(InstanceStateChange {
                instance_id: Some((*id).clone()),
                current_state: Some(view::state(instance.state)),
                previous_state: Some(view::state(before.state)),
            });
        }
        Ok(changes)
    })
}

fn wrong_state(instance: &InstanceRecord, what: &str) -> Error {
    IncorrectInstanceState.because(format!(
        "The instance '{}' is not in a state from which it can be {what}.",
        instance.id
    ))
}

pub async fn start_instances(
    cx: Cx,
    input: StartInstancesInput,
) -> Result<StartInstancesOutput, Error> {
    let starting_instances = change(&cx, &input.instance_ids, |tx, instance| {
        match instance.state {
            State::Pending | State::Running => return Ok(()),
            State::Stopped => {}
            _ => return Err(wrong_state(instance, "started")),
        }
        run::find_kind(&instance.kind)?;
        instance.want = Want::Run;
        instance.state = State::Pending;
        instance.boot += 1;
        instance.launched_ms = cx.clock().now_ms();
        instance.reason = None;
        instance.transition = String::new();
        run::take_public_address(&cx, tx, instance)
    })?;
    Ok(StartInstancesOutput {
        starting_instances: Some(starting_instances),
    })
}

/// Whether its programs are to be asked.
fn haste(kills: &[Option<bool>]) -> Haste {
    match kills.contains(&Some(true)) {
        true => Haste::Kill,
        false => Haste::Ask,
    }
}

pub async fn stop_instances(
    cx: Cx,
    input: StopInstancesInput,
) -> Result<StopInstancesOutput, Error> {
    let haste = haste(&[input.force, input.skip_os_shutdown]);
    let stopping_instances = change(&cx, &input.instance_ids, |_, instance| {
        match instance.state {
            State::Stopped => return Ok(()),
            State::Stopping if haste == Haste::Ask => return Ok(()),
            State::Pending | State::Running | State::Stopping => {}
            _ => return Err(wrong_state(instance, "stopped")),
        }
        if instance.is_kept_from_stop {
            return Err(OperationNotPermitted.because(format!(
                "The instance '{}' may not be stopped. Modify its 'disableApiStop' instance attribute and try \
                 again.",
                instance.id
            )));
        }
        instance.want = Want::Stop(haste);
        instance.state = State::Stopping;
        stopped_by_user(&cx, instance);
        Ok(())
    })?;
    Ok(StopInstancesOutput {
        stopping_instances: Some(stopping_instances),
    })
}

fn stopped_by_user(cx: &Cx, instance: &mut InstanceRecord) {
    const CODE: &str = "Client.UserInitiatedShutdown";
    let message = format!("{CODE}: User initiated shutdown");
    instance.reason = Some((CODE.to_owned(), message));
    instance.transition = transition(cx, true);
}

pub async fn reboot_instances(
    cx: Cx,
    input: RebootInstancesInput,
) -> Result<RebootInstancesOutput, Error> {
    change(&cx, &input.instance_ids, |_, instance| {
        match instance.state {
            State::Running => instance.boot += 1,
            State::Pending => {}
            _ => return Err(wrong_state(instance, "rebooted")),
        }
        Ok(())
    })?;
    Ok(RebootInstancesOutput {})
}

pub async fn terminate_instances(
    cx: Cx,
    input: TerminateInstancesInput,
) -> Result<TerminateInstancesOutput, Error> {
    let haste = haste(&[input.force, input.skip_os_shutdown]);
    let terminating_instances = change(&cx, &input.instance_ids, |_, instance| {
        if instance.state == State::Terminated
            || instance.state == State::ShuttingDown && haste == Haste::Ask
        {
            return Ok(());
        }
        if instance.is_kept_from_termination && instance.state != State::ShuttingDown {
            return Err(OperationNotPermitted.because(format!(
                "The instance '{}' may not be terminated. Modify its 'disableApiTermination' instance attribute \
                 and try again.",
                instance.id
            )));
        }
        instance.want = Want::Terminate(haste);
        instance.state = State::ShuttingDown;
        stopped_by_user(&cx, instance);
        Ok(())
    })?;
    Ok(TerminateInstancesOutput {
        terminating_instances: Some(terminating_instances),
    })
}
