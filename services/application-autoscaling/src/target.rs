//! Scalable targets.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::application_autoscaling::*;
use shapes::ecs::DescribeServicesInput;

use crate::linked_role;
use crate::policy::PolicyRecord;
use crate::scheduled::ScheduledRecord;

/// AWS's default and highest number of items on a page.
const ITEMS: usize = 50;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetRecord {
    pub region: String,
    pub account: String,
    /// The id in its ARN.
    pub id: String,
    /// `service/<cluster>/<service>`.
    pub resource_id: String,
    pub min_capacity: i32,
    pub max_capacity: i32,
    pub role_arn: String,
    pub suspended: SuspendedState,
    pub created_ms: i64,
    pub tags: BTreeMap<String, String>,
    /// The bounds were set: a capacity outside of them is to be brought inside.
    #[serde(default)]
    pub bounds_set: bool,
    /// When capacity was last added, and to what.
    #[serde(default)]
    pub last_out_ms: Option<i64>,
    #[serde(default)]
    pub last_out_from: i32,
    /// When capacity was last taken away.
    #[serde(default)]
    pub last_in_ms: Option<i64>,
}

impl Record for TargetRecord {
    const KIND: &'static str = "application-autoscaling.target";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.resource_id)
    }
}

impl TargetRecord {
    pub fn arn(&self) -> String {
        let resource = format!("scalable-target/{}", self.id);
        cloud::arn(
            "application-autoscaling",
            &self.region,
            &self.account,
            &resource,
        )
    }

    /// The names of its cluster and service.
    pub fn service(&self) -> Option<(&str, &str)> {
        self.resource_id.strip_prefix("service/")?.split_once('/')
    }

    fn shown(self) -> ScalableTarget {
        ScalableTarget {
            scalable_target_arn: Some(self.arn()),
            service_namespace: ServiceNamespace::Ecs,
            resource_id: self.resource_id,
            scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
            min_capacity: self.min_capacity,
            max_capacity: self.max_capacity,
            predicted_capacity: None,
            role_arn: self.role_arn,
            creation_time: wire::Timestamp(self.created_ms as f64 / 1000.0),
            suspended_state: Some(self.suspended),
        }
    }
}

pub fn invalid(message: impl Into<String>) -> Error {
    errors::ValidationException.because(message)
}

/// Only ECS services can be scaled here.
pub fn check_known(
    namespace: ServiceNamespace,
    dimension: Option<ScalableDimension>,
) -> Result<(), Error> {
    if namespace != ServiceNamespace::Ecs {
        return Err(invalid(format!(
            "the service namespace {namespace} is not supported by neargate"
        )));
    }
    match dimension {
        None | Some(ScalableDimension::EcsServiceDesiredCount) => Ok(()),
        Some(other) => Err(invalid(format!(
            "Unsupported service namespace, resource type or scalable dimension: {other}"
        ))),
    }
}

pub fn find(cx: &Cx, tx: &Records<'_>, resource_id: &str) -> Result<TargetRecord, Error> {
    tx.get(&cx.key(resource_id))?.ok_or_else(|| {
        errors::ObjectNotFoundException.because(format!(
            "No scalable target registered for service namespace: ecs, resource ID: {resource_id}, scalable dimension: ecs:service:DesiredCount"
        ))
    })
}

/// The part of a list that a page shows, and the token for the rest: the last name that was given.
pub fn page<T>(
    mut items: Vec<T>,
    key: impl Fn(&T) -> &str,
    token: Option<&str>,
    max: Option<i32>,
) -> (Vec<T>, Option<String>) {
    items.sort_by(|a, b| key(a).cmp(key(b)));
    if let Some(token) = token {
        items.retain(|it| key(it) > token);
    }
    let count = max.and_then(|it| usize::try_from(it).ok());
    let count = count.unwrap_or(ITEMS).clamp(1, ITEMS);
    let more = items.len() > count;
    items.truncate(count);
    let next = items.last().filter(|_| more).map(|it| key(it).to_owned());
    (items, next)
}

/// The service must be there: nothing is scaled that does not exist.
async fn check_service(cx: &Cx, resource_id: &str) -> Result<(), Error> {
    let parts: Vec<&str> = resource_id.split('/').collect();
    let ["service", cluster, service] = parts[..] else {
        return Err(invalid(format!(
            "Unsupported service namespace, resource type or scalable dimension: {resource_id}"
        )));
    };
    let input = DescribeServicesInput {
        cluster: Some(cluster.to_owned()),
        services: vec![service.to_owned()],
        ..Default::default()
    };
    let found = match cx.call(input).await {
        Ok(output) => output.services.unwrap_or_default(),
        Err(error) if error.is(shapes::ecs::errors::ClusterNotFoundException) => Vec::new(),
        Err(error) => return Err(error),
    };
    if found
        .iter()
        .any(|it| it.status.as_deref() == Some("ACTIVE"))
    {
        Ok(())
    } else {
        Err(invalid(format!("ECS service doesn't exist: {resource_id}")))
    }
}

pub async fn register_scalable_target(
    cx: Cx,
    input: RegisterScalableTargetInput,
) -> Result<RegisterScalableTargetOutput, Error> {
    check_known(input.service_namespace, Some(input.scalable_dimension))?;
    check_service(&cx, &input.resource_id).await?;
    linked_role::ensure(&cx).await?;
    cx.write(|tx| {
        let there: Option<TargetRecord> = tx.get(&cx.key(&input.resource_id))?;
        let target = match there {
            Some(there) => updated(there, input)?,
            None => new(&cx, input)?,
        };
        if target.min_capacity < 0 || target.max_capacity < 0 {
            return Err(invalid("Capacities must not be negative"));
        }
        if target.max_capacity < target.min_capacity {
            return Err(invalid(
                "Maximum capacity cannot be less than minimum capacity",
            ));
        }
        tx.put(&target)?;
        Ok(RegisterScalableTargetOutput {
            scalable_target_arn: Some(target.arn()),
        })
    })
}

fn new(cx: &Cx, input: RegisterScalableTargetInput) -> Result<TargetRecord, Error> {
    let (Some(min_capacity), Some(max_capacity)) = (input.min_capacity, input.max_capacity) else {
        return Err(invalid(
            "MinCapacity and MaxCapacity are required to register a new scalable target",
        ));
    };
    let linked = format!(
        "arn:aws:iam::{}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService",
        cx.account()
    );
    Ok(TargetRecord {
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        id: cx.new_id("0ec5", 32),
        resource_id: input.resource_id,
        min_capacity,
        max_capacity,
        role_arn: input.role_arn.unwrap_or(linked),
        suspended: suspended(SuspendedState::default(), input.suspended_state),
        created_ms: cx.clock().now_ms(),
        tags: input.tags.unwrap_or_default(),
        bounds_set: true,
        last_out_ms: None,
        last_out_from: 0,
        last_in_ms: None,
    })
}

/// What is registered again keeps what is not given.
fn updated(
    mut target: TargetRecord,
    input: RegisterScalableTargetInput,
) -> Result<TargetRecord, Error> {
    if input.tags.is_some_and(|it| !it.is_empty()) {
        return Err(invalid(
            "Tags can be given only when a scalable target is registered; use TagResource",
        ));
    }
    target.bounds_set |= input
        .min_capacity
        .is_some_and(|it| it != target.min_capacity)
        || input
            .max_capacity
            .is_some_and(|it| it != target.max_capacity);
    target.min_capacity = input.min_capacity.unwrap_or(target.min_capacity);
    target.max_capacity = input.max_capacity.unwrap_or(target.max_capacity);
    target.role_arn = input.role_arn.unwrap_or(target.role_arn);
    target.suspended = suspended(target.suspended, input.suspended_state);
    Ok(target)
}

fn suspended(before: SuspendedState, given: Option<SuspendedState>) -> SuspendedState {
    let given = given.unwrap_or_default();
    let part = |given: Option<bool>, before: Option<bool>| Some(given.or(before).unwrap_or(false));
    SuspendedState {
        dynamic_scaling_in_suspended: part(
            given.dynamic_scaling_in_suspended,
            before.dynamic_scaling_in_suspended,
        ),
        dynamic_scaling_out_suspended: part(
            given.dynamic_scaling_out_suspended,
            before.dynamic_scaling_out_suspended,
        ),
        scheduled_scaling_suspended: part(
            given.scheduled_scaling_suspended,
            before.scheduled_scaling_suspended,
        ),
    }
}

pub async fn describe_scalable_targets(
    cx: Cx,
    input: DescribeScalableTargetsInput,
) -> Result<DescribeScalableTargetsOutput, Error> {
    check_known(input.service_namespace, input.scalable_dimension)?;
    let mut targets = cx.read(|tx| tx.list::<TargetRecord>(&cx.key("")))?;
    if let Some(ids) = &input.resource_ids {
        targets.retain(|it| ids.contains(&it.resource_id));
    }
    let token = input.next_token.as_deref();
    let (targets, next_token) = page(targets, |it| &it.resource_id, token, input.max_results);
    Ok(DescribeScalableTargetsOutput {
        scalable_targets: Some(targets.into_iter().map(TargetRecord::shown).collect()),
        next_token,
    })
}

/// The target's policies go with it, and their alarms; and its scheduled actions.
pub async fn deregister_scalable_target(
    cx: Cx,
    input: DeregisterScalableTargetInput,
) -> Result<DeregisterScalableTargetOutput, Error> {
    check_known(input.service_namespace, Some(input.scalable_dimension))?;
    cx.write(|tx| {
        let target = find(&cx, tx, &input.resource_id)?;
        tx.delete::<TargetRecord>(&target.key())?;
        for policy in tx.list::<PolicyRecord>(&format!("{}/", target.key()))? {
            policy.delete(tx)?;
        }
        for action in tx.list::<ScheduledRecord>(&format!("{}/", target.key()))? {
            tx.delete::<ScheduledRecord>(&action.key())?;
        }
        Ok(DeregisterScalableTargetOutput {})
    })
}
