//! Attributes that somebody puts on container instances, to place tasks by.

use cloud::{Cx, Error, Records};
use shapes::ecs::errors::{AttributeLimitExceededException, TargetNotFoundException};
use shapes::ecs::*;

use crate::cluster::PAGE_MAX;
use crate::instance_record::ContainerInstance as InstanceRecord;
use crate::launch::invalid;
use crate::names::{container_instance_arn, container_instance_id, find_cluster};

/// "You can specify up to 10 custom attributes for each resource", and in one call (`PutAttributes`).
const CUSTOM_MAX: usize = 10;
/// The API reference of `Attribute`.
const LENGTH_MAX: usize = 128;

fn is_text(text: &str, more: &str) -> bool {
    (1..=LENGTH_MAX).contains(&text.chars().count())
        && text
            .chars()
            .all(|it| it.is_alphanumeric() || more.contains(it))
        && text.trim() == text
}

fn check(attribute: &Attribute) -> Result<(), Error> {
    if !is_text(&attribute.name, "-_./\\") {
        return Err(invalid(format!(
            "Invalid attribute name: {}",
            attribute.name
        )));
    }
    let value = attribute.value.as_deref().filter(|it| !it.is_empty());
    match value {
        Some(value) if !is_text(value, "-_./\\@: ") => {
            Err(invalid(format!("Invalid attribute value: {value}")))
        }
        _ => Ok(()),
    }
}

fn target(
    cx: &Cx,
    tx: &Records<'_>,
    cluster: &str,
    attribute: &Attribute,
) -> Result<InstanceRecord, Error> {
    let given = attribute.target_id.as_deref().unwrap_or_default();
    let id = container_instance_id(cx, given)?;
    tx.get::<InstanceRecord>(&InstanceRecord::key_of(&cx.region, cluster, &id))?
        .ok_or_else(|| {
            TargetNotFoundException.because(
                "The specified target wasn't found. You can view your \
                available container instances with ListContainerInstances.",
            )
        })
}

fn check_count(attributes: &[Attribute]) -> Result<(), Error> {
    match attributes.len() {
        1..=CUSTOM_MAX => Ok(()),
        _ => Err(invalid("attributes must have between 1 and 10 items.")),
    }
}

pub async fn put_attributes(
    cx: Cx,
    input: PutAttributesInput,
) -> Result<PutAttributesOutput, Error> {
    check_count(&input.attributes)?;
    input.attributes.iter().try_for_each(check)?;
    let cluster = cx.write(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        for attribute in &input.attributes {
            let mut instance = target(&cx, tx, &cluster.name, attribute)?;
            if instance.attributes.contains_key(&attribute.name) {
                return Err(invalid(format!(
                    "The attribute {} is the instance's own.",
                    attribute.name
                )));
            }
            let value = attribute.value.clone().unwrap_or_default();
            instance.custom.insert(attribute.name.clone(), value);
            if instance.custom.len() > CUSTOM_MAX {
                return Err(AttributeLimitExceededException
                    .because("You can apply up to 10 custom attributes for each resource."));
            }
            tx.put(&instance)?;
        }
        Ok(cluster.name)
    })?;
    crate::container_instance::wake_services(&cx, &cluster)?;
    Ok(PutAttributesOutput {
        attributes: Some(input.attributes),
    })
}

pub async fn delete_attributes(
    cx: Cx,
    input: DeleteAttributesInput,
) -> Result<DeleteAttributesOutput, Error> {
    check_count(&input.attributes)?;
    cx.write(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        for attribute in &input.attributes {
            let mut instance = target(&cx, tx, &cluster.name, attribute)?;
            instance.custom.remove(&attribute.name);
            tx.put(&instance)?;
        }
        Ok(())
    })?;
    Ok(DeleteAttributesOutput {
        attributes: Some(input.attributes),
    })
}

pub async fn list_attributes(
    cx: Cx,
    input: ListAttributesInput,
) -> Result<ListAttributesOutput, Error> {
    if input.attribute_value.is_some() && input.attribute_name.is_none() {
        return Err(invalid(
            "attributeName must be given when attributeValue is.",
        ));
    }
    let (cluster, instances) = cx.read(|tx| {
        let cluster = find_cluster(&cx, tx, input.cluster.as_deref())?;
        let all = tx.list::<InstanceRecord>(&cx.key(&format!("{}/", cluster.name)))?;
        Ok((cluster.name, all))
    })?;
    let mut found = Vec::new();
    for instance in &instances {
        let arn = container_instance_arn(&cx, &cluster, &instance.id);
        for (name, value) in instance.attributes.iter().chain(&instance.custom) {
            let wanted = input.attribute_name.as_ref().is_none_or(|it| it == name)
                && input.attribute_value.as_ref().is_none_or(|it| it == value);
            if wanted {
                found.push(Attribute {
                    target_type: Some(TargetType::ContainerInstance),
                    target_id: Some(arn.clone()),
                    ..crate::container_instance::attribute(name, value)
                });
            }
        }
    }
    let start = match input.next_token.as_deref().filter(|it| !it.is_empty()) {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .map_err(|_| invalid("Invalid token."))?,
    };
    let size = match input.max_results {
        None => PAGE_MAX,
        Some(count @ 1..=100) => usize::try_from(count).unwrap_or(PAGE_MAX),
        Some(_) => return Err(invalid("maxResults must be between 1 and 100.")),
    };
    let end = start.saturating_add(size);
    let next_token = (found.len() > end).then(|| end.to_string());
    let shown = found.into_iter().skip(start).take(size).collect();
    Ok(ListAttributesOutput {
        attributes: Some(shown),
        next_token,
    })
}
