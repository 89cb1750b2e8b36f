//! Describe operations' filters: all must match; within one, any value; `*` and `?` are wildcards
//! (EC2 API reference, "Filter").

use std::collections::BTreeMap;

use cloud::Error;
use shapes::ec2::Filter;

use crate::errors::InvalidParameterValue;

/// What a resource answers to filters.
pub trait Filtered {
    /// The values under a filter's name; None when the operation has no such filter.
    fn values(&self, filter: &str) -> Option<Vec<String>>;
    fn tags(&self) -> &BTreeMap<String, String>;
}

/// Keeps what the ids (when given) and every filter select.
pub fn select<R: Filtered>(found: Vec<R>, filters: Option<&Vec<Filter>>) -> Result<Vec<R>, Error> {
    let mut kept = Vec::with_capacity(found.len());
    for it in found {
        let mut all = true;
        for filter in filters.into_iter().flatten() {
            all &= matches(&it, filter)?;
        }
        if all {
            kept.push(it);
        }
    }
    Ok(kept)
}

fn matches<R: Filtered>(resource: &R, filter: &Filter) -> Result<bool, Error> {
    let name = filter.name.as_deref().unwrap_or_default();
    let have = if let Some(key) = name.strip_prefix("tag:") {
        resource.tags().get(key).cloned().into_iter().collect()
    } else if name == "tag-key" {
        resource.tags().keys().cloned().collect()
    } else {
        (resource.values(name)).ok_or_else(|| {
            InvalidParameterValue.because(format!("The filter '{name}' is invalid"))
        })?
    };
    let wanted = filter.values.as_deref().unwrap_or_default();
    Ok(wanted
        .iter()
        .any(|pattern| have.iter().any(|value| matches_pattern(pattern, value))))
}

/// Glob matching in linear space: remembers the last `*` and goes back to it.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn wildcards() {
        for (pattern, text, expect) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c*e", "abcde", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), expect, "{pattern} {text}");
        }
    }
}
