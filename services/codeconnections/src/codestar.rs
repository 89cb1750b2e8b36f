//! The operations under the older name: the same ones, in shapes of the same members.

use cloud::{Cx, Error};
use shapes::codestar_connections::*;
use wire::Value;

use crate::record::Made;
use crate::{connection, host, tags};

/// The same members in the other model's shape.
pub fn same<A: Value, B: Value + Default>(shape: &A) -> Result<B, Error> {
    wire::from_json(wire::to_json(shape)).map_err(|error| {
        wire::codes::InternalFailure.because(format!("the two models differ: {error}"))
    })
}

pub async fn create_connection(
    cx: Cx,
    input: CreateConnectionInput,
) -> Result<CreateConnectionOutput, Error> {
    let input = same(&input)?;
    same(&connection::create(cx, input, Made::CodeStar).await?)
}

pub async fn get_connection(
    cx: Cx,
    input: GetConnectionInput,
) -> Result<GetConnectionOutput, Error> {
    let input = same(&input)?;
    same(&connection::get_connection(cx, input).await?)
}

pub async fn list_connections(
    cx: Cx,
    input: ListConnectionsInput,
) -> Result<ListConnectionsOutput, Error> {
    let input = same(&input)?;
    same(&connection::list_connections(cx, input).await?)
}

pub async fn delete_connection(
    cx: Cx,
    input: DeleteConnectionInput,
) -> Result<DeleteConnectionOutput, Error> {
    let input = same(&input)?;
    same(&connection::delete_connection(cx, input).await?)
}

pub async fn create_host(cx: Cx, input: CreateHostInput) -> Result<CreateHostOutput, Error> {
    let input = same(&input)?;
    same(&host::create(cx, input, Made::CodeStar).await?)
}

pub async fn get_host(cx: Cx, input: GetHostInput) -> Result<GetHostOutput, Error> {
    let input = same(&input)?;
    same(&host::get_host(cx, input).await?)
}

pub async fn list_hosts(cx: Cx, input: ListHostsInput) -> Result<ListHostsOutput, Error> {
    let input = same(&input)?;
    same(&host::list_hosts(cx, input).await?)
}

pub async fn update_host(cx: Cx, input: UpdateHostInput) -> Result<UpdateHostOutput, Error> {
    let input = same(&input)?;
    same(&host::update_host(cx, input).await?)
}

pub async fn delete_host(cx: Cx, input: DeleteHostInput) -> Result<DeleteHostOutput, Error> {
    let input = same(&input)?;
    same(&host::delete_host(cx, input).await?)
}

pub async fn tag_resource(cx: Cx, input: TagResourceInput) -> Result<TagResourceOutput, Error> {
    let input = same(&input)?;
    same(&tags::tag_resource(cx, input).await?)
}

pub async fn untag_resource(
    cx: Cx,
    input: UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    let input = same(&input)?;
    same(&tags::untag_resource(cx, input).await?)
}

pub async fn list_tags_for_resource(
    cx: Cx,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let input = same(&input)?;
    same(&tags::list_tags_for_resource(cx, input).await?)
}
