//! Pages of lists that are in order already: a token says how many items were given.

use cloud::Error;
use shapes::codepipeline::errors::InvalidNextTokenException;

/// AWS's default and highest number of items on a page.
const ITEMS_MAX: usize = 100;

pub fn page<T>(
    items: Vec<T>,
    token: Option<&str>,
    max: Option<i32>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let given = match token {
        Some(token) => token.parse::<usize>().map_err(|_| {
            InvalidNextTokenException.because("The next token was specified in an invalid format.")
        })?,
        None => 0,
    };
    let count = max
        .and_then(|it| usize::try_from(it).ok())
        .unwrap_or(ITEMS_MAX)
        .clamp(1, ITEMS_MAX);
    let more = items.len() > given.saturating_add(count);
    let items = items.into_iter().skip(given).take(count).collect();
    Ok((items, more.then(|| (given + count).to_string())))
}
