//! Describing parameters, and the filters that pick them.

use cloud::{Cx, Error};
use shapes::ssm::*;

use crate::names::{check_path, invalid};
use crate::record::{ParameterRecord, Version, arn};

/// A filter that is known to be one.
pub struct Filter {
    key: String,
    option: String,
    values: Vec<String>,
}

const KEYS: &[&str] = &["Path", "Name", "Type", "KeyId", "Tier", "DataType"];
/// What AWS's message names of them.
const VALUES_OF_TYPE: &[&str] = &["String", "StringList", "SecureString"];
const VALUES_OF_TIER: &[&str] = &["Standard", "Advanced", "Intelligent-Tiering"];

impl Filter {
    /// Reads a filter; `allowed` are the keys that the operation takes.
    pub fn new(filter: ParameterStringFilter, allowed: &[&str]) -> Result<Self, Error> {
        let key = filter.key;
        let is_tag = key.starts_with("tag:") && allowed.contains(&"tag");
        if !is_tag && !allowed.contains(&key.as_str()) {
            return Err(errors::InvalidFilterKey.because(format!(
                "The following filter key is not valid: {key}. Valid filter keys include: [{}].",
                named_keys(allowed)
            )));
        }
        let default = match key.as_str() {
            "Path" => "OneLevel",
            _ => "Equals",
        };
        let options: &[&str] = match key.as_str() {
            "Path" => &["Recursive", "OneLevel"],
            "Name" if allowed.contains(&"Name") => &["BeginsWith", "Equals", "Contains"],
            _ => &["BeginsWith", "Equals"],
        };
        let option = filter.option.unwrap_or_else(|| default.to_owned());
        if !options.contains(&option.as_str()) {
            return Err(errors::InvalidFilterOption.because(format!(
                "The following filter option is not valid: {option}. Valid options include: [{}].",
                options[..2].join(", ")
            )));
        }
        let values = filter.values.unwrap_or_default();
        if values.is_empty() && !is_tag {
            return Err(errors::InvalidFilterValue.because(format!(
                "The following filter values are missing : null for filter key {key}."
            )));
        }
        check_values(&key, &values)?;
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

    /// `/a` and `a` are one name.
    fn fits_name(&self, name: &str) -> bool {
        let name = name.trim_start_matches('/');
        self.values.iter().any(|value| {
            let value = value.trim_start_matches('/');
            match self.option.as_str() {
                "BeginsWith" => name.starts_with(value),
                "Contains" => name.contains(value),
                _ => name == value,
            }
        })
    }

    fn is_under(&self, name: &str) -> bool {
        let name = name.trim_start_matches('/');
        self.values.iter().any(|path| {
            let below = match path.trim_matches('/') {
                "" => Some(name),
                path => name.strip_prefix(path).and_then(|it| it.strip_prefix('/')),
            };
            below.is_some_and(|it| self.option == "Recursive" || !it.contains('/'))
        })
    }

    pub fn matches(&self, parameter: &ParameterRecord, version: &Version) -> bool {
        match self.key.as_str() {
            "Name" => self.fits_name(&parameter.name),
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

fn named_keys(allowed: &[&str]) -> String {
    let named = allowed
        .iter()
        .filter(|it| !["DataType", "tag"].contains(it));
    named.copied().collect::<Vec<_>>().join(", ")
}

/// What is known of a filter's values before any parameter is looked at.
fn check_values(key: &str, values: &[String]) -> Result<(), Error> {
    let known = match key {
        "Type" => VALUES_OF_TYPE,
        "Tier" => VALUES_OF_TIER,
        "Path" => return values.iter().try_for_each(|it| check_path(it)),
        _ => return Ok(()),
    };
    match values.iter().find(|it| !known.contains(&it.as_str())) {
        None => Ok(()),
        Some(other) => Err(errors::InvalidFilterValue.because(format!(
            "The following filter value is not valid: {other}. Valid values include: [{}]",
            known.join(", ")
        ))),
    }
}

/// Each key may be given once.
fn check_repetition(filters: &[ParameterStringFilter]) -> Result<(), Error> {
    let repeated = (filters.iter().enumerate())
        .find(|(at, it)| filters[..*at].iter().any(|other| other.key == it.key));
    match repeated {
        None => Ok(()),
        Some((_, it)) => Err(errors::InvalidFilterKey.because(format!(
            "The following filter is duplicated in the request: {}. A request can contain only one occurrence of a specific filter.",
            it.key
        ))),
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
    let has = |count: Option<usize>| count.is_some_and(|it| it > 0);
    if has(input.filters.as_ref().map(Vec::len))
        && has(input.parameter_filters.as_ref().map(Vec::len))
    {
        return Err(invalid(
            "You can use either Filters or ParameterFilters in a single request.",
        ));
    }
    check_repetition(input.parameter_filters.as_deref().unwrap_or_default())?;
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
