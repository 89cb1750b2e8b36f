//! Alarms of CloudWatch that ask for a policy.

use cloud::{Cx, Error};
use shapes::cloudwatch::{
    ComparisonOperator, DeleteAlarmsInput, DescribeAlarmsInput, MetricAlarm, StateValue,
};

use crate::AlarmFact;

/// Those that name the policy with this ARN.
pub async fn that_name(cx: &Cx, policy_arn: &str) -> Result<Vec<MetricAlarm>, Error> {
    let mut all = Vec::new();
    let mut next_token = None;
    loop {
        let input = DescribeAlarmsInput {
            action_prefix: Some(policy_arn.to_owned()),
            next_token: next_token.take(),
            ..Default::default()
        };
        let output = cx.call(input).await?;
        all.extend(output.metric_alarms.unwrap_or_default());
        match output.next_token {
            Some(token) => next_token = Some(token),
            None => return Ok(all),
        }
    }
}

/// What the alarm says, if its present state asks for the policy.
pub fn active(alarm: &MetricAlarm, policy_arn: &str) -> Option<AlarmFact> {
    let state = alarm.state_value?;
    let actions = match state {
        StateValue::Ok => &alarm.ok_actions,
        StateValue::Alarm => &alarm.alarm_actions,
        StateValue::InsufficientData => &alarm.insufficient_data_actions,
    };
    let asked = actions.as_ref()?.iter().any(|it| it == policy_arn);
    if !asked || alarm.actions_enabled == Some(false) {
        return None;
    }
    let data: serde_json::Value = alarm
        .state_reason_data
        .as_deref()
        .and_then(|it| serde_json::from_str(it).ok())
        .unwrap_or_default();
    let newest = data["recentDatapoints"].as_array().and_then(|it| it.last());
    Some(AlarmFact {
        name: alarm.alarm_name.clone().unwrap_or_default(),
        state: state.as_str(),
        value: newest.and_then(|it| it.as_f64()),
        threshold: alarm.threshold.unwrap_or_default(),
        above: matches!(
            alarm.comparison_operator,
            Some(
                ComparisonOperator::GreaterThanOrEqualToThreshold
                    | ComparisonOperator::GreaterThanThreshold
            )
        ),
    })
}

/// Takes them away; those that are gone are no error.
pub async fn delete(cx: &Cx, names: Vec<String>) -> Result<(), Error> {
    for name in names {
        let input = DeleteAlarmsInput {
            alarm_names: vec![name],
        };
        match cx.call(input).await {
            Err(error) if !error.is(shapes::cloudwatch::errors::ResourceNotFound) => {
                return Err(error);
            }
            _ => (),
        }
    }
    Ok(())
}
