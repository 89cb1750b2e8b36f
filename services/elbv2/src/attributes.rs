//! Attributes: key and value, with AWS's defaults. Those that this version does not act on are
//! refused unless they are given their default.

use cloud::{Cx, Error};
use engine::HeaderChange;
use shapes::elbv2::errors::InvalidConfigurationRequestException;
use shapes::elbv2::{
    DescribeCapacityReservationInput, DescribeCapacityReservationOutput,
    DescribeListenerAttributesInput, DescribeListenerAttributesOutput,
    DescribeLoadBalancerAttributesInput, DescribeLoadBalancerAttributesOutput,
    DescribeTargetGroupAttributesInput, DescribeTargetGroupAttributesOutput, ListenerAttribute,
    LoadBalancerAttribute, ModifyListenerAttributesInput, ModifyListenerAttributesOutput,
    ModifyLoadBalancerAttributesInput, ModifyLoadBalancerAttributesOutput,
    ModifyTargetGroupAttributesInput, ModifyTargetGroupAttributesOutput, TargetGroupAttribute,
};

use crate::access_log;
use crate::balancer::unsupported;
use crate::record::{self, Attributes};

/// What values an attribute has on AWS.
enum Form {
    Bool,
    /// From one number to another; zero as well when that means none.
    Seconds(u64, u64),
    OneOf(&'static [&'static str]),
    /// Zero turns it off.
    SecondsOrNone(u64, u64),
    CookieName,
    Text,
    /// The value of a header.
    HeaderText,
    /// A number of seconds, from zero up to a day, or nothing.
    SecondsText,
}

/// Which of them have their effect here.
enum Honours {
    All,
    /// These beside the default, which is what happens anyway.
    Only(&'static [&'static str]),
}

use Form::{Bool, CookieName, HeaderText, OneOf, Seconds, SecondsOrNone, SecondsText, Text};
use Honours::{All, Only};

/// Name, default, values, and what is honoured.
type Known = &'static [(&'static str, &'static str, Form, Honours)];

const NONE: Honours = Only(&[]);

/// ELBv2 API reference, "LoadBalancerAttribute", for Application Load Balancers. What concerns TLS or
/// HTTP/2 is taken as it is said: on a listener for HTTP it changes nothing on AWS either.
const BALANCER: Known = &[
    (access_log::ENABLED, "false", Bool, All),
    (access_log::BUCKET, "", Text, All),
    (access_log::PREFIX, "", Text, All),
    (
        "client_keep_alive.seconds",
        "3600",
        Seconds(60, 604_800),
        All,
    ),
    ("connection_logs.s3.enabled", "false", Bool, NONE),
    ("connection_logs.s3.bucket", "", Text, NONE),
    ("connection_logs.s3.prefix", "", Text, NONE),
    ("deletion_protection.enabled", "false", Bool, All),
    ("health_check_logs.s3.enabled", "false", Bool, NONE),
    ("health_check_logs.s3.bucket", "", Text, NONE),
    ("health_check_logs.s3.prefix", "", Text, NONE),
    ("idle_timeout.timeout_seconds", "60", Seconds(1, 4000), All),
    ("ipv6.deny_all_igw_traffic", "false", Bool, NONE),
    ("load_balancing.cross_zone.enabled", "true", Bool, NONE),
    (
        "routing.http.desync_mitigation_mode",
        "defensive",
        OneOf(&["monitor", "defensive", "strictest"]),
        NONE,
    ),
    (
        "routing.http.drop_invalid_header_fields.enabled",
        "false",
        Bool,
        All,
    ),
    (
        "routing.http.preserve_host_header.enabled",
        "false",
        Bool,
        All,
    ),
    (
        "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
        "false",
        Bool,
        All,
    ),
    ("routing.http.xff_client_port.enabled", "false", Bool, All),
    (
        "routing.http.xff_header_processing.mode",
        "append",
        OneOf(&["append", "preserve", "remove"]),
        All,
    ),
    ("routing.http2.enabled", "true", Bool, All),
    ("waf.fail_open.enabled", "false", Bool, NONE),
    ("zonal_shift.config.enabled", "false", Bool, NONE),
];

/// ELBv2 API reference, "TargetGroupAttribute".
const TARGET_GROUP: Known = &[
    (
        "deregistration_delay.timeout_seconds",
        "300",
        Seconds(0, 3600),
        All,
    ),
    (
        "load_balancing.algorithm.anomaly_mitigation",
        "off",
        OneOf(&["on", "off"]),
        NONE,
    ),
    (
        "load_balancing.algorithm.type",
        "round_robin",
        OneOf(&["round_robin", LEAST_OUTSTANDING, RANDOM]),
        All,
    ),
    (
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
        OneOf(&["true", "false", "use_load_balancer_configuration"]),
        Only(&["true"]),
    ),
    (
        "slow_start.duration_seconds",
        "0",
        SecondsOrNone(30, 900),
        All,
    ),
    ("stickiness.enabled", "false", Bool, All),
    (
        "stickiness.type",
        "lb_cookie",
        OneOf(&["lb_cookie", "app_cookie"]),
        All,
    ),
    ("stickiness.app_cookie.cookie_name", "", CookieName, All),
    (
        "stickiness.app_cookie.duration_seconds",
        "86400",
        Seconds(1, 604_800),
        All,
    ),
    (
        "stickiness.lb_cookie.duration_seconds",
        "86400",
        Seconds(1, 604_800),
        All,
    ),
    (
        "target_group_health.dns_failover.minimum_healthy_targets.count",
        "1",
        Text,
        NONE,
    ),
    (
        "target_group_health.dns_failover.minimum_healthy_targets.percentage",
        "off",
        Text,
        NONE,
    ),
    (
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
        "1",
        Text,
        NONE,
    ),
    (
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "off",
        Text,
        NONE,
    ),
];

const SERVER_ENABLED: &str = "routing.http.response.server.enabled";
/// What the attributes begin and end with that are a header of answers.
const RESPONSE: &str = "routing.http.response.";
const HEADER_VALUE: &str = ".header_value";

/// ELBv2 API reference, "ListenerAttribute", for Application Load Balancers' listeners without TLS.
const LISTENER: Known = &[
    (SERVER_ENABLED, "true", Bool, All),
    (
        "routing.http.response.strict_transport_security.header_value",
        "",
        HeaderText,
        All,
    ),
    (
        "routing.http.response.access_control_allow_origin.header_value",
        "",
        HeaderText,
        All,
    ),
    (
        "routing.http.response.access_control_allow_methods.header_value",
        "",
        HeaderText,
        All,
    ),
    (
        "routing.http.response.access_control_allow_headers.header_value",
        "",
        HeaderText,
        All,
    ),
    (
        "routing.http.response.access_control_allow_credentials.header_value",
        "",
        OneOf(&["", "true"]),
        All,
    ),
    (
        "routing.http.response.access_control_expose_headers.header_value",
        "",
        HeaderText,
        All,
    ),
    (
        "routing.http.response.access_control_max_age.header_value",
        "",
        SecondsText,
        All,
    ),
    (
        "routing.http.response.content_security_policy.header_value",
        "",
        HeaderText,
        All,
    ),
    (
        "routing.http.response.x_content_type_options.header_value",
        "",
        OneOf(&["", "nosniff"]),
        All,
    ),
    (
        "routing.http.response.x_frame_options.header_value",
        "",
        OneOf(&["", "DENY", "SAMEORIGIN"]),
        All,
    ),
];

/// The longest value of a header that can be set (Elastic Load Balancing, "HTTP header modification").
const HEADER_LENGTH_MAX: usize = 1024;

pub const LEAST_OUTSTANDING: &str = "least_outstanding_requests";
pub const RANDOM: &str = "weighted_random";

/// What has been set, or the default.
pub fn value_of<'a>(set: &'a Attributes, key: &str) -> &'a str {
    let known = BALANCER.iter().chain(TARGET_GROUP).chain(LISTENER);
    let default = || known.clone().find(|it| it.0 == key).map_or("", |it| it.1);
    set.get(key).map_or_else(default, String::as_str)
}

pub fn is_on(set: &Attributes, key: &str) -> bool {
    value_of(set, key) == "true"
}

/// A value that was checked when it was set.
pub fn number_of(set: &Attributes, key: &str) -> u64 {
    value_of(set, key).parse().unwrap_or(0)
}

impl Form {
    fn takes(&self, value: &str) -> bool {
        let number = value.parse::<u64>();
        match self {
            Bool => matches!(value, "true" | "false"),
            Seconds(from, to) => number.is_ok_and(|it| (*from..=*to).contains(&it)),
            SecondsOrNone(from, to) => {
                number.is_ok_and(|it| it == 0 || (*from..=*to).contains(&it))
            }
            OneOf(values) => values.contains(&value),
            CookieName => value.bytes().all(is_of_token),
            Text => true,
            HeaderText => {
                let is_plain = |it: u8| it == b' ' || it.is_ascii_graphic();
                value.len() <= HEADER_LENGTH_MAX && value.bytes().all(is_plain)
            }
            SecondsText => value.is_empty() || number.is_ok_and(|it| it <= 86_400),
        }
    }
}

/// What a cookie's name may be made of (RFC 6265, 4.1.1).
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn check(known: Known, key: &str, value: &str) -> Result<(), Error> {
    let invalid = |text: String| Err(wire::codes::ValidationError.because(text));
    let Some((_, default, form, honours)) = known.iter().find(|it| it.0 == key) else {
        return invalid(format!("The attribute key '{key}' is not recognized"));
    };
    if !form.takes(value) {
        return invalid(format!(
            "The value '{value}' is not valid for the attribute '{key}'"
        ));
    }
    match honours {
        Only(values) if value != *default && !values.contains(&value) => Err(unsupported(
            &format!("the value '{value}' of the attribute '{key}'"),
        )),
        _ => Ok(()),
    }
}

/// What the attributes of a target group may not say together.
fn check_group(set: &Attributes) -> Result<(), Error> {
    let invalid = |text: String| Err(InvalidConfigurationRequestException.because(text));
    let algorithm = match value_of(set, "load_balancing.algorithm.type") {
        LEAST_OUTSTANDING => Some("least outstanding requests"),
        RANDOM => Some("weighted random"),
        _ => None,
    };
    if let Some(algorithm) = algorithm
        && number_of(set, "slow_start.duration_seconds") > 0
    {
        return invalid(format!(
            "You cannot enable both slow start and {algorithm} algorithm on a target group"
        ));
    }
    let name = value_of(set, "stickiness.app_cookie.cookie_name");
    if name.starts_with("AWSALB") {
        return invalid(format!(
            "The cookie name '{name}' is not valid: names that begin with 'AWSALB' are reserved for the load balancer"
        ));
    }
    let by_application =
        is_on(set, "stickiness.enabled") && value_of(set, "stickiness.type") == "app_cookie";
    if by_application && name.is_empty() {
        return invalid(
            "You must specify 'stickiness.app_cookie.cookie_name' for stickiness of the type 'app_cookie'"
                .into(),
        );
    }
    Ok(())
}

/// Everything that is known, with what was set.
fn all(known: Known, set: &Attributes) -> Vec<(String, String)> {
    let value = |key: &str, default: &str| set.get(key).map_or(default, String::as_str).to_owned();
    let all = known.iter();
    all.map(|it| (it.0.to_owned(), value(it.0, it.1))).collect()
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
    let mut changed = Attributes::new();
    for it in &input.attributes {
        let (key, value) = (
            it.key.clone().unwrap_or_default(),
            it.value.clone().unwrap_or_default(),
        );
        check(BALANCER, &key, &value)?;
        changed.insert(key, value);
    }
    let mut known = cx.read(|tx| record::balancer(&cx, tx, &input.load_balancer_arn))?;
    known.attributes.extend(changed.clone());
    if changed.keys().any(|it| it.starts_with("access_logs.")) {
        access_log::check(&cx, &known).await?;
    }
    cx.write(|tx| {
        let mut balancer = record::balancer(&cx, tx, &input.load_balancer_arn)?;
        balancer.attributes.extend(changed.clone());
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
        check_group(&group.attributes)?;
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

pub async fn describe_listener_attributes(
    cx: Cx,
    input: DescribeListenerAttributesInput,
) -> Result<DescribeListenerAttributesOutput, Error> {
    let listener = cx.read(|tx| record::listener(&cx, tx, &input.listener_arn))?;
    Ok(DescribeListenerAttributesOutput {
        attributes: listener_attributes(&listener.attributes),
    })
}

pub async fn modify_listener_attributes(
    cx: Cx,
    input: ModifyListenerAttributesInput,
) -> Result<ModifyListenerAttributesOutput, Error> {
    cx.write(|tx| {
        let mut listener = record::listener(&cx, tx, &input.listener_arn)?;
        for it in &input.attributes {
            let (key, value) = (
                it.key.clone().unwrap_or_default(),
                it.value.clone().unwrap_or_default(),
            );
            check(LISTENER, &key, &value)?;
            listener.attributes.insert(key, value);
        }
        listener.generation = record::touch(tx)?;
        tx.put(&listener)?;
        Ok(ModifyListenerAttributesOutput {
            attributes: listener_attributes(&listener.attributes),
        })
    })
}

fn listener_attributes(set: &Attributes) -> Option<Vec<ListenerAttribute>> {
    let all = all(LISTENER, set).into_iter();
    Some(
        all.map(|(key, value)| ListenerAttribute {
            key: Some(key),
            value: Some(value),
        })
        .collect(),
    )
}

/// What a listener makes of its answers' headers.
pub fn headers_of(set: &Attributes) -> Vec<HeaderChange> {
    let mut changes = Vec::new();
    if !is_on(set, SERVER_ENABLED) {
        changes.push(HeaderChange {
            name: "Server".to_owned(),
            value: None,
        });
    }
    for (key, _, _, _) in LISTENER {
        let named = key
            .strip_prefix(RESPONSE)
            .and_then(|it| it.strip_suffix(HEADER_VALUE));
        let value = value_of(set, key);
        if let Some(named) = named.filter(|_| !value.is_empty()) {
            changes.push(HeaderChange {
                name: named.replace('_', "-"),
                value: Some(value.to_owned()),
            });
        }
    }
    changes
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
