//! Scaling policies. A policy that tracks a target has two alarms of its own, which [`PolicyReconciler`] makes and
//! takes away; a simple or a step policy has whatever alarms name it.

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, Records, StoreError, all_keys};
use scaling::tracking::{Tracked, customized_metric, requests_per_target};
use serde::{Deserialize, Serialize};
use shapes::autoscaling::*;
use shapes::cloudwatch::PutMetricAlarmInput;

use crate::page::{MAX, page};
use crate::record;
use crate::rules::invalid;

pub const SIMPLE: &str = "SimpleScaling";
pub const STEP: &str = "StepScaling";
pub const TRACKING: &str = "TargetTrackingScaling";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyRecord {
    pub region: String,
    pub account: String,
    pub id: String,
    pub group: String,
    pub name: String,
    pub kind: String,
    pub given: PutScalingPolicyInput,
    /// Shown to nobody any more; its alarms are to go.
    pub deleting: bool,
    /// Ids of policies that had this one's place before, whose alarms are to go.
    pub former: Vec<String>,
}

impl Record for PolicyRecord {
    const KIND: &'static str = "autoscaling.policy";
    fn key(&self) -> String {
        format!("{}/{}/{}", self.region, self.group, self.name)
    }
}

impl PolicyRecord {
    pub fn arn(&self) -> String {
        let resource = format!(
            "scalingPolicy:{}:autoScalingGroupName/{}:policyName/{}",
            self.id, self.group, self.name
        );
        cloud::arn("autoscaling", &self.region, &self.account, &resource)
    }

    pub fn is_enabled(&self) -> bool {
        self.given.enabled != Some(false)
    }

    pub fn tracks(&self) -> Option<&TargetTrackingConfiguration> {
        self.given.target_tracking_configuration.as_ref()
    }

    pub fn alarm(&self, which: &str) -> String {
        alarm_name(&self.group, &self.id, which)
    }

    fn own_alarms(&self) -> Vec<String> {
        match self.tracks() {
            Some(it) if it.disable_scale_in == Some(true) => vec![self.alarm("AlarmHigh")],
            Some(_) => vec![self.alarm("AlarmHigh"), self.alarm("AlarmLow")],
            None => Vec::new(),
        }
    }

    fn own_alarms_shown(&self) -> Vec<Alarm> {
        let alarm = |name: String| Alarm {
            alarm_arn: Some(cloud::arn(
                "cloudwatch",
                &self.region,
                &self.account,
                &format!("alarm:{name}"),
            )),
            alarm_name: Some(name),
        };
        self.own_alarms().into_iter().map(alarm).collect()
    }

    /// From now on it is gone for everybody; its alarms go with the next look.
    pub fn delete(mut self, tx: &Records<'_>) -> Result<(), Error> {
        self.deleting = true;
        tx.put(&self)
    }
}

/// `TargetTracking-web-AlarmHigh-<uuid>`; the id follows from the policy's.
fn alarm_name(group: &str, policy_id: &str, which: &str) -> String {
    let id = cloud::dashed(&cloud::token_hex(policy_id, which, 32));
    format!("TargetTracking-{group}-{which}-{id}")
}

pub async fn put_scaling_policy(
    cx: Cx,
    input: PutScalingPolicyInput,
) -> Result<PutScalingPolicyOutput, Error> {
    let kind = input
        .policy_type
        .clone()
        .unwrap_or_else(|| SIMPLE.to_owned());
    check(&input, &kind)?;
    cx.write(|tx| {
        let group = record::living_group(&cx, tx, &input.auto_scaling_group_name)?;
        let key = format!("{}{}", group.prefix(), input.policy_name);
        let there = tx.get::<PolicyRecord>(&key)?;
        let mut former = there
            .as_ref()
            .map(|it| it.former.clone())
            .unwrap_or_default();
        let new_id = || cloud::uuid(&cloud::random_hex(32));
        let id = match there {
            Some(there) if !there.deleting && there.kind == kind => there.id,
            Some(there) => {
                former.push(there.id);
                new_id()
            }
            None => new_id(),
        };
        let policy = PolicyRecord {
            region: cx.region.clone(),
            account: cx.account().to_owned(),
            id,
            group: group.name,
            name: input.policy_name.clone(),
            kind,
            given: input,
            deleting: false,
            former,
        };
        tx.put(&policy)?;
        Ok(PutScalingPolicyOutput {
            policy_arn: Some(policy.arn()),
            alarms: Some(policy.own_alarms_shown()),
        })
    })
}

/// A policy has what its type has, and nothing of the others.
fn check(input: &PutScalingPolicyInput, kind: &str) -> Result<(), Error> {
    let given = |is: bool, name: &str| match is {
        true => Err(invalid(format!(
            "{name} is not supported by policies of the type {kind}"
        ))),
        false => Ok(()),
    };
    let steps = input.step_adjustments.as_deref().unwrap_or_default();
    match kind {
        SIMPLE => {
            given(!steps.is_empty(), "StepAdjustments")?;
            given(
                input.target_tracking_configuration.is_some(),
                "TargetTrackingConfiguration",
            )?;
            given(
                input.estimated_instance_warmup.is_some(),
                "EstimatedInstanceWarmup",
            )?;
            if input.scaling_adjustment.is_none() {
                return Err(invalid(
                    "ScalingAdjustment is required by policies of the type SimpleScaling",
                ));
            }
        }
        STEP => {
            given(input.scaling_adjustment.is_some(), "ScalingAdjustment")?;
            given(input.cooldown.is_some(), "Cooldown")?;
            given(
                input.target_tracking_configuration.is_some(),
                "TargetTrackingConfiguration",
            )?;
            check_steps(steps)?;
        }
        TRACKING => {
            given(input.scaling_adjustment.is_some(), "ScalingAdjustment")?;
            given(!steps.is_empty(), "StepAdjustments")?;
            given(input.cooldown.is_some(), "Cooldown")?;
            given(input.adjustment_type.is_some(), "AdjustmentType")?;
            let tracking = input.target_tracking_configuration.as_ref();
            let tracking = tracking.ok_or_else(|| invalid("TargetTrackingConfiguration is required by policies of the type TargetTrackingScaling"))?;
            metric(tracking)?;
            return Ok(());
        }
        "PredictiveScaling" => return Err(MODEL.unsupported("PredictiveScaling")),
        other => return Err(invalid(format!("{other} is not a valid PolicyType"))),
    }
    let adjustment = input.adjustment_type.as_deref().unwrap_or_default();
    adjustment_type(adjustment)?;
    if input
        .min_adjustment_magnitude
        .or(input.min_adjustment_step)
        .is_some()
        && adjustment != "PercentChangeInCapacity"
    {
        return Err(invalid(
            "MinAdjustmentMagnitude is for the adjustment type PercentChangeInCapacity only",
        ));
    }
    Ok(())
}

pub fn adjustment_type(
    given: &str,
) -> Result<shapes::application_autoscaling::AdjustmentType, Error> {
    given.parse().map_err(|_| {
        invalid("AdjustmentType must be ChangeInCapacity, ExactCapacity or PercentChangeInCapacity")
    })
}

/// Steps lie beside each other without gaps (User Guide, "Step adjustments for step scaling").
fn check_steps(steps: &[StepAdjustment]) -> Result<(), Error> {
    let mut steps = steps.to_vec();
    if steps.is_empty() {
        return Err(invalid(
            "At least one StepAdjustment is required by policies of the type StepScaling",
        ));
    }
    let lower = |it: &StepAdjustment| it.metric_interval_lower_bound.unwrap_or(f64::NEG_INFINITY);
    let upper = |it: &StepAdjustment| it.metric_interval_upper_bound.unwrap_or(f64::INFINITY);
    if steps.iter().any(|it| lower(it) >= upper(it)) {
        return Err(invalid(
            "MetricIntervalLowerBound must be less than MetricIntervalUpperBound",
        ));
    }
    steps.sort_by(|a, b| lower(a).total_cmp(&lower(b)));
    match steps.windows(2).any(|it| upper(&it[0]) != lower(&it[1])) {
        true => Err(invalid(
            "StepAdjustment intervals can't have gaps or overlaps between them",
        )),
        false => Ok(()),
    }
}

/// What the alarms of a policy that tracks a target watch.
fn metric(tracking: &TargetTrackingConfiguration) -> Result<PutMetricAlarmInput, Error> {
    if !tracking.target_value.is_finite() || tracking.target_value <= 0.0 {
        return Err(invalid("TargetValue must be greater than 0"));
    }
    let predefined = tracking.predefined_metric_specification.as_ref();
    let customized = tracking.customized_metric_specification.as_ref();
    let given = match (predefined, customized) {
        (Some(it), None) => it,
        (None, Some(it)) => {
            // The two services have the same structure under the same names.
            let same =
                wire::from_json(wire::to_json(it)).map_err(|error| invalid(error.to_string()))?;
            return customized_metric(&same).map_err(invalid);
        }
        _ => {
            return Err(invalid(
                "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be specified",
            ));
        }
    };
    match given.predefined_metric_type {
        MetricType::ALBRequestCountPerTarget => {
            requests_per_target(given.resource_label.as_deref()).map_err(invalid)
        }
        // Nothing measures instances for CloudWatch: alarms of such a metric would never tell anything.
        other => Err(MODEL.unsupported(format!("PredefinedMetricType {other}"))),
    }
}

async fn shown(cx: &Cx, it: PolicyRecord) -> Result<ScalingPolicy, Error> {
    let alarms = match it.tracks() {
        Some(_) => it.own_alarms_shown(),
        None => {
            let found = scaling::alarms::that_name(cx, &it.arn()).await?;
            let alarm = |it: shapes::cloudwatch::MetricAlarm| Alarm {
                alarm_name: it.alarm_name,
                alarm_arn: it.alarm_arn,
            };
            found.into_iter().map(alarm).collect()
        }
    };
    let arn = it.arn();
    let given = it.given;
    Ok(ScalingPolicy {
        auto_scaling_group_name: Some(it.group),
        policy_name: Some(it.name),
        policy_arn: Some(arn),
        metric_aggregation_type: (it.kind == STEP).then(|| "Average".to_owned()),
        step_adjustments: Some(given.step_adjustments.unwrap_or_default()),
        policy_type: Some(it.kind),
        adjustment_type: given.adjustment_type,
        min_adjustment_step: given.min_adjustment_step,
        min_adjustment_magnitude: given.min_adjustment_magnitude,
        scaling_adjustment: given.scaling_adjustment,
        cooldown: given.cooldown,
        estimated_instance_warmup: given.estimated_instance_warmup,
        alarms: Some(alarms),
        target_tracking_configuration: given.target_tracking_configuration.map(|it| {
            TargetTrackingConfiguration {
                disable_scale_in: Some(it.disable_scale_in.unwrap_or(false)),
                ..it
            }
        }),
        enabled: Some(given.enabled.unwrap_or(true)),
        predictive_scaling_configuration: None,
    })
}

pub async fn describe_policies(
    cx: Cx,
    input: DescribePoliciesInput,
) -> Result<DescribePoliciesOutput, Error> {
    let mut all = cx.read(|tx| match &input.auto_scaling_group_name {
        Some(name) => tx.list::<PolicyRecord>(&record::group(&cx, tx, name)?.prefix()),
        None => tx.list::<PolicyRecord>(&cx.key("")),
    })?;
    let names = input.policy_names.unwrap_or_default();
    let kinds = input.policy_types.unwrap_or_default();
    all.retain(|it| {
        !it.deleting
            && (names.is_empty() || names.contains(&it.name) || names.contains(&it.arn()))
            && (kinds.is_empty() || kinds.contains(&it.kind))
    });
    let keyed = all.into_iter().map(|it| (it.key(), it)).collect();
    let token = input.next_token.as_deref();
    let (all, next_token) = page(keyed, token, input.max_records, MAX)?;
    let mut policies = Vec::new();
    for it in all {
        policies.push(shown(&cx, it).await?);
    }
    Ok(DescribePoliciesOutput {
        scaling_policies: Some(policies),
        next_token,
    })
}

/// The policy with this name in this group, or with this ARN.
pub fn find(
    cx: &Cx,
    tx: &Records<'_>,
    group: Option<&str>,
    name: &str,
) -> Result<PolicyRecord, Error> {
    let found = match group {
        Some(group) if !name.starts_with("arn:") => {
            let group = record::group(cx, tx, group)?;
            tx.get::<PolicyRecord>(&format!("{}{name}", group.prefix()))?
        }
        _ => {
            let all = tx.list::<PolicyRecord>(&cx.key(""))?;
            all.into_iter().find(|it| it.arn() == name)
        }
    };
    found
        .filter(|it| !it.deleting)
        .ok_or_else(|| invalid("Cannot find specified Scaling Policy"))
}

pub async fn delete_policy(cx: Cx, input: DeletePolicyInput) -> Result<DeletePolicyOutput, Error> {
    cx.write(|tx| {
        let group = input.auto_scaling_group_name.as_deref();
        find(&cx, tx, group, &input.policy_name)?.delete(tx)?;
        Ok(DeletePolicyOutput {})
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
        let former = policy
            .former
            .iter()
            .chain(policy.deleting.then_some(&policy.id));
        let gone = former.flat_map(|id| {
            ["AlarmHigh", "AlarmLow"].map(|which| alarm_name(&policy.group, id, which))
        });
        let mut gone: Vec<String> = gone.collect();
        let wanted = policy.own_alarms();
        if policy.tracks().is_some() && !wanted.contains(&policy.alarm("AlarmLow")) {
            gone.push(policy.alarm("AlarmLow"));
        }
        if policy.tracks().is_some() || !policy.former.is_empty() {
            scaling::alarms::delete(&cx, gone).await?;
        }
        if let (Some(tracking), false) = (policy.tracks(), policy.deleting) {
            let tracked = Tracked {
                policy_arn: policy.arn(),
                high: policy.alarm("AlarmHigh"),
                low: policy.alarm("AlarmLow"),
                target: tracking.target_value,
                may_scale_in: tracking.disable_scale_in != Some(true),
            };
            let metric = metric(tracking)?;
            for input in scaling::tracking::alarms(&tracked, &metric) {
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
