//! Registering and deregistering targets.

use std::net::Ipv4Addr;
use std::time::Duration;

use cloud::{Cx, Error};
use shapes::elbv2::errors::InvalidTargetException;
use shapes::elbv2::{
    DeregisterTargetsInput, DeregisterTargetsOutput, RegisterTargetsInput, RegisterTargetsOutput,
    TargetDescription, TargetTypeEnum,
};

use crate::attributes::number_of;
use crate::record::{self, Target, TargetGroup};

/// AWS's quota per target group.
const TARGETS_MAX: usize = 1000;

/// Address and port of a target that can be registered.
pub fn place(group: &TargetGroup, target: &TargetDescription) -> Result<(Ipv4Addr, u16), Error> {
    match named(group, target)? {
        (Some(address), port) => Ok((address, port)),
        // No machine runs here that could be one.
        (None, _) => Err(InvalidTargetException.because(format!(
            "The following targets are not in a running state and cannot be registered: '{}'",
            target.id
        ))),
    }
}

/// What a target's id and port say, whether or not it is registered: its address when it has one, and
/// the group's own port where none is given.
pub fn named(
    group: &TargetGroup,
    target: &TargetDescription,
) -> Result<(Option<Ipv4Addr>, u16), Error> {
    let invalid = |text: String| wire::codes::ValidationError.because(text);
    let id = &target.id;
    let address =
        if group.shape.target_type == Some(TargetTypeEnum::Ip) {
            let address = id.parse();
            Some(address.map_err(|_| {
                invalid(format!("The IP address '{id}' is not a valid IPv4 address"))
            })?)
        } else if is_instance_id(id) {
            None
        } else {
            return Err(invalid(format!("Instance ID '{id}' is not valid")));
        };
    let port = target.port.or(group.shape.port).unwrap_or(0);
    let in_range = u16::try_from(port).ok().filter(|it| *it != 0);
    let port = in_range.ok_or_else(|| invalid(format!("Port '{port}' is out of range")))?;
    Ok((address, port))
}

fn is_instance_id(id: &str) -> bool {
    let digits = id.strip_prefix("i-").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_hexdigit())
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
                    existing.drained = false;
                }
                None => group.targets.push(Target {
                    address,
                    port,
                    zone,
                    draining_until_ms: None,
                    drain_told: false,
                    drained: false,
                }),
            }
        }
        if group.targets.iter().filter(|it| !it.drained).count() > TARGETS_MAX {
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
    let seconds = number_of(&group.attributes, "deregistration_delay.timeout_seconds");
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
            // Without a port the group's own is meant, as at registration. What is not registered is
            // deregistered already.
            let (address, port) = named(&group, target)?;
            let meant = |it: &&mut Target| (Some(it.address), it.port) == (address, port);
            for it in group.targets.iter_mut().filter(meant) {
                it.draining_until_ms.get_or_insert(until);
            }
        }
        tx.put(&group)?;
        record::touch(tx)?;
        Ok(DeregisterTargetsOutput {})
    })
}
