//! Pages of lists that are in memory: a token is the last name that was given.

use cloud::Error;

use crate::names::invalid;

/// AWS's default and highest size of a page of groups or streams.
const ITEMS_MAX: usize = 50;
const TOKEN: &str = "after:";

/// What comes after the token, and the token for what is left.
pub fn page<T>(
    mut items: Vec<T>,
    name: impl Fn(&T) -> &str,
    token: Option<&str>,
    limit: Option<i32>,
) -> Result<(Vec<T>, Option<String>), Error> {
    if let Some(token) = token {
        let bad = || invalid("The specified nextToken is invalid.");
        let last = token.strip_prefix(TOKEN).ok_or_else(bad)?;
        let at = items.iter().position(|it| name(it) == last);
        items.drain(..=at.ok_or_else(bad)?);
    }
    let limit = limit
        .and_then(|it| usize::try_from(it).ok())
        .unwrap_or(ITEMS_MAX)
        .clamp(1, ITEMS_MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = match items.last() {
        Some(last) if more => Some(format!("{TOKEN}{}", name(last))),
        _ => None,
    };
    Ok((items, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_end() {
        let names = || vec!["a", "b", "c"];
        let (first, token) = page(names(), |it| it, None, Some(2)).unwrap();
        assert_eq!(first, ["a", "b"]);
        let (second, end) = page(names(), |it| it, token.as_deref(), Some(2)).unwrap();
        assert_eq!((second, end), (vec!["c"], None));
        for wrong in ["b", "after:x", ""] {
            assert!(
                page(names(), |it| it, Some(wrong), None).is_err(),
                "{wrong}"
            );
        }
    }
}
