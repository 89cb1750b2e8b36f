//! AWS CodeConnections, and CodeStar Connections, as it was called before: two names and two models
//! for one set of records. Each answers for what was made by the other, and an ARN keeps the name that
//! it was made under.
//!
//! A new connection is PENDING. On AWS its owner completes it in a browser; here
//! `neargate connection authorize NAME_OR_ARN` does ([`authorize`]), with a token where the
//! repositories are not everybody's. For whoever reads repositories through a connection:
//!
//! * **the token** is a secret of Secrets Manager, in the connection's region, by the name
//!   `neargate/connections/<id>` (the id is the end of the connection's ARN). Its value is
//!   `{"username": "…", "password": "…"}`, ready for `engine::GitSource::Remote`'s login. An available
//!   connection without such a secret (`ResourceNotFoundException`) reads without a login.
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
mod record;
mod tags;

use cloud::Service;

pub use authorize::authorize;

pub fn service() -> Service {
    Service::new(&shapes::codeconnections::MODEL)
        .on_unlisted(connection::create_connection)
        .on_unlisted(connection::get_connection)
        .on_unlisted(connection::list_connections)
        .on_unlisted(connection::delete_connection)
        .on_unlisted(host::create_host)
        .on_unlisted(host::get_host)
        .on_unlisted(host::list_hosts)
        .on_unlisted(host::update_host)
        .on_unlisted(host::delete_host)
        .on_unlisted(tags::tag_resource)
        .on_unlisted(tags::untag_resource)
        .on_unlisted(tags::list_tags_for_resource)
        .resource(cfn::ConnectionType(record::Made::CodeConnections))
}

pub fn codestar_service() -> Service {
    Service::new(&shapes::codestar_connections::MODEL)
        .on_unlisted(codestar::create_connection)
        .on_unlisted(codestar::get_connection)
        .on_unlisted(codestar::list_connections)
        .on_unlisted(codestar::delete_connection)
        .on_unlisted(codestar::create_host)
        .on_unlisted(codestar::get_host)
        .on_unlisted(codestar::list_hosts)
        .on_unlisted(codestar::update_host)
        .on_unlisted(codestar::delete_host)
        .on_unlisted(codestar::tag_resource)
        .on_unlisted(codestar::untag_resource)
        .on_unlisted(codestar::list_tags_for_resource)
        .resource(cfn::ConnectionType(record::Made::CodeStar))
}
