//! Amazon CloudWatch Logs: groups are records, their streams are the engine's.
//!
//! A stream exists when its file does, so what containers write needs no record and no daemon. The
//! engine's name of a group is the record's key, `<region>/<name>`. Deleting a group removes its
//! record and leaves a [`group::Leftover`] in the same transaction, until the streams are gone too;
//! a group of that name can be made again only then, so that it never begins with old lines.

mod cfn;
mod events;
mod filter;
mod filters;
mod group;
#[cfg(test)]
mod hostile_input;
mod insights;
mod names;
mod page;
mod pattern;
mod pattern_fields;
mod pattern_json;
mod pattern_reader;
mod permissions;
mod put;
mod retention;
mod stream;
mod tags;

use cloud::Service;
use cloud::permission::everywhere;
use permissions::{on_arn, on_either, on_either_stream, on_group, on_new_group, on_stream};

pub fn service() -> Service {
    Service::new(&shapes::logs::MODEL)
        .finds(permissions::group)
        .on(group::create_log_group, on_new_group())
        .on(group::describe_log_groups, everywhere())
        .on(group::delete_log_group, on_group(|it| &it.log_group_name))
        .on(
            stream::create_log_stream,
            on_stream(|it| (&it.log_group_name, &it.log_stream_name)),
        )
        .on(
            stream::describe_log_streams,
            on_either(|it| (it.log_group_name.as_ref(), it.log_group_identifier.as_ref())),
        )
        .on(
            stream::delete_log_stream,
            on_stream(|it| (&it.log_group_name, &it.log_stream_name)),
        )
        .on(
            put::put_log_events,
            on_stream(|it| (&it.log_group_name, &it.log_stream_name)),
        )
        .on(
            events::get_log_events,
            on_either_stream(
                |it| (it.log_group_name.as_ref(), it.log_group_identifier.as_ref()),
                |it| &it.log_stream_name,
            ),
        )
        .on(
            filter::filter_log_events,
            on_either(|it| (it.log_group_name.as_ref(), it.log_group_identifier.as_ref())),
        )
        .on(
            filters::describe_metric_filters,
            on_either(|it| (it.log_group_name.as_ref(), None)),
        )
        .on(
            filters::describe_subscription_filters,
            on_group(|it| &it.log_group_name),
        )
        .on(insights::start_query, permissions::on_query())
        .on(
            insights::get_query_results,
            permissions::on_groups_of(|it| &it.query_id),
        )
        .on(insights::stop_query, everywhere())
        .on(insights::describe_queries, everywhere())
        .on(
            retention::put_retention_policy,
            on_group(|it| &it.log_group_name),
        )
        .on(
            retention::delete_retention_policy,
            on_group(|it| &it.log_group_name),
        )
        .on(tags::tag_resource, on_arn(|it| &it.resource_arn))
        .on(tags::untag_resource, on_arn(|it| &it.resource_arn))
        .on(tags::list_tags_for_resource, on_arn(|it| &it.resource_arn))
        .on(tags::tag_log_group, on_group(|it| &it.log_group_name))
        .on(tags::untag_log_group, on_group(|it| &it.log_group_name))
        .on(tags::list_tags_log_group, on_group(|it| &it.log_group_name))
        .reconciles(group::LeftoverReconciler)
        .reconciles(retention::RetentionReconciler)
        .resource(cfn::LogGroupType)
}
