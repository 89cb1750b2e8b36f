//! Target health, as the probes found it.

use cloud::{Cx, Error, Record};
use engine::{Fault, ProbeFailure, TargetState};
use shapes::elbv2::{
    DescribeTargetHealthInput, DescribeTargetHealthOutput, TargetDescription, TargetHealth,
    TargetHealthDescription, TargetHealthReasonEnum as Reason, TargetHealthStateEnum as State,
};

use crate::record::{self, Target, TargetGroup};
use crate::targets::named;

pub async fn describe_target_health(
    cx: Cx,
    input: DescribeTargetHealthInput,
) -> Result<DescribeTargetHealthOutput, Error> {
    let group = cx.read(|tx| record::target_group(&cx, tx, &input.target_group_arn))?;
    let found = match cx.engine().edge.health(&group.key()).await {
        // The edge has not heard of the group yet.
        Err(error) if error.fault == Fault::NotFound => Some(Vec::new()),
        // It does not answer now, so nobody knows what the targets are.
        Err(error) if error.fault == Fault::Unreachable => None,
        found => Some(found.map_err(cloud::internal)?),
    };
    // A client sees a target drain for the whole delay, as on AWS. A service that asks waits for what is
    // under way, which has ended.
    let is_listed = |it: &Target| cx.looks || !it.drained;
    let state = |target: &Target| {
        if target.is_over {
            return health(
                State::Unused,
                Some((
                    Reason::TargetInvalidState,
                    "Target is in the stopped or terminated state",
                )),
            );
        }
        if target.drained {
            return shown_state(&TargetState::Draining { in_flight: 0 });
        }
        let known = found.iter().flatten();
        let mut known = known.filter(|it| (it.address, it.port) == (target.address, target.port));
        let known = known.next().map(|it| &it.state);
        // It drains from the moment in which that is asked for, also while the edge has not heard of it and still
        // sends it requests.
        if target.draining_until_ms.is_some() && known != Some(&TargetState::Unused) {
            return shown_state(&TargetState::Draining { in_flight: 0 });
        }
        if found.is_none() {
            return health(
                State::Unavailable,
                Some((
                    Reason::ElbInternalError,
                    "Target health is unavailable due to an internal error",
                )),
            );
        }
        match known {
            Some(state) => shown_state(state),
            // The edge has not heard of it yet.
            None => health(
                State::Initial,
                Some((
                    Reason::ElbRegistrationInProgress,
                    "Target registration is in progress",
                )),
            ),
        }
    };
    let listed = || group.targets.iter().filter(|it| is_listed(it));
    let asked = input.targets.as_ref().filter(|it| !it.is_empty());
    let descriptions = match asked {
        None => listed()
            .map(|it| description(&group, &it.id(), it.port, &it.zone, state(it)))
            .collect(),
        Some(asked) => {
            let mut descriptions = Vec::new();
            for target in asked {
                let (id, port) = named(&group, target)?;
                let found = listed().find(|it| it.id() == id && it.port == port);
                let reason = (
                    Reason::TargetNotRegistered,
                    "Target is not registered to the target group",
                );
                let health = found.map_or_else(|| health(State::Unused, Some(reason)), state);
                let zone = found.and_then(|it| it.zone.clone());
                descriptions.push(description(&group, &target.id, port, &zone, health));
            }
            descriptions
        }
    };
    Ok(DescribeTargetHealthOutput {
        target_health_descriptions: Some(descriptions),
    })
}

fn description(
    group: &TargetGroup,
    id: &str,
    port: u16,
    zone: &Option<String>,
    health: TargetHealth,
) -> TargetHealthDescription {
    let own_port = group
        .shape
        .health_check_port
        .as_deref()
        .is_none_or(|it| it == "traffic-port");
    let check_port = if own_port {
        Some(port.to_string())
    } else {
        group.shape.health_check_port.clone()
    };
    TargetHealthDescription {
        target: Some(TargetDescription {
            id: id.to_owned(),
            port: Some(i32::from(port)),
            availability_zone: zone.clone(),
        }),
        health_check_port: check_port,
        target_health: Some(health),
        ..Default::default()
    }
}

fn health(state: State, reason: Option<(Reason, &str)>) -> TargetHealth {
    TargetHealth {
        state: Some(state),
        reason: reason.map(|it| it.0),
        description: reason.map(|it| it.1.to_owned()),
    }
}

/// In AWS's words (ELB User Guide, "Target health status", "Health check reason codes").
fn shown_state(state: &TargetState) -> TargetHealth {
    match state {
        TargetState::Healthy => health(State::Healthy, None),
        TargetState::Initial => health(
            State::Initial,
            Some((
                Reason::ElbInitialHealthChecking,
                "Initial health checks in progress",
            )),
        ),
        TargetState::Draining { .. } => health(
            State::Draining,
            Some((
                Reason::TargetDeregistrationInProgress,
                "Target deregistration is in progress",
            )),
        ),
        TargetState::Unused => health(
            State::Unused,
            Some((
                Reason::TargetNotInUse,
                "Target group is not configured to receive traffic from the load balancer",
            )),
        ),
        TargetState::Unhealthy(ProbeFailure::Timeout) => health(
            State::Unhealthy,
            Some((Reason::TargetTimeout, "Request timed out")),
        ),
        TargetState::Unhealthy(ProbeFailure::ResponseCodeMismatch(code)) => {
            let text = format!("Health checks failed with these codes: [{code}]");
            health(
                State::Unhealthy,
                Some((Reason::TargetResponseCodeMismatch, &text)),
            )
        }
        TargetState::Unhealthy(ProbeFailure::FailedHealthChecks(cause)) => {
            let text = format!("Health checks failed: {cause}");
            health(
                State::Unhealthy,
                Some((Reason::TargetFailedHealthChecks, &text)),
            )
        }
    }
}
