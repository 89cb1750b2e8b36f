//! What is stored of a template and of each of its versions.

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::ec2::{self, LaunchTemplate, ResponseLaunchTemplateData};

use crate::errors::{
    InvalidLaunchTemplateIdMalformed, InvalidLaunchTemplateIdNotFound,
    InvalidLaunchTemplateNameNotFound, InvalidLaunchTemplateVersionNotFound,
    InvalidParameterCombination, MissingParameter,
};
use crate::filters::Filtered;
use crate::tags::{self, Tags};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateRecord {
    pub id: String,
    pub region: String,
    pub name: String,
    pub created_ms: i64,
    pub created_by: String,
    pub default_version: i64,
    /// The highest number that was ever given: none is given twice.
    pub latest_version: i64,
    /// The highest number that is there, where that is another.
    #[serde(default)]
    pub shown_latest: Option<i64>,
    pub tags: Tags,
}

impl Record for TemplateRecord {
    const KIND: &'static str = "ec2.launch-template";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionRecord {
    pub template: String,
    pub region: String,
    pub number: i64,
    pub description: Option<String>,
    pub created_ms: i64,
    pub created_by: String,
    /// Of the request that made it.
    pub client_token: Option<String>,
    pub data: ResponseLaunchTemplateData,
}

impl Record for VersionRecord {
    const KIND: &'static str = "ec2.launch-template-version";
    fn key(&self) -> String {
        format!("{}/{}/{:010}", self.region, self.template, self.number)
    }
}

impl TemplateRecord {
    /// What the keys of its versions begin with.
    pub fn versions(&self) -> String {
        format!("{}/{}/", self.region, self.id)
    }

    /// What `$Latest` stands for.
    pub fn latest(&self) -> i64 {
        self.shown_latest.unwrap_or(self.latest_version)
    }

    pub fn shown(&self) -> LaunchTemplate {
        LaunchTemplate {
            launch_template_id: Some(self.id.clone()),
            launch_template_name: Some(self.name.clone()),
            create_time: Some(wire::Timestamp(self.created_ms as f64 / 1000.0)),
            created_by: Some(self.created_by.clone()),
            default_version_number: Some(self.default_version),
            latest_version_number: Some(self.latest()),
            tags: tags::shown(&self.tags),
            operator: None,
        }
    }
}

impl VersionRecord {
    pub fn shown(&self, template: &TemplateRecord) -> ec2::LaunchTemplateVersion {
        ec2::LaunchTemplateVersion {
            launch_template_id: Some(template.id.clone()),
            launch_template_name: Some(template.name.clone()),
            version_number: Some(self.number),
            version_description: self.description.clone(),
            create_time: Some(wire::Timestamp(self.created_ms as f64 / 1000.0)),
            created_by: Some(self.created_by.clone()),
            default_version: Some(self.number == template.default_version),
            launch_template_data: Some(self.data.clone()),
            operator: None,
        }
    }
}

impl Filtered for TemplateRecord {
    const FILTERS: &'static [&'static str] = &["create-time", "launch-template-name"];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "launch-template-name" => vec![self.name.clone()],
            "create-time" => vec![iso(self.created_ms)],
            _ => vec![],
        }
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

/// `2026-11-30T12:00:00Z`
pub fn iso(ms: i64) -> String {
    wire::Timestamp(ms as f64 / 1000.0).to_string()
}

/// A name's letters (EC2 API reference, "CreateLaunchTemplate").
pub fn is_name(name: &str) -> bool {
    const LENGTHS: std::ops::RangeInclusive<usize> = 3..=128;
    let is_letter = |it: char| it.is_ascii_alphanumeric() || "().-/_".contains(it);
    LENGTHS.contains(&name.len()) && name.chars().all(is_letter)
}

/// The template with this id or this name: one of both, and not both.
pub fn find(
    cx: &Cx,
    tx: &Records<'_>,
    id: Option<&str>,
    name: Option<&str>,
) -> Result<TemplateRecord, Error> {
    match (id, name) {
        (Some(id), None) => by_id(cx, tx, id),
        (None, Some(name)) => by_name(cx, tx, name)?.ok_or_else(|| {
            InvalidLaunchTemplateNameNotFound.because(format!(
                "The specified launch template, with template name {name}, does not exist."
            ))
        }),
        (None, None) => Err(MissingParameter
            .because("Either a launch template ID or a launch template name must be specified in the request")),
        (Some(_), Some(_)) => Err(InvalidParameterCombination
            .because("Only one of launch template ID and launch template name may be specified in the request")),
    }
}

pub fn by_id(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<TemplateRecord, Error> {
    let hex = id.strip_prefix("lt-").unwrap_or_default();
    if hex.is_empty() || !hex.bytes().all(|it| it.is_ascii_hexdigit()) {
        return Err(InvalidLaunchTemplateIdMalformed
            .because(format!("Invalid id: \"{id}\" (expecting \"lt-...\")")));
    }
    tx.get(&cx.key(id))?.ok_or_else(|| {
        InvalidLaunchTemplateIdNotFound.because(format!(
            "The specified launch template, with template ID {id}, does not exist."
        ))
    })
}

pub fn by_name(cx: &Cx, tx: &Records<'_>, name: &str) -> Result<Option<TemplateRecord>, Error> {
    let all = tx.list::<TemplateRecord>(&cx.key(""))?;
    Ok(all.into_iter().find(|it| it.name == name))
}

/// The number that a version is asked for by.
pub fn number(template: &TemplateRecord, version: Option<&str>) -> Result<i64, Error> {
    match version {
        None | Some("" | "$Default") => Ok(template.default_version),
        Some("$Latest") => Ok(template.latest()),
        Some(given) => (given.parse().ok().filter(|it| *it > 0)).ok_or_else(|| {
            InvalidLaunchTemplateVersionNotFound.because(format!(
                "Could not find the specified version {given} for the launch template with ID {}.",
                template.id
            ))
        }),
    }
}

pub fn version(
    tx: &Records<'_>,
    template: &TemplateRecord,
    given: Option<&str>,
) -> Result<VersionRecord, Error> {
    let number = number(template, given)?;
    let key = format!("{}{number:010}", template.versions());
    tx.get(&key)?.ok_or_else(|| {
        InvalidLaunchTemplateVersionNotFound.because(format!(
            "Could not find the specified version {number} for the launch template with ID {}.",
            template.id
        ))
    })
}
