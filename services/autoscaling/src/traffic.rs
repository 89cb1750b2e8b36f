//! The target groups that a group's instances are registered with.

use cloud::{Cx, Error};
use shapes::autoscaling::*;

use crate::group::change_target_groups;
use crate::page::{MAX, page};
use crate::record;
use crate::rules::target_groups_of;

pub async fn attach_target_groups(
    cx: Cx,
    input: AttachLoadBalancerTargetGroupsInput,
) -> Result<AttachLoadBalancerTargetGroupsOutput, Error> {
    let change = (input.target_group_ar_ns, Vec::new());
    change_target_groups(&cx, &input.auto_scaling_group_name, change).await?;
    Ok(AttachLoadBalancerTargetGroupsOutput {})
}

pub async fn detach_target_groups(
    cx: Cx,
    input: DetachLoadBalancerTargetGroupsInput,
) -> Result<DetachLoadBalancerTargetGroupsOutput, Error> {
    let change = (Vec::new(), input.target_group_ar_ns);
    change_target_groups(&cx, &input.auto_scaling_group_name, change).await?;
    Ok(DetachLoadBalancerTargetGroupsOutput {})
}

pub async fn attach_traffic_sources(
    cx: Cx,
    input: AttachTrafficSourcesInput,
) -> Result<AttachTrafficSourcesOutput, Error> {
    let change = (target_groups_of(&input.traffic_sources)?, Vec::new());
    change_target_groups(&cx, &input.auto_scaling_group_name, change).await?;
    Ok(AttachTrafficSourcesOutput {})
}

pub async fn detach_traffic_sources(
    cx: Cx,
    input: DetachTrafficSourcesInput,
) -> Result<DetachTrafficSourcesOutput, Error> {
    let change = (Vec::new(), target_groups_of(&input.traffic_sources)?);
    change_target_groups(&cx, &input.auto_scaling_group_name, change).await?;
    Ok(DetachTrafficSourcesOutput {})
}

/// A group's target groups; the state is `InService` since those that serve were registered when it was attached.
fn paged(
    cx: &Cx,
    name: &str,
    token: Option<&String>,
    most: Option<i32>,
) -> Result<(Vec<String>, Option<String>), Error> {
    let group = cx.read(|tx| record::group(cx, tx, name))?;
    let keyed = group
        .target_groups
        .into_iter()
        .map(|it| (it.clone(), it))
        .collect();
    page(keyed, token.map(String::as_str), most, MAX)
}

pub async fn describe_target_groups(
    cx: Cx,
    input: DescribeLoadBalancerTargetGroupsInput,
) -> Result<DescribeLoadBalancerTargetGroupsOutput, Error> {
    let name = &input.auto_scaling_group_name;
    let (found, next_token) = paged(&cx, name, input.next_token.as_ref(), input.max_records)?;
    let state = |it: String| LoadBalancerTargetGroupState {
        load_balancer_target_group_arn: Some(it),
        state: Some("InService".to_owned()),
    };
    Ok(DescribeLoadBalancerTargetGroupsOutput {
        load_balancer_target_groups: Some(found.into_iter().map(state).collect()),
        next_token,
    })
}

pub async fn describe_traffic_sources(
    cx: Cx,
    input: DescribeTrafficSourcesInput,
) -> Result<DescribeTrafficSourcesOutput, Error> {
    let name = &input.auto_scaling_group_name;
    let (mut found, next_token) = paged(&cx, name, input.next_token.as_ref(), input.max_records)?;
    if input.traffic_source_type.is_some_and(|it| it != "elbv2") {
        found.clear();
    }
    let state = |it: String| TrafficSourceState {
        traffic_source: Some(it.clone()),
        state: Some("InService".to_owned()),
        identifier: Some(it),
        r#type: Some("elbv2".to_owned()),
    };
    Ok(DescribeTrafficSourcesOutput {
        traffic_sources: Some(found.into_iter().map(state).collect()),
        next_token,
    })
}

/// Classic Load Balancers are not here.
pub async fn describe_load_balancers(
    cx: Cx,
    input: DescribeLoadBalancersInput,
) -> Result<DescribeLoadBalancersOutput, Error> {
    cx.read(|tx| record::group(&cx, tx, &input.auto_scaling_group_name))?;
    let none = Vec::<(String, LoadBalancerState)>::new();
    let (found, next_token) = page(none, input.next_token.as_deref(), input.max_records, MAX)?;
    Ok(DescribeLoadBalancersOutput {
        load_balancers: Some(found),
        next_token,
    })
}
