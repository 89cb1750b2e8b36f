//! Pages of lists: a token is how many items were given.

use cloud::Error;

use crate::names::invalid;

/// AWS gives a hundred at a time.
const ITEMS: usize = 100;

pub fn page<T>(
    items: Vec<T>,
    token: Option<&str>,
    max: Option<i32>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let from = match token.filter(|it| !it.is_empty()) {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .map_err(|_| invalid("Invalid nextToken"))?,
    };
    let count = max
        .and_then(|it| usize::try_from(it).ok())
        .unwrap_or(ITEMS)
        .clamp(1, ITEMS);
    let more = items.len() > from.saturating_add(count);
    let page = items.into_iter().skip(from).take(count).collect();
    Ok((page, more.then(|| (from + count).to_string())))
}
