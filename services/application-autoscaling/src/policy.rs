//! Scaling policies: recorded as they were put.

use cloud::{Cx, Error, Record, random_hex};
use serde::{Deserialize, Serialize};
use shapes::application_autoscaling::*;

use crate::target::{check_known, find, invalid, page};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyRecord {
    pub region: String,
    pub account: String,
    /// The id in its ARN.
    pub id: String,
    pub name: String,
    pub resource_id: String,
    pub kind: PolicyType,
    pub step: Option<StepScalingPolicyConfiguration>,
    pub tracking: Option<TargetTrackingScalingPolicyConfiguration>,
    pub created_ms: i64,
}

impl Record for PolicyRecord {
    const KIND: &'static str = "application-autoscaling.policy";
    fn key(&self) -> String {
        key(&self.region, &self.resource_id, &self.name)
    }
}

fn key(region: &str, resource_id: &str, name: &str) -> String {
    format!("{region}/{resource_id}/{name}")
}

impl PolicyRecord {
    fn arn(&self) -> String {
        let resource = format!(
            "scalingPolicy:{}:resource/ecs/{}:policyName/{}",
            self.id, self.resource_id, self.name
        );
        cloud::arn("autoscaling", &self.region, &self.account, &resource)
    }

    fn shown(self) -> ScalingPolicy {
        ScalingPolicy {
            policy_arn: self.arn(),
            policy_name: self.name,
            service_namespace: ServiceNamespace::Ecs,
            resource_id: self.resource_id,
            scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
            policy_type: self.kind,
            step_scaling_policy_configuration: self.step,
            target_tracking_scaling_policy_configuration: self.tracking,
            alarms: Some(Vec::new()),
            creation_time: wire::Timestamp(self.created_ms as f64 / 1000.0),
            ..Default::default()
        }
    }
}

/// A policy has the configuration of its type, and no other.
fn check(input: &PutScalingPolicyInput, kind: PolicyType) -> Result<(), Error> {
    let step = input.step_scaling_policy_configuration.is_some();
    let tracking = input.target_tracking_scaling_policy_configuration.is_some();
    if kind == PolicyType::PredictiveScaling
        || input.predictive_scaling_policy_configuration.is_some()
    {
        return Err(invalid("PredictiveScaling is not supported by neargate"));
    }
    match (kind, step, tracking) {
        (PolicyType::StepScaling, true, false)
        | (PolicyType::TargetTrackingScaling, false, true) => Ok(()),
        _ => Err(invalid(format!(
            "A policy of the type {kind} has exactly the configuration of this type"
        ))),
    }
}

pub async fn put_scaling_policy(
    cx: Cx,
    input: PutScalingPolicyInput,
) -> Result<PutScalingPolicyOutput, Error> {
    check_known(input.service_namespace, Some(input.scalable_dimension))?;
    let key = key(&cx.region, &input.resource_id, &input.policy_name);
    cx.write(|tx| {
        find(&cx, tx, &input.resource_id)?;
        let there: Option<PolicyRecord> = tx.get(&key)?;
        let kind = input.policy_type.unwrap_or(match &there {
            Some(there) => there.kind,
            None => PolicyType::StepScaling,
        });
        check(&input, kind)?;
        if there.as_ref().is_some_and(|it| it.kind != kind) {
            return Err(invalid("The type of a scaling policy cannot be changed"));
        }
        let (id, created_ms) = match there {
            Some(there) => (there.id, there.created_ms),
            None => (uuid(), cx.clock().now_ms()),
        };
        let policy = PolicyRecord {
            region: cx.region.clone(),
            account: cx.account().to_owned(),
            id,
            name: input.policy_name,
            resource_id: input.resource_id,
            kind,
            step: input.step_scaling_policy_configuration,
            tracking: input.target_tracking_scaling_policy_configuration,
            created_ms,
        };
        tx.put(&policy)?;
        Ok(PutScalingPolicyOutput {
            policy_arn: policy.arn(),
            alarms: Some(Vec::new()),
        })
    })
}

fn uuid() -> String {
    let hex = random_hex(32);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

pub async fn describe_scaling_policies(
    cx: Cx,
    input: DescribeScalingPoliciesInput,
) -> Result<DescribeScalingPoliciesOutput, Error> {
    check_known(input.service_namespace, input.scalable_dimension)?;
    let mut policies = cx.read(|tx| tx.list::<PolicyRecord>(&cx.key("")))?;
    policies.retain(|it| {
        (input.resource_id.as_ref()).is_none_or(|id| it.resource_id == *id)
            && (input.policy_names.as_ref()).is_none_or(|names| names.contains(&it.name))
    });
    let keyed = policies.into_iter().map(|it| (it.key(), it)).collect();
    let token = input.next_token.as_deref();
    let (policies, next_token) = page(keyed, |it: &(String, _)| &it.0, token, input.max_results);
    Ok(DescribeScalingPoliciesOutput {
        scaling_policies: Some(policies.into_iter().map(|(_, it)| it.shown()).collect()),
        next_token,
    })
}

pub async fn delete_scaling_policy(
    cx: Cx,
    input: DeleteScalingPolicyInput,
) -> Result<DeleteScalingPolicyOutput, Error> {
    check_known(input.service_namespace, Some(input.scalable_dimension))?;
    let key = key(&cx.region, &input.resource_id, &input.policy_name);
    cx.write(|tx| {
        if tx.delete::<PolicyRecord>(&key)? {
            return Ok(DeleteScalingPolicyOutput {});
        }
        Err(errors::ObjectNotFoundException.because(format!(
            "No scaling policy found for service namespace: ecs, resource ID: {}, scalable dimension: ecs:service:DesiredCount, policy name: {}",
            input.resource_id, input.policy_name
        )))
    })
}
