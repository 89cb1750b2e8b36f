//! Targets of target groups, and the balancers that probe them.

use std::net::IpAddr;

use cloud::{Cx, Error};
use shapes::ec2::{DescribeNetworkInterfacesInput, Filter};
use shapes::elbv2::{
    DescribeLoadBalancersInput, DescribeTargetGroupsInput, DescribeTargetHealthInput,
    TargetDescription, TargetGroup, TargetHealthDescription,
};

use super::networks;
use crate::facts::{BalancerFacts, TargetFacts};

/// What a group says of its targets, and nothing of what surrounds it. None: there is no such group.
pub async fn health(cx: &Cx, arn: &str) -> Result<Option<Vec<TargetHealthDescription>>, Error> {
    let health = cx.call(DescribeTargetHealthInput {
        target_group_arn: arn.to_owned(),
        ..Default::default()
    });
    match health.await {
        Ok(found) => Ok(Some(found.target_health_descriptions.unwrap_or_default())),
        Err(error) if error.status < 500 => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn is_bad(it: &TargetHealthDescription) -> bool {
    let health = it.target_health.as_ref();
    let state = health.and_then(|it| it.state);
    let reason = health.and_then(|it| it.reason);
    state.is_some_and(|it| it.as_str() == "unhealthy")
        || reason.is_some_and(|it| it.as_str() == "Target.NotInUse")
}

pub fn address(it: &TargetHealthDescription) -> Option<IpAddr> {
    it.target.as_ref()?.id.parse().ok()
}

/// Every target of a group, as it is now. None: there is no such group.
pub async fn of_group(cx: &Cx, arn: &str) -> Result<Option<Vec<TargetFacts>>, Error> {
    let Some((group, balancer)) = group(cx, arn).await? else {
        return Ok(None);
    };
    let health = cx.call(DescribeTargetHealthInput {
        target_group_arn: arn.to_owned(),
        ..Default::default()
    });
    let health = health.await?.target_health_descriptions.unwrap_or_default();
    Ok(Some(
        health
            .iter()
            .map(|it| target(&group, balancer.as_ref(), it))
            .collect(),
    ))
}

/// A target that a group had, without what it said of it: one that it found unhealthy, or lost.
pub async fn given_up(
    cx: &Cx,
    arn: &str,
    state: &str,
    address: Option<IpAddr>,
    port: Option<i32>,
) -> Result<Option<TargetFacts>, Error> {
    let Some((group, balancer)) = group(cx, arn).await? else {
        return Ok(None);
    };
    let described = TargetHealthDescription {
        target: Some(TargetDescription {
            id: address.map(|it| it.to_string()).unwrap_or_default(),
            port,
            ..Default::default()
        }),
        ..Default::default()
    };
    Ok(Some(TargetFacts {
        state: state.to_owned(),
        ..target(&group, balancer.as_ref(), &described)
    }))
}

async fn group(cx: &Cx, arn: &str) -> Result<Option<(TargetGroup, Option<BalancerFacts>)>, Error> {
    let groups = cx.call(DescribeTargetGroupsInput {
        target_group_arns: Some(vec![arn.to_owned()]),
        ..Default::default()
    });
    let group = match groups.await {
        Ok(found) => found.target_groups.unwrap_or_default().into_iter().next(),
        Err(error) if error.status < 500 => None,
        Err(error) => return Err(error),
    };
    let Some(group) = group else {
        return Ok(None);
    };
    let balancer = match group.load_balancer_arns.as_deref().unwrap_or_default() {
        [arn, ..] => balancer(cx, arn).await?,
        [] => None,
    };
    Ok(Some((group, balancer)))
}

fn target(
    group: &TargetGroup,
    balancer: Option<&BalancerFacts>,
    it: &TargetHealthDescription,
) -> TargetFacts {
    let target = it.target.clone().unwrap_or_default();
    let health = it.target_health.clone().unwrap_or_default();
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let matcher = group.matcher.as_ref().and_then(|it| it.http_code.clone());
    TargetFacts {
        group: text(&group.target_group_name),
        group_arn: text(&group.target_group_arn),
        address: target.id.parse().ok(),
        port: target
            .port
            .or(group.port)
            .and_then(|it| u16::try_from(it).ok())
            .unwrap_or_default(),
        state: health
            .state
            .map_or(String::new(), |it| it.as_str().to_owned()),
        reason: health
            .reason
            .map_or(String::new(), |it| it.as_str().to_owned()),
        description: text(&health.description),
        check_path: text(&group.health_check_path),
        matcher: matcher.unwrap_or_default(),
        interval_seconds: group.health_check_interval_seconds.unwrap_or_default(),
        has_listener: !group
            .load_balancer_arns
            .as_deref()
            .unwrap_or_default()
            .is_empty(),
        balancer: balancer.cloned(),
        ..TargetFacts::default()
    }
}

async fn balancer(cx: &Cx, arn: &str) -> Result<Option<BalancerFacts>, Error> {
    let found = cx.call(DescribeLoadBalancersInput {
        load_balancer_arns: Some(vec![arn.to_owned()]),
        ..Default::default()
    });
    let found = found.await?.load_balancers.unwrap_or_default();
    let Some(balancer) = found.into_iter().next() else {
        return Ok(None);
    };
    Ok(Some(BalancerFacts {
        groups: networks::groups(cx, balancer.security_groups.as_deref().unwrap_or_default())
            .await?,
        addresses: addresses(cx, arn).await?,
        name: balancer.load_balancer_name.unwrap_or_default(),
        ..BalancerFacts::default()
    }))
}

/// The addresses that a balancer connects from: those of its interfaces, which AWS describes by its name.
async fn addresses(cx: &Cx, arn: &str) -> Result<Vec<IpAddr>, Error> {
    let (_, full_name) = arn.split_once(":loadbalancer/").unwrap_or_default();
    let found = cx.call(DescribeNetworkInterfacesInput {
        filters: Some(vec![Filter {
            name: Some("description".to_owned()),
            values: Some(vec![format!("ELB {full_name}")]),
        }]),
        ..Default::default()
    });
    let found = found.await?.network_interfaces.unwrap_or_default();
    Ok(found
        .into_iter()
        .filter_map(|it| it.private_ip_address?.parse().ok())
        .collect())
}
