//! What calls of ACM need permission for: certificates, by their ARNs.

use cloud::permission::{ConditionKey, Permission, everywhere, on};
use cloud::{Cx, Touched};
use shapes::acm::{
    CertificateTransparencyLoggingPreference, ExportCertificateInput, ImportCertificateInput,
    KeyAlgorithm, RequestCertificateInput, ValidationMethod,
};

use crate::record::find;

/// Of the reference: the only type of resource.
const CERTIFICATE: &str = "certificate";
const DOMAIN_NAMES: &str = "acm:DomainNames";

fn certificate(cx: &Cx, arn: &str) -> Touched {
    match cx.read(|tx| find(cx, tx, arn)) {
        Ok(found) => Touched::named(found.arn()).tagged(found.tags),
        Err(error) if error.status < 500 => Touched::absent(arn),
        // Its tags are not known.
        Err(_) => Touched::named(arn),
    }
}

/// On the certificate with this ARN.
pub fn on_certificate<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    on(CERTIFICATE, move |cx, it| certificate(cx, arn(it)))
}

/// On whatever is requested: what a request leaves out is what AWS takes then.
pub fn request() -> Permission<RequestCertificateInput> {
    const KEYS: &[&str] = &[
        "acm:CertificateAuthority",
        "acm:CertificateTransparencyLogging",
        DOMAIN_NAMES,
        "acm:Export",
        "acm:KeyAlgorithm",
        "acm:ValidationMethod",
    ];
    everywhere().supplying(KEYS, |_, it: &RequestCertificateInput| {
        let others = it.subject_alternative_names.iter().flatten();
        let names = std::iter::once(&it.domain_name).chain(others).cloned();
        let options = it.options.as_ref();
        let logging = options.and_then(|it| it.certificate_transparency_logging_preference);
        let logging = logging.unwrap_or(CertificateTransparencyLoggingPreference::Enabled);
        let key = it.key_algorithm.unwrap_or(KeyAlgorithm::Rsa2048);
        let method = it.validation_method.unwrap_or(ValidationMethod::Email);
        vec![
            ConditionKey::new("acm:CertificateTransparencyLogging", Some(logging)),
            ConditionKey::of_many(DOMAIN_NAMES, names.collect()),
            ConditionKey::new("acm:Export", Some("DISABLED")),
            ConditionKey::new("acm:KeyAlgorithm", Some(key)),
            ConditionKey::new("acm:ValidationMethod", Some(method)),
        ]
    })
}

pub fn export() -> Permission<ExportCertificateInput> {
    on_certificate(|it: &ExportCertificateInput| &it.certificate_arn).supplying(
        &[DOMAIN_NAMES],
        |cx, it| {
            let found = cx.read(|tx| find(cx, tx, &it.certificate_arn));
            let names = found.map(|it| it.names).unwrap_or_default();
            vec![ConditionKey::of_many(DOMAIN_NAMES, names)]
        },
    )
}

/// On the certificate that is imported again, or on one that is to be made.
pub fn import() -> Permission<ImportCertificateInput> {
    on(CERTIFICATE, |cx, it: &ImportCertificateInput| {
        match &it.certificate_arn {
            Some(arn) => certificate(cx, arn),
            None => Touched::absent(cx.arn("acm", "certificate/*")),
        }
    })
}
