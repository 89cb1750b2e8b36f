//! What else may be red: gateways and load balancers that failed, alarms, scaling, change sets, and load balancers that
//! forward to nobody.

use cloud::{Cx, Error};
use shapes::application_autoscaling::{DescribeScalingActivitiesInput, ScalingActivity};
use shapes::cloudformation::ListChangeSetsInput;
use shapes::cloudwatch::{DescribeAlarmsInput, MetricAlarm};
use shapes::ec2::{DescribeNatGatewaysInput, NatGateway};

use super::{Gathered, list, targets};

/// Of scaling, the newest activities say how it is now.
const ACTIVITIES_MAX: i32 = 50;

pub async fn look(cx: &Cx, gathered: &mut Gathered) -> Result<(), Error> {
    gateways(cx, gathered).await?;
    balancers(cx, gathered).await?;
    alarms(cx, gathered).await?;
    scaling(cx, gathered).await?;
    change_sets(cx, gathered).await?;
    let kinds = "NAT gateways, load balancers, alarms, scaling, change sets";
    gathered.looked_at.push(kinds.to_owned());
    Ok(())
}

async fn gateways(cx: &Cx, gathered: &mut Gathered) -> Result<(), Error> {
    let found = cx.call(DescribeNatGatewaysInput::default()).await?;
    let failed = |it: &NatGateway| it.state.is_some_and(|it| it.as_str() == "failed");
    for it in found.nat_gateways.into_iter().flatten().filter(failed) {
        let text = |it: Option<String>| it.unwrap_or_default();
        let thing = format!("NAT gateway {}", text(it.nat_gateway_id));
        let why = format!(
            "failed: {}: {}",
            text(it.failure_code),
            text(it.failure_message)
        );
        gathered.unexplained.push((thing, why));
    }
    Ok(())
}

async fn balancers(cx: &Cx, gathered: &mut Gathered) -> Result<(), Error> {
    for it in list::balancers(cx).await? {
        let state = it.state.unwrap_or_default();
        let code = state
            .code
            .map_or(String::new(), |it| it.as_str().to_owned());
        if code == "failed" || code == "active_impaired" {
            let thing = format!(
                "load balancer {}",
                it.load_balancer_name.unwrap_or_default()
            );
            let why = format!("{code}: {}", state.reason.unwrap_or_default());
            gathered.unexplained.push((thing, why));
        }
    }
    for group in list::target_groups(cx).await? {
        let arn = group.target_group_arn.unwrap_or_default();
        let is_served = group.load_balancer_arns.is_some_and(|it| !it.is_empty());
        // A service of no tasks has no targets, and is as it should be.
        if !is_served || gathered.groups.contains(&arn) {
            continue;
        }
        if targets::health(cx, &arn)
            .await?
            .is_some_and(|it| it.is_empty())
        {
            let thing = format!(
                "target group {}",
                group.target_group_name.unwrap_or_default()
            );
            let why = "a load balancer forwards to it and nothing is registered, so clients are answered 503";
            gathered.unexplained.push((thing, why.to_owned()));
        }
    }
    Ok(())
}

/// Alarms that tell somebody. Those that scale something are on as often as there is something to scale.
async fn alarms(cx: &Cx, gathered: &mut Gathered) -> Result<(), Error> {
    let mut next_token = None;
    loop {
        let page = cx.call(DescribeAlarmsInput {
            next_token,
            ..Default::default()
        });
        let page = page.await?;
        for it in page.metric_alarms.into_iter().flatten().filter(is_on) {
            let thing = format!("alarm {}", it.alarm_name.unwrap_or_default());
            let why = format!("is in ALARM: {}", it.state_reason.unwrap_or_default());
            gathered.unexplained.push((thing, why));
        }
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(());
        }
    }
}

fn is_on(it: &MetricAlarm) -> bool {
    let actions = it.alarm_actions.as_deref().unwrap_or_default();
    let scales = actions.iter().any(|it| it.contains(":scalingPolicy:"));
    it.state_value.is_some_and(|it| it.as_str() == "ALARM") && !scales
}

async fn scaling(cx: &Cx, gathered: &mut Gathered) -> Result<(), Error> {
    let found = cx.call(DescribeScalingActivitiesInput {
        service_namespace: shapes::application_autoscaling::ServiceNamespace::Ecs,
        max_results: Some(ACTIVITIES_MAX),
        ..Default::default()
    });
    let found = found.await?.scaling_activities.unwrap_or_default();
    let mut seen: Vec<&str> = Vec::new();
    for it in &found {
        // The newest come first.
        if seen.contains(&it.resource_id.as_str()) {
            continue;
        }
        seen.push(&it.resource_id);
        if has_failed(it) {
            let why = it.status_message.clone().unwrap_or_default();
            let why = format!("its last scaling failed: {}: {why}", it.description);
            gathered
                .unexplained
                .push((format!("scaling of {}", it.resource_id), why));
        }
    }
    Ok(())
}

fn has_failed(it: &ScalingActivity) -> bool {
    it.status_code.as_str() == "Failed"
}

/// Change sets that failed; one that would change nothing is none.
async fn change_sets(cx: &Cx, gathered: &mut Gathered) -> Result<(), Error> {
    const NOTHING: [&str; 2] = ["didn't contain changes", "No updates are to be performed"];
    for stack in list::stacks(cx).await? {
        if stack.root_id.is_some() {
            continue;
        }
        let found = cx.call(ListChangeSetsInput {
            stack_name: stack.stack_id.unwrap_or(stack.stack_name),
            next_token: None,
        });
        let found = match found.await {
            Ok(found) => found.summaries.unwrap_or_default(),
            Err(error) if error.status < 500 => continue,
            Err(error) => return Err(error),
        };
        for it in found {
            let reason = it.status_reason.unwrap_or_default();
            let has_failed = it.status.is_some_and(|it| it.as_str() == "FAILED");
            if has_failed && !NOTHING.iter().any(|it| reason.contains(it)) {
                let text = |it: Option<String>| it.unwrap_or_default();
                let thing = format!(
                    "change set {} of stack {}",
                    text(it.change_set_name),
                    text(it.stack_name)
                );
                gathered
                    .unexplained
                    .push((thing, format!("failed: {reason}")));
            }
        }
    }
    Ok(())
}
