//! Requests for certificates of the local authority.

use cloud::{Cx, Error, Record, Records};
use shapes::acm::{
    CertificateTransparencyLoggingPreference, KeyAlgorithm, RequestCertificateInput,
    RequestCertificateOutput, ValidationMethod, errors,
};

use crate::record::CertificateRecord;
use crate::tags;

const HOUR_MS: i64 = 60 * 60 * 1000;
/// ACM quotas: "Domain names per ACM certificate".
const NAMES_MAX: usize = 10;
/// The common name of a certificate has no room for more (RequestCertificate, "DomainName").
const DOMAIN_LENGTH_MAX: usize = 64;

fn unsupported(what: &str) -> Error {
    wire::codes::ValidationException.because(format!("{what} is not supported by neargate"))
}

pub async fn request_certificate(
    cx: Cx,
    input: RequestCertificateInput,
) -> Result<RequestCertificateOutput, Error> {
    match input.validation_method {
        Some(ValidationMethod::Dns) => {}
        Some(other) => return Err(unsupported(&format!("the validation method {other}"))),
        None => {
            let what = "the validation method EMAIL, which AWS takes where none is given,";
            return Err(unsupported(&format!("{what} (say DNS)")));
        }
    }
    let key_algorithm = match input.key_algorithm {
        // What is described is what there is: AWS makes RSA_2048 where nothing is asked for.
        None => KeyAlgorithm::EcPrime256v1,
        Some(it @ (KeyAlgorithm::EcPrime256v1 | KeyAlgorithm::EcSecp384r1)) => it,
        Some(other) => {
            let what = format!("the key algorithm {other}");
            return Err(unsupported(&format!(
                "{what} (say EC_prime256v1 or EC_secp384r1)"
            )));
        }
    };
    let names = names_of(&input)?;
    let given = tags::given(&cx, input.tags.unwrap_or_default())?;
    let options = input.options.unwrap_or_default();
    let transparency = options.certificate_transparency_logging_preference;
    let record = CertificateRecord {
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        id: cloud::dashed(&cx.new_id("", 32)),
        domain: names[0].clone(),
        names,
        is_imported: false,
        key_algorithm,
        transparency: transparency.unwrap_or(CertificateTransparencyLoggingPreference::Enabled),
        tags: given,
        created_ms: cx.clock().now_ms(),
        issued: None,
        renewed_ms: None,
        idempotency: input.idempotency_token,
    };
    cx.write(|tx| {
        if let Some(same) = same_request(&cx, tx, &record)? {
            return Ok(RequestCertificateOutput {
                certificate_arn: Some(same.arn()),
            });
        }
        tx.put(&record)?;
        Ok(RequestCertificateOutput {
            certificate_arn: Some(record.arn()),
        })
    })
}

/// A token is good for an hour (RequestCertificate, "IdempotencyToken").
fn same_request(
    cx: &Cx,
    tx: &Records<'_>,
    new: &CertificateRecord,
) -> Result<Option<CertificateRecord>, Error> {
    if let Some(known) = tx.get::<CertificateRecord>(&new.key())? {
        return Ok(Some(known));
    }
    if new.idempotency.is_none() {
        return Ok(None);
    }
    let is_same = |it: &CertificateRecord| {
        it.idempotency == new.idempotency
            && it.names == new.names
            && it.key_algorithm == new.key_algorithm
            && new.created_ms - it.created_ms < HOUR_MS
    };
    Ok(tx.list(&cx.key(""))?.into_iter().find(is_same))
}

/// The domain first, in small letters, each once.
fn names_of(input: &RequestCertificateInput) -> Result<Vec<String>, Error> {
    let others = input.subject_alternative_names.iter().flatten();
    let mut names: Vec<String> = Vec::new();
    for name in std::iter::once(&input.domain_name).chain(others) {
        let name = name.to_ascii_lowercase();
        check_name(&name)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if input.domain_name.len() > DOMAIN_LENGTH_MAX {
        return Err(invalid_domain(format!(
            "The first domain name can be no longer than {DOMAIN_LENGTH_MAX} characters"
        )));
    }
    if names.len() > NAMES_MAX {
        return Err(errors::LimitExceededException.because(format!(
            "Cannot request more domain names than your current limit of {NAMES_MAX}"
        )));
    }
    Ok(names)
}

fn invalid_domain(message: String) -> Error {
    errors::InvalidParameterException.because(message)
}

/// A fully qualified name; a star may stand for its first label.
fn check_name(name: &str) -> Result<(), Error> {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |it: &str| {
        let is_plain = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        (1..=63).contains(&it.len())
            && it.bytes().all(is_plain)
            && !it.starts_with('-')
            && !it.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_address = last.bytes().all(|it| it.is_ascii_digit());
    if host.contains('.') && host.split('.').all(is_label) && !is_address {
        return Ok(());
    }
    Err(wire::codes::ValidationException.because(format!(
        "The domain name '{name}' is not valid: it must be a fully qualified domain name, whose first label may be '*'"
    )))
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_are_fully_qualified() {
        for good in [
            "a.example",
            "*.a.example",
            "x-1.b_c.example.com",
            "1.example",
        ] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "localhost",
            "*.localhost",
            "a.*.b",
            "-a.b",
            "a..b",
            "10.0.0.1",
            "a b.c",
            "a.b.",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
