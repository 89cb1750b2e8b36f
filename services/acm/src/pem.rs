//! The text form of certificates and keys (RFC 7468).

use cloud::Error;
use pem_rfc7468::LineEnding;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

pub fn certificate(der: &[u8]) -> Result<String, Error> {
    written("CERTIFICATE", der)
}

pub fn key(pkcs8: &[u8]) -> Result<String, Error> {
    written("PRIVATE KEY", pkcs8)
}

fn written(label: &str, der: &[u8]) -> Result<String, Error> {
    let text = pem_rfc7468::encode_string(label, LineEnding::LF, der);
    text.map_err(|error| wire::codes::InternalFailure.because(error.to_string()))
}

/// All certificates of a text; None when it is none.
pub fn certificates(text: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    all.ok().filter(|it| !it.is_empty())
}
