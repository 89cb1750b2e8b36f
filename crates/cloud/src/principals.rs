//! Whom the policies of resources name. A policy is written with ARNs and kept with ids: a user or role
//! of the same name that is made later is another (IAM User Guide, "AWS JSON policy elements: Principal").
//! The service that keeps users and roles lends both ways ([`Service::lends_principals`]); whoever keeps a
//! policy keeps what [`Cx::keep_policy`] answers, and shows what [`Cx::show_policy`] does.
//!
//! A policy that an earlier version kept has ARNs in it, and binds whoever has them until it is put again.
//!
//! [`Service::lends_principals`]: crate::Service::lends_principals

use wire::Error;

use crate::Cx;

/// A principal of this account that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPrincipal(pub String);

/// A policy as it is to be kept, or whom it names that is not there.
pub type KeptPolicy = Result<String, UnknownPrincipal>;

/// The two ways between ARNs and ids, over the text of a policy.
#[derive(Clone, Copy)]
pub struct LendPrincipals {
    pub keep: fn(&Cx, &str) -> Result<KeptPolicy, Error>,
    pub show: fn(&Cx, &str) -> Result<String, Error>,
}

impl Cx {
    /// A policy as it is to be kept, or whom it names that is not there. What is no policy is left as it is.
    pub fn keep_policy(&self, text: &str) -> Result<KeptPolicy, Error> {
        match self.cloud.services().find_map(|it| it.principals) {
            Some(lent) => (lent.keep)(self, text),
            None => Ok(Ok(text.to_owned())),
        }
    }

    /// A policy that was kept, with the ARNs of those who are still there.
    pub fn show_policy(&self, text: &str) -> Result<String, Error> {
        match self.cloud.services().find_map(|it| it.principals) {
            Some(lent) => (lent.show)(self, text),
            None => Ok(text.to_owned()),
        }
    }
}
