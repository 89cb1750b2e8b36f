//! Alarms: what is stored of them, and the operations that make, show and delete them.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::cloudwatch::errors::{InvalidNextToken, ResourceNotFound};
use shapes::cloudwatch::*;
use wire::Timestamp;

use crate::alarm_rules::{check, check_actions};
use crate::history::{self, Happened};
use crate::metric::MetricId;
use crate::queries::wrong;

/// The API reference of `DescribeAlarms`.
const PAGE: usize = 50;
/// What AWS says of an alarm that was never looked at.
const UNCHECKED: &str = "Unchecked: Initial alarm creation";
/// AWS's limit of tags per resource.
const TAGS_MAX: usize = 50;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    pub region: String,
    pub account: String,
    /// As it was put, without its tags.
    pub given: PutMetricAlarmInput,
    pub actions_enabled: bool,
    pub tags: BTreeMap<String, String>,
    pub configured_ms: i64,
    pub state: StateValue,
    pub reason: String,
    /// JSON, as AWS's.
    pub reason_data: Option<String>,
    pub state_updated_ms: i64,
    pub transitioned_ms: i64,
    /// The newest datapoint when the state was last written down.
    pub value: Option<f64>,
}

impl Record for Alarm {
    const KIND: &'static str = "cloudwatch.alarm";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.given.alarm_name)
    }
}

impl Alarm {
    pub fn name(&self) -> &str {
        &self.given.alarm_name
    }

    pub fn arn(&self) -> String {
        let resource = format!("alarm:{}", self.name());
        cloud::arn("cloudwatch", &self.region, &self.account, &resource)
    }

    /// The actions of a state.
    pub fn actions(&self, state: StateValue) -> &[String] {
        let given = match state {
            StateValue::Ok => &self.given.ok_actions,
            StateValue::Alarm => &self.given.alarm_actions,
            StateValue::InsufficientData => &self.given.insufficient_data_actions,
        };
        given.as_deref().unwrap_or_default()
    }

    fn all_actions(&self) -> impl Iterator<Item = &String> {
        StateValue::ALL.iter().flat_map(|it| self.actions(*it))
    }

    fn shown(self) -> MetricAlarm {
        let arn = self.arn();
        let given = self.given;
        let list = |actions: Option<Vec<String>>| Some(actions.unwrap_or_default());
        let time = |ms: i64| Some(Timestamp(ms as f64 / 1000.0));
        MetricAlarm {
            alarm_arn: Some(arn),
            alarm_name: Some(given.alarm_name),
            alarm_description: given.alarm_description,
            alarm_configuration_updated_timestamp: time(self.configured_ms),
            actions_enabled: Some(self.actions_enabled),
            ok_actions: list(given.ok_actions),
            alarm_actions: list(given.alarm_actions),
            insufficient_data_actions: list(given.insufficient_data_actions),
            state_value: Some(self.state),
            state_reason: Some(self.reason),
            state_reason_data: self.reason_data,
            state_updated_timestamp: time(self.state_updated_ms),
            state_transitioned_timestamp: time(self.transitioned_ms),
            dimensions: Some(given.dimensions.unwrap_or_default()),
            metric_name: given.metric_name,
            namespace: given.namespace,
            statistic: given.statistic,
            extended_statistic: given.extended_statistic,
            period: given.period,
            unit: given.unit,
            evaluation_periods: given.evaluation_periods,
            datapoints_to_alarm: given.datapoints_to_alarm,
            threshold: given.threshold,
            comparison_operator: given.comparison_operator,
            treat_missing_data: given.treat_missing_data,
            evaluate_low_sample_count_percentile: given.evaluate_low_sample_count_percentile,
            metrics: given.metrics,
            ..Default::default()
        }
    }
}

pub fn find(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<Alarm, Error> {
    tx.get(&cx.key(name))?
        .ok_or_else(|| ResourceNotFound.because(format!("Unknown alarm: {name}")))
}

pub fn tag_map(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, Error> {
    let tags: BTreeMap<_, _> = tags.into_iter().map(|it| (it.key, it.value)).collect();
    if tags.len() > TAGS_MAX {
        return Err(wrong(format!(
            "A resource can have no more than {TAGS_MAX} tags"
        )));
    }
    Ok(tags)
}

/// An alarm that is put again keeps its state and its tags; it is looked at anew.
pub async fn put_metric_alarm(
    cx: Cx,
    mut input: PutMetricAlarmInput,
) -> Result<PutMetricAlarmOutput, Error> {
    check(&cx, &input)?;
    let tags = tag_map(input.tags.take().unwrap_or_default())?;
    let now_ms = cx.clock().now_ms();
    cx.write(|tx| {
        let enabled = input.actions_enabled.unwrap_or(true);
        let there: Option<Alarm> = tx.get(&cx.key(&input.alarm_name))?;
        let (alarm, summary) = match there {
            Some(there) if there.given == input && there.actions_enabled == enabled => {
                return Ok(PutMetricAlarmOutput {});
            }
            Some(there) => (
                Alarm {
                    given: input,
                    actions_enabled: enabled,
                    configured_ms: now_ms,
                    ..there
                },
                "updated",
            ),
            None => (
                Alarm {
                    region: cx.region.clone(),
                    account: cx.account().to_owned(),
                    given: input,
                    actions_enabled: enabled,
                    tags,
                    configured_ms: now_ms,
                    state: StateValue::InsufficientData,
                    reason: UNCHECKED.into(),
                    reason_data: None,
                    state_updated_ms: now_ms,
                    transitioned_ms: now_ms,
                    value: None,
                },
                "created",
            ),
        };
        tx.put(&alarm)?;
        let said = format!("Alarm \"{}\" {summary}", alarm.name());
        let happened = Happened {
            kind: HistoryItemType::ConfigurationUpdate,
            summary: said,
            data: serde_json::json!({"version": "1.0", "type": if summary == "created" { "Create" } else { "Update" }}),
        };
        history::say(tx, &alarm, now_ms, happened)?;
        Ok(PutMetricAlarmOutput {})
    })
}

pub async fn delete_alarms(cx: Cx, input: DeleteAlarmsInput) -> Result<DeleteAlarmsOutput, Error> {
    cx.write(|tx| {
        for name in &input.alarm_names {
            find(&cx, tx, name)?;
        }
        for name in &input.alarm_names {
            tx.delete::<Alarm>(&cx.key(name))?;
        }
        Ok(DeleteAlarmsOutput {})
    })
}

pub async fn describe_alarms(
    cx: Cx,
    input: DescribeAlarmsInput,
) -> Result<DescribeAlarmsOutput, Error> {
    if input.children_of_alarm_name.is_some() || input.parents_of_alarm_name.is_some() {
        return Err(wrong("Composite alarms are not supported by neargate"));
    }
    let asked = input.alarm_types.as_ref();
    let metric_alarms =
        asked.is_none_or(|it| it.is_empty() || it.contains(&AlarmType::MetricAlarm));
    let mut alarms = match metric_alarms {
        true => cx.read(|tx| tx.list::<Alarm>(&cx.key("")))?,
        false => Vec::new(),
    };
    alarms.retain(|it| {
        let is = |prefix: &Option<String>, text: &str| {
            prefix
                .as_ref()
                .is_none_or(|prefix| text.starts_with(prefix.as_str()))
        };
        let named = input.alarm_names.as_ref().filter(|it| !it.is_empty());
        named.is_none_or(|names| names.iter().any(|name| name == it.name()))
            && is(&input.alarm_name_prefix, it.name())
            && input.state_value.is_none_or(|state| it.state == state)
            && (input.action_prefix.is_none()
                || it
                    .all_actions()
                    .any(|action| is(&input.action_prefix, action)))
    });
    let skip: usize = match &input.next_token {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| InvalidNextToken.because("Invalid NextToken"))?,
    };
    let count = input.max_records.and_then(|it| usize::try_from(it).ok());
    // Names that were asked for are a hundred at most, and all of them are answered.
    let most = if input.alarm_names.is_some() {
        100
    } else {
        PAGE
    };
    let count = count.unwrap_or(most);
    let more = alarms.len().saturating_sub(skip) > count;
    let shown = alarms.into_iter().skip(skip).take(count).map(Alarm::shown);
    Ok(DescribeAlarmsOutput {
        composite_alarms: Some(Vec::new()),
        metric_alarms: Some(shown.collect()),
        log_alarms: None,
        next_token: more.then(|| (skip + count).to_string()),
    })
}

pub async fn describe_alarms_for_metric(
    cx: Cx,
    input: DescribeAlarmsForMetricInput,
) -> Result<DescribeAlarmsForMetricOutput, Error> {
    let id = MetricId::new(
        &input.namespace,
        &input.metric_name,
        input.dimensions.as_deref(),
    );
    let mut alarms = cx.read(|tx| tx.list::<Alarm>(&cx.key("")))?;
    alarms.retain(|it| {
        let given = &it.given;
        given.namespace.as_deref() == Some(&id.namespace)
            && given.metric_name.as_deref() == Some(&id.name)
            && MetricId::new(&id.namespace, &id.name, given.dimensions.as_deref()) == id
            && (input.statistic.is_none() || input.statistic == given.statistic)
            && (input.extended_statistic.is_none()
                || input.extended_statistic == given.extended_statistic)
            && (input.period.is_none() || input.period == given.period)
            && (input.unit.is_none() || input.unit == given.unit)
    });
    Ok(DescribeAlarmsForMetricOutput {
        metric_alarms: Some(alarms.into_iter().map(Alarm::shown).collect()),
    })
}

/// Until the next look at its metric, which puts it right again.
pub async fn set_alarm_state(
    cx: Cx,
    input: SetAlarmStateInput,
) -> Result<SetAlarmStateOutput, Error> {
    let data = input.state_reason_data;
    if let Some(data) = &data
        && serde_json::from_str::<serde_json::Value>(data).is_err()
    {
        return Err(errors::InvalidFormatFault.because("StateReasonData is not JSON"));
    }
    let name = input.alarm_name;
    // Of one that is not there AWS says nothing here, as recordings show.
    let before =
        cx.read(|tx| find(&cx, tx, &name))
            .map_err(|error| match error.is(ResourceNotFound) {
                true => ResourceNotFound.because(""),
                false => error,
            })?;
    let ran = crate::evaluator::actions_of(&cx, &before, input.state_value).await?;
    cx.write(|tx| {
        let mut alarm = find(&cx, tx, &name)?;
        let now_ms = cx.clock().now_ms();
        alarm.value = None;
        history::change_state(
            tx,
            &mut alarm,
            history::NewState {
                state: input.state_value,
                reason: input.state_reason.clone(),
                data: data.clone(),
            },
            now_ms,
            &ran,
        )?;
        Ok(SetAlarmStateOutput {})
    })
}

fn set_actions_enabled(cx: &Cx, names: &[String], enabled: bool) -> Result<(), Error> {
    let now_ms = cx.clock().now_ms();
    cx.write(|tx| {
        for name in names {
            let mut alarm = find(cx, tx, name)?;
            if enabled {
                check_actions(cx, alarm.all_actions())?;
            }
            if alarm.actions_enabled != enabled {
                alarm.actions_enabled = enabled;
                tx.put(&alarm)?;
                let word = if enabled { "enabled" } else { "disabled" };
                let happened = Happened {
                    kind: HistoryItemType::ConfigurationUpdate,
                    summary: format!("Alarm actions {word} for \"{name}\""),
                    data: serde_json::json!({"version": "1.0", "type": "Update"}),
                };
                history::say(tx, &alarm, now_ms, happened)?;
            }
        }
        Ok(())
    })
}

pub async fn enable_alarm_actions(
    cx: Cx,
    input: EnableAlarmActionsInput,
) -> Result<EnableAlarmActionsOutput, Error> {
    set_actions_enabled(&cx, &input.alarm_names, true)?;
    Ok(EnableAlarmActionsOutput {})
}

pub async fn disable_alarm_actions(
    cx: Cx,
    input: DisableAlarmActionsInput,
) -> Result<DisableAlarmActionsOutput, Error> {
    set_actions_enabled(&cx, &input.alarm_names, false)?;
    Ok(DisableAlarmActionsOutput {})
}
