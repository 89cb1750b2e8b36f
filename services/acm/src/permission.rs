//! What calls of ACM need permission for: certificates, by their ARNs.

use cloud::permission::{Permission, on};
use cloud::{Cx, Touched};
use shapes::acm::ImportCertificateInput;

use crate::record::find;

/// Of the reference: the only type of resource.
const CERTIFICATE: &str = "certificate";

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

/// On the certificate that is imported again, or on one that is to be made.
pub fn import() -> Permission<ImportCertificateInput> {
    on(CERTIFICATE, |cx, it: &ImportCertificateInput| {
        match &it.certificate_arn {
            Some(arn) => certificate(cx, arn),
            None => Touched::absent(cx.arn("acm", "certificate/*")),
        }
    })
}
