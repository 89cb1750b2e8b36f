//! Certificates with their keys, as those find them who serve with them: no operation answers with a key. The
//! service that keeps them lends them, and whoever serves with them lends what for, so that none is deleted
//! that is in use.

use wire::Error;

use crate::{Cx, Records};

/// A certificate that can be served with. Its key is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ServingCertificate {
    /// Another one each time that it is issued anew.
    pub id: String,
    /// Hosts that it is for.
    pub hosts: Vec<String>,
    /// PEM: the certificate, and what leads from it to an authority.
    pub chain: String,
    /// PEM.
    pub key: String,
}

/// Finds a certificate by its ARN; None: there is none, or it is not issued.
pub type LendCertificate = fn(&Cx, &Records<'_>, &str) -> Result<Option<ServingCertificate>, Error>;

/// Tells the ARNs of what serves with a certificate.
pub type LendServers = fn(&Cx, &Records<'_>, &str) -> Result<Vec<String>, Error>;

impl Cx {
    pub fn find_certificate(
        &self,
        tx: &Records<'_>,
        arn: &str,
    ) -> Result<Option<ServingCertificate>, Error> {
        match self.cloud.services().find_map(|it| it.certificate) {
            Some(lend) => lend(self, tx, arn),
            None => Ok(None),
        }
    }

    /// The ARNs of all that serves with a certificate.
    pub fn servers_with(&self, tx: &Records<'_>, arn: &str) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        for lend in self.cloud.services().filter_map(|it| it.servers) {
            all.extend(lend(self, tx, arn)?);
        }
        Ok(all)
    }
}
