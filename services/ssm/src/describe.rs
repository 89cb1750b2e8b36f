//! Describing parameters, and the filters that pick them.

use cloud::{Cx, Error};
use shapes::ssm::*;

use crate::names::unsupported;
use crate::record::{ParameterRecord, Version, arn};

/// A filter that is known to be one.
pub struct Filter {
    key: String,
    option: String,
    values: Vec<String>,
}

const KEYS: &[&str] = &["Name", "Type", "KeyId", "Path", "Label", "Tier", "DataType"];

impl Filter {
    /// Reads a filter; `allowed` are the keys that the operation takes.
    pub fn new(filter: ParameterStringFilter, allowed: &[&str]) -> Result<Self, Error> {
        let key = filter.key;
        let is_tag = key.starts_with("tag:") && allowed.contains(&"tag");
        if !is_tag && !allowed.contains(&key.as_str()) {
            return Err(errors::InvalidFilterKey.because(format!(
                "The following filter key is not valid: {key}. Valid filter keys include: [{}].",
                allowed.join(", ")
            )));
        }
        let default = match key.as_str() {
            "Path" => "OneLevel",
            _ => "Equals",
        };
        let options: &[&str] = match key.as_str() {
            "Path" => &["Recursive", "OneLevel"],
            "Name" => &["Equals", "BeginsWith", "Contains"],
            _ => &["Equals", "BeginsWith"],
        };
        let option = filter.option.unwrap_or_else(|| default.to_owned());
        if !options.contains(&option.as_str()) {
            return Err(errors::InvalidFilterOption.because(format!(
                "The following filter option is not valid: {option}. Valid options include: [{}].",
                options.join(", ")
            )));
        }
        let values = filter.values.unwrap_or_default();
        if values.is_empty() && !is_tag {
            return Err(errors::InvalidFilterValue.because(format!(
                "The following filter values are missing : null for filter key {key}."
            )));
        }
        Ok(Self {
            key,
            option,
            values,
        })
    }

    pub fn is(&self, key: &str) -> bool {
        self.key == key
    }

    fn fits(&self, text: &str) -> bool {
        self.values.iter().any(|value| match self.option.as_str() {
            "BeginsWith" => text.starts_with(value.as_str()),
            "Contains" => text.contains(value.as_str()),
            _ => text == value,
        })
    }

    fn is_under(&self, name: &str) -> bool {
        self.values.iter().any(|path| {
            let folder = format!("{}/", path.trim_end_matches('/'));
            let below = name.strip_prefix(&folder);
            below.is_some_and(|it| self.option == "Recursive" || !it.contains('/'))
        })
    }

    pub fn matches(&self, parameter: &ParameterRecord, version: &Version) -> bool {
        match self.key.as_str() {
            "Name" => self.fits(&parameter.name),
            "Type" => self.fits(&version.kind.to_string()),
            "KeyId" => version.key_id().is_some_and(|it| self.fits(&it)),
            "Path" => self.is_under(&parameter.name),
            "Label" => version.labels.iter().any(|it| self.fits(it)),
            "Tier" => self.fits(&version.tier.to_string()),
            "DataType" => self.fits("text"),
            tag => {
                let tag = tag.strip_prefix("tag:").unwrap_or_default();
                let value = parameter.tags.get(tag);
                value.is_some_and(|it| self.values.is_empty() || self.fits(it))
            }
        }
    }
}

/// The items after the token, and the token for those that are left: the last name that was given.
pub fn page<T>(
    mut items: Vec<T>,
    name: impl Fn(&T) -> &str,
    token: Option<&str>,
    max: Option<i32>,
    default: usize,
) -> (Vec<T>, Option<String>) {
    items.sort_by(|a, b| name(a).cmp(name(b)));
    if let Some(token) = token {
        items.retain(|it| name(it) > token);
    }
    let count = max.and_then(|it| usize::try_from(it).ok());
    let count = count.unwrap_or(default).max(1);
    let more = items.len() > count;
    items.truncate(count);
    let next = items.last().filter(|_| more).map(|it| name(it).to_owned());
    (items, next)
}

pub async fn describe_parameters(
    cx: Cx,
    input: DescribeParametersInput,
) -> Result<DescribeParametersOutput, Error> {
    /// AWS's default, and its most.
    const PAGE: usize = 50;
    if input.shared == Some(true) {
        return Err(unsupported("Shared"));
    }
    let old = input.filters.unwrap_or_default();
    let old = old.into_iter().map(|it| ParameterStringFilter {
        option: (it.key == ParametersFilterKey::Name).then(|| "BeginsWith".to_owned()),
        key: it.key.to_string(),
        values: Some(it.values),
    });
    let allowed: Vec<&str> = KEYS.iter().copied().chain(["tag"]).collect();
    let filters = old
        .chain(input.parameter_filters.unwrap_or_default())
        .map(|it| Filter::new(it, &allowed))
        .collect::<Result<Vec<_>, _>>()?;
    let found = cx.read(|tx| {
        let mut found = Vec::new();
        for parameter in tx.list::<ParameterRecord>(&cx.key(""))? {
            let version = parameter.latest(tx)?;
            if filters.iter().all(|it| it.matches(&parameter, &version)) {
                found.push(version);
            }
        }
        Ok(found)
    })?;
    let token = input.next_token.as_deref();
    let (found, next_token) = page(found, |it| &it.name, token, input.max_results, PAGE);
    Ok(DescribeParametersOutput {
        parameters: Some(found.into_iter().map(|it| metadata(&cx, it)).collect()),
        next_token,
    })
}

fn metadata(cx: &Cx, version: Version) -> ParameterMetadata {
    ParameterMetadata {
        arn: Some(arn(cx, &version.name)),
        key_id: version.key_id(),
        last_modified_date: Some(version.date()),
        name: Some(version.name),
        r#type: Some(version.kind),
        last_modified_user: Some(version.modified_by),
        description: version.description,
        allowed_pattern: version.allowed_pattern,
        version: Some(version.number),
        tier: Some(version.tier),
        policies: Some(Vec::new()),
        data_type: Some("text".into()),
    }
}
