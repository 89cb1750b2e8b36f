//! Hosts: servers of one's own, such as GitHub Enterprise's.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use shapes::codeconnections::*;

use crate::names::{add_tags, find_host, invalid, page, shown_tags};
use crate::record::{ConnectionRecord, HostRecord, Made};

pub async fn create_host(cx: Cx, input: CreateHostInput) -> Result<CreateHostOutput, Error> {
    create(cx, input, Made::CodeConnections).await
}

fn check_endpoint(endpoint: &str) -> Result<String, Error> {
    let rest = endpoint
        .strip_prefix("https://")
        .or_else(|| endpoint.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['@', ' ']) => {
            Ok(endpoint.trim_end_matches('/').to_owned())
        }
        _ => Err(invalid(format!(
            "the provider endpoint {endpoint} is not an address of HTTP"
        ))),
    }
}

pub async fn create(cx: Cx, input: CreateHostInput, made: Made) -> Result<CreateHostOutput, Error> {
    let own = [
        ProviderType::GitHubEnterpriseServer,
        ProviderType::GitLabSelfManaged,
    ];
    if !own.contains(&input.provider_type) {
        return Err(errors::UnsupportedProviderTypeException
            .because(format!("{} has no hosts of one's own", input.provider_type)));
    }
    let mut tags = BTreeMap::new();
    add_tags(&mut tags, input.tags.unwrap_or_default())?;
    let host = HostRecord {
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        id: format!("{}-{}", input.name, cx.new_id("", 8)),
        made,
        name: input.name,
        provider: input.provider_type,
        endpoint: check_endpoint(&input.provider_endpoint)?,
        available: false,
        tags,
    };
    cx.write(|tx| {
        if tx.get::<HostRecord>(&host.key())?.is_none() {
            tx.put(&host)?;
        }
        Ok(CreateHostOutput {
            host_arn: Some(host.arn()),
            tags: Some(shown_tags(&host.tags)),
        })
    })
}

pub async fn get_host(cx: Cx, input: GetHostInput) -> Result<GetHostOutput, Error> {
    let host = cx.read(|tx| find_host(&cx, tx, &input.host_arn))?;
    Ok(GetHostOutput {
        status: Some(host.status()),
        name: Some(host.name),
        provider_type: Some(host.provider),
        provider_endpoint: Some(host.endpoint),
        vpc_configuration: None,
    })
}

pub async fn list_hosts(cx: Cx, input: ListHostsInput) -> Result<ListHostsOutput, Error> {
    let all = cx.read(|tx| tx.list::<HostRecord>(&cx.key("")))?;
    let token = input.next_token.as_deref();
    let (all, next_token) = page(all, |it| &it.id, token, input.max_results);
    Ok(ListHostsOutput {
        hosts: Some(all.iter().map(HostRecord::shown).collect()),
        next_token,
    })
}

pub async fn update_host(cx: Cx, input: UpdateHostInput) -> Result<UpdateHostOutput, Error> {
    cx.write(|tx| {
        let mut host = find_host(&cx, tx, &input.host_arn)?;
        if let Some(endpoint) = &input.provider_endpoint {
            let endpoint = check_endpoint(endpoint)?;
            if endpoint != host.endpoint {
                host.endpoint = endpoint;
                // Another server gets no token until the owner has said so again.
                host.available = false;
                suspend_connections(&cx, tx, &host.arn())?;
            }
        }
        tx.put(&host)?;
        Ok(UpdateHostOutput {})
    })
}

fn suspend_connections(cx: &Cx, tx: &Records<'_>, host_arn: &str) -> Result<(), Error> {
    for mut connection in tx.list::<ConnectionRecord>(&cx.key(""))? {
        if connection.available && connection.host_arn.as_deref() == Some(host_arn) {
            connection.available = false;
            tx.put(&connection)?;
        }
    }
    Ok(())
}

pub async fn delete_host(cx: Cx, input: DeleteHostInput) -> Result<DeleteHostOutput, Error> {
    cx.write(|tx| {
        let host = find_host(&cx, tx, &input.host_arn)?;
        let arn = host.arn();
        let connections = tx.list::<ConnectionRecord>(&cx.key(""))?;
        if connections
            .iter()
            .any(|it| it.host_arn.as_ref() == Some(&arn))
        {
            return Err(errors::ResourceUnavailableException
                .because(format!("Host {arn} has connections: delete them first")));
        }
        tx.delete::<HostRecord>(&host.key())?;
        Ok(DeleteHostOutput {})
    })
}
