//! Makes policies act on their groups' desired capacity: woken by every change of an alarm, and by whoever executes a
//! policy. The group's own reconciler does the rest.

use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Reconciler, Record, StoreError};
use scaling::{Decision, Facts, Kind, LastOut, PolicyFact, adjusted, decide};
use shapes::application_autoscaling::StepAdjustment as Step;
use shapes::autoscaling::{ExecutePolicyInput, ExecutePolicyOutput};

use crate::group::{check_cooldown, set_capacity};
use crate::policy::{self, PolicyRecord, SIMPLE, adjustment_type};
use crate::record::{self, GroupRecord};
use crate::rules::invalid;

/// How often an alarm that goes on calls its policies again.
const AGAIN: Duration = Duration::from_secs(60);
/// How long a new instance is not counted on where nothing else is said.
const WARMUP_S: i32 = 300;

pub const FOLLOWER: &str = "autoscaling.alarms";
pub const FOLLOWER_KEY: &str = "all";

/// Looks at every group that has policies.
pub struct AlarmFollower;

#[async_trait]
impl Reconciler for AlarmFollower {
    fn kind(&self) -> &'static str {
        FOLLOWER
    }
    fn keys(&self, _: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(vec![FOLLOWER_KEY.to_owned()])
    }
    fn region(&self, _: &str) -> String {
        String::new()
    }
    async fn reconcile(&self, cx: Cx, _: &str) -> Result<Next, converge::Error> {
        let policies = cx.read(|tx| tx.readable::<PolicyRecord>(""))?;
        let mut groups: Vec<(String, String)> = policies
            .into_iter()
            .filter(|it| !it.deleting && it.is_enabled())
            .map(|it| (it.region, it.group))
            .collect();
        groups.dedup();
        let mut active = false;
        for (region, name) in groups {
            active |= look(&cx.in_region(&region), &name).await?;
        }
        Ok(match active {
            true => Next::After(cx.clock().paced(AGAIN)),
            false => Next::Idle,
        })
    }
}

fn paced_ms(cx: &Cx, seconds: i32) -> i64 {
    let documented = Duration::from_secs(u64::from(seconds.unsigned_abs()));
    i64::try_from(cx.clock().paced_ms(documented)).unwrap_or(i64::MAX)
}

fn steps_of(policy: &PolicyRecord) -> Vec<Step> {
    let given = &policy.given;
    if policy.kind == SIMPLE {
        return vec![Step {
            scaling_adjustment: given.scaling_adjustment.unwrap_or_default(),
            ..Default::default()
        }];
    }
    let step = |it: &shapes::autoscaling::StepAdjustment| Step {
        metric_interval_lower_bound: it.metric_interval_lower_bound,
        metric_interval_upper_bound: it.metric_interval_upper_bound,
        scaling_adjustment: it.scaling_adjustment,
    };
    given.step_adjustments.iter().flatten().map(step).collect()
}

fn kind(cx: &Cx, group: &GroupRecord, policy: &PolicyRecord) -> Result<Kind, Error> {
    let given = &policy.given;
    let warmup = given
        .estimated_instance_warmup
        .or(group.warmup_s)
        .unwrap_or(WARMUP_S);
    if let Some(tracking) = policy.tracks() {
        return Ok(Kind::Tracking {
            target: tracking.target_value,
            may_scale_in: tracking.disable_scale_in != Some(true),
            high: policy.alarm("AlarmHigh"),
            low: policy.alarm("AlarmLow"),
            out_cooldown_ms: paced_ms(cx, warmup),
            in_cooldown_ms: paced_ms(cx, warmup),
        });
    }
    let cooldown = match policy.kind == SIMPLE {
        true => given.cooldown.unwrap_or(group.default_cooldown),
        false => warmup,
    };
    Ok(Kind::Step {
        adjustment: adjustment_type(given.adjustment_type.as_deref().unwrap_or_default())?,
        steps: steps_of(policy),
        least: given.min_adjustment_magnitude.or(given.min_adjustment_step),
        cooldown_ms: paced_ms(cx, cooldown),
    })
}

/// One look at one group. Returns whether some alarm asks for one of its policies.
async fn look(cx: &Cx, name: &str) -> Result<bool, Error> {
    let Some((group, policies)) = cx.read(|tx| {
        let Some(group) = tx.get::<GroupRecord>(&cx.key(name))? else {
            return Ok(None);
        };
        let policies = tx.list::<PolicyRecord>(&group.prefix())?;
        Ok(Some((group, policies)))
    })?
    else {
        return Ok(false);
    };
    if group.deleting || group.suspends("AlarmNotification") {
        return Ok(false);
    }
    let mut facts = Vec::new();
    for policy in policies.iter().filter(|it| !it.deleting && it.is_enabled()) {
        let arn = policy.arn();
        let alarms = scaling::alarms::that_name(cx, &arn).await?;
        let active = alarms
            .iter()
            .filter_map(|it| scaling::alarms::active(it, &arn));
        facts.push(PolicyFact {
            name: policy.name.clone(),
            active: active.collect(),
            kind: kind(cx, &group, policy)?,
        });
    }
    let active = facts.iter().any(|it| !it.active.is_empty());
    let facts = Facts {
        now_ms: cx.clock().now_ms(),
        current: group.desired,
        min: group.min,
        max: group.max,
        out_suspended: false,
        in_suspended: false,
        bounds_set: false,
        busy: group.cause.is_some(),
        last_out: group.last_out_ms.map(|at_ms| LastOut {
            at_ms,
            from: group.last_out_from,
        }),
        last_in_ms: group.last_in_ms,
        policies: facts,
    };
    if let Decision::Scale { to, from, cause } = decide(&facts) {
        cx.write(|tx| match tx.get::<GroupRecord>(&group.key())? {
            Some(mut found) if found == group => {
                let now_ms = facts.now_ms;
                if to > found.desired {
                    found.last_out_ms = Some(now_ms);
                    found.last_out_from = from;
                    found.last_in_ms = None;
                } else {
                    found.last_in_ms = Some(now_ms);
                }
                set_capacity(&mut found, to, &format!("a {cause}"), now_ms);
                tx.put(&found)
            }
            _ => Ok(()),
        })?;
    }
    Ok(active)
}

pub async fn execute_policy(
    cx: Cx,
    input: ExecutePolicyInput,
) -> Result<ExecutePolicyOutput, Error> {
    cx.write(|tx| {
        let group = input.auto_scaling_group_name.as_deref();
        let policy = policy::find(&cx, tx, group, &input.policy_name)?;
        let mut group = record::living_group(&cx, tx, &policy.group)?;
        if policy.tracks().is_some() {
            return Err(invalid("Cannot execute a policy of the type TargetTrackingScaling"));
        }
        if !policy.is_enabled() {
            return Err(invalid(format!("The policy {} is disabled", policy.name)));
        }
        if input.honor_cooldown == Some(true) && policy.kind == SIMPLE {
            check_cooldown(&cx, &group)?;
        }
        let given = &policy.given;
        let adjustment = adjustment_type(given.adjustment_type.as_deref().unwrap_or_default())?;
        let least = given.min_adjustment_magnitude.or(given.min_adjustment_step);
        let step = match (policy.kind == SIMPLE, input.metric_value, input.breach_threshold) {
            (true, None, None) => steps_of(&policy).into_iter().next(),
            (false, Some(value), Some(threshold)) => {
                let beyond = value - threshold;
                let inside = |it: &Step| {
                    it.metric_interval_lower_bound.is_none_or(|lower| beyond >= lower)
                        && it.metric_interval_upper_bound.is_none_or(|upper| beyond < upper)
                };
                steps_of(&policy).into_iter().find(inside)
            }
            _ => return Err(invalid("MetricValue and BreachThreshold are required for policies of the type StepScaling, and not supported by others")),
        };
        let step = step.ok_or_else(|| {
            invalid("No step adjustment of the policy is for this difference between MetricValue and BreachThreshold")
        })?;
        let to = adjusted(adjustment, step.scaling_adjustment, least, group.desired);
        let to = to.clamp(group.min, group.max);
        let now_ms = cx.clock().now_ms();
        let why = format!("a user request executed policy {}", policy.name);
        if to > group.desired {
            group.last_out_ms = Some(now_ms);
            group.last_out_from = group.desired;
        }
        set_capacity(&mut group, to, &why, now_ms);
        tx.put(&group)?;
        Ok(ExecutePolicyOutput {})
    })
}
