//! Carrying out a template's transforms, with what they include out of buckets.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error};
use template::transform::{Names, carry_out as transformed, included};

use crate::check::invalid;
use crate::record::Version;
use crate::source::fetch;

/// How many snippets one template may include.
const SNIPPETS_MAX: usize = 100;

/// Puts in place of the version's template what its transforms make of it.
pub async fn carry_out(cx: &Cx, version: &mut Version) -> Result<(), Error> {
    let names = names(cx, &version.parameters);
    if let Some(processed) = processed(cx, &version.template, &names).await? {
        version.original = Some(std::mem::replace(&mut version.template, processed));
    }
    Ok(())
}

/// The text that a template's transforms make of it, when they make another.
pub async fn processed(cx: &Cx, text: &str, names: &Names) -> Result<Option<String>, Error> {
    // What is wrong with a template is told when it is read.
    let places = included(text, names).map_err(invalid)?;
    if places.len() > SNIPPETS_MAX {
        return Err(invalid(format!(
            "A template may include at most {SNIPPETS_MAX} snippets"
        )));
    }
    let mut snippets = BTreeMap::new();
    for place in places.into_iter().collect::<BTreeSet<_>>() {
        let url = match place.strip_prefix("s3://") {
            Some(path) => format!("https://s3.amazonaws.com/{path}"),
            None => place.clone(),
        };
        let snippet = fetch(cx, &url).await?;
        snippets.insert(place, snippet);
    }
    transformed(text, names, &snippets).map_err(invalid)
}

pub fn names(cx: &Cx, parameters: &BTreeMap<String, String>) -> Names {
    let mut texts = parameters.clone();
    for (name, value) in [
        ("AWS::Region", cx.region.as_str()),
        ("AWS::AccountId", cx.account()),
        ("AWS::Partition", "aws"),
        ("AWS::URLSuffix", "amazonaws.com"),
    ] {
        texts.insert(name.into(), value.into());
    }
    Names { texts }
}
