//! Keys that sign requests: those of users, and the temporary ones of sessions.

use cloud::{Caller, Cloud, Error, Record};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

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
    pub expires_ms: i64,
    pub identity: Identity,
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

/// The secret of a key that may sign requests now, and who signs with it. Temporary keys count with
/// their session token only, and until they expire; a user's key counts without any token.
pub fn find_key(
    cloud: &Cloud,
    access_key: &str,
    session_token: Option<&str>,
) -> Option<(String, Caller)> {
    let key = crate::names::key(access_key);
    let Some(token) = session_token else {
        let found: AccessKey = cloud.store.read(|tx| tx.get(&key)).ok()??;
        let caller = Caller::User {
            arn: found.user_arn,
            id: found.user_id,
            access_key: found.id,
        };
        return Some((found.secret.0, caller));
    };
    let session: Session = cloud.store.read(|tx| tx.get(&key)).ok()??;
    if !session.token.is(token) || cloud.clock.now_ms() >= session.expires_ms {
        return None;
    }
    let access_key = session.access_key;
    let caller = match session.identity {
        Identity::Root => Caller::Root,
        Identity::User { arn, id } => Caller::User {
            arn,
            id,
            access_key,
        },
        Identity::AssumedRole {
            role_arn,
            session_name,
            ..
        } => Caller::AssumedRole {
            role_arn,
            session_name,
            access_key,
        },
    };
    Some((session.secret.0, caller))
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

/// The id of a new key: four letters that tell its kind, and 16 more.
pub fn new_key_id(prefix: &str) -> String {
    format!("{prefix}{}", cloud::random_upper(16))
}
