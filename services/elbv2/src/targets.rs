//! Registering and deregistering targets.

use std::net::Ipv4Addr;
use std::time::Duration;

use cloud::{Cx, Error};
use ipnet::Ipv4Net;
use shapes::ec2::{DescribeInstancesInput, DescribeSubnetsInput, Filter, InstanceStateName};
use shapes::elbv2::errors::InvalidTargetException;
use shapes::elbv2::{
    DeregisterTargetsInput, DeregisterTargetsOutput, RegisterTargetsInput, RegisterTargetsOutput,
    TargetDescription, TargetTypeEnum,
};

use crate::attributes::number_of;
use crate::record::{self, Target, TargetGroup};

/// AWS's quota per target group.
const TARGETS_MAX: usize = 1000;

/// What a target's id and port say, whether or not it is registered: the group's own port where none is given.
pub fn named(group: &TargetGroup, target: &TargetDescription) -> Result<(String, u16), Error> {
    let invalid = |text: String| wire::codes::ValidationError.because(text);
    let id = &target.id;
    if group.shape.target_type == Some(TargetTypeEnum::Ip) {
        id.parse::<Ipv4Addr>()
            .map_err(|_| invalid(format!("The IP address '{id}' is not a valid IPv4 address")))?;
    } else if !is_instance_id(id) {
        return Err(invalid(format!("Instance ID '{id}' is not valid")));
    }
    let port = target.port.or(group.shape.port).unwrap_or(0);
    let in_range = u16::try_from(port).ok().filter(|it| *it != 0);
    let port = in_range.ok_or_else(|| invalid(format!("Port '{port}' is out of range")))?;
    Ok((id.clone(), port))
}

/// A target that can be registered.
async fn found(cx: &Cx, group: &TargetGroup, asked: &TargetDescription) -> Result<Target, Error> {
    let (id, port) = named(group, asked)?;
    let address = match id.parse() {
        Ok(address) => {
            check_address(cx, group, address).await?;
            address
        }
        Err(_) => of_instance(cx, group, &id).await?,
    };
    Ok(Target {
        address,
        instance: is_instance_id(&id).then_some(id),
        is_over: false,
        port,
        zone: asked.availability_zone.clone(),
        draining_until_ms: None,
        drain_told: false,
        drained: false,
    })
}

/// Addresses of the network itself, and private ones, which may be reached through it (ELB User Guide, "Target
/// type": the subnets of the VPC, RFC 1918 and RFC 6598; never publicly routable ones).
async fn check_address(cx: &Cx, group: &TargetGroup, address: Ipv4Addr) -> Result<(), Error> {
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    if address.is_private() || is_shared || is_of_network(cx, group, address).await? {
        return Ok(());
    }
    Err(InvalidTargetException.because(format!(
        "The IP address '{address}' is neither in a subnet of the VPC nor a private one (RFC 1918 or RFC 6598)"
    )))
}

async fn is_of_network(cx: &Cx, group: &TargetGroup, address: Ipv4Addr) -> Result<bool, Error> {
    let input = DescribeSubnetsInput {
        filters: Some(vec![Filter {
            name: Some("vpc-id".to_owned()),
            values: Some(group.shape.vpc_id.iter().cloned().collect()),
        }]),
        ..Default::default()
    };
    let subnets = cx.call(input).await?.subnets.unwrap_or_default();
    let ranges = subnets.iter().filter_map(|it| it.cidr_block.as_deref());
    Ok(ranges
        .filter_map(|it| it.parse::<Ipv4Net>().ok())
        .any(|it| it.contains(&address)))
}

/// The first address of an instance that runs in the group's network.
async fn of_instance(cx: &Cx, group: &TargetGroup, id: &str) -> Result<Ipv4Addr, Error> {
    let input = DescribeInstancesInput {
        instance_ids: Some(vec![id.to_owned()]),
        ..Default::default()
    };
    let invalid = |what: &str| {
        InvalidTargetException.because(format!(
            "The following targets are not {what} and cannot be registered: '{id}'"
        ))
    };
    let reservations = match cx.call(input).await {
        Ok(found) => found.reservations.unwrap_or_default(),
        Err(error) if error.status >= 500 => return Err(error),
        Err(_) => return Err(invalid("in a running state")),
    };
    let mut instances = reservations
        .into_iter()
        .flat_map(|it| it.instances.unwrap_or_default());
    let instance = instances.next().unwrap_or_default();
    let state = instance.state.and_then(|it| it.name);
    let address = instance
        .private_ip_address
        .and_then(|it| it.parse().ok())
        .filter(|_| state == Some(InstanceStateName::Running));
    let address = address.ok_or_else(|| invalid("in a running state"))?;
    if instance.vpc_id != group.shape.vpc_id {
        return Err(invalid("in the target group VPC"));
    }
    Ok(address)
}

fn is_instance_id(id: &str) -> bool {
    let digits = id.strip_prefix("i-").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_hexdigit())
}

pub async fn register_targets(
    cx: Cx,
    input: RegisterTargetsInput,
) -> Result<RegisterTargetsOutput, Error> {
    let group = cx.read(|tx| record::target_group(&cx, tx, &input.target_group_arn))?;
    let mut wanted = Vec::new();
    for target in &input.targets {
        wanted.push(found(&cx, &group, target).await?);
    }
    cx.write(|tx| {
        let mut group = record::target_group(&cx, tx, &input.target_group_arn)?;
        for target in wanted {
            let mut all = group.targets.iter_mut();
            match all.find(|it| (it.id(), it.port) == (target.id(), target.port)) {
                Some(existing) => {
                    existing.address = target.address;
                    existing.is_over = false;
                    existing.draining_until_ms = None;
                    existing.drain_told = false;
                    existing.drained = false;
                }
                None => group.targets.push(target),
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
            let (id, port) = named(&group, target)?;
            let meant = |it: &&mut Target| it.id() == id && it.port == port;
            for it in group.targets.iter_mut().filter(meant) {
                it.draining_until_ms.get_or_insert(until);
            }
        }
        tx.put(&group)?;
        record::touch(tx)?;
        Ok(DeregisterTargetsOutput {})
    })
}
