//! What EC2 says of the machine that an agent calls its own.

use cloud::{Cx, Error};
use serde_json::Value as Json;
use shapes::ec2::{DescribeInstancesInput, Instance, InstanceStateName};
use shapes::iam::GetInstanceProfileInput;
use shapes::iam::errors::NoSuchEntityException;

use crate::instance_record::Machine;
use crate::launch::invalid;

/// An identity document is a dozen short members.
const DOCUMENT_BYTES_MAX: usize = 16 << 10;
/// The tag that an Auto Scaling group gives its instances.
const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// The instance that an identity document names.
pub fn instance_of(document: Option<&str>) -> Result<String, Error> {
    let document = document.unwrap_or_default();
    if document.is_empty() {
        return Err(invalid(
            "Instance identity document can not be blank (external instances are not supported by \
             neargate).",
        ));
    }
    let bad = || invalid("Instance identity document is invalid.");
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(bad());
    }
    let read: Json = serde_json::from_str(document).map_err(|_| bad())?;
    let id = read["instanceId"].as_str().filter(|it| !it.is_empty());
    id.map(str::to_owned).ok_or_else(bad)
}

async fn describe(cx: &Cx, id: &str) -> Result<Option<Instance>, Error> {
    let asked = DescribeInstancesInput {
        instance_ids: Some(vec![id.to_owned()]),
        ..Default::default()
    };
    let found = match cx.call(asked).await {
        Err(error) if error.code.starts_with("InvalidInstanceID") => return Ok(None),
        other => other?,
    };
    let all = found.reservations.unwrap_or_default().into_iter();
    Ok(all.flat_map(|it| it.instances.unwrap_or_default()).next())
}

/// The machine, if it is there and is not going away.
pub async fn find(cx: &Cx, id: &str) -> Result<Option<Machine>, Error> {
    match describe(cx, id).await? {
        Some(found) => self::found(cx, id, found).await,
        None => Ok(None),
    }
}

/// The same of what EC2 has said.
pub async fn found(cx: &Cx, id: &str, found: Instance) -> Result<Option<Machine>, Error> {
    let state = found.state.as_ref().and_then(|it| it.name);
    let is_there = matches!(
        state,
        Some(InstanceStateName::Pending | InstanceStateName::Running)
    );
    if !is_there {
        return Ok(None);
    }
    let profile = found.iam_instance_profile.as_ref();
    let role = match profile.and_then(|it| it.arn.clone()) {
        Some(arn) => role_of(cx, &arn).await?,
        None => None,
    };
    Ok(Some(Machine {
        role,
        ..machine(id, found)
    }))
}

/// The role of an instance profile.
async fn role_of(cx: &Cx, profile: &str) -> Result<Option<String>, Error> {
    let asked = GetInstanceProfileInput {
        instance_profile_name: profile.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    let found = match cx.call(asked).await {
        Err(error) if error.is(NoSuchEntityException) => return Ok(None),
        other => other?,
    };
    let mut roles = found.instance_profile.roles.into_iter();
    Ok(roles.next().map(|it| it.arn))
}

/// How a machine that has no tasks any longer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It may come back.
    Stopped,
    Terminated,
}

/// None: it is there.
pub async fn gone(cx: &Cx, id: &str) -> Result<Option<Gone>, Error> {
    let Some(found) = describe(cx, id).await? else {
        return Ok(Some(Gone::Terminated));
    };
    Ok(match found.state.and_then(|it| it.name) {
        Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown) => {
            Some(Gone::Terminated)
        }
        Some(InstanceStateName::Stopped | InstanceStateName::Stopping) => Some(Gone::Stopped),
        _ => None,
    })
}

fn machine(id: &str, found: Instance) -> Machine {
    let interfaces = found.network_interfaces.unwrap_or_default();
    let first = interfaces.into_iter().next();
    let mut tags = found.tags.unwrap_or_default().into_iter();
    let group = tags.find(|it| it.key.as_deref() == Some(GROUP_TAG));
    Machine {
        id: id.to_owned(),
        kind: found
            .instance_type
            .map(|it| it.to_string())
            .unwrap_or_default(),
        image: found.image_id.unwrap_or_default(),
        zone: found
            .placement
            .and_then(|it| it.availability_zone)
            .unwrap_or_default(),
        vpc: found.vpc_id.unwrap_or_default(),
        subnet: found.subnet_id.unwrap_or_default(),
        interface: first
            .and_then(|it| it.network_interface_id)
            .unwrap_or_default(),
        address: found.private_ip_address.unwrap_or_default(),
        role: None,
        group: group.and_then(|it| it.value),
    }
}
