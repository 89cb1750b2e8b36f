//! Amazon CloudWatch: metrics and alarms.
//!
//! **Metrics** are put by whoever knows them: ECS its tasks' use of CPU and memory, ELBv2 what the
//! edge counted, programs what they like. [`chunk`] says how they are kept and for how long. Queries
//! ([`statistics`], [`data`]) are by the clock on the wall.
//!
//! **Alarms** are looked at by [`evaluator`], which says what the pace means for them; [`evaluate`]
//! judges datapoints as AWS documents it. An alarm's actions can be scaling policies: those follow
//! the alarm's record and act by themselves. Actions of any other kind are refused, unless the
//! alarm's actions are disabled, because nothing would come of them.
//!
//! | record | key | |
//! |---|---|---|
//! | `cloudwatch.metric` | region/namespace/name/hash/unit | a metric that has data |
//! | `cloudwatch.chunk` | the same/tier/time | its data |
//! | `cloudwatch.alarm` | region/name | looked at every (paced) minute |
//! | `cloudwatch.alarm-history` | region/name/number | |

mod alarm;
mod alarm_rules;
mod bucket;
mod cfn;
mod chunk;
mod data;
mod evaluate;
mod evaluator;
mod history;
#[cfg(test)]
mod hostile_input;
mod list;
mod math;
mod metric;
mod permissions;
mod put;
mod queries;
mod retention;
mod statistic;
mod statistics;
mod tags;

use cloud::Service;
use cloud::permission::everywhere;
use permissions::{on_alarm, on_alarms, on_arn, on_data, on_described, on_history, on_put_alarm};

pub fn service() -> Service {
    Service::new(&shapes::cloudwatch::MODEL)
        .action_prefix("cloudwatch")
        .on(put::put_metric_data, on_data())
        .on(list::list_metrics, everywhere())
        .on(statistics::get_metric_statistics, everywhere())
        .on(data::get_metric_data, everywhere())
        .on(alarm::put_metric_alarm, on_put_alarm())
        .on(alarm::describe_alarms, on_described())
        .on(alarm::describe_alarms_for_metric, everywhere())
        .on(alarm::delete_alarms, on_alarms(|it| &it.alarm_names))
        .on(alarm::set_alarm_state, on_alarm(|it| &it.alarm_name))
        .on(alarm::enable_alarm_actions, on_alarms(|it| &it.alarm_names))
        .on(
            alarm::disable_alarm_actions,
            on_alarms(|it| &it.alarm_names),
        )
        .on(history::describe_alarm_history, on_history())
        .on(tags::tag_resource, on_arn(|it| &it.resource_arn))
        .on(tags::untag_resource, on_arn(|it| &it.resource_arn))
        .on(tags::list_tags_for_resource, on_arn(|it| &it.resource_arn))
        .reconciles(evaluator::AlarmReconciler)
        .reconciles(retention::RetentionReconciler)
        .resource(cfn::AlarmType)
}
