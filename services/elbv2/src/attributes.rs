//! Attributes: key and value, with AWS's defaults. Those that this version does not act on are
//! refused unless they are given their default.

use cloud::{Cx, Error};
use shapes::elbv2::{
    DescribeCapacityReservationInput, DescribeCapacityReservationOutput,
    DescribeListenerAttributesInput, DescribeListenerAttributesOutput,
    DescribeLoadBalancerAttributesInput, DescribeLoadBalancerAttributesOutput,
    DescribeTargetGroupAttributesInput, DescribeTargetGroupAttributesOutput, LoadBalancerAttribute,
    ModifyLoadBalancerAttributesInput, ModifyLoadBalancerAttributesOutput,
    ModifyTargetGroupAttributesInput, ModifyTargetGroupAttributesOutput, TargetGroupAttribute,
};

use crate::balancer::unsupported;
use crate::record::{self, Attributes};

/// Name, default, and whether another value than the default has its effect here.
type Known = &'static [(&'static str, &'static str, bool)];

/// ELBv2 API reference, "LoadBalancerAttribute", for Application Load Balancers.
const BALANCER: Known = &[
    ("access_logs.s3.enabled", "false", false),
    ("access_logs.s3.bucket", "", false),
    ("access_logs.s3.prefix", "", false),
    ("client_keep_alive.seconds", "3600", false),
    ("connection_logs.s3.enabled", "false", false),
    ("connection_logs.s3.bucket", "", false),
    ("connection_logs.s3.prefix", "", false),
    ("deletion_protection.enabled", "false", true),
    ("idle_timeout.timeout_seconds", "60", true),
    ("ipv6.deny_all_igw_traffic", "false", false),
    ("load_balancing.cross_zone.enabled", "true", false),
    ("routing.http.desync_mitigation_mode", "defensive", false),
    (
        "routing.http.drop_invalid_header_fields.enabled",
        "false",
        false,
    ),
    ("routing.http.preserve_host_header.enabled", "false", false),
    (
        "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
        "false",
        false,
    ),
    ("routing.http.xff_client_port.enabled", "false", false),
    ("routing.http.xff_header_processing.mode", "append", false),
    ("routing.http2.enabled", "true", true),
    ("waf.fail_open.enabled", "false", false),
    ("zonal_shift.config.enabled", "false", false),
];

/// ELBv2 API reference, "TargetGroupAttribute".
const TARGET_GROUP: Known = &[
    ("deregistration_delay.timeout_seconds", "300", true),
    ("load_balancing.algorithm.anomaly_mitigation", "off", false),
    ("load_balancing.algorithm.type", "round_robin", false),
    (
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
        false,
    ),
    ("slow_start.duration_seconds", "0", false),
    ("stickiness.enabled", "false", true),
    ("stickiness.type", "lb_cookie", false),
    ("stickiness.app_cookie.cookie_name", "", false),
    ("stickiness.app_cookie.duration_seconds", "86400", false),
    ("stickiness.lb_cookie.duration_seconds", "86400", true),
    (
        "target_group_health.dns_failover.minimum_healthy_targets.count",
        "1",
        false,
    ),
    (
        "target_group_health.dns_failover.minimum_healthy_targets.percentage",
        "off",
        false,
    ),
    (
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
        "1",
        false,
    ),
    (
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "off",
        false,
    ),
];

fn check(known: Known, key: &str, value: &str) -> Result<(), Error> {
    let invalid = |text: String| Err(wire::codes::ValidationError.because(text));
    let Some((_, default, acted_on)) = known.iter().find(|it| it.0 == key) else {
        return invalid(format!("The attribute key '{key}' is not recognized"));
    };
    if value == *default {
        return Ok(());
    }
    if !acted_on {
        return Err(unsupported(&format!(
            "the value '{value}' of the attribute '{key}'"
        )));
    }
    let number = value.parse::<u64>();
    let fits = match key {
        "idle_timeout.timeout_seconds" => number.is_ok_and(|it| (1..=4000).contains(&it)),
        "deregistration_delay.timeout_seconds" => number.is_ok_and(|it| it <= 3600),
        "stickiness.lb_cookie.duration_seconds" => {
            number.is_ok_and(|it| (1..=604_800).contains(&it))
        }
        _ => matches!(value, "true" | "false"),
    };
    if fits {
        Ok(())
    } else {
        invalid(format!(
            "The value '{value}' is not valid for the attribute '{key}'"
        ))
    }
}

/// Everything that is known, with what was set.
fn all(known: Known, set: &Attributes) -> Vec<(String, String)> {
    let value = |it: &(&str, &str, bool)| set.get(it.0).cloned().unwrap_or_else(|| it.1.to_owned());
    known
        .iter()
        .map(|it| (it.0.to_owned(), value(it)))
        .collect()
}

fn balancer_attributes(set: &Attributes) -> Option<Vec<LoadBalancerAttribute>> {
    let all = all(BALANCER, set).into_iter();
    Some(
        all.map(|(key, value)| LoadBalancerAttribute {
            key: Some(key),
            value: Some(value),
        })
        .collect(),
    )
}

fn group_attributes(set: &Attributes) -> Option<Vec<TargetGroupAttribute>> {
    let all = all(TARGET_GROUP, set).into_iter();
    Some(
        all.map(|(key, value)| TargetGroupAttribute {
            key: Some(key),
            value: Some(value),
        })
        .collect(),
    )
}

pub async fn modify_load_balancer_attributes(
    cx: Cx,
    input: ModifyLoadBalancerAttributesInput,
) -> Result<ModifyLoadBalancerAttributesOutput, Error> {
    cx.write(|tx| {
        let mut balancer = record::balancer(&cx, tx, &input.load_balancer_arn)?;
        for it in &input.attributes {
            let (key, value) = (
                it.key.clone().unwrap_or_default(),
                it.value.clone().unwrap_or_default(),
            );
            check(BALANCER, &key, &value)?;
            balancer.attributes.insert(key, value);
        }
        tx.put(&balancer)?;
        record::touch(tx)?;
        Ok(ModifyLoadBalancerAttributesOutput {
            attributes: balancer_attributes(&balancer.attributes),
        })
    })
}

pub async fn describe_load_balancer_attributes(
    cx: Cx,
    input: DescribeLoadBalancerAttributesInput,
) -> Result<DescribeLoadBalancerAttributesOutput, Error> {
    let balancer = cx.read(|tx| record::balancer(&cx, tx, &input.load_balancer_arn))?;
    Ok(DescribeLoadBalancerAttributesOutput {
        attributes: balancer_attributes(&balancer.attributes),
    })
}

pub async fn modify_target_group_attributes(
    cx: Cx,
    input: ModifyTargetGroupAttributesInput,
) -> Result<ModifyTargetGroupAttributesOutput, Error> {
    cx.write(|tx| {
        let mut group = record::target_group(&cx, tx, &input.target_group_arn)?;
        for it in &input.attributes {
            let (key, value) = (
                it.key.clone().unwrap_or_default(),
                it.value.clone().unwrap_or_default(),
            );
            check(TARGET_GROUP, &key, &value)?;
            group.attributes.insert(key, value);
        }
        tx.put(&group)?;
        record::touch(tx)?;
        Ok(ModifyTargetGroupAttributesOutput {
            attributes: group_attributes(&group.attributes),
        })
    })
}

pub async fn describe_target_group_attributes(
    cx: Cx,
    input: DescribeTargetGroupAttributesInput,
) -> Result<DescribeTargetGroupAttributesOutput, Error> {
    let group = cx.read(|tx| record::target_group(&cx, tx, &input.target_group_arn))?;
    Ok(DescribeTargetGroupAttributesOutput {
        attributes: group_attributes(&group.attributes),
    })
}

/// HTTP listeners have none that could be set here.
pub async fn describe_listener_attributes(
    cx: Cx,
    input: DescribeListenerAttributesInput,
) -> Result<DescribeListenerAttributesOutput, Error> {
    cx.read(|tx| record::listener(&cx, tx, &input.listener_arn))?;
    Ok(DescribeListenerAttributesOutput {
        attributes: Some(vec![]),
    })
}

/// Nothing is ever reserved.
pub async fn describe_capacity_reservation(
    cx: Cx,
    input: DescribeCapacityReservationInput,
) -> Result<DescribeCapacityReservationOutput, Error> {
    cx.read(|tx| record::balancer(&cx, tx, &input.load_balancer_arn))?;
    Ok(DescribeCapacityReservationOutput {
        decrease_requests_remaining: Some(2),
        ..Default::default()
    })
}
