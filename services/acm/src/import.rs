//! Certificates that come from elsewhere, with their keys. What cannot be served is refused here.

use cloud::{Cx, Error, Record};
use shapes::acm::{
    CertificateTransparencyLoggingPreference, ImportCertificateInput, ImportCertificateOutput,
    KeyAlgorithm,
};
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::parse::{Parsed, is_signed_by, read};
use crate::pem;
use crate::record::{CertificateRecord, Issued, find};
use crate::tags;

/// From an authority to a certificate; nobody's is longer.
const CHAIN_LENGTH_MAX: usize = 10;

fn invalid(message: impl Into<String>) -> Error {
    wire::codes::ValidationException.because(message)
}

struct Checked {
    parsed: Parsed,
    key_algorithm: KeyAlgorithm,
    issued: Issued,
}

pub async fn import_certificate(
    cx: Cx,
    input: ImportCertificateInput,
) -> Result<ImportCertificateOutput, Error> {
    let Checked {
        parsed,
        key_algorithm,
        issued,
    } = check(&cx, &input)?;
    let given = tags::given(&cx, input.tags.unwrap_or_default())?;
    let (domain, names) = (parsed.names[0].clone(), parsed.names);
    if let Some(arn) = &input.certificate_arn {
        if !given.is_empty() {
            return Err(invalid("Tagging is not permitted on re-import."));
        }
        let change = |record: &mut CertificateRecord| {
            if !record.is_imported {
                return Err(invalid(format!(
                    "Certificate {arn} was not imported, so that it cannot be imported again"
                )));
            }
            if record.key_algorithm != key_algorithm {
                return Err(invalid(
                    "The key type and size of a certificate that is imported again cannot change",
                ));
            }
            record.domain.clone_from(&domain);
            record.names.clone_from(&names);
            record.issued = Some(issued.clone());
            Ok(())
        };
        let record = cx.change(|tx| find(&cx, tx, arn), change)?;
        return Ok(ImportCertificateOutput {
            certificate_arn: Some(record.arn()),
        });
    }
    let record = CertificateRecord {
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        id: cloud::dashed(&cx.new_id("", 32)),
        domain,
        names,
        is_imported: true,
        key_algorithm,
        transparency: CertificateTransparencyLoggingPreference::Disabled,
        tags: given,
        created_ms: cx.clock().now_ms(),
        issued: Some(issued),
        renewed_ms: None,
        idempotency: None,
    };
    cx.write(|tx| {
        if tx.get::<CertificateRecord>(&record.key())?.is_none() {
            tx.put(&record)?;
        }
        Ok(ImportCertificateOutput {
            certificate_arn: Some(record.arn()),
        })
    })
}

fn check(cx: &Cx, input: &ImportCertificateInput) -> Result<Checked, Error> {
    let all = pem::certificates(&input.certificate.0)
        .ok_or_else(|| invalid("The certificate field is not a certificate in PEM format."))?;
    let [certificate] = &all[..] else {
        return Err(invalid(
            "The certificate field contains more than one certificate. You can specify only one certificate in this field.",
        ));
    };
    let x509 = read(certificate).ok_or_else(|| invalid("The certificate cannot be parsed."))?;
    let parsed = Parsed::of(&x509);
    if parsed.names.is_empty() {
        return Err(invalid("The certificate names no domain."));
    }
    let now_ms = cx.clock().now_ms();
    if parsed.not_after_ms <= now_ms {
        return Err(invalid("The certificate has expired."));
    }
    if parsed.not_before_ms > now_ms {
        return Err(invalid("The certificate is not valid yet."));
    }
    let key_algorithm = check_key(input, certificate, &parsed)?;
    let chain = chain_of(input)?;
    let mut last = x509;
    for issuer in &chain {
        let issuer = read(issuer).filter(|it| is_signed_by(&last, it));
        last = issuer.ok_or_else(|| {
            invalid("Could not validate the certificate with the certificate chain.")
        })?;
    }
    if chain.is_empty() && !is_signed_by(&last, &last) {
        return Err(invalid(
            "Provided certificate is not a valid self signed. Please provide either a valid self-signed certificate or certificate chain.",
        ));
    }
    let written: Result<Vec<_>, _> = chain.iter().map(|it| pem::certificate(it)).collect();
    let key = String::from_utf8_lossy(&input.private_key.0).into_owned();
    Ok(Checked {
        key_algorithm,
        issued: Issued {
            at_ms: now_ms,
            not_before_ms: parsed.not_before_ms,
            not_after_ms: parsed.not_after_ms,
            certificate: pem::certificate(certificate)?,
            chain: written?.concat(),
            key,
        },
        parsed,
    })
}

fn chain_of(input: &ImportCertificateInput) -> Result<Vec<CertificateDer<'static>>, Error> {
    let Some(chain) = &input.certificate_chain else {
        return Ok(vec![]);
    };
    let chain = pem::certificates(&chain.0)
        .ok_or_else(|| invalid("The certificate chain is not in PEM format."))?;
    match chain.len() > CHAIN_LENGTH_MAX {
        true => Err(invalid(format!(
            "The certificate chain has more than {CHAIN_LENGTH_MAX} certificates."
        ))),
        false => Ok(chain),
    }
}

/// The key is one that can be served with, and the certificate's own.
fn check_key(
    input: &ImportCertificateInput,
    certificate: &CertificateDer<'static>,
    parsed: &Parsed,
) -> Result<KeyAlgorithm, Error> {
    let key = PrivateKeyDer::from_pem_slice(&input.private_key.0).map_err(|_| {
        invalid("The private key is not in PEM format, or is encrypted by a passphrase.")
    })?;
    let unsupported = || invalid("The private key is not supported.");
    let key = any_supported_type(&key).map_err(|_| unsupported())?;
    let pair = CertifiedKey::new(vec![certificate.clone()], key);
    if pair.keys_match().is_err() {
        return Err(invalid("The private key does not match the certificate."));
    }
    parsed.key_algorithm.ok_or_else(unsupported)
}
