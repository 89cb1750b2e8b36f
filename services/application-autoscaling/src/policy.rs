//! Scaling policies. A policy that tracks a target has two alarms of its own, which
//! [`PolicyReconciler`] makes and takes away; a step policy has whatever alarms name it.

use async_trait::async_trait;
use cloud::{
    Cloud, Cx, Error, Next, Reconciler, Record, Records, StoreError, all_keys, dashed, random_hex,
    token_hex,
};
use serde::{Deserialize, Serialize};
use shapes::application_autoscaling::*;

use crate::policy_rules::check;
use crate::target::{check_known, find, invalid, page};
use crate::tracking;

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
    /// Shown to nobody any more; its alarms are to go.
    #[serde(default)]
    pub deleting: bool,
    /// Ids of policies that had this one's place before, whose alarms are to go.
    #[serde(default)]
    pub former: Vec<String>,
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
    pub fn arn(&self) -> String {
        let resource = format!(
            "scalingPolicy:{}:resource/ecs/{}:policyName/{}",
            self.id, self.resource_id, self.name
        );
        cloud::arn("autoscaling", &self.region, &self.account, &resource)
    }

    pub fn alarm_high(&self) -> String {
        alarm_name(&self.resource_id, &self.id, "AlarmHigh")
    }

    pub fn alarm_low(&self) -> String {
        alarm_name(&self.resource_id, &self.id, "AlarmLow")
    }

    /// Names of the alarms that it makes.
    pub fn own_alarms(&self) -> Vec<String> {
        match &self.tracking {
            Some(it) if it.disable_scale_in == Some(true) => vec![self.alarm_high()],
            Some(_) => vec![self.alarm_high(), self.alarm_low()],
            None => Vec::new(),
        }
    }

    fn own_alarms_shown(&self) -> Vec<Alarm> {
        let alarm = |alarm_name: String| Alarm {
            alarm_arn: cloud::arn(
                "cloudwatch",
                &self.region,
                &self.account,
                &format!("alarm:{alarm_name}"),
            ),
            alarm_name,
        };
        self.own_alarms().into_iter().map(alarm).collect()
    }

    /// From now on it is gone for everybody; its alarms go with the next look.
    pub fn delete(mut self, tx: &Records<'_>) -> Result<(), Error> {
        self.deleting = true;
        tx.put(&self)
    }

    fn shown(self, alarms: Vec<Alarm>) -> ScalingPolicy {
        ScalingPolicy {
            policy_arn: self.arn(),
            policy_name: self.name,
            service_namespace: ServiceNamespace::Ecs,
            resource_id: self.resource_id,
            scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
            policy_type: self.kind,
            step_scaling_policy_configuration: self.step,
            target_tracking_scaling_policy_configuration: self.tracking,
            alarms: Some(alarms),
            creation_time: wire::Timestamp(self.created_ms as f64 / 1000.0),
            ..Default::default()
        }
    }
}

/// `TargetTracking-service/main/web-AlarmHigh-<uuid>`; the id follows from the policy's.
fn alarm_name(resource_id: &str, policy_id: &str, which: &str) -> String {
    let id = dashed(&token_hex(policy_id, which, 32));
    format!("TargetTracking-{resource_id}-{which}-{id}")
}

pub fn uuid() -> String {
    dashed(&random_hex(32))
}

pub async fn put_scaling_policy(
    cx: Cx,
    input: PutScalingPolicyInput,
) -> Result<PutScalingPolicyOutput, Error> {
    check_known(input.service_namespace, Some(input.scalable_dimension))?;
    let key = key(&cx.region, &input.resource_id, &input.policy_name);
    let there = cx.read(|tx| {
        find(&cx, tx, &input.resource_id)?;
        tx.get::<PolicyRecord>(&key)
    })?;
    let there = there.filter(|it| !it.deleting);
    let kind = input.policy_type.unwrap_or(match &there {
        Some(there) => there.kind,
        None => PolicyType::StepScaling,
    });
    if there.as_ref().is_some_and(|it| it.kind != kind) {
        return Err(invalid("The type of a scaling policy cannot be changed"));
    }
    check(&cx, &input, kind).await?;
    cx.write(|tx| {
        find(&cx, tx, &input.resource_id)?;
        let there: Option<PolicyRecord> = tx.get(&key)?;
        let mut former = there
            .as_ref()
            .map(|it| it.former.clone())
            .unwrap_or_default();
        let (id, created_ms) = match there {
            Some(there) if !there.deleting => (there.id, there.created_ms),
            Some(there) => {
                former.push(there.id);
                (uuid(), cx.clock().now_ms())
            }
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
            deleting: false,
            former,
        };
        tx.put(&policy)?;
        Ok(PutScalingPolicyOutput {
            policy_arn: policy.arn(),
            alarms: Some(policy.own_alarms_shown()),
        })
    })
}

pub async fn describe_scaling_policies(
    cx: Cx,
    input: DescribeScalingPoliciesInput,
) -> Result<DescribeScalingPoliciesOutput, Error> {
    check_known(input.service_namespace, input.scalable_dimension)?;
    let mut policies = cx.read(|tx| tx.list::<PolicyRecord>(&cx.key("")))?;
    policies.retain(|it| {
        !it.deleting
            && (input.resource_id.as_ref()).is_none_or(|id| it.resource_id == *id)
            && (input.policy_names.as_ref()).is_none_or(|names| names.contains(&it.name))
    });
    let keyed = policies.into_iter().map(|it| (it.key(), it)).collect();
    let token = input.next_token.as_deref();
    let (policies, next_token) = page(keyed, |it: &(String, _)| &it.0, token, input.max_results);
    let mut shown = Vec::new();
    for (_, policy) in policies {
        let alarms = match policy.kind {
            PolicyType::StepScaling => alarms_that_name(&cx, &policy).await?,
            _ => policy.own_alarms_shown(),
        };
        shown.push(policy.shown(alarms));
    }
    Ok(DescribeScalingPoliciesOutput {
        scaling_policies: Some(shown),
        next_token,
    })
}

async fn alarms_that_name(cx: &Cx, policy: &PolicyRecord) -> Result<Vec<Alarm>, Error> {
    let found = scaling::alarms::that_name(cx, &policy.arn()).await?;
    let shown = found.into_iter().map(|it| Alarm {
        alarm_name: it.alarm_name.unwrap_or_default(),
        alarm_arn: it.alarm_arn.unwrap_or_default(),
    });
    Ok(shown.collect())
}

pub async fn delete_scaling_policy(
    cx: Cx,
    input: DeleteScalingPolicyInput,
) -> Result<DeleteScalingPolicyOutput, Error> {
    check_known(input.service_namespace, Some(input.scalable_dimension))?;
    let key = key(&cx.region, &input.resource_id, &input.policy_name);
    cx.write(|tx| match tx.get::<PolicyRecord>(&key)? {
        Some(policy) if !policy.deleting => {
            policy.delete(tx)?;
            Ok(DeleteScalingPolicyOutput {})
        }
        _ => Err(errors::ObjectNotFoundException.because(format!(
            "No scaling policy found for service namespace: ecs, resource ID: {}, scalable dimension: ecs:service:DesiredCount, policy name: {}",
            input.resource_id, input.policy_name
        ))),
    })
}

/// Makes the alarms of policies that track a target, and takes away those of policies that are gone.
pub struct PolicyReconciler;

#[async_trait]
impl Reconciler for PolicyReconciler {
    fn kind(&self) -> &'static str {
        PolicyRecord::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<PolicyRecord>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some(policy) = cx.read(|tx| tx.get::<PolicyRecord>(key))? else {
            return Ok(Next::Idle);
        };
        let mut gone: Vec<String> = (policy.former.iter())
            .flat_map(|id| {
                let name = |which| alarm_name(&policy.resource_id, id, which);
                [name("AlarmHigh"), name("AlarmLow")]
            })
            .collect();
        let wanted = match policy.deleting {
            true => Vec::new(),
            false => policy.own_alarms(),
        };
        if policy.kind == PolicyType::TargetTrackingScaling {
            let own = [policy.alarm_high(), policy.alarm_low()];
            gone.extend(own.into_iter().filter(|it| !wanted.contains(it)));
        }
        scaling::alarms::delete(&cx, gone).await?;
        if let (Some(tracking), false) = (&policy.tracking, policy.deleting) {
            for input in tracking::alarms(&policy, tracking)? {
                cx.call(input).await?;
            }
        }
        cx.write(|tx| match tx.get::<PolicyRecord>(key)? {
            Some(record) if record == policy && policy.deleting => {
                tx.delete::<PolicyRecord>(key).map(drop)
            }
            Some(record) if record == policy && !policy.former.is_empty() => {
                tx.put(&PolicyRecord {
                    former: Vec::new(),
                    ..record
                })
            }
            // What changed meanwhile has woken this key again.
            _ => Ok(()),
        })?;
        Ok(Next::Idle)
    }
}
