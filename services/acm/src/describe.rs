//! Certificates as they are described.

use cloud::{Cx, Error};
use shapes::acm::{
    CertificateDetail, CertificateExport, CertificateOptions, CertificateStatus, CertificateType,
    DescribeCertificateInput, DescribeCertificateOutput, DomainStatus, DomainValidation,
    GetCertificateInput, GetCertificateOutput, RecordType, RenewalEligibility, RenewalStatus,
    RenewalSummary, ResourceRecord, ValidationMethod, errors,
};

use crate::parse::Parsed;
use crate::record::{CertificateRecord, date, find};

pub fn status(record: &CertificateRecord, now_ms: i64) -> CertificateStatus {
    match &record.issued {
        None => CertificateStatus::PendingValidation,
        Some(issued) if issued.not_after_ms <= now_ms => CertificateStatus::Expired,
        Some(_) => CertificateStatus::Issued,
    }
}

pub fn kind(record: &CertificateRecord) -> CertificateType {
    match record.is_imported {
        true => CertificateType::Imported,
        false => CertificateType::AmazonIssued,
    }
}

/// What is renewed by itself: what was requested, and is in use.
pub fn eligibility(record: &CertificateRecord, in_use: bool) -> RenewalEligibility {
    match !record.is_imported && in_use {
        true => RenewalEligibility::Eligible,
        false => RenewalEligibility::Ineligible,
    }
}

/// The record that would show a public authority whose the domain is. Those of a star and of the domain below it
/// are one.
fn validation(record: &CertificateRecord, name: &str) -> DomainValidation {
    let domain = name.strip_prefix("*.").unwrap_or(name);
    let token = |what| cloud::token_hex(&format!("{}/{domain}", record.account), what, 32);
    let status = match record.issued {
        None => DomainStatus::PendingValidation,
        Some(_) => DomainStatus::Success,
    };
    DomainValidation {
        domain_name: name.to_owned(),
        validation_domain: Some(name.to_owned()),
        validation_status: Some(status),
        resource_record: Some(ResourceRecord {
            name: format!("_{}.{domain}.", token("name")),
            r#type: RecordType::Cname,
            value: format!("_{}.acm-validations.aws.", token("value")),
        }),
        validation_method: Some(ValidationMethod::Dns),
        ..Default::default()
    }
}

pub async fn describe_certificate(
    cx: Cx,
    input: DescribeCertificateInput,
) -> Result<DescribeCertificateOutput, Error> {
    let (record, servers) = cx.read(|tx| {
        let record = find(&cx, tx, &input.certificate_arn)?;
        let servers = cx.servers_with(tx, &record.arn())?;
        Ok((record, servers))
    })?;
    let requested = !record.is_imported;
    let validations = record.names.iter().map(|it| validation(&record, it));
    let validations: Vec<_> = validations.collect();
    let renewal = record.renewed_ms.map(|ms| RenewalSummary {
        renewal_status: RenewalStatus::Success,
        domain_validation_options: validations.clone(),
        updated_at: date(ms).unwrap_or_default(),
        ..Default::default()
    });
    let mut detail = CertificateDetail {
        certificate_arn: Some(record.arn()),
        domain_name: Some(record.domain.clone()),
        subject_alternative_names: Some(record.names.clone()),
        domain_validation_options: requested.then_some(validations),
        created_at: date(record.created_ms),
        status: Some(status(&record, cx.clock().now_ms())),
        key_algorithm: Some(record.key_algorithm),
        r#type: Some(kind(&record)),
        renewal_summary: renewal,
        renewal_eligibility: Some(eligibility(&record, !servers.is_empty())),
        in_use_by: Some(servers),
        options: Some(CertificateOptions {
            certificate_transparency_logging_preference: Some(record.transparency),
            export: Some(CertificateExport::Disabled),
        }),
        ..Default::default()
    };
    if let Some(issued) = &record.issued {
        let parsed = Parsed::of_pem(&issued.certificate)?;
        match requested {
            true => detail.issued_at = date(issued.at_ms),
            false => detail.imported_at = date(issued.at_ms),
        }
        detail.not_before = date(issued.not_before_ms);
        detail.not_after = date(issued.not_after_ms);
        detail.serial = Some(parsed.serial);
        detail.subject = Some(parsed.subject);
        detail.issuer = Some(parsed.issuer);
        detail.signature_algorithm = Some(parsed.signature_algorithm);
        detail.key_usages = Some(parsed.key_usages);
        detail.extended_key_usages = Some(parsed.extended_key_usages);
    }
    Ok(DescribeCertificateOutput {
        certificate: Some(detail),
    })
}

pub async fn get_certificate(
    cx: Cx,
    input: GetCertificateInput,
) -> Result<GetCertificateOutput, Error> {
    let record = cx.read(|tx| find(&cx, tx, &input.certificate_arn))?;
    let Some(issued) = record.issued else {
        return Err(errors::RequestInProgressException.because(format!(
            "Certificate {} is still pending validation.",
            input.certificate_arn
        )));
    };
    Ok(GetCertificateOutput {
        certificate: Some(issued.certificate),
        certificate_chain: Some(issued.chain).filter(|it| !it.is_empty()),
    })
}
