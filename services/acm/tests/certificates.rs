//! The operations over a machine that is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cloud::{Clock, Pace, Service};
use serde_json::{Value as Json, json};
use shapes::acm::*;
use testkit::{JsonWorld, text};
use x509_parser::prelude::{FromDer as _, X509Certificate};

fn world_by(clock: Clock, services: Vec<Service>) -> JsonWorld {
    JsonWorld(testkit::world(services).by(clock).run())
}

fn world() -> JsonWorld {
    world_by(Clock::new(Pace::Fast), vec![acm::service()])
}

async fn described(world: &JsonWorld, arn: &str) -> Json {
    let input = json!({"CertificateArn": arn});
    world.ok::<DescribeCertificateInput>(input).await["Certificate"].clone()
}

async fn issued(world: &JsonWorld, input: Json) -> (String, Json) {
    let arn = text(&world.ok::<RequestCertificateInput>(input).await["CertificateArn"]);
    let found = testkit::wait(async || {
        let found = described(world, &arn).await;
        (found["Status"] == "ISSUED").then_some(found)
    });
    let found = found.await.expect("the certificate is issued");
    (arn, found)
}

fn der(pem: &str) -> Vec<u8> {
    pem_rfc7468::decode_vec(pem.trim().as_bytes()).unwrap().1
}

#[tokio::test]
async fn the_local_authority_really_issues() {
    let world = world();
    let wanted = json!({"DomainName": "Shop.example", "ValidationMethod": "DNS", "IdempotencyToken": "one",
        "SubjectAlternativeNames": ["*.shop.example", "shop.example"], "Tags": [{"Key": "a", "Value": "b"}]});
    let (arn, found) = issued(&world, wanted.clone()).await;
    assert_eq!(
        found["SubjectAlternativeNames"],
        json!(["shop.example", "*.shop.example"])
    );
    assert_eq!(
        (&found["Type"], &found["Issuer"]),
        (&json!("AMAZON_ISSUED"), &json!("neargate"))
    );
    assert_eq!(found["KeyAlgorithm"], "EC_prime256v1");
    assert_eq!(found["SignatureAlgorithm"], "SHA256WITHECDSA");
    let validations = found["DomainValidationOptions"].as_array().unwrap();
    let record = &validations[0]["ResourceRecord"];
    assert_eq!(
        record, &validations[1]["ResourceRecord"],
        "a star's record is the domain's"
    );
    assert!(text(&record["Name"]).ends_with(".shop.example."));
    assert!(text(&record["Value"]).ends_with(".acm-validations.aws."));

    let got = world
        .ok::<GetCertificateInput>(json!({"CertificateArn": arn}))
        .await;
    let (own, chain) = (
        der(&text(&got["Certificate"])),
        der(&text(&got["CertificateChain"])),
    );
    let own = X509Certificate::from_der(&own).unwrap().1;
    let authority = X509Certificate::from_der(&chain).unwrap().1;
    assert!(authority.is_ca() && !own.is_ca());
    own.verify_signature(Some(authority.public_key())).unwrap();
    assert_eq!(own.issuer(), authority.subject());

    // The same token is the same request; another one is another certificate of the same authority.
    let again = world.ok::<RequestCertificateInput>(wanted).await;
    assert_eq!(text(&again["CertificateArn"]), arn);
    let other = json!({"DomainName": "other.example", "ValidationMethod": "DNS", "KeyAlgorithm": "EC_secp384r1"});
    let (other, _) = issued(&world, other).await;
    let got = world
        .ok::<GetCertificateInput>(json!({"CertificateArn": other}))
        .await;
    assert_eq!(der(&text(&got["CertificateChain"])), chain);
    let listed = world
        .ok::<ListCertificatesInput>(json!({"Includes": {"keyTypes": ["EC_secp384r1"]}}))
        .await;
    assert_eq!(
        testkit::texts(&listed["CertificateSummaryList"], "CertificateArn"),
        [other]
    );
    let pending = world
        .ok::<ListCertificatesInput>(json!({"CertificateStatuses": ["PENDING_VALIDATION"]}))
        .await;
    assert_eq!(pending["CertificateSummaryList"], json!([]));

    world
        .ok::<RemoveTagsFromCertificateInput>(
            json!({"CertificateArn": arn, "Tags": [{"Key": "a"}]}),
        )
        .await;
    let tags = world
        .ok::<ListTagsForCertificateInput>(json!({"CertificateArn": arn}))
        .await;
    assert_eq!(tags["Tags"], json!([]));
    let export = json!({"CertificateArn": arn, "Passphrase": "c2VjcmV0"});
    let words = format!(
        "Certificate ARN: {arn} is not a private certificate and is not eligible for export."
    );
    world
        .refused::<ExportCertificateInput>(export, "ValidationException", &words)
        .await;
    world
        .ok::<DeleteCertificateInput>(json!({"CertificateArn": arn}))
        .await;
    let gone = format!("Could not find certificate {arn}.");
    world
        .refused::<DescribeCertificateInput>(
            json!({"CertificateArn": arn}),
            "ResourceNotFoundException",
            &gone,
        )
        .await;
}

#[tokio::test]
async fn what_cannot_be_promised_is_refused() {
    let world = world();
    let invalid = "ValidationException";
    for (member, value, words) in [
        (
            "ValidationMethod",
            Json::Null,
            "the validation method EMAIL, which AWS takes where none is given, (say DNS) is not supported by neargate",
        ),
        (
            "ValidationMethod",
            json!("EMAIL"),
            "the validation method EMAIL is not supported by neargate",
        ),
        (
            "ValidationMethod",
            json!("HTTP"),
            "the validation method HTTP is not supported by neargate",
        ),
        (
            "KeyAlgorithm",
            json!("RSA_2048"),
            "the key algorithm RSA_2048 (say EC_prime256v1 or EC_secp384r1) is not supported by neargate",
        ),
        (
            "DomainName",
            json!("localhost"),
            "The domain name 'localhost' is not valid: it must be a fully qualified domain name, whose first label may be '*'",
        ),
    ] {
        let mut input = json!({"DomainName": "a.example", "ValidationMethod": "DNS"});
        input[member] = value;
        world
            .refused::<RequestCertificateInput>(input, invalid, words)
            .await;
    }
}

struct Made {
    certificate: String,
    key: String,
}

/// A certificate for a name, by itself or by another one.
fn made(name: &str, issuer: Option<&rcgen::Issuer<'_, rcgen::KeyPair>>) -> (Made, rcgen::KeyPair) {
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let pem = |label, der: &[u8]| {
        pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der).unwrap()
    };
    let made = Made {
        certificate: pem("CERTIFICATE", certificate.der()),
        key: pem("PRIVATE KEY", &key.serialize_der()),
    };
    (made, key)
}

fn import(certificate: &str, key: &str, chain: Option<&str>) -> ImportCertificateInput {
    ImportCertificateInput {
        certificate: wire::Blob(certificate.into()),
        private_key: wire::Blob(key.into()),
        certificate_chain: chain.map(|it| wire::Blob(it.into())),
        ..Default::default()
    }
}

#[tokio::test]
async fn what_is_imported_fits_its_key_and_its_chain() {
    let world = world();
    let (own, _) = made("own.example", None);
    let (other, other_key) = made("other.example", None);
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "other.example");
    let issuer = rcgen::Issuer::new(params, other_key);
    let (below, _) = made("below.example", Some(&issuer));
    let refused = async |input, words: &str| {
        let error = world.0.err::<ImportCertificateInput>(input).await;
        assert_eq!(
            (error.code, error.message.as_str()),
            ("ValidationException", words)
        );
    };
    let two = format!("{}{}", own.certificate, other.certificate);
    refused(import(&two, &own.key, None), "The certificate field contains more than one certificate. You can specify only one certificate in this field.").await;
    refused(
        import("x", &own.key, None),
        "The certificate field is not a certificate in PEM format.",
    )
    .await;
    refused(
        import(&own.certificate, "x", None),
        "The private key is not in PEM format, or is encrypted by a passphrase.",
    )
    .await;
    refused(
        import(&own.certificate, &other.key, None),
        "The private key does not match the certificate.",
    )
    .await;
    refused(import(&below.certificate, &below.key, None), "Provided certificate is not a valid self signed. Please provide either a valid self-signed certificate or certificate chain.").await;
    refused(
        import(&below.certificate, &below.key, Some(&own.certificate)),
        "Could not validate the certificate with the certificate chain.",
    )
    .await;

    let arn = world
        .0
        .call(import(&own.certificate, &own.key, None))
        .await
        .certificate_arn
        .unwrap();
    let found = described(&world, &arn).await;
    assert_eq!(
        (&found["Type"], &found["Status"]),
        (&json!("IMPORTED"), &json!("ISSUED"))
    );
    assert_eq!(found["DomainName"], "own.example");
    assert_eq!(found["RenewalEligibility"], "INELIGIBLE");
    let again = ImportCertificateInput {
        certificate_arn: Some(arn.clone()),
        ..import(&below.certificate, &below.key, Some(&other.certificate))
    };
    assert_eq!(world.0.call(again).await.certificate_arn.unwrap(), arn);
    assert_eq!(described(&world, &arn).await["DomainName"], "below.example");
}

#[tokio::test]
async fn what_is_in_use_is_renewed_before_it_expires() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let now = Arc::new(AtomicI64::new(1_700_000_000_000));
    let told = Arc::clone(&now);
    let clock = Clock::by(Pace::Fast, Arc::new(move || told.load(Ordering::Relaxed)));
    let server = Service::new(&shapes::elbv2::MODEL)
        .lends_servers(|_, _, _| Ok(vec!["arn:a-balancer".to_owned()]));
    let world = world_by(clock, vec![acm::service(), server]);
    let wanted = json!({"DomainName": "shop.example", "ValidationMethod": "DNS"});
    let (arn, first) = issued(&world, wanted).await;
    assert_eq!(first["InUseBy"], json!(["arn:a-balancer"]));
    assert_eq!(first["RenewalEligibility"], "ELIGIBLE");
    now.fetch_add(340 * DAY_MS, Ordering::Relaxed);
    world.0.cx.cloud.look_at_clock();
    let renewed = testkit::wait(async || {
        let found = described(&world, &arn).await;
        (found["Serial"] != first["Serial"]).then_some(found)
    });
    let renewed = renewed.await.expect("it is renewed");
    assert_eq!(renewed["Status"], "ISSUED");
    assert_eq!(renewed["RenewalSummary"]["RenewalStatus"], "SUCCESS");
    let delete = world
        .0
        .err(DeleteCertificateInput {
            certificate_arn: arn,
        })
        .await;
    assert_eq!(delete.code, "ResourceInUseException");
}
