//! Names and ARNs, in and out. Everything may be called by its short name or by its ARN.

use cloud::{Cx, Error, Records};
use shapes::ecs::errors::{ClientException, ClusterNotFoundException, InvalidParameterException};

use crate::history;
use crate::record::{Cluster, Definition};

pub const DEFAULT_CLUSTER: &str = "default";
/// Names of clusters, services, families and containers (the API reference of `CreateCluster`).
const NAME_LENGTH_MAX: usize = 255;

pub fn cluster_arn(cx: &Cx, name: &str) -> String {
    cx.arn("ecs", &format!("cluster/{name}"))
}

pub fn service_arn(cx: &Cx, cluster: &str, name: &str) -> String {
    cx.arn("ecs", &format!("service/{cluster}/{name}"))
}

pub fn task_arn(cx: &Cx, cluster: &str, id: &str) -> String {
    cx.arn("ecs", &format!("task/{cluster}/{id}"))
}

pub fn container_instance_arn(cx: &Cx, cluster: &str, id: &str) -> String {
    cx.arn("ecs", &format!("container-instance/{cluster}/{id}"))
}

/// The id of a container instance.
pub fn container_instance_id(cx: &Cx, given: &str) -> Result<String, Error> {
    let id = match resource(cx, given)? {
        None => given,
        Some(path) => last_of(path, "container-instance").map_or("", |(_, id)| id),
    };
    if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(id.to_owned())
    } else {
        Err(InvalidParameterException
            .because("Invalid containerInstance: it is an ARN, or an id of 32 digits."))
    }
}

/// The resource part of an ECS ARN of this region and account; None when the text is no ARN.
fn resource<'a>(cx: &Cx, text: &'a str) -> Result<Option<&'a str>, Error> {
    if !text.starts_with("arn:") {
        return Ok(None);
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        [_, _, "ecs", region, account, resource]
            if *region == cx.region && *account == cx.account() =>
        {
            Ok(Some(resource))
        }
        _ => Err(InvalidParameterException.because(format!("Invalid identifier: {text}"))),
    }
}

/// The last part of a path of `kind`, with the cluster when the path names it.
fn last_of<'a>(resource: &'a str, kind: &str) -> Option<(Option<&'a str>, &'a str)> {
    let mut parts = resource.split('/');
    if parts.next() != Some(kind) {
        return None;
    }
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => Some((None, name)),
        (Some(cluster), Some(name), None) => Some((Some(cluster), name)),
        _ => None,
    }
}

pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_LENGTH_MAX
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The name of a cluster; `default` when none is given.
pub fn cluster_name(cx: &Cx, given: Option<&str>) -> Result<String, Error> {
    let given = given.filter(|it| !it.is_empty()).unwrap_or(DEFAULT_CLUSTER);
    match resource(cx, given)? {
        None => Ok(given.to_owned()),
        Some(path) => match last_of(path, "cluster") {
            Some((None, name)) => Ok(name.to_owned()),
            _ => Err(InvalidParameterException.because(format!("Invalid identifier: {given}"))),
        },
    }
}

/// A cluster that is there.
pub fn find_cluster(cx: &Cx, tx: &Records<'_>, given: Option<&str>) -> Result<Cluster, Error> {
    let name = cluster_name(cx, given)?;
    tx.get::<Cluster>(&cx.key(&name))?
        .filter(|it| it.active)
        .ok_or_else(|| ClusterNotFoundException.because("Cluster not found."))
}

/// The name of a service.
pub fn service_name(cx: &Cx, given: &str) -> Result<String, Error> {
    match resource(cx, given)? {
        None => Ok(given.to_owned()),
        Some(path) => match last_of(path, "service") {
            Some((_, name)) => Ok(name.to_owned()),
            None => Err(InvalidParameterException.because(format!("Invalid identifier: {given}"))),
        },
    }
}

/// Cluster and name in a service's long ARN.
pub fn parse_service_arn(arn: &str) -> Option<(&str, &str)> {
    let path = arn.splitn(6, ':').nth(5)?;
    match last_of(path, "service")? {
        (Some(cluster), name) => Some((cluster, name)),
        (None, _) => None,
    }
}

/// The id of a task.
pub fn task_id(cx: &Cx, given: &str) -> Result<String, Error> {
    let id = match resource(cx, given)? {
        None => given,
        Some(path) => last_of(path, "task").map_or("", |(_, id)| id),
    };
    if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(id.to_owned())
    } else {
        Err(InvalidParameterException.because("taskId length should be one of [32,36]"))
    }
}

/// Family and, when given, revision.
pub fn definition_name<'a>(cx: &Cx, given: &'a str) -> Result<(&'a str, Option<i32>), Error> {
    let bad = || ClientException.because(format!("Invalid revision number. Number: {given}"));
    let text = match resource(cx, given)? {
        None => given,
        Some(path) => path.strip_prefix("task-definition/").ok_or_else(bad)?,
    };
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((family, revision)) => Ok((family, Some(revision.parse().map_err(|_| bad())?))),
    }
}

/// A task definition by `family`, `family:revision` or ARN; the family alone is its newest active
/// revision.
pub fn find_definition(
    cx: &Cx,
    tx: &Records<'_>,
    given: &str,
) -> Result<Option<Definition>, Error> {
    let (family, revision) = definition_name(cx, given)?;
    match revision {
        Some(revision) => history::revision(tx, &Definition::key_of(&cx.region, family, revision)),
        None => history::newest(tx, &cx.region, family),
    }
}

pub fn is_active(definition: &Definition) -> bool {
    definition.shape.status == Some(shapes::ecs::TaskDefinitionStatus::Active)
}
