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
mod list;
mod math;
mod metric;
mod put;
mod queries;
mod retention;
mod statistic;
mod statistics;
mod tags;

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::cloudwatch::MODEL)
        .on_unlisted(put::put_metric_data)
        .on_unlisted(list::list_metrics)
        .on_unlisted(statistics::get_metric_statistics)
        .on_unlisted(data::get_metric_data)
        .on_unlisted(alarm::put_metric_alarm)
        .on_unlisted(alarm::describe_alarms)
        .on_unlisted(alarm::describe_alarms_for_metric)
        .on_unlisted(alarm::delete_alarms)
        .on_unlisted(alarm::set_alarm_state)
        .on_unlisted(alarm::enable_alarm_actions)
        .on_unlisted(alarm::disable_alarm_actions)
        .on_unlisted(history::describe_alarm_history)
        .on_unlisted(tags::tag_resource)
        .on_unlisted(tags::untag_resource)
        .on_unlisted(tags::list_tags_for_resource)
        .reconciles(evaluator::AlarmReconciler)
        .reconciles(retention::RetentionReconciler)
        .resource(cfn::AlarmType)
}
