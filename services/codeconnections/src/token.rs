//! The token that a connection was completed with. Nobody is told it, as on AWS: it is a record of its own,
//! sealed like all others, and is lent to whoever reads repositories through the connection.

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Login, Next, Reconciler, Record, StoreError, all_keys};
use serde::{Deserialize, Serialize};
use shapes::secretsmanager::{DeleteSecretInput, GetSecretValueInput, errors as secret_errors};

use crate::names::find_connection;
use crate::record::ConnectionRecord;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    pub region: String,
    /// The connection's.
    pub id: String,
    pub username: String,
    pub password: String,
}

impl Record for TokenRecord {
    const KIND: &'static str = "codeconnections.token";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// What the server of a connection's provider is shown; None where everybody may read.
pub fn lend_login(cx: &Cx, connection_arn: &str) -> Result<Option<Login>, Error> {
    let token = cx.read(|tx| {
        let connection = find_connection(cx, tx, connection_arn)?;
        tx.get::<TokenRecord>(&connection.key())
    })?;
    Ok(token.map(|it| Login {
        username: it.username,
        password: it.password,
    }))
}

/// Where an earlier version kept a connection's token: a secret that whoever may read secrets could read.
fn old_secret(id: &str) -> String {
    format!("neargate/connections/{id}")
}

/// Takes the tokens of connections of earlier versions out of Secrets Manager.
pub struct TokenReconciler;

#[async_trait]
impl Reconciler for TokenReconciler {
    fn kind(&self) -> &'static str {
        ConnectionRecord::KIND
    }

    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<ConnectionRecord>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let connection = cx.read(|tx| tx.get::<ConnectionRecord>(key))?;
        let Some(connection) = connection.filter(|it| !it.keeps_token) else {
            return Ok(Next::Idle);
        };
        if let Some(token) = old_token(&cx, &connection).await? {
            cx.write(|tx| tx.put(&token))?;
            let delete = DeleteSecretInput {
                secret_id: old_secret(&connection.id),
                force_delete_without_recovery: Some(true),
                ..Default::default()
            };
            cx.call(delete).await?;
        }
        // A secret of that name that is made from now on is nobody's token.
        cx.write(|tx| {
            if let Some(mut now) = tx.get::<ConnectionRecord>(key)? {
                now.keeps_token = true;
                tx.put(&now)?;
            }
            Ok(())
        })?;
        Ok(Next::Idle)
    }
}

async fn old_token(cx: &Cx, connection: &ConnectionRecord) -> Result<Option<TokenRecord>, Error> {
    let asked = GetSecretValueInput {
        secret_id: old_secret(&connection.id),
        ..Default::default()
    };
    let secret = match cx.call(asked).await {
        Err(error) if error.is(secret_errors::ResourceNotFoundException) => return Ok(None),
        other => other?.secret_string.unwrap_or_default(),
    };
    let secret: serde_json::Value = serde_json::from_str(&secret).unwrap_or_default();
    let text = |name: &str| secret[name].as_str().map(str::to_owned);
    let login = text("username").zip(text("password"));
    Ok(login.map(|(username, password)| TokenRecord {
        region: connection.region.clone(),
        id: connection.id.clone(),
        username,
        password,
    }))
}
