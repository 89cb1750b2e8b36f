//! What is stored of certificates.

use cloud::{Cx, Error, Record, Records, ServingCertificate, TagMap};
use serde::{Deserialize, Serialize};
use shapes::acm::errors;
use shapes::acm::{CertificateTransparencyLoggingPreference, KeyAlgorithm};

/// A certificate of the account's. Its key, without the region, is the end of its ARN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificateRecord {
    pub region: String,
    pub account: String,
    pub id: String,
    /// The first of its names.
    pub domain: String,
    /// All of them, with the first.
    pub names: Vec<String>,
    pub is_imported: bool,
    pub key_algorithm: KeyAlgorithm,
    pub transparency: CertificateTransparencyLoggingPreference,
    pub tags: TagMap,
    pub created_ms: i64,
    /// None: it was requested, and is not issued yet.
    pub issued: Option<Issued>,
    /// When the authority last issued it anew.
    pub renewed_ms: Option<i64>,
    /// The token of the request for it, if it had one.
    pub idempotency: Option<String>,
}

/// What is served. The key is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    pub at_ms: i64,
    pub not_before_ms: i64,
    pub not_after_ms: i64,
    /// PEM.
    pub certificate: String,
    /// PEM: what leads from it to an authority; empty for one that vouches for itself.
    pub chain: String,
    /// PEM, PKCS #8 or what was imported.
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

impl Record for CertificateRecord {
    const KIND: &'static str = "acm.certificate";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

impl CertificateRecord {
    pub fn arn(&self) -> String {
        let resource = format!("certificate/{}", self.id);
        cloud::arn("acm", &self.region, &self.account, &resource)
    }
}

/// The authority of this installation: one, whatever the region. Its key is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityRecord {
    /// What it is called, to be told apart from other installations'.
    pub name: String,
    /// PEM.
    pub certificate: String,
    /// PKCS #8.
    pub key: Vec<u8>,
    pub not_after_ms: i64,
}

impl std::fmt::Debug for AuthorityRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("AuthorityRecord");
        shown.field("name", &self.name).finish_non_exhaustive()
    }
}

pub const AUTHORITY_KEY: &str = "local";

impl Record for AuthorityRecord {
    const KIND: &'static str = "acm.authority";
    fn key(&self) -> String {
        AUTHORITY_KEY.to_owned()
    }
}

/// The certificate with this ARN.
pub fn find(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<CertificateRecord, Error> {
    let missing =
        || errors::ResourceNotFoundException.because(format!("Could not find certificate {arn}."));
    let id = arn.rsplit_once(":certificate/").map(|it| it.1);
    let found: Option<CertificateRecord> = tx.get(&cx.key(id.ok_or_else(missing)?))?;
    found.filter(|it| it.arn() == arn).ok_or_else(missing)
}

/// For who serves with it.
pub fn lend(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<Option<ServingCertificate>, Error> {
    let found = match find(cx, tx, arn) {
        Ok(found) => found,
        Err(error) if error.is(errors::ResourceNotFoundException) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (names, id) = (found.names, found.id);
    Ok(found.issued.map(|issued| ServingCertificate {
        // The certificate itself tells one issue from the other.
        id: format!(
            "{id}-{}",
            cloud::token_hex(&issued.certificate, "issue", 16)
        ),
        hosts: names,
        chain: format!("{}{}", issued.certificate, issued.chain),
        key: issued.key,
    }))
}

pub fn date(ms: i64) -> Option<wire::Timestamp> {
    Some(wire::Timestamp(ms as f64 / 1000.0))
}
