//! Completing a connection: what its owner does in a browser on AWS.

use cloud::{Cx, Error, Record};
use shapes::codeconnections::{Connection, ProviderType, errors};

use crate::names::{find_connection, find_host, invalid};
use crate::record::ConnectionRecord;
use crate::token::TokenRecord;

/// The user that a provider takes a token for.
fn username(provider: ProviderType) -> &'static str {
    match provider {
        ProviderType::GitHub | ProviderType::GitHubEnterpriseServer => "x-access-token",
        ProviderType::GitLab | ProviderType::GitLabSelfManaged => "oauth2",
        ProviderType::Bitbucket => "x-token-auth",
        ProviderType::AzureDevOps => "neargate",
    }
}

/// A connection by its ARN or, when there is only one of it, its name.
fn find(cx: &Cx, name_or_arn: &str) -> Result<ConnectionRecord, Error> {
    cx.read(|tx| {
        if name_or_arn.starts_with("arn:") {
            return find_connection(cx, tx, name_or_arn);
        }
        let mut all = tx.list::<ConnectionRecord>(&cx.key(""))?;
        all.retain(|it| it.name == name_or_arn);
        match all.len() {
            0 => Err(errors::ResourceNotFoundException.because(format!(
                "there is no connection {name_or_arn} in {}",
                cx.region
            ))),
            1 => Ok(all.remove(0)),
            count => Err(invalid(format!(
                "there are {count} connections of the name {name_or_arn}: give the ARN of one"
            ))),
        }
    })
}

/// Makes a connection AVAILABLE. Without a token, one that was given before is forgotten.
pub async fn authorize(
    cx: &Cx,
    name_or_arn: &str,
    token: Option<String>,
) -> Result<Connection, Error> {
    let found = find(cx, name_or_arn)?;
    if let Some(token) = &token
        && (token.is_empty() || token.contains(|it: char| it.is_control()))
    {
        return Err(invalid("the token is empty or has more than one line"));
    }
    cx.write(|tx| {
        let mut connection = find_connection(cx, tx, &found.arn())?;
        match token {
            Some(password) => tx.put(&TokenRecord {
                region: connection.region.clone(),
                id: connection.id.clone(),
                username: username(connection.provider).to_owned(),
                password,
            })?,
            None => drop(tx.delete::<TokenRecord>(&connection.key())?),
        }
        connection.available = true;
        connection.keeps_token = true;
        tx.put(&connection)?;
        if let Some(host) = &connection.host_arn {
            let mut host = find_host(cx, tx, host)?;
            host.available = true;
            tx.put(&host)?;
        }
        Ok(connection.shown())
    })
}
