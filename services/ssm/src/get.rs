//! Getting parameters: one, several, or all under a path.

use cloud::{Cx, Error};
use shapes::ssm::*;

use crate::describe::{Filter, page};
use crate::names::{check_path, is_public, parse, select};
use crate::public;
use crate::record::ParameterRecord;
use crate::reference;
use crate::seal::open;

pub async fn get_parameter(cx: Cx, input: GetParameterInput) -> Result<GetParameterOutput, Error> {
    let decrypted = input.with_decryption == Some(true);
    if let Some(secret) = reference::secret_of(&input.name) {
        let parameter = reference::parameter(&cx, secret, decrypted).await?;
        return Ok(GetParameterOutput {
            parameter: Some(parameter),
        });
    }
    if is_public(&input.name) {
        return Ok(GetParameterOutput {
            parameter: Some(public::parameter(&cx, &input.name).await?),
        });
    }
    let (mut version, selector) = cx.read(|tx| {
        let named = parse(&cx, tx, &input.name)?;
        Ok((select(&cx, tx, &named)?, named.selector))
    })?;
    open(&cx, &mut version, decrypted).await?;
    Ok(GetParameterOutput {
        parameter: Some(version.shown(&cx, decrypted, selector)),
    })
}

pub async fn get_parameters(
    cx: Cx,
    input: GetParametersInput,
) -> Result<GetParametersOutput, Error> {
    let decrypted = input.with_decryption == Some(true);
    let is_elsewhere = |it: &String| reference::secret_of(it).is_some() || is_public(it);
    let (references, names): (Vec<_>, Vec<_>) = input.names.into_iter().partition(is_elsewhere);
    let (mut secrets, mut no_secrets) = (Vec::new(), Vec::new());
    for name in references {
        let found = match reference::secret_of(&name) {
            Some(secret) => reference::parameter(&cx, secret, decrypted).await,
            None => public::parameter(&cx, &name).await,
        };
        match found {
            Ok(found) => secrets.push(found),
            Err(error) if error.is(errors::ParameterNotFound) => no_secrets.push(name),
            Err(error) => return Err(error),
        }
    }
    let (versions, missing) = cx.read(|tx| {
        let (mut versions, mut missing) = (Vec::new(), no_secrets);
        for name in &names {
            let found = parse(&cx, tx, name)
                .and_then(|named| Ok((select(&cx, tx, &named)?, named.selector)));
            match found {
                Ok(found) => versions.push(found),
                Err(error) if error.status >= 500 => return Err(error),
                Err(_) => missing.push(name.clone()),
            }
        }
        Ok((versions, missing))
    })?;
    let mut parameters = secrets;
    for (mut version, selector) in versions {
        open(&cx, &mut version, decrypted).await?;
        parameters.push(version.shown(&cx, decrypted, selector));
    }
    Ok(GetParametersOutput {
        parameters: Some(parameters),
        invalid_parameters: Some(missing),
    })
}

pub async fn get_parameters_by_path(
    cx: Cx,
    input: GetParametersByPathInput,
) -> Result<GetParametersByPathOutput, Error> {
    /// AWS's default, and its most.
    const PAGE: usize = 10;
    check_path(&input.path)?;
    let filters = input.parameter_filters.unwrap_or_default();
    let filters = filters
        .into_iter()
        .map(|it| Filter::new(it, &["Type", "KeyId", "Label"]))
        .collect::<Result<Vec<_>, _>>()?;
    let folder = format!("{}/", input.path.trim_end_matches('/'));
    let (recursive, decrypted) = (
        input.recursive == Some(true),
        input.with_decryption == Some(true),
    );
    let (mut found, next_token) = cx.read(|tx| {
        let mut found = Vec::new();
        // What has no slash is in the outermost folder.
        let prefix = if folder == "/" { "" } else { folder.as_str() };
        for parameter in tx.list::<ParameterRecord>(&cx.key(prefix))? {
            let below = parameter.name[prefix.len()..].trim_start_matches('/');
            if !recursive && below.contains('/') {
                continue;
            }
            let labels: Vec<_> = filters.iter().filter(|it| it.is("Label")).collect();
            let version = match labels.is_empty() {
                true => Some(parameter.latest(tx)?),
                false => {
                    let mut versions = parameter.versions(tx)?.into_iter().rev();
                    versions.find(|it| labels.iter().all(|label| label.matches(&parameter, it)))
                }
            };
            let Some(version) = version else { continue };
            if filters.iter().all(|it| it.matches(&parameter, &version)) {
                found.push(version);
            }
        }
        let token = input.next_token.as_deref();
        Ok(page(found, |it| &it.name, token, input.max_results, PAGE))
    })?;
    for version in &mut found {
        open(&cx, version, decrypted).await?;
    }
    let shown = found.iter().map(|it| it.shown(&cx, decrypted, None));
    Ok(GetParametersByPathOutput {
        parameters: Some(shown.collect()),
        next_token,
    })
}
