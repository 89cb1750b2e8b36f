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
        .on(connection::create_connection)
        .on(connection::get_connection)
        .on(connection::list_connections)
        .on(connection::delete_connection)
        .on(host::create_host)
        .on(host::get_host)
        .on(host::list_hosts)
        .on(host::update_host)
        .on(host::delete_host)
        .on(tags::tag_resource)
        .on(tags::untag_resource)
        .on(tags::list_tags_for_resource)
        .resource(cfn::ConnectionType(record::Made::CodeConnections))
}

pub fn codestar_service() -> Service {
    Service::new(&shapes::codestar_connections::MODEL)
        .on(codestar::create_connection)
        .on(codestar::get_connection)
        .on(codestar::list_connections)
        .on(codestar::delete_connection)
        .on(codestar::create_host)
        .on(codestar::get_host)
        .on(codestar::list_hosts)
        .on(codestar::update_host)
        .on(codestar::delete_host)
        .on(codestar::tag_resource)
        .on(codestar::untag_resource)
        .on(codestar::list_tags_for_resource)
        .resource(cfn::ConnectionType(record::Made::CodeStar))
}
