use super::*;

const SECOND: i64 = 1000;

fn facts(current: i32, policies: Vec<PolicyFact>) -> Facts {
    Facts {
        now_ms: 1_000 * SECOND,
        current,
        min: 1,
        max: 10,
        out_suspended: false,
        in_suspended: false,
        bounds_set: false,
        busy: false,
        last_out: None,
        last_in_ms: None,
        policies,
    }
}

/// A policy that tracks 50, with a metric of `value`, as its alarms see it.
fn tracking(name: &str, value: f64) -> PolicyFact {
    let alarm = |name: &str, threshold, above| AlarmFact {
        name: name.into(),
        state: "ALARM",
        value: Some(value),
        threshold,
        above,
    };
    let mut active = Vec::new();
    if value > 50.0 {
        active.push(alarm("high", 50.0, true));
    }
    if value < 45.0 {
        active.push(alarm("low", 45.0, false));
    }
    PolicyFact {
        name: name.into(),
        active,
        kind: Kind::Tracking {
            target: 50.0,
            may_scale_in: true,
            high: "high".into(),
            low: "low".into(),
            out_cooldown_ms: 300 * SECOND,
            in_cooldown_ms: 300 * SECOND,
        },
    }
}

fn step(bounds: &[(Option<f64>, Option<f64>, i32)], adjustment: AdjustmentType) -> PolicyFact {
    let steps = bounds.iter().map(|(lower, upper, by)| StepAdjustment {
        metric_interval_lower_bound: *lower,
        metric_interval_upper_bound: *upper,
        scaling_adjustment: *by,
    });
    PolicyFact {
        name: "steps".into(),
        active: Vec::new(),
        kind: Kind::Step {
            adjustment,
            steps: steps.collect(),
            least: None,
            cooldown_ms: 60 * SECOND,
        },
    }
}

fn with_value(mut policy: PolicyFact, value: Option<f64>, above: bool) -> PolicyFact {
    policy.active = vec![AlarmFact {
        name: "alarm".into(),
        state: "ALARM",
        value,
        threshold: 60.0,
        above,
    }];
    policy
}

fn to(facts: &Facts) -> Option<i32> {
    match decide(facts) {
        Decision::Scale { to, .. } => Some(to),
        _ => None,
    }
}

#[test]
fn tracking_is_proportional() {
    for (current, value, expect) in [
        (2, 100.0, Some(4)),
        (2, 51.0, Some(3)),
        (4, 75.0, Some(6)),
        (1, 50.0, None),
        (2, 47.0, None),
        (4, 25.0, Some(2)),
        (4, 0.0, Some(1)),
        (10, 44.0, Some(9)),
        // What is left would be above the target.
        (2, 40.0, None),
        (8, 400.0, Some(10)),
    ] {
        let found = to(&facts(current, vec![tracking("p", value)]));
        assert_eq!(found, expect, "{current} at {value}");
    }
}

#[test]
fn the_cause_names_alarm_and_policy() {
    let decision = decide(&facts(2, vec![tracking("cpu", 100.0)]));
    let expect = Decision::Scale {
        to: 4,
        from: 2,
        cause: "monitor alarm high in state ALARM triggered policy cpu".into(),
    };
    assert_eq!(decision, expect);
}

#[test]
fn what_was_added_counts_while_it_cools_down() {
    let cooling = |current, value, ago_s| {
        let mut facts = facts(current, vec![tracking("p", value)]);
        facts.last_out = Some(LastOut {
            at_ms: facts.now_ms - ago_s * SECOND,
            from: 2,
        });
        to(&facts)
    };
    // Two became four for a metric of 100: the same metric asks for nothing more yet.
    assert_eq!(cooling(4, 100.0, 10), None);
    // A higher one does.
    assert_eq!(cooling(4, 150.0, 10), Some(6));
    assert_eq!(cooling(4, 100.0, 301), Some(8));
    // Nothing is taken away meanwhile.
    assert_eq!(cooling(4, 10.0, 10), None);
    assert_eq!(cooling(4, 10.0, 301), Some(1));
}

#[test]
fn scaling_in_waits_and_scaling_out_does_not() {
    let after_in = |value, ago_s| {
        let mut facts = facts(4, vec![tracking("p", value)]);
        facts.last_in_ms = Some(facts.now_ms - ago_s * SECOND);
        to(&facts)
    };
    assert_eq!(after_in(10.0, 10), None);
    assert_eq!(after_in(10.0, 300), Some(1));
    assert_eq!(after_in(100.0, 10), Some(8));
    let mut busy = facts(4, vec![tracking("p", 10.0)]);
    busy.busy = true;
    assert_eq!(to(&busy), None);
}

#[test]
fn of_several_policies_the_one_that_wants_most_wins() {
    let both = |a, b| to(&facts(4, vec![tracking("a", a), tracking("b", b)]));
    assert_eq!(both(100.0, 75.0), Some(8));
    assert_eq!(both(100.0, 10.0), Some(8));
    assert_eq!(both(10.0, 48.0), None);
    assert_eq!(both(10.0, 25.0), Some(2));
    let mut out_only = tracking("b", 48.0);
    if let Kind::Tracking { may_scale_in, .. } = &mut out_only.kind {
        *may_scale_in = false;
    }
    assert_eq!(to(&facts(4, vec![tracking("a", 10.0), out_only])), Some(1));
}

#[test]
fn bounds_are_kept_and_told() {
    let not_scaled = |facts: &Facts| match decide(facts) {
        Decision::NotScaled { code, .. } => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(not_scaled(&facts(10, vec![tracking("p", 90.0)])), AT_MAX);
    assert_eq!(not_scaled(&facts(1, vec![tracking("p", 1.0)])), AT_MIN);
    assert_eq!(not_scaled(&facts(2, vec![tracking("p", 40.0)])), AT_DESIRED);
    for (current, expect, cause) in [
        (0, Some(1), "minimum capacity was set to 1"),
        (12, Some(10), "maximum capacity was set to 10"),
        (5, None, ""),
    ] {
        let mut facts = facts(current, vec![]);
        facts.bounds_set = true;
        assert_eq!(to(&facts), expect);
        if let Decision::Scale { cause: found, .. } = decide(&facts) {
            assert_eq!(found, cause);
        }
    }
}

#[test]
fn what_is_suspended_does_not_happen() {
    let mut high = facts(2, vec![tracking("p", 100.0)]);
    high.out_suspended = true;
    assert_eq!(decide(&high), Decision::Nothing);
    let mut low = facts(4, vec![tracking("p", 1.0)]);
    low.in_suspended = true;
    assert_eq!(decide(&low), Decision::Nothing);
}

#[test]
fn steps_by_how_far_the_threshold_is_crossed() {
    let out = [
        (Some(0.0), Some(10.0), 1),
        (Some(10.0), Some(20.0), 2),
        (Some(20.0), None, 4),
    ];
    for (value, expect) in [
        (Some(60.0), Some(5)),
        (Some(69.9), Some(5)),
        (Some(70.0), Some(6)),
        (Some(95.0), Some(8)),
        (None, Some(5)),
    ] {
        let policy = step(&out, AdjustmentType::ChangeInCapacity);
        let found = to(&facts(4, vec![with_value(policy, value, true)]));
        assert_eq!(found, expect, "{value:?}");
    }
    let in_ = [(None, Some(-20.0), -2), (Some(-20.0), Some(0.0), -1)];
    for (value, expect) in [(Some(50.0), Some(3)), (Some(40.0), Some(2))] {
        let policy = step(&in_, AdjustmentType::ChangeInCapacity);
        let found = to(&facts(4, vec![with_value(policy, value, false)]));
        assert_eq!(found, expect, "{value:?}");
    }
}

#[test]
fn kinds_of_adjustment() {
    let percent =
        |by, least, base| adjusted(AdjustmentType::PercentChangeInCapacity, by, least, base);
    assert_eq!(percent(50, None, 5), 7);
    assert_eq!(percent(10, None, 5), 6);
    assert_eq!(percent(-10, None, 5), 4);
    assert_eq!(percent(10, Some(2), 5), 7);
    assert_eq!(percent(-25, Some(2), 5), 3);
    assert_eq!(adjusted(AdjustmentType::ExactCapacity, 3, None, 5), 3);
}
