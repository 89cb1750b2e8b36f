//! Who calls, and where a call came from.
//!
//! A caller is a result of verification: whoever verifies a signature or a password gets the caller
//! from the same look that gave the secret, and there is no caller to fall back to. The account's
//! owner in particular is an [`Owner`], which nothing but [`OwnerKey::find`] makes.

use std::net::IpAddr;

use wire::Signer;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The account's owner, by the owner's own long-lived key.
    Root(Owner),
    /// A session that the owner asked for with `GetSessionToken`. It may call every operation but IAM's, and
    /// is not let in where the owner's own key is asked for.
    RootSession { access_key: String },
    /// The daemon itself: what it does to make records real.
    Daemon,
    /// A session of an assumed role.
    AssumedRole {
        role_arn: String,
        /// The unique id of the role that was assumed. None where a service acts with whatever role
        /// has this ARN at the moment, as it does when it assumes a role anew each time.
        role_id: Option<String>,
        session_name: String,
        access_key: String,
    },
    /// A user of the account, by one of the keys of its own.
    User {
        arn: String,
        id: String,
        access_key: String,
    },
    /// A service that assumes a role on behalf of what it runs: `codebuild.amazonaws.com`.
    Service(&'static str),
    /// Nobody in particular: a request that is not signed.
    Anonymous,
}

impl Caller {
    /// Whether this is the account's owner, with its own key or with a session.
    pub fn is_owner(&self) -> bool {
        matches!(self, Self::Root(_) | Self::RootSession { .. })
    }

    /// Whether an authority decides over its calls. The owner may do everything by its own key, and so may
    /// the daemon and the services within it.
    pub fn is_asked_about(&self) -> bool {
        match self {
            Self::Root(_) | Self::Daemon | Self::Service(_) => false,
            Self::RootSession { .. }
            | Self::AssumedRole { .. }
            | Self::User { .. }
            | Self::Anonymous => true,
        }
    }

    /// As `GetCallerIdentity` and the records of AWS's services name it.
    pub fn arn(&self, account: &str) -> String {
        match self {
            Self::Root(_) | Self::RootSession { .. } | Self::Daemon => {
                format!("arn:aws:iam::{account}:root")
            }
            Self::User { arn, .. } => arn.clone(),
            Self::Service(principal) => (*principal).to_owned(),
            Self::AssumedRole {
                role_arn,
                session_name,
                ..
            } => {
                let role = role_arn.rsplit('/').next().unwrap_or_default();
                format!("arn:aws:sts::{account}:assumed-role/{role}/{session_name}")
            }
            Self::Anonymous => "anonymous".to_owned(),
        }
    }
}

/// Proof that the account's owner is there. Only [`OwnerKey::find`] makes one, where the key that was
/// named is the owner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(());

/// The owner's own long-lived key.
#[derive(Clone)]
pub struct OwnerKey {
    access_key: String,
    secret: String,
}

impl OwnerKey {
    pub fn new(access_key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            access_key: access_key.into(),
            secret: secret.into(),
        }
    }

    /// The owner, when this is the owner's key. The long-lived key has no session token: whoever shows
    /// one means another key.
    pub fn find(&self, access_key: &str, session_token: Option<&str>) -> Option<Signer<Caller>> {
        if session_token.is_some() || access_key != self.access_key {
            return None;
        }
        Some(Signer::new(self.secret.clone(), Caller::Root(Owner(()))))
    }
}

/// Where a call came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The daemon itself, or a service within it.
    Internal,
    /// A client.
    Client(ClientOrigin),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOrigin {
    /// Where its connection comes from. None inside a task, whose connection has no address that means
    /// anything outside its namespace.
    pub address: Option<IpAddr>,
    /// As the client names itself.
    pub user_agent: Option<String>,
    /// Whether it came over TLS.
    pub is_secure: bool,
    /// The task's network, where the call came from inside of one.
    pub inside: Option<InsideOrigin>,
}

impl ClientOrigin {
    /// Whether nobody can listen to what it sends: it comes over TLS, or it does not leave the machine. The
    /// latter would come over TLS on AWS, whose doors the same client asks by another address; this is
    /// `aws:SecureTransport`.
    pub fn is_private(&self) -> bool {
        let is_near = self
            .address
            .is_some_and(|it| it.to_canonical().is_loopback());
        self.is_secure || is_near || self.inside.is_some()
    }
}

/// The network of a task that calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsideOrigin {
    /// The interface that the call came through.
    pub interface: String,
    /// The VPC of the interface, if it is one of the account's.
    pub vpc: Option<String>,
}

impl Origin {
    pub fn client(&self) -> Option<&ClientOrigin> {
        match self {
            Self::Internal => None,
            Self::Client(client) => Some(client),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_who_shows_the_owners_own_key() {
        let key = OwnerKey::new("AKIAOWNER", "secret");
        let owner = key.find("AKIAOWNER", None).unwrap();
        let owner = owner.if_secret("secret").unwrap();
        assert!(matches!(owner, Caller::Root(_)));
        assert!(key.find("AKIAOWNER", Some("a token")).is_none());
        assert!(key.find("AKIAOTHER", None).is_none());
        assert!(key.find("", None).is_none());
    }

    #[test]
    fn what_does_not_leave_the_machine_is_private() {
        let from = |address: Option<&str>, is_secure: bool| ClientOrigin {
            address: address.map(|it| it.parse().unwrap()),
            user_agent: None,
            is_secure,
            inside: None,
        };
        assert!(from(Some("127.0.0.1"), false).is_private());
        assert!(from(Some("::1"), false).is_private());
        assert!(from(Some("::ffff:127.0.0.9"), false).is_private());
        assert!(from(Some("192.0.2.7"), true).is_private());
        assert!(!from(Some("192.0.2.7"), false).is_private());
        assert!(!from(None, false).is_private());
        let inside = InsideOrigin {
            interface: "eni-1".into(),
            vpc: None,
        };
        let task = ClientOrigin {
            inside: Some(inside),
            ..from(None, false)
        };
        assert!(task.is_private());
    }
}
