//! Keys that sign requests: those of users, and the temporary ones of sessions.

use cloud::{Caller, Cloud, Error, Record, StoreError};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use store::Transaction;
use wire::Signer;

use crate::role::RoleRecord;
use crate::session::SessionExtras;
use crate::user::UserRecord;

/// A user's own key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessKey {
    pub id: String,
    pub secret: Secret,
    pub user: String,
    pub user_id: String,
    pub user_arn: String,
    pub created_ms: i64,
}

impl Record for AccessKey {
    const KIND: &'static str = "iam.access-key";
    fn key(&self) -> String {
        crate::names::key(&self.id)
    }
}

/// Temporary credentials.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    pub access_key: String,
    pub secret: Secret,
    pub token: Secret,
    /// None in records of before it was kept.
    #[serde(default)]
    pub issued_ms: Option<i64>,
    pub expires_ms: i64,
    pub identity: Identity,
    #[serde(default)]
    pub extras: SessionExtras,
}

impl Record for Session {
    const KIND: &'static str = "sts.session";
    fn key(&self) -> String {
        crate::names::key(&self.access_key)
    }
}

/// Whom a session stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// The account's owner, who asked for a session.
    Root,
    User {
        arn: String,
        id: String,
    },
    AssumedRole {
        role_arn: String,
        role_id: String,
        session_name: String,
    },
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub String);

impl Secret {
    /// Compares digests, so that the time it takes says nothing about how much was right.
    fn is(&self, text: &str) -> bool {
        let digest = |it: &str| ring::digest::digest(&ring::digest::SHA256, it.as_bytes());
        digest(&self.0).as_ref() == digest(text).as_ref()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A key that may sign requests now, and who signs with it. Temporary keys count with their session
/// token only, and until they expire; a user's key counts without any token. Either counts only as long
/// as the user or role that it was made for is there: one of the same name that was made later is
/// somebody else.
pub fn find_key(
    cloud: &Cloud,
    access_key: &str,
    session_token: Option<&str>,
) -> Option<Signer<Caller>> {
    let now_ms = cloud.clock.now_ms();
    let found = cloud.store.read(|tx| match session_token {
        None => key_of_user(tx, access_key),
        Some(token) => session(tx, access_key, token, now_ms),
    });
    // What cannot be read lets nobody in.
    found.ok().flatten()
}

/// Whom a key stands for now, when something shows that is derived from it and was verified: a token of
/// the registry. It counts as long as the key does.
pub fn find_holder(cloud: &Cloud, access_key: &str) -> Option<Caller> {
    let now_ms = cloud.clock.now_ms();
    let found: Result<_, StoreError> = cloud.store.read(|tx| {
        if let Some(own) = own_key(tx, access_key)? {
            return Ok(Some(own.1));
        }
        Ok(live_session(tx, access_key, now_ms)?.map(|it| it.1))
    });
    // What cannot be read lets nobody in.
    found.ok().flatten()
}

type Found<T> = Result<Option<T>, StoreError>;

fn key_of_user(tx: &Transaction<'_>, access_key: &str) -> Found<Signer<Caller>> {
    let found = own_key(tx, access_key)?;
    Ok(found.map(|(key, caller)| Signer::new(key.secret.0, caller)))
}

fn session(
    tx: &Transaction<'_>,
    access_key: &str,
    token: &str,
    now_ms: i64,
) -> Found<Signer<Caller>> {
    let found = live_session(tx, access_key, now_ms)?;
    let found = found.filter(|(session, _)| session.token.is(token));
    Ok(found.map(|(session, caller)| Signer::new(session.secret.0, caller)))
}

/// A user's own key, and the user, who is still there.
fn own_key(tx: &Transaction<'_>, access_key: &str) -> Found<(AccessKey, Caller)> {
    let Some(found) = tx.get::<AccessKey>(&crate::names::key(access_key))? else {
        return Ok(None);
    };
    if !is_user(tx, &found.user_arn, &found.user_id)? {
        return Ok(None);
    }
    let caller = Caller::User {
        arn: found.user_arn.clone(),
        id: found.user_id.clone(),
        access_key: found.id.clone(),
    };
    Ok(Some((found, caller)))
}

/// A session that has not ended, and whom it stands for, who is still there.
fn live_session(tx: &Transaction<'_>, access_key: &str, now_ms: i64) -> Found<(Session, Caller)> {
    let Some(session) = tx.get::<Session>(&crate::names::key(access_key))? else {
        return Ok(None);
    };
    if now_ms >= session.expires_ms {
        return Ok(None);
    }
    let access_key = session.access_key.clone();
    let caller = match session.identity.clone() {
        Identity::Root => Caller::RootSession { access_key },
        Identity::User { arn, id } if is_user(tx, &arn, &id)? => Caller::User {
            arn,
            id,
            access_key,
        },
        Identity::AssumedRole {
            role_arn,
            role_id,
            session_name,
        } if is_role(tx, &role_arn, &role_id)? => Caller::AssumedRole {
            role_arn,
            role_id: Some(role_id),
            session_name,
            access_key,
        },
        // Its user or role is gone, and its sessions with it.
        Identity::User { .. } | Identity::AssumedRole { .. } => return Ok(None),
    };
    Ok(Some((session, caller)))
}

fn name_in(arn: &str) -> String {
    crate::names::key(arn.rsplit('/').next().unwrap_or_default())
}

/// Whether the user of this ARN is still the one with this id.
pub fn is_user(tx: &Transaction<'_>, arn: &str, id: &str) -> Result<bool, StoreError> {
    let user = tx.get::<UserRecord>(&name_in(arn))?;
    Ok(user.is_some_and(|it| it.id == id && it.arn() == arn))
}

/// Whether the role of this ARN is still the one with this id.
fn is_role(tx: &Transaction<'_>, arn: &str, id: &str) -> Result<bool, StoreError> {
    let role = tx.get::<RoleRecord>(&name_in(arn))?;
    Ok(role.is_some_and(|it| it.id == id && it.arn() == arn))
}

/// `length` characters of the alphabet that AWS's secrets are written in. Unlike a name, a secret is
/// never made of anything but the kernel's random numbers.
pub fn new_secret(length: usize) -> Result<Secret, Error> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = vec![0; length];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| wire::codes::InternalFailure.because("the machine gives no random numbers"))?;
    let text = bytes
        .into_iter()
        .map(|it| LETTERS[usize::from(it) % LETTERS.len()] as char)
        .collect();
    Ok(Secret(text))
}

/// How the ids of temporary keys begin.
pub const SESSION_KEY: &str = "ASIA";

pub fn is_of_session(access_key: &str) -> bool {
    access_key.starts_with(SESSION_KEY)
}

/// The id of a new key: four letters that tell its kind, and 16 more.
pub fn new_key_id(prefix: &str) -> String {
    format!("{prefix}{}", cloud::random_upper(16))
}
