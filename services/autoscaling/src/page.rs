//! Pages of lists.

use cloud::Error;
use shapes::autoscaling::errors::InvalidNextToken;

/// The highest number of items on a page, and the default (API reference of each list).
pub const MAX: (usize, usize) = (100, 50);
pub const MAX_OF_ACTIVITIES: (usize, usize) = (100, 100);
pub const MAX_OF_INSTANCES: (usize, usize) = (50, 50);

/// Tells a token of ours from anything else.
const TOKEN_PREFIX: &str = "after-";

/// One page of items with their names, and the token of the next one: the last name that was given.
pub fn page<T>(
    mut items: Vec<(String, T)>,
    token: Option<&str>,
    asked: Option<i32>,
    (most, usual): (usize, usize),
) -> Result<(Vec<T>, Option<String>), Error> {
    items.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(token) = token {
        let after = (token.strip_prefix(TOKEN_PREFIX))
            .ok_or_else(|| InvalidNextToken.because(format!("The token '{token}' is invalid.")))?;
        items.retain(|it| it.0.as_str() > after);
    }
    let count = asked.and_then(|it| usize::try_from(it).ok());
    let count = count.unwrap_or(usual).clamp(1, most);
    let more = items.len() > count;
    items.truncate(count);
    let next = items.last().filter(|_| more);
    let next = next.map(|it| format!("{TOKEN_PREFIX}{}", it.0));
    Ok((items.into_iter().map(|it| it.1).collect(), next))
}
