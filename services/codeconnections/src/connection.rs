//! Connections.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record};
use shapes::codeconnections::*;

use crate::names::{add_tags, find_connection, find_host, invalid, page, shown_tags};
use crate::record::{ConnectionRecord, Made};
use crate::token::TokenRecord;

/// A version 4 UUID, as AWS's ids of connections are.
fn new_id(cx: &Cx) -> String {
    cloud::uuid(&cx.new_id("", 32))
}

pub async fn create_connection(
    cx: Cx,
    input: CreateConnectionInput,
) -> Result<CreateConnectionOutput, Error> {
    create(cx, input, Made::CodeConnections).await
}

pub async fn create(
    cx: Cx,
    input: CreateConnectionInput,
    made: Made,
) -> Result<CreateConnectionOutput, Error> {
    let mut tags = BTreeMap::new();
    add_tags(&mut tags, input.tags.unwrap_or_default())?;
    cx.write(|tx| {
        let provider = match (input.provider_type, &input.host_arn) {
            (Some(_), Some(_)) => {
                return Err(invalid("Only one of ProviderType and HostArn can be given"));
            }
            (None, None) => {
                return Err(invalid("One of ProviderType and HostArn is required"));
            }
            (Some(provider), None) => provider,
            (None, Some(host)) => find_host(&cx, tx, host)?.provider,
        };
        let connection = ConnectionRecord {
            region: cx.region.clone(),
            account: cx.account().to_owned(),
            id: new_id(&cx),
            made,
            name: input.connection_name,
            provider,
            host_arn: input.host_arn,
            available: false,
            keeps_token: true,
            created_ms: cx.clock().now_ms(),
            tags,
        };
        // The same request again finds what it made.
        let there: Option<ConnectionRecord> = tx.get(&cx.key(&connection.id))?;
        let connection = match there {
            Some(there) => there,
            None => {
                tx.put(&connection)?;
                connection
            }
        };
        Ok(CreateConnectionOutput {
            connection_arn: connection.arn(),
            tags: Some(shown_tags(&connection.tags)),
        })
    })
}

pub async fn get_connection(
    cx: Cx,
    input: GetConnectionInput,
) -> Result<GetConnectionOutput, Error> {
    let found = cx.read(|tx| find_connection(&cx, tx, &input.connection_arn))?;
    Ok(GetConnectionOutput {
        connection: Some(found.shown()),
    })
}

pub async fn list_connections(
    cx: Cx,
    input: ListConnectionsInput,
) -> Result<ListConnectionsOutput, Error> {
    let mut all = cx.read(|tx| tx.list::<ConnectionRecord>(&cx.key("")))?;
    all.retain(|it| {
        input
            .provider_type_filter
            .is_none_or(|provider| it.provider == provider)
    });
    all.retain(|it| input.host_arn_filter.is_none() || it.host_arn == input.host_arn_filter);
    let token = input.next_token.as_deref();
    let (all, next_token) = page(all, |it| &it.id, token, input.max_results);
    Ok(ListConnectionsOutput {
        connections: Some(all.iter().map(ConnectionRecord::shown).collect()),
        next_token,
    })
}

pub async fn delete_connection(
    cx: Cx,
    input: DeleteConnectionInput,
) -> Result<DeleteConnectionOutput, Error> {
    cx.write(|tx| {
        let found = find_connection(&cx, tx, &input.connection_arn)?;
        tx.delete::<TokenRecord>(&found.key())?;
        tx.delete::<ConnectionRecord>(&found.key())
    })?;
    Ok(DeleteConnectionOutput {})
}
