//! Logins that a service keeps for others and tells nobody: no operation answers with them.

use wire::Error;

use crate::Cx;

/// What a server is shown. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password: String,
}

/// Finds the login of a connection by the connection's ARN.
pub type LendLogin = fn(&Cx, &str) -> Result<Option<Login>, Error>;

impl Cx {
    /// What the server behind a connection is shown; None where it is to be read without. Whether somebody
    /// may use the connection is asked before, by whoever reads for them.
    pub fn find_login(&self, connection_arn: &str) -> Result<Option<Login>, Error> {
        match self.cloud.services().find_map(|it| it.login) {
            Some(lend) => lend(self, connection_arn),
            None => Ok(None),
        }
    }
}
