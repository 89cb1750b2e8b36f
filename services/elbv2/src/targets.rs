//! Registering and deregistering targets.

use std::net::Ipv4Addr;
use std::time::Duration;

use cloud::{Cx, Error};
use shapes::elbv2::errors::InvalidTargetException;
use shapes::elbv2::{
    DeregisterTargetsInput, DeregisterTargetsOutput, RegisterTargetsInput, RegisterTargetsOutput,
    TargetDescription, TargetTypeEnum,
};

use crate::record::{self, Target, TargetGroup};

/// AWS's quota per target group.
const TARGETS_MAX: usize = 1000;
/// The default of `deregistration_delay.timeout_seconds`.
const DEREGISTRATION_DELAY_SECONDS: u64 = 300;

/// Address and port of a target; the group's own port where none is given.
pub fn place(group: &TargetGroup, target: &TargetDescription) -> Result<(Ipv4Addr, u16), Error> {
    if group.shape.target_type != Some(TargetTypeEnum::Ip) {
        return Err(InvalidTargetException.because(format!(
            "The following targets are not in a running state and cannot be registered: '{}'",
            target.id
        )));
    }
    let address = target.id.parse().map_err(|_| {
        wire::codes::ValidationError.because(format!(
            "The IP address '{}' is not a valid IPv4 address",
            target.id
        ))
    })?;
    let port = target.port.or(group.shape.port).unwrap_or(0);
    let port = u16::try_from(port)
        .ok()
        .filter(|it| *it != 0)
        .ok_or_else(|| {
            wire::codes::ValidationError.because(format!("Port '{port}' is out of range"))
        })?;
    Ok((address, port))
}

pub async fn register_targets(
    cx: Cx,
    input: RegisterTargetsInput,
) -> Result<RegisterTargetsOutput, Error> {
    cx.write(|tx| {
        let mut group = record::target_group(&cx, tx, &input.target_group_arn)?;
        for target in &input.targets {
            let (address, port) = place(&group, target)?;
            let zone = target.availability_zone.clone();
            match group
                .targets
                .iter_mut()
                .find(|it| (it.address, it.port) == (address, port))
            {
                Some(existing) => {
                    existing.draining_until_ms = None;
                    existing.drain_told = false;
                }
                None => group.targets.push(Target {
                    address,
                    port,
                    zone,
                    draining_until_ms: None,
                    drain_told: false,
                }),
            }
        }
        if group.targets.len() > TARGETS_MAX {
            return Err(shapes::elbv2::errors::TooManyTargetsException
                .because(format!("A target group has at most {TARGETS_MAX} targets")));
        }
        tx.put(&group)?;
        record::touch(tx)?;
        Ok(RegisterTargetsOutput {})
    })
}

/// When a target that begins to drain now is over with it.
pub fn drain_until_ms(cx: &Cx, group: &TargetGroup) -> i64 {
    let delay = group.attributes.get("deregistration_delay.timeout_seconds");
    let seconds = delay
        .and_then(|it| it.parse().ok())
        .unwrap_or(DEREGISTRATION_DELAY_SECONDS);
    let delay = cx.clock().paced_ms(Duration::from_secs(seconds));
    let now = cx.clock().now_ms();
    now.saturating_add(i64::try_from(delay).unwrap_or(i64::MAX))
}

pub async fn deregister_targets(
    cx: Cx,
    input: DeregisterTargetsInput,
) -> Result<DeregisterTargetsOutput, Error> {
    cx.write(|tx| {
        let mut group = record::target_group(&cx, tx, &input.target_group_arn)?;
        let until = drain_until_ms(&cx, &group);
        for target in &input.targets {
            let (address, port) = place(&group, target)?;
            // Without a port the group's own is meant, as at registration.
            let meant = |it: &&mut Target| (it.address, it.port) == (address, port);
            for it in group.targets.iter_mut().filter(meant) {
                it.draining_until_ms.get_or_insert(until);
            }
        }
        tx.put(&group)?;
        record::touch(tx)?;
        Ok(DeregisterTargetsOutput {})
    })
}
