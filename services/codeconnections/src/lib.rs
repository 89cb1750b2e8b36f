//! AWS CodeConnections, and CodeStar Connections, as it was called before: two names and two models
//! for one set of records. Each answers for what was made by the other, and an ARN keeps the name that
//! it was made under.
//!
//! A new connection is PENDING. On AWS its owner completes it in a browser; here
//! `neargate connection authorize NAME_OR_ARN` does ([`authorize`]), with a token where the
//! repositories are not everybody's. For whoever reads repositories through a connection:
//!
//! * **the token** is lent by `cloud::Cx::find_login`, ready for `engine::GitSource::Remote`'s login. No
//!   operation tells it. An available connection without one reads without a login.
//! * **the address** is that of its provider: `engine.access.github` for GitHub,
//!   `https://bitbucket.org`, `https://gitlab.com`, `https://dev.azure.com`; or, with a host
//!   (`hostArn`), the host's `providerEndpoint`; then `/<FullRepositoryId>.git`.
//!
//! Hosts in a VPC, repository links and Git sync are not built.

mod authorize;
mod cfn;
mod codestar;
mod connection;
mod host;
mod names;
mod permissions;
mod record;
mod tags;
mod token;

use cloud::Service;
use permissions::{
    new_connection, new_host, on_arn, on_changed_host, on_connection, on_connections, on_host,
    on_hosts,
};
use record::Made::{CodeConnections, CodeStar};

pub use authorize::authorize;

pub fn service() -> Service {
    Service::new(&shapes::codeconnections::MODEL)
        .lends_logins(token::lend_login)
        .reconciles(token::TokenReconciler)
        .on(
            connection::create_connection,
            new_connection(CodeConnections, |it| {
                (
                    it.provider_type.map(|it| it.to_string()),
                    it.host_arn.as_ref(),
                )
            }),
        )
        .on(
            connection::get_connection,
            on_connection(|it| &it.connection_arn),
        )
        .on(
            connection::list_connections,
            on_connections(CodeConnections, |it| {
                it.provider_type_filter.map(|it| it.to_string())
            }),
        )
        .on(
            connection::delete_connection,
            on_connection(|it| &it.connection_arn),
        )
        .on(
            host::create_host,
            new_host(CodeConnections, |it| it.provider_type.to_string()),
        )
        .on(host::get_host, on_host(|it| &it.host_arn))
        .on(host::list_hosts, on_hosts(CodeConnections))
        .on(
            host::update_host,
            on_changed_host(CodeConnections, |it| &it.host_arn),
        )
        .on(host::delete_host, on_host(|it| &it.host_arn))
        .on(tags::tag_resource, on_arn(|it| &it.resource_arn))
        .on(tags::untag_resource, on_arn(|it| &it.resource_arn))
        .on(tags::list_tags_for_resource, on_arn(|it| &it.resource_arn))
        .resource(cfn::ConnectionType(record::Made::CodeConnections))
}

pub fn codestar_service() -> Service {
    Service::new(&shapes::codestar_connections::MODEL)
        .on(
            codestar::create_connection,
            new_connection(CodeStar, |it| {
                (
                    it.provider_type.map(|it| it.to_string()),
                    it.host_arn.as_ref(),
                )
            }),
        )
        .on(
            codestar::get_connection,
            on_connection(|it| &it.connection_arn),
        )
        .on(
            codestar::list_connections,
            on_connections(CodeStar, |it| {
                it.provider_type_filter.map(|it| it.to_string())
            }),
        )
        .on(
            codestar::delete_connection,
            on_connection(|it| &it.connection_arn),
        )
        .on(
            codestar::create_host,
            new_host(CodeStar, |it| it.provider_type.to_string()),
        )
        .on(codestar::get_host, on_host(|it| &it.host_arn))
        .on(codestar::list_hosts, on_hosts(CodeStar))
        .on(
            codestar::update_host,
            on_changed_host(CodeStar, |it| &it.host_arn),
        )
        .on(codestar::delete_host, on_host(|it| &it.host_arn))
        .on(codestar::tag_resource, on_arn(|it| &it.resource_arn))
        .on(codestar::untag_resource, on_arn(|it| &it.resource_arn))
        .on(
            codestar::list_tags_for_resource,
            on_arn(|it| &it.resource_arn),
        )
        .resource(cfn::ConnectionType(record::Made::CodeStar))
}
