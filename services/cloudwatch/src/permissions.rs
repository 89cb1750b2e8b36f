//! What operations touch: alarms, by their names or ARNs. Metrics are no resources.

use cloud::permission::{everywhere, on};
use cloud::{ConditionKey, Cx, Permission, Touched};
use shapes::cloudwatch::{
    DescribeAlarmHistoryInput, DescribeAlarmsInput, PutMetricAlarmInput, PutMetricDataInput,
};

use crate::alarm::Alarm;
use crate::tags::name_in;

/// On these alarms.
pub fn on_alarms<I: 'static>(names: fn(&I) -> &Vec<String>) -> Permission<I> {
    on("alarm", move |cx, it| named_or(cx, names(it), "*"))
}

/// On the alarm of this name.
pub fn on_alarm<I: 'static>(name: fn(&I) -> &String) -> Permission<I> {
    on("alarm", move |cx, it| alarm(cx, name(it)))
}

/// On what a tag operation names by its ARN.
pub fn on_arn<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    on("alarm", move |cx, it| match name_in(cx, arn(it)) {
        Some(name) => alarm(cx, name),
        None => Touched::absent(arn(it)),
    })
}

/// On those that are named; otherwise on all whose names begin as they are asked to.
pub fn on_described() -> Permission<DescribeAlarmsInput> {
    on("alarm", |cx, it: &DescribeAlarmsInput| {
        let prefix = it.alarm_name_prefix.as_deref().unwrap_or_default();
        let names = it.alarm_names.as_deref().unwrap_or_default();
        named_or(cx, names, &format!("{prefix}*"))
    })
}

pub fn on_history() -> Permission<DescribeAlarmHistoryInput> {
    on("alarm", |cx, it: &DescribeAlarmHistoryInput| {
        named_or(cx, it.alarm_name.as_slice(), "*")
    })
}

/// On an alarm that is made or changed. Tags need the permission to tag.
pub fn on_put_alarm() -> Permission<PutMetricAlarmInput> {
    const KEYS: &[&str] = &["cloudwatch:AlarmActions"];
    on_alarm(|it: &PutMetricAlarmInput| &it.alarm_name)
        .and("cloudwatch:TagResource", "alarm", |cx, it| {
            let tagged = it.tags.as_ref().is_some_and(|it| !it.is_empty());
            tagged.then(|| alarm(cx, &it.alarm_name))
        })
        .supplying(KEYS, |_, it| {
            let all = [
                &it.alarm_actions,
                &it.ok_actions,
                &it.insufficient_data_actions,
            ];
            let all = all.into_iter().flatten().flatten().cloned();
            vec![ConditionKey::of_many(KEYS[0], all.collect())]
        })
}

pub fn on_data() -> Permission<PutMetricDataInput> {
    const KEYS: &[&str] = &["cloudwatch:namespace"];
    everywhere().supplying(KEYS, |_, it: &PutMetricDataInput| {
        vec![ConditionKey::new(KEYS[0], Some(&it.namespace))]
    })
}

fn named_or(cx: &Cx, names: &[String], pattern: &str) -> Vec<Touched> {
    match names {
        [] => vec![Touched::any(arn(cx, pattern))],
        names => names.iter().map(|it| alarm(cx, it)).collect(),
    }
}

fn arn(cx: &Cx, name: &str) -> String {
    cx.arn("cloudwatch", &format!("alarm:{name}"))
}

fn alarm(cx: &Cx, name: &str) -> Touched {
    match cx.read(|tx| tx.get::<Alarm>(&cx.key(name))) {
        Ok(Some(found)) => Touched::named(found.arn()).tagged(found.tags),
        Ok(None) => Touched::absent(arn(cx, name)),
        // Nothing is known of its tags.
        Err(_) => Touched::named(arn(cx, name)),
    }
}
