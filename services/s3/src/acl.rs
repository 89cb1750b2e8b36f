//! Lists of grants: who has which of five permissions on a bucket or an object (User Guide, "Access control
//! list (ACL) overview").

use serde::{Deserialize, Serialize};

/// Whom a permission is granted. There is one account, and grants to others cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantedTo {
    Owner,
    Everybody,
    /// Every user of any account. Users here are the owner's, and are bound by their policies.
    Authenticated,
    LogDelivery,
}

impl GrantedTo {
    const GROUPS: &'static [(Self, &'static str)] = &[
        (
            Self::Everybody,
            "http://acs.amazonaws.com/groups/global/AllUsers",
        ),
        (
            Self::Authenticated,
            "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
        ),
        (
            Self::LogDelivery,
            "http://acs.amazonaws.com/groups/s3/LogDelivery",
        ),
    ];

    /// None: it is the owner, and no group.
    pub fn uri(self) -> Option<&'static str> {
        let mut groups = Self::GROUPS.iter();
        groups.find(|it| it.0 == self).map(|it| it.1)
    }

    pub fn group(uri: &str) -> Option<Self> {
        let mut groups = Self::GROUPS.iter();
        groups.find(|it| it.1 == uri).map(|it| it.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Right {
    FullControl,
    Read,
    Write,
    ReadAcp,
    WriteAcp,
}

impl Right {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::FullControl, "FULL_CONTROL"),
        (Self::Read, "READ"),
        (Self::Write, "WRITE"),
        (Self::ReadAcp, "READ_ACP"),
        (Self::WriteAcp, "WRITE_ACP"),
    ];

    pub fn name(self) -> &'static str {
        let mut names = Self::NAMES.iter();
        names.find(|it| it.0 == self).map_or("", |it| it.1)
    }

    pub fn named(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names.find(|it| it.1 == name).map(|it| it.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    pub to: GrantedTo,
    pub right: Right,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Acl(pub Vec<Granted>);

/// Lists were stored by the names of the two that there were.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Named(String),
    Granted(Vec<Granted>),
}

impl From<Stored> for Acl {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Granted(grants) => Self(grants),
            Stored::Named(name) if name == "PublicRead" => Self::public_read(),
            Stored::Named(_) => Self::default(),
        }
    }
}

/// The owner has everything, and nobody else anything.
impl Default for Acl {
    fn default() -> Self {
        Self::with(&[])
    }
}

impl Acl {
    /// Of the owner, and more.
    fn with(more: &[(GrantedTo, Right)]) -> Self {
        let own = (GrantedTo::Owner, Right::FullControl);
        let all = std::iter::once(&own).chain(more);
        Self(all.map(|&(to, right)| Granted { to, right }).collect())
    }

    pub fn public_read() -> Self {
        Self::with(&[(GrantedTo::Everybody, Right::Read)])
    }

    /// A canned list. Those that say something of the bucket's owner say what is so anyway.
    pub fn canned(name: &str) -> Option<Self> {
        use GrantedTo::{Authenticated, Everybody, LogDelivery};
        Some(match name {
            "private" | "bucket-owner-full-control" | "bucket-owner-read" => Self::default(),
            "public-read" => Self::public_read(),
            "public-read-write" => {
                Self::with(&[(Everybody, Right::Read), (Everybody, Right::Write)])
            }
            "authenticated-read" => Self::with(&[(Authenticated, Right::Read)]),
            "log-delivery-write" => {
                Self::with(&[(LogDelivery, Right::Write), (LogDelivery, Right::ReadAcp)])
            }
            _ => return None,
        })
    }

    pub fn is_private(&self) -> bool {
        self.0.iter().all(|it| it.to == GrantedTo::Owner)
    }

    /// What blocking public access blocks.
    pub fn is_public(&self) -> bool {
        let mut all = self.0.iter();
        all.any(|it| matches!(it.to, GrantedTo::Everybody | GrantedTo::Authenticated))
    }

    pub fn lets_everybody(&self, right: Right) -> bool {
        let mut all = self.0.iter();
        all.any(|it| {
            it.to == GrantedTo::Everybody && (it.right == right || it.right == Right::FullControl)
        })
    }
}

/// What an action is among the rights, and whether the bucket's list grants it, or the object's.
pub fn right_for(action: &str) -> Option<(Right, ListOf)> {
    Some(match action {
        "s3:ListBucket" | "s3:ListBucketVersions" | "s3:ListBucketMultipartUploads" => {
            (Right::Read, ListOf::Bucket)
        }
        "s3:PutObject" | "s3:DeleteObject" => (Right::Write, ListOf::Bucket),
        "s3:GetBucketAcl" => (Right::ReadAcp, ListOf::Bucket),
        "s3:PutBucketAcl" => (Right::WriteAcp, ListOf::Bucket),
        "s3:GetObject" | "s3:GetObjectVersion" => (Right::Read, ListOf::Object),
        "s3:GetObjectAcl" | "s3:GetObjectVersionAcl" => (Right::ReadAcp, ListOf::Object),
        _ => return None,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOf {
    Bucket,
    Object,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_were_stored_by_name_are_read() {
        let read = |text: &str| serde_json::from_str::<Acl>(text).unwrap();
        assert_eq!(read("\"Private\""), Acl::default());
        assert_eq!(read("\"PublicRead\""), Acl::public_read());
        let all = Acl::canned("public-read-write").unwrap();
        assert_eq!(read(&serde_json::to_string(&all).unwrap()), all);
        assert!(all.lets_everybody(Right::Write) && !all.lets_everybody(Right::ReadAcp));
        assert!(Acl::canned("authenticated-read").unwrap().is_public());
        assert!(!Acl::canned("log-delivery-write").unwrap().is_public());
    }
}
