//! Whether to scale, to what, and why. Pure.
//!
//! A target may have several policies. It is scaled out as far as any of them wants, and in only
//! when no policy wants it out and all tracking policies that may scale in want it in, as far as the
//! most cautious of them wants (User Guide, "How target tracking scaling works").

use shapes::application_autoscaling::{AdjustmentType, StepAdjustment};

#[derive(Debug, Clone)]
pub struct Facts {
    pub now_ms: i64,
    /// The desired count.
    pub current: i32,
    pub min: i32,
    pub max: i32,
    pub out_suspended: bool,
    pub in_suspended: bool,
    /// The bounds were set: a capacity outside is brought inside.
    pub bounds_set: bool,
    /// An activity is under way.
    pub busy: bool,
    /// The last time that capacity was added, from what, and that it was taken away.
    pub last_out: Option<LastOut>,
    pub last_in_ms: Option<i64>,
    pub policies: Vec<PolicyFact>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LastOut {
    pub at_ms: i64,
    pub from: i32,
}

#[derive(Debug, Clone)]
pub struct PolicyFact {
    pub name: String,
    /// Alarms whose present state asks for the policy.
    pub active: Vec<AlarmFact>,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub struct AlarmFact {
    pub name: String,
    /// As in `state ALARM`.
    pub state: &'static str,
    /// The newest datapoint.
    pub value: Option<f64>,
    pub threshold: f64,
    /// Whether higher values are worse: which bounds of a step count as inside.
    pub above: bool,
}

#[derive(Debug, Clone)]
pub enum Kind {
    Tracking {
        target: f64,
        may_scale_in: bool,
        /// Names of its own alarms.
        high: String,
        low: String,
        out_cooldown_ms: i64,
        in_cooldown_ms: i64,
    },
    Step {
        adjustment: AdjustmentType,
        steps: Vec<StepAdjustment>,
        least: Option<i32>,
        cooldown_ms: i64,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    Nothing,
    Scale {
        to: i32,
        /// The capacity that the wish was counted from.
        from: i32,
        cause: String,
    },
    /// An alarm asks for what cannot be: told to whoever asks for such reasons.
    NotScaled {
        code: &'static str,
        cause: String,
    },
}

pub const AT_MAX: &str = "AlreadyAtMaxCapacity";
pub const AT_MIN: &str = "AlreadyAtMinCapacity";
pub const AT_DESIRED: &str = "AlreadyAtDesiredCapacity";

/// What one policy wants.
struct Wish {
    to: i32,
    from: i32,
    cause: String,
    cooldown_ms: i64,
}

pub fn decide(facts: &Facts) -> Decision {
    if facts.bounds_set && facts.current != facts.current.clamp(facts.min, facts.max) {
        let below = facts.current < facts.min;
        let (word, to) = match below {
            true => ("minimum", facts.min),
            false => ("maximum", facts.max),
        };
        return Decision::Scale {
            to,
            from: facts.current,
            cause: format!("{word} capacity was set to {to}"),
        };
    }
    let mut not_scaled = None;
    if !facts.out_suspended {
        match scale_out(facts) {
            scale @ Decision::Scale { .. } => return scale,
            Decision::NotScaled { code, cause } => not_scaled = Some((code, cause)),
            Decision::Nothing => (),
        }
    }
    if !facts.in_suspended && not_scaled.is_none() {
        return scale_in(facts);
    }
    match not_scaled {
        Some((code, cause)) => Decision::NotScaled { code, cause },
        None => Decision::Nothing,
    }
}

fn cause(policy: &PolicyFact, alarm: &AlarmFact) -> String {
    format!(
        "monitor alarm {} in state {} triggered policy {}",
        alarm.name, alarm.state, policy.name
    )
}

fn scale_out(facts: &Facts) -> Decision {
    let mut wishes: Vec<Wish> = Vec::new();
    for policy in &facts.policies {
        match &policy.kind {
            Kind::Tracking {
                target,
                high,
                out_cooldown_ms,
                ..
            } => {
                let base = base(facts, *out_cooldown_ms);
                let alarm = policy.active.iter().find(|it| it.name == *high);
                if let Some((alarm, value)) = alarm.and_then(|it| Some((it, it.value?)))
                    && value > *target
                {
                    wishes.push(Wish {
                        to: proportional(base.max(1), value, *target).max(base + 1),
                        from: base,
                        cause: cause(policy, alarm),
                        cooldown_ms: *out_cooldown_ms,
                    });
                }
            }
            Kind::Step { cooldown_ms, .. } => {
                let base = base(facts, *cooldown_ms);
                wishes.extend(stepped(policy, base).filter(|(to, _)| *to > base).map(
                    |(to, alarm)| Wish {
                        to,
                        from: base,
                        cause: cause(policy, alarm),
                        cooldown_ms: *cooldown_ms,
                    },
                ));
            }
        }
    }
    let Some(most) = wishes.into_iter().max_by_key(|it| it.to) else {
        return Decision::Nothing;
    };
    let to = most.to.min(facts.max);
    if to > facts.current {
        return Decision::Scale {
            to,
            from: most.from,
            cause: most.cause,
        };
    }
    // While it cools down, what was added is all that was wanted.
    if facts.current >= facts.max && !cools(facts, most.cooldown_ms) {
        return Decision::NotScaled {
            code: AT_MAX,
            cause: most.cause,
        };
    }
    Decision::Nothing
}

fn cools(facts: &Facts, cooldown_ms: i64) -> bool {
    (facts.last_out).is_some_and(|it| facts.now_ms < it.at_ms + cooldown_ms)
}

/// The capacity that wishes are counted from: while the last scaling out cools down, what it added is
/// part of what is wanted now (User Guide, "Define cooldown periods").
fn base(facts: &Facts, cooldown_ms: i64) -> i32 {
    match facts.last_out {
        Some(last) if cools(facts, cooldown_ms) => last.from.min(facts.current),
        _ => facts.current,
    }
}

/// So many that the metric comes down, or up, to the target: the metric is shared by all of them.
fn proportional(base: i32, value: f64, target: f64) -> i32 {
    /// What a sum of floats is off by must not add a task.
    const ROUNDING: f64 = 1e-9;
    let wanted = f64::from(base) * value / target - ROUNDING;
    wanted.ceil().clamp(0.0, f64::from(i32::MAX)) as i32
}

fn scale_in(facts: &Facts) -> Decision {
    let mut wishes: Vec<Wish> = Vec::new();
    for policy in &facts.policies {
        match &policy.kind {
            Kind::Tracking {
                may_scale_in: false,
                ..
            } => (),
            Kind::Tracking {
                target,
                low,
                in_cooldown_ms,
                ..
            } => {
                let alarm = policy.active.iter().find(|it| it.name == *low);
                let Some((alarm, value)) = alarm.and_then(|it| Some((it, it.value?))) else {
                    // One that does not want it in keeps it as it is.
                    return Decision::Nothing;
                };
                wishes.push(Wish {
                    to: proportional(facts.current, value, *target).min(facts.current),
                    from: facts.current,
                    cause: cause(policy, alarm),
                    cooldown_ms: *in_cooldown_ms,
                });
            }
            Kind::Step { cooldown_ms, .. } => wishes.extend(
                stepped(policy, facts.current)
                    .filter(|(to, _)| *to < facts.current)
                    .map(|(to, alarm)| Wish {
                        to,
                        from: facts.current,
                        cause: cause(policy, alarm),
                        cooldown_ms: *cooldown_ms,
                    }),
            ),
        }
    }
    let Some(least) = wishes.into_iter().max_by_key(|it| it.to) else {
        return Decision::Nothing;
    };
    let scaled_ms = facts.last_in_ms.max(facts.last_out.map(|it| it.at_ms));
    let cools = scaled_ms.is_some_and(|at| facts.now_ms < at + least.cooldown_ms);
    if cools || facts.busy {
        return Decision::Nothing;
    }
    let to = least.to.max(facts.min);
    if to < facts.current {
        return Decision::Scale {
            to,
            from: least.from,
            cause: least.cause,
        };
    }
    Decision::NotScaled {
        code: match least.to < facts.min || facts.current <= facts.min {
            true => AT_MIN,
            false => AT_DESIRED,
        },
        cause: least.cause,
    }
}

/// What a step policy's active alarms make of a capacity.
fn stepped(policy: &PolicyFact, base: i32) -> impl Iterator<Item = (i32, &AlarmFact)> {
    policy.active.iter().filter_map(move |alarm| {
        let Kind::Step {
            adjustment,
            steps,
            least,
            ..
        } = &policy.kind
        else {
            return None;
        };
        // Where the value is not known the alarm itself says that the threshold is crossed.
        let beyond = alarm.value.unwrap_or(alarm.threshold) - alarm.threshold;
        let inside = |step: &&StepAdjustment| {
            let lower = step.metric_interval_lower_bound;
            let upper = step.metric_interval_upper_bound;
            match alarm.above {
                true => lower.is_none_or(|it| beyond >= it) && upper.is_none_or(|it| beyond < it),
                false => lower.is_none_or(|it| beyond > it) && upper.is_none_or(|it| beyond <= it),
            }
        };
        let step = steps.iter().find(inside)?;
        Some((
            adjusted(*adjustment, step.scaling_adjustment, *least, base),
            alarm,
        ))
    })
}

/// What an adjustment makes of a capacity.
pub fn adjusted(adjustment: AdjustmentType, by: i32, least: Option<i32>, base: i32) -> i32 {
    match adjustment {
        AdjustmentType::ExactCapacity => by,
        AdjustmentType::ChangeInCapacity => base.saturating_add(by),
        AdjustmentType::PercentChangeInCapacity => {
            let change = f64::from(base) * f64::from(by) / 100.0;
            // Beyond one it is rounded towards zero, below one to one (User Guide, "Step scaling
            // policies", "Percent change in capacity").
            let whole = match change.abs() {
                0.0 => 0.0,
                small if small < 1.0 => change.signum(),
                _ => change.trunc(),
            };
            let whole = whole as i32;
            let at_least = least.unwrap_or(0).abs();
            let whole = match by.signum() {
                1 => whole.max(at_least),
                -1 => whole.min(-at_least),
                _ => 0,
            };
            base.saturating_add(whole)
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
