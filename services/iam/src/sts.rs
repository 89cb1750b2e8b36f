//! AWS STS: who calls, and temporary credentials.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Caller, Cloud, Cx, Error, Next, Reconciler, Record, StoreError, all_keys};
use shapes::sts::{
    AssumeRoleInput, AssumeRoleOutput, AssumedRoleUser, Credentials, GetAccessKeyInfoInput,
    GetAccessKeyInfoOutput, GetCallerIdentityInput, GetCallerIdentityOutput, GetSessionTokenInput,
    GetSessionTokenOutput,
};

use crate::credentials::{
    AccessKey, Identity, SESSION_KEY, Session, is_of_session, new_key_id, new_secret,
};
use crate::names::key;
use crate::role::RoleRecord;
use crate::session::SessionExtras;
use crate::trust;

const SECRET_LENGTH: usize = 40;
/// Long enough that no client takes it for something else; AWS's vary.
const TOKEN_LENGTH: usize = 240;
const HOUR: i32 = 3600;
/// The API reference's default of `GetSessionToken`.
const SESSION_TOKEN_SECONDS: i32 = 12 * HOUR;

fn assumed_role_arn(account: &str, role_arn: &str, session: &str) -> String {
    let role = role_arn.rsplit('/').next().unwrap_or_default();
    format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
}

pub async fn get_caller_identity(
    cx: Cx,
    _: GetCallerIdentityInput,
) -> Result<GetCallerIdentityOutput, Error> {
    let user_id = match &cx.caller {
        Caller::Root(_) | Caller::RootSession { .. } | Caller::Daemon => cx.account().to_owned(),
        Caller::User { id, .. } => id.clone(),
        Caller::Service(principal) => (*principal).to_owned(),
        Caller::AssumedRole {
            role_arn,
            role_id,
            session_name,
            ..
        } => {
            let id = match role_id {
                Some(id) => id.clone(),
                None => role_id_now(&cx, role_arn)?,
            };
            format!("{id}:{session_name}")
        }
        Caller::Anonymous => {
            return Err(wire::codes::MissingAuthenticationToken
                .because("Request is missing Authentication Token"));
        }
    };
    Ok(GetCallerIdentityOutput {
        user_id: Some(user_id),
        account: Some(cx.account().to_owned()),
        arn: Some(cx.caller.arn(cx.account())),
    })
}

/// The id of the role that has this ARN at the moment.
fn role_id_now(cx: &Cx, arn: &str) -> Result<String, Error> {
    let role = cx.read(|tx| RoleRecord::of_arn(tx, arn))?;
    role.map(|it| it.id).ok_or_else(expired_token)
}

pub fn expired_token() -> Error {
    shapes::sts::errors::ExpiredTokenException
        .because("The security token included in the request is expired")
}

pub async fn get_access_key_info(
    cx: Cx,
    input: GetAccessKeyInfoInput,
) -> Result<GetAccessKeyInfoOutput, Error> {
    let id = key(&input.access_key_id);
    let known =
        cx.read(|tx| Ok(tx.get::<AccessKey>(&id)?.is_some() || tx.get::<Session>(&id)?.is_some()))?;
    if !known {
        return Err(unsupported(format!(
            "an access key that this account's IAM did not make, `{}`,",
            input.access_key_id
        )));
    }
    Ok(GetAccessKeyInfoOutput {
        account: Some(cx.account().to_owned()),
    })
}

fn unsupported(what: impl std::fmt::Display) -> Error {
    shapes::sts::MODEL.unsupported(what)
}

fn invalid(message: impl Into<String>) -> Error {
    wire::codes::ValidationError.because(message)
}

/// Of what is no ARN of IAM's at all, STS says so; whether there is such a role, it does not say.
fn check_role_arn(arn: &str) -> Result<(), Error> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "iam", "", account, _]
            if account.len() == 12 && account.bytes().all(|it| it.is_ascii_digit()) =>
        {
            Ok(())
        }
        _ => Err(invalid(format!("{arn} is invalid"))),
    }
}

pub async fn assume_role(cx: Cx, input: AssumeRoleInput) -> Result<AssumeRoleOutput, Error> {
    check_role_arn(&input.role_arn)?;
    // API reference, "AssumeRole": the account's owner has everything, and takes on nobody's rights.
    if cx.caller.is_owner() {
        return Err(wire::codes::AccessDenied.because("Roles may not be assumed by root accounts."));
    }
    let before = SessionExtras::of_caller(&cx, &cx.caller)?;
    let extras = SessionExtras::asked(&cx, &input, &before)?;
    let role = trusting_role(&cx, &input, &extras)?;
    let seconds = input.duration_seconds.unwrap_or(HOUR);
    if seconds > role.max_session_seconds {
        return Err(invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    if seconds > HOUR && matches!(cx.caller, Caller::AssumedRole { .. }) {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        ));
    }
    let session_name = input.role_session_name;
    let user = AssumedRoleUser {
        assumed_role_id: format!("{}:{session_name}", role.id),
        arn: assumed_role_arn(cx.account(), &role.arn(), &session_name),
    };
    let identity = Identity::AssumedRole {
        role_arn: role.arn(),
        role_id: role.id,
        session_name,
    };
    Ok(AssumeRoleOutput {
        packed_policy_size: extras.filled_percent(),
        source_identity: extras.source_identity.clone(),
        credentials: Some(begin_session(&cx, identity, extras, seconds)?),
        assumed_role_user: Some(user),
        ..Default::default()
    })
}

/// The role, when it is there and the caller may assume it.
fn trusting_role(
    cx: &Cx,
    input: &AssumeRoleInput,
    extras: &SessionExtras,
) -> Result<RoleRecord, Error> {
    let role = cx.read(|tx| RoleRecord::of_arn(tx, &input.role_arn))?;
    let role = role.ok_or_else(|| {
        let caller_arn = cx.caller.arn(cx.account());
        trust::refused((&caller_arn, trust::ACTION, &input.role_arn), None)
    })?;
    trust::check(cx, &role, input, extras)?;
    Ok(role)
}

pub async fn get_session_token(
    cx: Cx,
    input: GetSessionTokenInput,
) -> Result<GetSessionTokenOutput, Error> {
    let asked = input.duration_seconds.unwrap_or(SESSION_TOKEN_SECONDS);
    let (identity, seconds) = match &cx.caller {
        // Sessions of the account's owner end after an hour, whatever is asked.
        Caller::Root(_) => (Identity::Root, asked.min(HOUR)),
        // A session that begins another would never end.
        Caller::User {
            arn,
            id,
            access_key,
        } if !is_of_session(access_key) => (
            Identity::User {
                arn: arn.clone(),
                id: id.clone(),
            },
            asked,
        ),
        Caller::User { .. }
        | Caller::RootSession { .. }
        | Caller::AssumedRole { .. }
        | Caller::Service(_)
        | Caller::Daemon
        | Caller::Anonymous => {
            return Err(wire::codes::AccessDenied
                .because("Cannot call GetSessionToken with session credentials"));
        }
    };
    Ok(GetSessionTokenOutput {
        credentials: Some(begin_session(
            &cx,
            identity,
            SessionExtras::default(),
            seconds,
        )?),
        ..Default::default()
    })
}

fn begin_session(
    cx: &Cx,
    identity: Identity,
    extras: SessionExtras,
    seconds: i32,
) -> Result<Credentials, Error> {
    let session = Session {
        access_key: new_key_id(SESSION_KEY),
        secret: new_secret(SECRET_LENGTH)?,
        token: new_secret(TOKEN_LENGTH)?,
        issued_ms: Some(cx.clock().now_ms()),
        expires_ms: cx.clock().now_ms() + i64::from(seconds) * 1000,
        identity,
        extras,
    };
    cx.write(|tx| tx.put(&session))?;
    Ok(Credentials {
        access_key_id: session.access_key,
        secret_access_key: session.secret.0,
        session_token: session.token.0,
        expiration: wire::Timestamp((session.expires_ms / 1000) as f64),
    })
}

/// Forgets sessions that have ended.
pub struct SessionReconciler;

#[async_trait]
impl Reconciler for SessionReconciler {
    fn kind(&self) -> &'static str {
        Session::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<Session>(cloud)
    }
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some(session) = cx.read(|tx| tx.get::<Session>(key))? else {
            return Ok(Next::Idle);
        };
        let left_ms = session.expires_ms - cx.clock().now_ms();
        if left_ms > 0 {
            return Ok(Next::After(Duration::from_millis(left_ms.unsigned_abs())));
        }
        cx.write(|tx| tx.delete::<Session>(key))?;
        Ok(Next::Idle)
    }
}
