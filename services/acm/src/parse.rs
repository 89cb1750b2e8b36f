//! What stands in a certificate.

use cloud::Error;
use shapes::acm::{ExtendedKeyUsage, ExtendedKeyUsageName, KeyAlgorithm, KeyUsage, KeyUsageName};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Name};
use x509_parser::public_key::PublicKey;

use crate::pem;

pub struct Parsed {
    pub subject: String,
    /// The organization that issued it, or what it is called.
    pub issuer: String,
    /// The common name first, each once.
    pub names: Vec<String>,
    pub not_before_ms: i64,
    pub not_after_ms: i64,
    pub serial: String,
    /// None: one that ACM does not know.
    pub key_algorithm: Option<KeyAlgorithm>,
    pub signature_algorithm: String,
    pub key_usages: Vec<KeyUsage>,
    pub extended_key_usages: Vec<ExtendedKeyUsage>,
}

impl Parsed {
    /// Of a certificate that was parsed before it was kept.
    pub fn of_pem(text: &str) -> Result<Self, Error> {
        let all = pem::certificates(text.as_bytes()).unwrap_or_default();
        let parsed = all.first().and_then(|it| read(it)).map(|it| Self::of(&it));
        parsed.ok_or_else(|| wire::codes::InternalFailure.because("a certificate cannot be read"))
    }

    pub fn of(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self {
            subject: certificate.subject().to_string(),
            issuer: issuer(certificate.issuer()),
            names: names(certificate),
            not_before_ms: validity.not_before.timestamp() * 1000,
            not_after_ms: validity.not_after.timestamp() * 1000,
            serial: certificate.raw_serial_as_string(),
            key_algorithm: key_algorithm(certificate),
            signature_algorithm: signature_algorithm(certificate),
            key_usages: key_usages(certificate),
            extended_key_usages: extended_key_usages(certificate),
        }
    }
}

/// A certificate, and nothing behind it.
pub fn read(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

/// Whether the second one signed the first.
pub fn is_signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    certificate.issuer() == issuer.subject()
        && certificate
            .verify_signature(Some(issuer.public_key()))
            .is_ok()
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    let found = name.iter_common_name().next()?;
    found.as_str().ok().map(str::to_owned)
}

fn issuer(name: &X509Name<'_>) -> String {
    let organization = name.iter_organization().next();
    let organization = organization
        .and_then(|it| it.as_str().ok())
        .map(str::to_owned);
    organization
        .or_else(|| common_name(name))
        .unwrap_or_default()
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names: Vec<String> = common_name(certificate.subject()).into_iter().collect();
    let others = certificate.subject_alternative_name().ok().flatten();
    for other in others.iter().flat_map(|it| &it.value.general_names) {
        if let GeneralName::DNSName(name) = other
            && !names.iter().any(|it| it == name)
        {
            names.push((*name).to_owned());
        }
    }
    names
}

fn key_algorithm(certificate: &X509Certificate<'_>) -> Option<KeyAlgorithm> {
    let key = certificate.public_key();
    match key.parsed().ok()? {
        PublicKey::RSA(rsa) => match rsa.key_size() {
            1024 => Some(KeyAlgorithm::Rsa1024),
            2048 => Some(KeyAlgorithm::Rsa2048),
            3072 => Some(KeyAlgorithm::Rsa3072),
            4096 => Some(KeyAlgorithm::Rsa4096),
            _ => None,
        },
        PublicKey::EC(_) => {
            let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
            match curve.to_id_string().as_str() {
                "1.2.840.10045.3.1.7" => Some(KeyAlgorithm::EcPrime256v1),
                "1.3.132.0.34" => Some(KeyAlgorithm::EcSecp384r1),
                "1.3.132.0.35" => Some(KeyAlgorithm::EcSecp521r1),
                _ => None,
            }
        }
        _ => None,
    }
}

fn signature_algorithm(certificate: &X509Certificate<'_>) -> String {
    let id = certificate.signature_algorithm.algorithm.to_id_string();
    let name = match id.as_str() {
        "1.2.840.113549.1.1.5" => "SHA1WITHRSA",
        "1.2.840.113549.1.1.11" => "SHA256WITHRSA",
        "1.2.840.113549.1.1.12" => "SHA384WITHRSA",
        "1.2.840.113549.1.1.13" => "SHA512WITHRSA",
        "1.2.840.10045.4.3.2" => "SHA256WITHECDSA",
        "1.2.840.10045.4.3.3" => "SHA384WITHECDSA",
        "1.2.840.10045.4.3.4" => "SHA512WITHECDSA",
        other => other,
    };
    name.to_owned()
}

fn key_usages(certificate: &X509Certificate<'_>) -> Vec<KeyUsage> {
    let Some(found) = certificate.key_usage().ok().flatten().map(|it| it.value) else {
        return vec![];
    };
    let all = [
        (found.digital_signature(), KeyUsageName::DigitalSignature),
        (found.non_repudiation(), KeyUsageName::NonRepudiation),
        (found.key_encipherment(), KeyUsageName::KeyEncipherment),
        (found.data_encipherment(), KeyUsageName::DataEncipherment),
        (found.key_agreement(), KeyUsageName::KeyAgreement),
        (found.key_cert_sign(), KeyUsageName::CertificateSigning),
        (found.crl_sign(), KeyUsageName::CrlSigning),
        (found.encipher_only(), KeyUsageName::EncipherOnly),
        (found.decipher_only(), KeyUsageName::DecipherOnly),
    ];
    let has = all.into_iter().filter(|it| it.0);
    has.map(|it| KeyUsage { name: Some(it.1) }).collect()
}

fn extended_key_usages(certificate: &X509Certificate<'_>) -> Vec<ExtendedKeyUsage> {
    let found = certificate.extended_key_usage().ok().flatten();
    let Some(found) = found.map(|it| it.value) else {
        return vec![];
    };
    use ExtendedKeyUsageName as Name;
    let all = [
        (found.any, Name::Any, "2.5.29.37.0"),
        (
            found.server_auth,
            Name::TlsWebServerAuthentication,
            "1.3.6.1.5.5.7.3.1",
        ),
        (
            found.client_auth,
            Name::TlsWebClientAuthentication,
            "1.3.6.1.5.5.7.3.2",
        ),
        (found.code_signing, Name::CodeSigning, "1.3.6.1.5.5.7.3.3"),
        (
            found.email_protection,
            Name::EmailProtection,
            "1.3.6.1.5.5.7.3.4",
        ),
        (found.time_stamping, Name::TimeStamping, "1.3.6.1.5.5.7.3.8"),
        (found.ocsp_signing, Name::OcspSigning, "1.3.6.1.5.5.7.3.9"),
    ];
    let has = all.into_iter().filter(|it| it.0);
    let known = has.map(|it| ExtendedKeyUsage {
        name: Some(it.1),
        oid: Some(it.2.to_owned()),
    });
    let others = found.other.iter().map(|it| ExtendedKeyUsage {
        name: Some(Name::Custom),
        oid: Some(it.to_id_string()),
    });
    known.chain(others).collect()
}
