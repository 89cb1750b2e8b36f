//! Older versions, and their labels.

use cloud::{Cx, Error};
use shapes::ssm::*;

use crate::names::{find, invalid};
use crate::record::{Version, no_version};
use crate::seal::open;

/// AWS's limit of a version.
const LABELS_MAX: usize = 10;

pub async fn get_parameter_history(
    cx: Cx,
    input: GetParameterHistoryInput,
) -> Result<GetParameterHistoryOutput, Error> {
    /// AWS's default, and its most.
    const PAGE: usize = 50;
    let decrypted = input.with_decryption == Some(true);
    let mut versions = cx.read(|tx| find(&cx, tx, &input.name)?.versions(tx))?;
    if let Some(token) = &input.next_token {
        let after: i64 = token
            .parse()
            .map_err(|_| errors::InvalidNextToken.because("The specified token isn't valid."))?;
        versions.retain(|it| it.number > after);
    }
    let count = input.max_results.and_then(|it| usize::try_from(it).ok());
    let count = count.unwrap_or(PAGE).max(1);
    let more = versions.len() > count;
    versions.truncate(count);
    let next_token = versions
        .last()
        .filter(|_| more)
        .map(|it| it.number.to_string());
    for version in &mut versions {
        open(&cx, version, decrypted).await?;
    }
    let shown = |it: Version| ParameterHistory {
        key_id: it.key_id(),
        last_modified_date: Some(it.date()),
        value: Some(it.value(decrypted)),
        name: Some(it.name),
        r#type: Some(it.kind),
        last_modified_user: Some(it.modified_by),
        description: it.description,
        allowed_pattern: it.allowed_pattern,
        version: Some(it.number),
        labels: Some(it.labels.into_iter().collect()),
        tier: Some(it.tier),
        policies: Some(Vec::new()),
        data_type: Some("text".into()),
    };
    Ok(GetParameterHistoryOutput {
        parameters: Some(versions.into_iter().map(shown).collect()),
        next_token,
    })
}

fn is_label(label: &str) -> bool {
    let lower = label.to_ascii_lowercase();
    let plain = |it: char| it.is_ascii_alphanumeric() || "_.-".contains(it);
    label.len() <= 100
        && label.chars().all(plain)
        && !label.starts_with(|it: char| it.is_ascii_digit())
        && !lower.starts_with("aws")
        && !lower.starts_with("ssm")
}

/// A label is at one version at a time: it moves.
pub async fn label_parameter_version(
    cx: Cx,
    input: LabelParameterVersionInput,
) -> Result<LabelParameterVersionOutput, Error> {
    let (labels, invalid_labels): (Vec<_>, Vec<_>) =
        input.labels.into_iter().partition(|it| is_label(it));
    cx.write(|tx| {
        let parameter = find(&cx, tx, &input.name)?;
        let number = input.parameter_version.unwrap_or(parameter.latest);
        let mut chosen = parameter
            .version(tx, number)?
            .ok_or_else(|| no_version(&input.name, number))?;
        chosen.labels.extend(labels.iter().cloned());
        if chosen.labels.len() > LABELS_MAX {
            return Err(errors::ParameterVersionLabelLimitExceeded.because(format!(
                "A parameter version can have maximum {LABELS_MAX} labels. Move one or more labels to another version and try again."
            )));
        }
        for mut other in parameter.versions(tx)? {
            let count = other.labels.len();
            other.labels.retain(|it| !labels.contains(it));
            if other.number != number && other.labels.len() != count {
                tx.put(&other)?;
            }
        }
        tx.put(&chosen)?;
        Ok(LabelParameterVersionOutput {
            invalid_labels: Some(invalid_labels),
            parameter_version: Some(number),
        })
    })
}

pub async fn unlabel_parameter_version(
    cx: Cx,
    input: UnlabelParameterVersionInput,
) -> Result<UnlabelParameterVersionOutput, Error> {
    if input.labels.is_empty() {
        return Err(invalid("at least one label is required"));
    }
    cx.write(|tx| {
        let parameter = find(&cx, tx, &input.name)?;
        let mut version = parameter
            .version(tx, input.parameter_version)?
            .ok_or_else(|| no_version(&input.name, input.parameter_version))?;
        let (removed, missing) =
            (input.labels.into_iter()).partition(|it| version.labels.remove(it));
        tx.put(&version)?;
        Ok(UnlabelParameterVersionOutput {
            removed_labels: Some(removed),
            invalid_labels: Some(missing),
        })
    })
}
