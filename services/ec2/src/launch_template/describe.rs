//! Templates and their versions, shown.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Records};
use shapes::ec2::*;

use super::record::{self, TemplateRecord, VersionRecord};
use crate::errors::{InvalidParameterCombination, InvalidParameterValue, MissingParameter};
use crate::filters::{Filtered, page, select};
use crate::tags::Tags;

/// As many as are on a page when it is not said (EC2 API reference, "DescribeLaunchTemplates").
const PAGE: i32 = 200;

pub async fn describe_launch_templates(
    cx: Cx,
    input: DescribeLaunchTemplatesInput,
) -> Result<DescribeLaunchTemplatesOutput, Error> {
    let ids = input.launch_template_ids.unwrap_or_default();
    let names = input.launch_template_names.unwrap_or_default();
    let found = cx.read(|tx| {
        if ids.is_empty() && names.is_empty() {
            return tx.list::<TemplateRecord>(&cx.key(""));
        }
        let by_id = ids.iter().map(|it| record::find(&cx, tx, Some(it), None));
        let by_name = names.iter().map(|it| record::find(&cx, tx, None, Some(it)));
        by_id.chain(by_name).collect()
    })?;
    let found = select(&cx, found, input.filters.as_ref())?;
    let limit = input.max_results.or(Some(PAGE));
    let (found, next_token) = page(found, limit, input.next_token.as_ref())?;
    Ok(DescribeLaunchTemplatesOutput {
        launch_templates: Some(found.iter().map(TemplateRecord::shown).collect()),
        next_token,
    })
}

/// A version and the template that it is of.
struct Shown {
    template: TemplateRecord,
    version: VersionRecord,
    /// The newest comes first.
    order: String,
    none: Tags,
}

impl Shown {
    fn new(template: &TemplateRecord, version: VersionRecord) -> Self {
        Self {
            order: format!("{}/{:020}", template.id, i64::MAX - version.number),
            template: template.clone(),
            version,
            none: BTreeMap::new(),
        }
    }
}

impl Filtered for Shown {
    const FILTERS: &'static [&'static str] = &[
        "create-time",
        "ebs-optimized",
        "http-endpoint",
        "http-tokens",
        "iam-instance-profile",
        "image-id",
        "instance-type",
        "is-default-version",
    ];
    const UNBUILT: &'static [&'static str] = &[
        "host-resource-group-arn",
        "kernel-id",
        "license-configuration-arn",
        "network-card-index",
        "ram-disk-id",
        "http-protocol-ipv4",
    ];
    fn unique(&self) -> &str {
        &self.order
    }
    fn values(&self, filter: &str) -> Vec<String> {
        let data = &self.version.data;
        let options = data.metadata_options.as_ref();
        let profile = data.iam_instance_profile.as_ref();
        let value = match filter {
            "create-time" => Some(record::iso(self.version.created_ms)),
            "ebs-optimized" => data.ebs_optimized.map(|it| it.to_string()),
            "http-endpoint" => options.and_then(|it| Some(it.http_endpoint?.to_string())),
            "http-tokens" => options.and_then(|it| Some(it.http_tokens?.to_string())),
            "iam-instance-profile" => profile.and_then(|it| it.arn.clone()),
            "image-id" => data.image_id.clone(),
            "instance-type" => data.instance_type.clone(),
            "is-default-version" => {
                Some((self.version.number == self.template.default_version).to_string())
            }
            _ => None,
        };
        value.into_iter().collect()
    }
    fn tags(&self) -> &Tags {
        &self.none
    }
}

pub async fn describe_launch_template_versions(
    cx: Cx,
    input: DescribeLaunchTemplateVersionsInput,
) -> Result<DescribeLaunchTemplateVersionsOutput, Error> {
    let asked = input.versions.as_deref().unwrap_or_default();
    let bounds = input.min_version.is_some() || input.max_version.is_some();
    if bounds && !asked.is_empty() {
        return Err(InvalidParameterCombination
            .because("You cannot specify numbers when specifying a minimum or maximum version."));
    }
    let (id, name) = (
        input.launch_template_id.as_deref(),
        input.launch_template_name.as_deref(),
    );
    let found = cx.read(|tx| match (id, name) {
        (None, None) => of_all(&cx, tx, asked),
        _ => {
            let template = record::find(&cx, tx, id, name)?;
            let bound = |it: &Option<String>| match it {
                Some(it) => record::number(&template, Some(it)).map(Some),
                None => Ok(None),
            };
            let (least, most) = (bound(&input.min_version)?, bound(&input.max_version)?);
            of_one(tx, &template, asked, (least, most))
        }
    })?;
    let mut found = select(&cx, found, input.filters.as_ref())?;
    found.sort_by(|a, b| a.order.cmp(&b.order));
    let limit = input.max_results.or(Some(PAGE));
    let (found, next_token) = page(found, limit, input.next_token.as_ref())?;
    let versions = found.iter().map(|it| it.version.shown(&it.template));
    Ok(DescribeLaunchTemplateVersionsOutput {
        launch_template_versions: Some(versions.collect()),
        next_token,
    })
}

/// Of every template, by the words that every template has a version for.
fn of_all(cx: &Cx, tx: &Records<'_>, asked: &[String]) -> Result<Vec<Shown>, Error> {
    if asked.is_empty() {
        return Err(MissingParameter.because(
            "Either a launch template ID, a launch template name, or the versions $Latest or $Default must be specified in the request",
        ));
    }
    if let Some(other) = (asked.iter()).find(|it| !matches!(it.as_str(), "$Latest" | "$Default")) {
        return Err(InvalidParameterValue.because(format!(
            "Version {other} can be asked for only together with a launch template"
        )));
    }
    let mut found = Vec::new();
    for template in tx.list::<TemplateRecord>(&cx.key(""))? {
        found.extend(of_one(tx, &template, asked, (None, None))?);
    }
    Ok(found)
}

fn of_one(
    tx: &Records<'_>,
    template: &TemplateRecord,
    asked: &[String],
    (least, most): (Option<i64>, Option<i64>),
) -> Result<Vec<Shown>, Error> {
    let mut found = match asked.is_empty() {
        true => tx.list::<VersionRecord>(&template.versions())?,
        false => (asked.iter())
            .map(|it| record::version(tx, template, Some(it)))
            .collect::<Result<_, _>>()?,
    };
    found.sort_by_key(|it| it.number);
    found.dedup_by_key(|it| it.number);
    found.retain(|it| {
        least.is_none_or(|least| it.number >= least) && most.is_none_or(|most| it.number <= most)
    });
    Ok(found
        .into_iter()
        .map(|it| Shown::new(template, it))
        .collect())
}
