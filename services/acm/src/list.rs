//! Lists of certificates, and the filters that pick them.

use cloud::{Cx, Error};
use shapes::acm::{
    CertificateExport, CertificateSummary, ExtendedKeyUsageName, Filters, KeyAlgorithm,
    KeyUsageName, ListCertificatesInput, ListCertificatesOutput, SortBy, SortOrder, errors,
};

use crate::describe::{eligibility, kind, status};
use crate::parse::Parsed;
use crate::record::{CertificateRecord, date};

/// Where nobody asks for more or fewer (ListCertificates, "MaxItems").
const PAGE: usize = 1000;
/// Names that a summary has (CertificateSummary, "SubjectAlternativeNameSummaries").
const NAMES_SHOWN: usize = 100;

pub async fn list_certificates(
    cx: Cx,
    input: ListCertificatesInput,
) -> Result<ListCertificatesOutput, Error> {
    let by_creation = input.sort_by == Some(SortBy::CreatedAt);
    if input.sort_by.is_some() != input.sort_order.is_some() {
        return Err(
            errors::InvalidArgsException.because("SortBy and SortOrder have to be given together")
        );
    }
    let mut all = cx.read(|tx| {
        let all: Vec<CertificateRecord> = tx.list(&cx.key(""))?;
        all.into_iter()
            .map(|it| {
                let in_use = !cx.servers_with(tx, &it.arn())?.is_empty();
                summary(&cx, it, in_use)
            })
            .collect::<Result<Vec<_>, Error>>()
    })?;
    if by_creation {
        let created = |it: &CertificateSummary| it.created_at.map_or(0.0, |it| it.0);
        all.sort_by(|a, b| created(a).total_cmp(&created(b)));
    }
    if input.sort_order == Some(SortOrder::Descending) {
        all.reverse();
    }
    let wanted = input.certificate_statuses.unwrap_or_default();
    let filters = input.includes.unwrap_or_default();
    all.retain(|it| {
        let has_status = it.status.is_some_and(|it| wanted.contains(&it));
        (wanted.is_empty() || has_status) && fits(it, &filters)
    });
    if let Some(token) = &input.next_token {
        let at = all
            .iter()
            .position(|it| it.certificate_arn.as_ref() == Some(token));
        let at = at.ok_or_else(|| errors::InvalidArgsException.because("Invalid NextToken"))?;
        all.drain(..=at);
    }
    let count = input.max_items.and_then(|it| usize::try_from(it).ok());
    let more = all.len() > count.unwrap_or(PAGE);
    all.truncate(count.unwrap_or(PAGE));
    Ok(ListCertificatesOutput {
        next_token: all
            .last()
            .filter(|_| more)
            .and_then(|it| it.certificate_arn.clone()),
        certificate_summary_list: Some(all),
    })
}

/// Where no kind of key is asked for, those of RSA with 2048 bits are meant, and, since no others are made here,
/// those of elliptic curves (Filters, "keyTypes").
fn fits(it: &CertificateSummary, filters: &Filters) -> bool {
    let among = |wanted: &Option<Vec<KeyUsageName>>, has: &Option<Vec<KeyUsageName>>| {
        wanted.as_ref().is_none_or(|wanted| {
            let has = has.as_deref().unwrap_or_default();
            wanted.is_empty() || wanted.iter().any(|it| has.contains(it))
        })
    };
    let extended = |wanted: &Option<Vec<ExtendedKeyUsageName>>| {
        wanted.as_ref().is_none_or(|wanted| {
            let has = it.extended_key_usages.as_deref().unwrap_or_default();
            wanted.is_empty() || wanted.iter().any(|it| has.contains(it))
        })
    };
    let types: Option<&Vec<KeyAlgorithm>> = filters.key_types.as_ref().filter(|it| !it.is_empty());
    among(&filters.key_usage, &it.key_usages)
        && extended(&filters.extended_key_usage)
        && types.is_none_or(|types| it.key_algorithm.is_some_and(|it| types.contains(&it)))
        && filters
            .export_option
            .is_none_or(|it| it == CertificateExport::Disabled)
        && filters.managed_by.is_none()
}

fn summary(cx: &Cx, record: CertificateRecord, in_use: bool) -> Result<CertificateSummary, Error> {
    let mut summary = CertificateSummary {
        certificate_arn: Some(record.arn()),
        domain_name: Some(record.domain.clone()),
        has_additional_subject_alternative_names: Some(record.names.len() > NAMES_SHOWN),
        status: Some(status(&record, cx.clock().now_ms())),
        r#type: Some(kind(&record)),
        key_algorithm: Some(record.key_algorithm),
        export_option: Some(CertificateExport::Disabled),
        in_use: Some(in_use),
        renewal_eligibility: Some(eligibility(&record, in_use)),
        created_at: date(record.created_ms),
        ..Default::default()
    };
    if let Some(issued) = &record.issued {
        let parsed = Parsed::of_pem(&issued.certificate)?;
        match record.is_imported {
            true => summary.imported_at = date(issued.at_ms),
            false => summary.issued_at = date(issued.at_ms),
        }
        summary.not_before = date(issued.not_before_ms);
        summary.not_after = date(issued.not_after_ms);
        summary.key_usages = Some(parsed.key_usages.iter().filter_map(|it| it.name).collect());
        let extended = parsed.extended_key_usages.iter().filter_map(|it| it.name);
        summary.extended_key_usages = Some(extended.collect());
    }
    let shown = record.names.into_iter().take(NAMES_SHOWN);
    summary.subject_alternative_name_summaries = Some(shown.collect());
    Ok(summary)
}
