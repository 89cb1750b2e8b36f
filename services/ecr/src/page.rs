//! Pages of lists in the order of their keys: a token is the last key that was given.

/// AWS's default and highest number of items on a page.
const ITEMS: usize = 100;
const ITEMS_MAX: usize = 1000;

/// The items after the token, and the token for those that are left. Items may come and go between
/// two pages.
pub fn page<T>(
    mut items: Vec<T>,
    key: impl Fn(&T) -> String,
    token: Option<&str>,
    max: Option<i32>,
) -> (Vec<T>, Option<String>) {
    items.sort_by_key(|it| key(it));
    if let Some(token) = token {
        items.retain(|it| key(it).as_str() > token);
    }
    let count = max
        .and_then(|it| usize::try_from(it).ok())
        .unwrap_or(ITEMS)
        .clamp(1, ITEMS_MAX);
    let more = items.len() > count;
    items.truncate(count);
    let next = items.last().filter(|_| more).map(key);
    (items, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_end() {
        let names = || vec!["c", "a", "b"];
        let key = |it: &&str| (*it).to_owned();
        let (first, token) = page(names(), key, None, Some(2));
        assert_eq!((first, token.as_deref()), (vec!["a", "b"], Some("b")));
        assert_eq!(page(names(), key, Some("b"), Some(2)), (vec!["c"], None));
    }
}
