//! Describe operations' filters: all must match; within one, any value; `*` and `?` are wildcards
//! (EC2 API reference, "Filter").

use std::collections::BTreeMap;

use base::glob;
use cloud::{Cx, Error};
use shapes::ec2::Filter;

use crate::errors::{InvalidNextToken, InvalidParameterValue, unsupported};

/// The filter that every resource with an owner has: everything here belongs to the account.
const OWNER: &str = "owner-id";

/// What a resource answers to filters.
pub trait Filtered {
    /// Names of the operation's own filters, besides those on tags: any other is refused, also when
    /// there is nothing to filter.
    const FILTERS: &'static [&'static str];
    /// Filters that AWS has beside them, refused by name.
    const UNBUILT: &'static [&'static str] = &[];
    /// What one resource is told apart from another by, unique and steady.
    fn unique(&self) -> &str;
    /// The values under one of the names of [`Filtered::FILTERS`].
    fn values(&self, filter: &str) -> Vec<String>;
    fn tags(&self) -> &BTreeMap<String, String>;
}

/// Keeps what every filter selects.
pub fn select<R: Filtered>(
    cx: &Cx,
    found: Vec<R>,
    filters: Option<&Vec<Filter>>,
) -> Result<Vec<R>, Error> {
    for filter in filters.into_iter().flatten() {
        let name = filter.name.as_deref().unwrap_or_default();
        let known = name.starts_with("tag:") || name == "tag-key" || R::FILTERS.contains(&name);
        if R::UNBUILT.contains(&name) {
            return Err(unsupported(&format!("the filter '{name}'")));
        }
        if !known {
            return Err(InvalidParameterValue.because(format!("The filter '{name}' is invalid")));
        }
    }
    let mut kept = Vec::with_capacity(found.len());
    for it in found {
        let mut all = true;
        for filter in filters.into_iter().flatten() {
            all &= matches(cx, &it, filter);
        }
        if all {
            kept.push(it);
        }
    }
    Ok(kept)
}

/// One page of what was found and the token of the next one. Pages go by id, so that what comes and
/// goes between two of them neither hides nor repeats anything else.
pub fn page<R: Filtered>(
    mut found: Vec<R>,
    limit: Option<i32>,
    token: Option<&String>,
) -> Result<(Vec<R>, Option<String>), Error> {
    if let Some(token) = token {
        let after = token
            .strip_prefix(TOKEN_PREFIX)
            .ok_or_else(|| InvalidNextToken.because(format!("The token '{token}' is invalid")))?;
        found.retain(|it| it.unique() > after);
    }
    let Some(limit) = limit.and_then(|it| usize::try_from(it).ok()) else {
        return Ok((found, None));
    };
    found.sort_by(|a, b| a.unique().cmp(b.unique()));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found
        .last()
        .filter(|_| more)
        .map(|it| format!("{TOKEN_PREFIX}{}", it.unique()));
    Ok((found, next))
}

/// Tells a token of ours from anything else.
const TOKEN_PREFIX: &str = "after-";

fn matches<R: Filtered>(cx: &Cx, resource: &R, filter: &Filter) -> bool {
    let name = filter.name.as_deref().unwrap_or_default();
    let have = if let Some(key) = name.strip_prefix("tag:") {
        resource.tags().get(key).cloned().into_iter().collect()
    } else if name == "tag-key" {
        resource.tags().keys().cloned().collect()
    } else if name == OWNER {
        vec![cx.account().to_owned()]
    } else {
        // Every group that a rule refers to is the account's, too.
        let whose = name.strip_suffix(".user-id");
        match whose.map(|it| resource.values(&format!("{it}.group-id"))) {
            Some(groups) => groups.iter().map(|_| cx.account().to_owned()).collect(),
            None => resource.values(name),
        }
    };
    let wanted = filter.values.as_deref().unwrap_or_default();
    wanted
        .iter()
        .any(|pattern| have.iter().any(|value| glob::matches(pattern, value)))
}
