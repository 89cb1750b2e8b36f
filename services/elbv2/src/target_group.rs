//! Target groups.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use shapes::elbv2::errors::{
    DuplicateTargetGroupNameException, ResourceInUseException, TargetGroupNotFoundException,
};
use shapes::elbv2::{
    self, CreateTargetGroupInput, CreateTargetGroupOutput, DeleteTargetGroupInput,
    DeleteTargetGroupOutput, DescribeTargetGroupsInput, DescribeTargetGroupsOutput, Matcher,
    ModifyTargetGroupInput, ModifyTargetGroupOutput, ProtocolEnum, TargetGroupIpAddressTypeEnum,
    TargetTypeEnum,
};

use crate::balancer::unsupported;
use crate::names::{self, check_name};
use crate::paging::Asked;
use crate::plan::matcher_ranges;
use crate::record::{self, Attributes, Listener, TargetGroup, forwarded};
use crate::tags;

pub async fn create_target_group(
    cx: Cx,
    input: CreateTargetGroupInput,
) -> Result<CreateTargetGroupOutput, Error> {
    check_name(&input.name, "Target group", "or")?;
    let shape = described(&cx, &input).await?;
    let tags = tags::given(input.tags.as_ref())?;
    cx.write(|tx| {
        let all = tx.list::<TargetGroup>(&cx.key("targetgroup/"))?;
        if let Some(existing) = all.iter().find(|it| it.name == input.name) {
            // The same once more is the same group, but not for a stack, which would delete it with
            // what it has made.
            let known = match &cx.token {
                None => is_as(existing, &shape),
                token => existing.made_by == *token,
            };
            if known {
                return Ok(CreateTargetGroupOutput {
                    target_groups: Some(vec![shown(&cx, tx, existing)?]),
                });
            }
            return Err(DuplicateTargetGroupNameException.because(format!(
                "A target group with the same name '{}' exists, but with different settings",
                input.name
            )));
        }
        let group = TargetGroup {
            region: cx.region.clone(),
            name: input.name.clone(),
            id: cx.new_id("", 16),
            shape: shape.clone(),
            attributes: Attributes::new(),
            tags: tags.clone(),
            targets: vec![],
            made_by: cx.token.clone(),
        };
        tx.put(&group)?;
        record::touch(tx)?;
        Ok(CreateTargetGroupOutput {
            target_groups: Some(vec![shown(&cx, tx, &group)?]),
        })
    })
}

/// Whether a group has the settings that another one would have.
fn is_as(existing: &TargetGroup, shape: &elbv2::TargetGroup) -> bool {
    let mut own = existing.shape.clone();
    own.target_group_name.clone_from(&shape.target_group_name);
    own == *shape
}

/// The group as it will be described, with AWS's defaults
/// (ELBv2 API reference, "CreateTargetGroup").
async fn described(cx: &Cx, input: &CreateTargetGroupInput) -> Result<elbv2::TargetGroup, Error> {
    let required =
        |name: &str| wire::codes::ValidationError.because(format!("A {name} must be specified"));
    let protocol = input.protocol.ok_or_else(|| required("protocol"))?;
    if !is_built(protocol) {
        return Err(unsupported(&format!(
            "the target group protocol '{protocol}'"
        )));
    }
    let target_type = input.target_type.unwrap_or(TargetTypeEnum::Instance);
    if !matches!(target_type, TargetTypeEnum::Instance | TargetTypeEnum::Ip) {
        return Err(unsupported(&format!("the target type '{target_type}'")));
    }
    if input
        .protocol_version
        .as_deref()
        .is_some_and(|it| !matches!(it, "" | "HTTP1"))
    {
        return Err(unsupported("a protocol version other than HTTP1"));
    }
    check_health_protocol(input.health_check_protocol)?;
    let vpc = input.vpc_id.clone().ok_or_else(|| required("VPC ID"))?;
    let known = shapes::ec2::DescribeVpcsInput {
        vpc_ids: Some(vec![vpc.clone()]),
        ..Default::default()
    };
    cx.call(known).await.map_err(|_| {
        wire::codes::ValidationError.because(format!("The VPC ID '{vpc}' is not found"))
    })?;
    let shape = elbv2::TargetGroup {
        target_group_name: Some(input.name.clone()),
        protocol: Some(protocol),
        port: Some(input.port.ok_or_else(|| required("port"))?),
        vpc_id: Some(vpc),
        health_check_protocol: Some(input.health_check_protocol.unwrap_or(protocol)),
        health_check_port: Some(
            input
                .health_check_port
                .clone()
                .unwrap_or_else(|| "traffic-port".into()),
        ),
        health_check_enabled: Some(input.health_check_enabled.unwrap_or(true)),
        health_check_interval_seconds: Some(input.health_check_interval_seconds.unwrap_or(30)),
        health_check_timeout_seconds: Some(input.health_check_timeout_seconds.unwrap_or(5)),
        healthy_threshold_count: Some(input.healthy_threshold_count.unwrap_or(5)),
        unhealthy_threshold_count: Some(input.unhealthy_threshold_count.unwrap_or(2)),
        health_check_path: Some(
            input
                .health_check_path
                .clone()
                .unwrap_or_else(|| "/".into()),
        ),
        matcher: Some(input.matcher.clone().unwrap_or(Matcher {
            http_code: Some("200".into()),
            grpc_code: None,
        })),
        target_type: Some(target_type),
        protocol_version: Some("HTTP1".into()),
        ip_address_type: Some(TargetGroupIpAddressTypeEnum::Ipv4),
        ..Default::default()
    };
    check_health_check(&shape)?;
    Ok(shape)
}

fn is_built(protocol: ProtocolEnum) -> bool {
    matches!(protocol, ProtocolEnum::Http | ProtocolEnum::Https)
}

fn check_health_protocol(asked: Option<ProtocolEnum>) -> Result<(), Error> {
    match asked.is_none_or(is_built) {
        true => Ok(()),
        false => Err(unsupported(
            "a health check protocol other than HTTP and HTTPS",
        )),
    }
}

fn check_health_check(shape: &elbv2::TargetGroup) -> Result<(), Error> {
    let invalid = |text: String| Err(wire::codes::ValidationError.because(text));
    let (interval, timeout) = (
        shape.health_check_interval_seconds,
        shape.health_check_timeout_seconds,
    );
    if shape.health_check_enabled == Some(false) {
        return invalid(
            "Health check enabled must be true for target groups with target type 'ip' or 'instance'"
                .into(),
        );
    }
    if timeout >= interval {
        return invalid("Health check interval must be greater than the timeout.".into());
    }
    let port = shape.health_check_port.as_deref().unwrap_or_default();
    if port != "traffic-port" && !port.parse().is_ok_and(|port: u16| port > 0) {
        return invalid(format!(
            "Health check port '{port}' must be either an integer between 1 and 65535 or 'traffic-port'"
        ));
    }
    if shape
        .matcher
        .as_ref()
        .is_some_and(|it| it.grpc_code.is_some())
    {
        return invalid(
            "You cannot specify a gRPC matcher for a target group with the protocol version HTTP1"
                .into(),
        );
    }
    let codes = shape
        .matcher
        .as_ref()
        .and_then(|it| it.http_code.as_deref())
        .unwrap_or("200");
    if matcher_ranges(codes).is_none() {
        return invalid(format!(
            "Health check matcher HTTP code '{codes}' must be within '200-499' inclusive"
        ));
    }
    if !shape
        .health_check_path
        .as_deref()
        .is_some_and(|it| it.starts_with('/'))
    {
        return invalid("Health check path must begin with a '/' character".into());
    }
    Ok(())
}

/// The group with the load balancers whose listeners use it.
pub fn shown(cx: &Cx, tx: &Records<'_>, group: &TargetGroup) -> Result<elbv2::TargetGroup, Error> {
    Ok(shown_with(cx, group, &users(cx, tx)?))
}

fn shown_with(cx: &Cx, group: &TargetGroup, users: &Users) -> elbv2::TargetGroup {
    let arn = group.arn(cx);
    elbv2::TargetGroup {
        load_balancer_arns: Some(users.get(&arn).cloned().unwrap_or_default()),
        target_group_arn: Some(arn),
        ..group.shape.clone()
    }
}

/// The load balancers whose listeners or rules forward to a target group.
pub fn balancers_of(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<Vec<String>, Error> {
    Ok(users(cx, tx)?.remove(arn).unwrap_or_default())
}

/// For each target group, by its ARN, who forwards to it.
type Users = BTreeMap<String, Vec<String>>;

fn users(cx: &Cx, tx: &Records<'_>) -> Result<Users, Error> {
    let mut users = Users::new();
    for listener in tx.list::<Listener>(&cx.key("app/"))? {
        let resource = format!("loadbalancer/{}", listener.balancer);
        let balancer = cx.arn("elasticloadbalancing", &resource);
        for (group, _) in listener.all_actions().flat_map(forwarded) {
            let of_group = users.entry(group).or_default();
            if !of_group.contains(&balancer) {
                of_group.push(balancer.clone());
            }
        }
    }
    Ok(users)
}

pub async fn describe_target_groups(
    cx: Cx,
    input: DescribeTargetGroupsInput,
) -> Result<DescribeTargetGroupsOutput, Error> {
    let arns = names::asked(input.target_group_arns.as_ref());
    let names = names::asked(input.names.as_ref());
    let missing = || record::some_missing(TargetGroupNotFoundException, "target groups");
    cx.read(|tx| {
        let find = |arn: &String| {
            let found = record::target_group(&cx, tx, arn);
            record::among(found, TargetGroupNotFoundException, "target groups")
        };
        let mut found: Vec<TargetGroup> = match arns {
            Some(arns) => arns.iter().map(find).collect::<Result<_, _>>()?,
            None => tx.list(&cx.key("targetgroup/"))?,
        };
        if let Some(names) = names {
            let there = |name: &String| found.iter().any(|it| it.name == *name);
            if !names.iter().all(there) {
                return Err(missing());
            }
            found.retain(|it| names.contains(&it.name));
        }
        let users = users(&cx, tx)?;
        if let Some(balancer) = &input.load_balancer_arn {
            record::balancer(&cx, tx, balancer)?;
            let of_balancer = |it: &TargetGroup| {
                let of_group = users.get(&it.arn(&cx));
                of_group.is_some_and(|it| it.contains(balancer))
            };
            found.retain(of_balancer);
        }
        let asked = Asked {
            of: "target-groups",
            size: input.page_size,
            marker: input.marker.as_ref(),
        };
        let (page, next_marker) = asked.page_of(found, TargetGroup::full_name)?;
        let shown = page.iter().map(|it| shown_with(&cx, it, &users));
        Ok(DescribeTargetGroupsOutput {
            target_groups: Some(shown.collect()),
            next_marker,
        })
    })
}

pub async fn modify_target_group(
    cx: Cx,
    input: ModifyTargetGroupInput,
) -> Result<ModifyTargetGroupOutput, Error> {
    check_health_protocol(input.health_check_protocol)?;
    cx.write(|tx| {
        let mut group = record::target_group(&cx, tx, &input.target_group_arn)?;
        let shape = &mut group.shape;
        shape.health_check_protocol = input.health_check_protocol.or(shape.health_check_protocol);
        let port = input.health_check_port.clone();
        shape.health_check_port = port.or(shape.health_check_port.take());
        let path = input.health_check_path.clone();
        shape.health_check_path = path.or(shape.health_check_path.take());
        shape.health_check_enabled = input.health_check_enabled.or(shape.health_check_enabled);
        shape.health_check_interval_seconds = input
            .health_check_interval_seconds
            .or(shape.health_check_interval_seconds);
        shape.health_check_timeout_seconds = input
            .health_check_timeout_seconds
            .or(shape.health_check_timeout_seconds);
        shape.healthy_threshold_count = input
            .healthy_threshold_count
            .or(shape.healthy_threshold_count);
        shape.unhealthy_threshold_count = input
            .unhealthy_threshold_count
            .or(shape.unhealthy_threshold_count);
        let matcher = input.matcher.clone();
        shape.matcher = matcher.or(shape.matcher.take());
        check_health_check(shape)?;
        tx.put(&group)?;
        record::touch(tx)?;
        Ok(ModifyTargetGroupOutput {
            target_groups: Some(vec![shown(&cx, tx, &group)?]),
        })
    })
}

pub async fn delete_target_group(
    cx: Cx,
    input: DeleteTargetGroupInput,
) -> Result<DeleteTargetGroupOutput, Error> {
    cx.write(|tx| {
        let found = record::target_group(&cx, tx, &input.target_group_arn);
        let Some(group) = record::or_gone(found, TargetGroupNotFoundException)? else {
            return Ok(DeleteTargetGroupOutput {});
        };
        if !balancers_of(&cx, tx, &input.target_group_arn)?.is_empty() {
            return Err(ResourceInUseException.because(format!(
                "Target group '{}' is currently in use by a listener or a rule",
                input.target_group_arn
            )));
        }
        tx.delete::<TargetGroup>(&group.key())?;
        record::touch(tx)?;
        Ok(DeleteTargetGroupOutput {})
    })
}
