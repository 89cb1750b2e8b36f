//! Completing a connection: what its owner does in a browser on AWS.

use cloud::{Cx, Error};
use serde_json::json;
use shapes::codeconnections::{Connection, ProviderType, errors};
use shapes::secretsmanager::{
    CreateSecretInput, DeleteSecretInput, PutSecretValueInput, errors as secret_errors,
};

use crate::names::{find_connection, find_host, invalid};
use crate::record::ConnectionRecord;

/// The secret that a connection's token is kept in.
fn secret_name(id: &str) -> String {
    format!("neargate/connections/{id}")
}

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

/// Makes a connection AVAILABLE. The token is kept as a secret; without one, a token that was given
/// before is forgotten.
pub async fn authorize(
    cx: &Cx,
    name_or_arn: &str,
    token: Option<String>,
) -> Result<Connection, Error> {
    let found = find(cx, name_or_arn)?;
    match token {
        Some(token) => keep_token(cx, &found, token).await?,
        None => forget_token(cx, &found.id).await?,
    }
    cx.write(|tx| {
        let mut connection = find_connection(cx, tx, &found.arn())?;
        connection.available = true;
        tx.put(&connection)?;
        if let Some(host) = &connection.host_arn {
            let mut host = find_host(cx, tx, host)?;
            host.available = true;
            tx.put(&host)?;
        }
        Ok(connection.shown())
    })
}

async fn keep_token(cx: &Cx, connection: &ConnectionRecord, token: String) -> Result<(), Error> {
    if token.is_empty() || token.contains(|it: char| it.is_control()) {
        return Err(invalid("the token is empty or has more than one line"));
    }
    let value = json!({ "username": username(connection.provider), "password": token });
    let name = secret_name(&connection.id);
    let create = CreateSecretInput {
        name: name.clone(),
        description: Some(format!("Token of the connection {}", connection.name)),
        secret_string: Some(value.to_string()),
        ..Default::default()
    };
    match cx.call(create).await {
        Ok(_) => Ok(()),
        Err(error) if error.is(secret_errors::ResourceExistsException) => {
            let put = PutSecretValueInput {
                secret_id: name,
                secret_string: Some(value.to_string()),
                ..Default::default()
            };
            cx.call(put).await.map(|_| ())
        }
        Err(error) => Err(error),
    }
}

pub async fn forget_token(cx: &Cx, id: &str) -> Result<(), Error> {
    let delete = DeleteSecretInput {
        secret_id: secret_name(id),
        force_delete_without_recovery: Some(true),
        ..Default::default()
    };
    cx.call(delete).await.map(|_| ())
}
