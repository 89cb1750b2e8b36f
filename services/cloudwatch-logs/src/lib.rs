//! Amazon CloudWatch Logs: groups are records, their streams are the engine's.
//!
//! A stream exists when its file does, so what containers write needs no record and no daemon. The
//! engine's name of a group is the record's key, `<region>/<name>`. Deleting a group removes its
//! record and leaves a [`group::Leftover`] in the same transaction, until the streams are gone too;
//! a group of that name can be made again only then, so that it never begins with old lines.

mod cfn;
mod events;
mod filter;
mod group;
mod names;
mod page;
mod pattern;
mod pattern_json;
mod put;
mod retention;
mod stream;
mod tags;

use cloud::Service;

pub fn service() -> Service {
    Service::new(&shapes::logs::MODEL)
        .on_unlisted(group::create_log_group)
        .on_unlisted(group::describe_log_groups)
        .on_unlisted(group::delete_log_group)
        .on_unlisted(stream::create_log_stream)
        .on_unlisted(stream::describe_log_streams)
        .on_unlisted(stream::delete_log_stream)
        .on_unlisted(put::put_log_events)
        .on_unlisted(events::get_log_events)
        .on_unlisted(filter::filter_log_events)
        .on_unlisted(retention::put_retention_policy)
        .on_unlisted(retention::delete_retention_policy)
        .on_unlisted(tags::tag_resource)
        .on_unlisted(tags::untag_resource)
        .on_unlisted(tags::list_tags_for_resource)
        .on_unlisted(tags::tag_log_group)
        .on_unlisted(tags::untag_log_group)
        .on_unlisted(tags::list_tags_log_group)
        .reconciles(group::LeftoverReconciler)
        .reconciles(retention::RetentionReconciler)
        .resource(cfn::LogGroupType)
}
