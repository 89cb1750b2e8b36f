//! Finding stacks by what requests call them.

use cloud::{Cx, Error, Records};

use crate::check::invalid;
use crate::kept;
use crate::record::{Stack, Version};

/// A stack by its name (of those that are not deleted) or by its id (of all).
pub fn find(cx: &Cx, tx: &Records<'_>, name_or_id: &str) -> Result<Option<Stack>, Error> {
    let head = find_head(cx, tx, name_or_id)?;
    head.map(|it| kept::completed(tx, it)).transpose()
}

/// The same for who does not ask for its resources.
pub fn find_head(cx: &Cx, tx: &Records<'_>, name_or_id: &str) -> Result<Option<Stack>, Error> {
    if let Some(path) = name_or_id.strip_prefix(&format!(
        "arn:aws:cloudformation:{}:{}:stack/",
        cx.region,
        cx.account()
    )) {
        return kept::head(tx, &cx.key(path));
    }
    kept::named(tx, &cx.region, name_or_id)
}

pub fn require(cx: &Cx, tx: &Records<'_>, name_or_id: &str) -> Result<Stack, Error> {
    find(cx, tx, name_or_id)?.ok_or_else(|| does_not_exist(name_or_id))
}

pub fn require_head(cx: &Cx, tx: &Records<'_>, name_or_id: &str) -> Result<Stack, Error> {
    find_head(cx, tx, name_or_id)?.ok_or_else(|| does_not_exist(name_or_id))
}

/// The words that every client's waiter knows.
pub fn does_not_exist(name_or_id: &str) -> Error {
    invalid(format!("Stack with id {name_or_id} does not exist"))
}

/// What the stack shows; none while it is in review.
pub fn version_of(tx: &Records<'_>, stack: &Stack) -> Result<Option<Version>, Error> {
    match stack.version {
        Some(number) => tx.get(&Version::key_of(&stack.key(), number)),
        None => Ok(None),
    }
}

/// A page of a list that is held whole: the items, and the token of the next page.
pub fn page<T>(
    items: Vec<T>,
    token: Option<&str>,
    size: usize,
) -> Result<(Vec<T>, Option<String>), Error> {
    let begin: usize = match token {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| invalid("The NextToken is not valid"))?,
    };
    let next = begin.saturating_add(size);
    let has_more = next < items.len();
    let page = items.into_iter().skip(begin).take(size).collect();
    Ok((page, has_more.then(|| next.to_string())))
}
