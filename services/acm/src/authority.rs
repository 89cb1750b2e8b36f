//! The local authority: a key and a certificate of its own making, made when it is needed first. It vouches for
//! whatever its owner asks for, on the machines that its owner makes trust it; its key does not leave the store.

use cloud::{Cx, Error};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SanType,
    SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use shapes::acm::KeyAlgorithm;
use time::OffsetDateTime;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::pem;
use crate::record::{AUTHORITY_KEY, AuthorityRecord, Issued};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// As long as a person keeps a machine; trust in it is put in by hand.
const AUTHORITY_DAYS: i64 = 3650;
/// ACM User Guide, "Managed certificate renewal": "valid for 13 months (395 days)".
const CERTIFICATE_DAYS: i64 = 395;
/// Clocks of clients may be a little behind.
const EARLIER_MS: i64 = 60 * 60 * 1000;
/// Of a serial number (RFC 5280, 4.1.2.2: at most 20 bytes, positive).
const SERIAL_BYTES: usize = 16;

fn failed(error: impl std::fmt::Display) -> Error {
    let reason = format!("the local authority cannot issue a certificate: {error}");
    wire::codes::InternalFailure.because(reason)
}

fn moment(ms: i64) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).map_err(failed)
}

fn serial() -> Result<SerialNumber, Error> {
    let mut bytes = [0; SERIAL_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    // Positive, and as long as it is said to be.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::OrganizationName, "neargate");
    names.push(DnType::CommonName, name);
    names
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    // It signs what is served, and no other authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn new_authority(now_ms: i64) -> Result<AuthorityRecord, Error> {
    let name = format!("neargate local authority {}", cloud::random_hex(8));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let not_after_ms = now_ms + AUTHORITY_DAYS * DAY_MS;
    let mut params = authority_params(&name);
    params.not_before = moment(now_ms - EARLIER_MS)?;
    params.not_after = moment(not_after_ms)?;
    params.serial_number = Some(serial()?);
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(AuthorityRecord {
        name,
        certificate: pem::certificate(certificate.der())?,
        key: key.serialize_der(),
        not_after_ms,
    })
}

/// The authority, which is made when there is none, or when it ends before what it would issue.
pub fn authority(cx: &Cx) -> Result<AuthorityRecord, Error> {
    let now_ms = cx.clock().now_ms();
    let lasts = |it: &AuthorityRecord| it.not_after_ms > now_ms + CERTIFICATE_DAYS * DAY_MS;
    let known = cx.read(|tx| tx.get::<AuthorityRecord>(AUTHORITY_KEY))?;
    if let Some(known) = known.filter(lasts) {
        return Ok(known);
    }
    let new = new_authority(now_ms)?;
    cx.write(|tx| {
        // Somebody else may have been first.
        if let Some(known) = tx.get::<AuthorityRecord>(AUTHORITY_KEY)?.filter(lasts) {
            return Ok(known);
        }
        tx.put(&new)?;
        Ok(new)
    })
}

/// The authority's name and its certificate as PEM, for who is to trust it.
pub fn certificate(cx: &Cx) -> Result<(String, String), Error> {
    authority(cx).map(|it| (it.name, it.certificate))
}

/// Issues a certificate with a new key.
pub fn issue(cx: &Cx, names: &[String], algorithm: KeyAlgorithm) -> Result<Issued, Error> {
    let authority = authority(cx)?;
    let now_ms = cx.clock().now_ms();
    let kind = match algorithm {
        KeyAlgorithm::EcSecp384r1 => &PKCS_ECDSA_P384_SHA384,
        _ => &PKCS_ECDSA_P256_SHA256,
    };
    let key = KeyPair::generate_for(kind).map_err(failed)?;
    let mut params = CertificateParams::default();
    let domain = names.first().map_or("", String::as_str);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, domain);
    let name = |it: &String| Ok(SanType::DnsName(it.as_str().try_into().map_err(failed)?));
    params.subject_alt_names = names.iter().map(name).collect::<Result<_, Error>>()?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial()?);
    let (not_before_ms, not_after_ms) = (now_ms - EARLIER_MS, now_ms + CERTIFICATE_DAYS * DAY_MS);
    params.not_before = moment(not_before_ms)?;
    params.not_after = moment(not_after_ms)?;
    let own_key = PrivatePkcs8KeyDer::from(authority.key.as_slice());
    let own_key = KeyPair::from_pkcs8_der_and_sign_algo(&own_key, &PKCS_ECDSA_P256_SHA256);
    let issuer = Issuer::new(authority_params(&authority.name), own_key.map_err(failed)?);
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok(Issued {
        at_ms: now_ms,
        not_before_ms,
        not_after_ms,
        certificate: pem::certificate(certificate.der())?,
        chain: authority.certificate,
        key: pem::key(&key.serialize_der())?,
    })
}
