//! Tokens for Git hosts, one for each kind of server in a region.

use cloud::{Cx, Error};
use shapes::codebuild::errors::{ResourceAlreadyExistsException, ResourceNotFoundException};
use shapes::codebuild::*;

use crate::names::unsupported;
use crate::record::SourceCredential;

pub async fn import_source_credentials(
    cx: Cx,
    input: ImportSourceCredentialsInput,
) -> Result<ImportSourceCredentialsOutput, Error> {
    match input.server_type {
        ServerType::Github | ServerType::GithubEnterprise => {}
        other => return Err(unsupported(format!("serverType {other}"))),
    }
    match input.auth_type {
        AuthType::PersonalAccessToken | AuthType::BasicAuth | AuthType::Oauth => {}
        other => return Err(unsupported(format!("authType {other}"))),
    }
    let server = input.server_type.to_string();
    let record = SourceCredential {
        arn: cx.arn("codebuild", &format!("token/{}", server.to_lowercase())),
        region: cx.region.clone(),
        server,
        auth: input.auth_type.to_string(),
        username: input.username,
        token: input.token,
    };
    cx.write(|tx| {
        let key = cloud::Record::key(&record);
        if input.should_overwrite == Some(false) && tx.get::<SourceCredential>(&key)?.is_some() {
            return Err(ResourceAlreadyExistsException.because(format!(
                "Access token with server type {} already exists. Delete its source credential and \
                 try again.",
                record.server
            )));
        }
        tx.put(&record)
    })?;
    Ok(ImportSourceCredentialsOutput {
        arn: Some(record.arn),
    })
}

fn all(cx: &Cx) -> Result<Vec<SourceCredential>, Error> {
    cx.read(|tx| tx.list(&format!("{}/", cx.region)))
}

pub async fn list_source_credentials(
    cx: Cx,
    _: ListSourceCredentialsInput,
) -> Result<ListSourceCredentialsOutput, Error> {
    let infos = all(&cx)?.into_iter().map(|it| SourceCredentialsInfo {
        arn: Some(it.arn),
        server_type: it.server.parse().ok(),
        auth_type: it.auth.parse().ok(),
        resource: None,
    });
    Ok(ListSourceCredentialsOutput {
        source_credentials_infos: Some(infos.collect()),
    })
}

pub async fn delete_source_credentials(
    cx: Cx,
    input: DeleteSourceCredentialsInput,
) -> Result<DeleteSourceCredentialsOutput, Error> {
    let found = all(&cx)?.into_iter().find(|it| it.arn == input.arn);
    let record = found.ok_or_else(|| {
        ResourceNotFoundException.because(format!(
            "Could not find source credentials for arn: {}",
            input.arn
        ))
    })?;
    cx.write(|tx| tx.delete::<SourceCredential>(&cloud::Record::key(&record)))?;
    Ok(DeleteSourceCredentialsOutput {
        arn: Some(record.arn),
    })
}
