//! Roles, as those find them who are to act with one. The service that keeps them lends them
//! ([`Service::lends_roles`]); what is given for a role is read here and nowhere else.
//!
//! [`Service::lends_roles`]: crate::Service::lends_roles

use wire::Error;

use crate::{Cx, TagMap};

/// A role that is there. Whom it trusts is not told: `sts:AssumeRole` decides, and nobody else reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundRole {
    pub arn: String,
    pub tags: TagMap,
}

/// Finds a role by its name.
pub type LendRole = fn(&Cx, &str) -> Result<Option<FoundRole>, Error>;

/// Whether a role lets who calls take it on, in a session of this name.
pub type LendTrust = fn(&Cx, &FoundRole, &str) -> Result<bool, Error>;

impl Cx {
    /// The role that is given by its name or by its ARN, as templates and requests give both. A name
    /// leads to the role whatever its path, since no two roles have one name; an ARN is that role's own
    /// or none's: one with another path or account never leads to the role of the same name.
    pub fn find_role(&self, given: &str) -> Result<Option<FoundRole>, Error> {
        let Some(lend) = self.cloud.services().find_map(|it| it.role) else {
            return Ok(None);
        };
        let is_arn = given.starts_with("arn:");
        let name = match is_arn {
            true => given.rsplit('/').next().unwrap_or_default(),
            false => given,
        };
        if name.is_empty() {
            return Ok(None);
        }
        let found = lend(self, name)?;
        Ok(found.filter(|it| !is_arn || it.arn == given))
    }

    /// Whether a role lets who calls take it on, in a session of this name: what `sts:AssumeRole` would
    /// decide, without a session that nobody uses. Where nobody keeps roles, nobody refuses.
    pub fn may_assume(&self, role: &FoundRole, session: &str) -> Result<bool, Error> {
        match self.cloud.services().find_map(|it| it.trust) {
            Some(trusts) => trusts(self, role, session),
            None => Ok(true),
        }
    }

    /// The ARN of the role that is given, whether it is there or not: of one that is not, the one that it
    /// would have, so that acting with it leads to nobody's rights.
    pub fn role_arn(&self, given: &str) -> Result<String, Error> {
        Ok(match self.find_role(given)? {
            Some(found) => found.arn,
            None => absent_role_arn(self.account(), given),
        })
    }
}

pub(crate) fn absent_role_arn(account: &str, given: &str) -> String {
    match given.starts_with("arn:") {
        true => given.to_owned(),
        false => format!("arn:aws:iam::{account}:role/{given}"),
    }
}
