//! From records to the snapshot that the edge serves. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use cloud::{Clock, Record, ServingCertificate};
use engine::{
    Action as EdgeAction, Algorithm, Condition, ForwardedFor, GroupRule, HttpSettings,
    KeyedCertificate, ListenerTls, Snapshot, Stickiness, TargetHealthCheck,
};
use shapes::elbv2::{
    Action, ActionTypeEnum, ProtocolEnum, RedirectActionStatusCodeEnum, RuleCondition,
};

use crate::access_log;
use crate::attributes::{self, LEAST_OUTSTANDING, RANDOM, is_on, number_of, value_of};
use crate::policies;
use crate::record::{Attributes, Balancer, Listener, TargetGroup, TlsSettings, forwarded};

/// Everything that a snapshot is made of.
pub struct Facts<'a> {
    pub generation: u64,
    pub balancers: &'a [Balancer],
    pub listeners: &'a [Listener],
    pub groups: &'a [TargetGroup],
    /// What listeners serve with, by ARN.
    pub certificates: &'a BTreeMap<String, ServingCertificate>,
    /// Keys of balancers and groups of which not everything can be read.
    pub unknown: &'a [String],
    /// What a balancer's security groups let in, by its key.
    pub ingress: &'a dyn Fn(&Balancer) -> Vec<GroupRule>,
    pub clock: &'a Clock,
}

pub fn snapshot(facts: &Facts<'_>) -> Snapshot {
    let ready = facts
        .balancers
        .iter()
        .filter(|it| it.is_ready() && !it.deleting && !facts.unknown.contains(&it.key()));
    Snapshot {
        generation: facts.generation,
        now_ms: facts.clock.now_ms(),
        balancers: ready.map(|it| balancer(facts, it)).collect(),
        target_groups: facts
            .groups
            .iter()
            .map(|it| target_group(it, facts.clock))
            .collect(),
        certificates: facts.certificates.iter().map(certificate).collect(),
        unknown: facts.unknown.to_vec(),
    }
}

fn certificate((arn, found): (&String, &ServingCertificate)) -> KeyedCertificate {
    KeyedCertificate {
        id: found.id.clone(),
        name: arn.clone(),
        hosts: found.hosts.clone(),
        chain: found.chain.clone(),
        key: found.key.clone(),
    }
}

fn tls(settings: &TlsSettings, facts: &Facts<'_>) -> ListenerTls {
    let (versions, suites) = policies::spoken(&settings.policy);
    let found = settings.all().filter_map(|it| facts.certificates.get(it));
    ListenerTls {
        certificates: found.map(|it| it.id.clone()).collect(),
        versions,
        suites,
    }
}

fn balancer(facts: &Facts<'_>, balancer: &Balancer) -> engine::Balancer {
    let own = |it: &&Listener| it.region == balancer.region && it.balancer == balancer.full_name();
    let idle = number_of(&balancer.attributes, "idle_timeout.timeout_seconds");
    engine::Balancer {
        id: balancer.key(),
        host: balancer.dns_name(),
        interfaces: balancer.interfaces().cloned().collect(),
        ingress: (facts.ingress)(balancer),
        internal: balancer.internal(),
        listeners: facts
            .listeners
            .iter()
            .filter(own)
            .map(|it| listener(it, facts))
            .collect(),
        // Never compressed: it is the application's own time-out, not AWS's pace.
        idle_timeout_ms: idle * 1000,
        http: http_settings(&balancer.attributes),
        logs_access: is_on(&balancer.attributes, access_log::ENABLED),
    }
}

/// Nothing of it is compressed either.
fn http_settings(set: &Attributes) -> HttpSettings {
    HttpSettings {
        client_keep_alive_ms: number_of(set, "client_keep_alive.seconds") * 1000,
        drops_invalid_headers: is_on(set, "routing.http.drop_invalid_header_fields.enabled"),
        preserves_host: is_on(set, "routing.http.preserve_host_header.enabled"),
        forwarded_for: match value_of(set, "routing.http.xff_header_processing.mode") {
            "preserve" => ForwardedFor::Preserve,
            "remove" => ForwardedFor::Remove,
            _ => ForwardedFor::Append,
        },
        forwards_client_port: is_on(set, "routing.http.xff_client_port.enabled"),
        tells_tls: is_on(
            set,
            "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
        ),
    }
}

fn listener(listener: &Listener, facts: &Facts<'_>) -> engine::Listener {
    let rules = listener.rules.iter().filter_map(|it| {
        Some(engine::Rule {
            priority: it.priority.unsigned_abs(),
            conditions: it.conditions.iter().map(condition).collect::<Option<_>>()?,
            action: action(it.actions.first()?, listener, facts)?,
        })
    });
    let default = listener
        .default_actions
        .first()
        .and_then(|it| action(it, listener, facts));
    let default = default.map(|action| engine::Rule {
        priority: 0,
        conditions: vec![],
        action,
    });
    engine::Listener {
        id: listener.key(),
        port: listener.port,
        rules: rules.chain(default).collect(),
        headers: attributes::headers_of(&listener.attributes),
        tls: listener.tls.as_ref().map(|it| tls(it, facts)),
    }
}

fn action(action: &Action, listener: &Listener, facts: &Facts<'_>) -> Option<EdgeAction> {
    match action.r#type {
        ActionTypeEnum::Forward => {
            let key = |arn: &str| {
                let key = format!("{}/{}", listener.region, arn.split(':').nth(5)?);
                let is_known = facts.groups.iter().any(|it| it.key() == key);
                (is_known || facts.unknown.contains(&key)).then_some(key)
            };
            let groups = forwarded(action);
            let stickiness = action
                .forward_config
                .as_ref()
                .and_then(|it| it.target_group_stickiness_config.as_ref());
            let seconds = stickiness
                .filter(|it| it.enabled == Some(true))
                .and_then(|it| it.duration_seconds);
            Some(EdgeAction::Forward {
                groups: groups
                    .iter()
                    .filter_map(|(arn, weight)| Some((key(arn)?, *weight)))
                    .collect(),
                stickiness_ms: seconds
                    .and_then(|it| u64::try_from(it).ok())
                    .map(|it| it * 1000),
            })
        }
        ActionTypeEnum::Redirect => {
            let config = action.redirect_config.as_ref()?;
            let status = match config.status_code {
                RedirectActionStatusCodeEnum::Http301 => 301,
                RedirectActionStatusCodeEnum::Http302 => 302,
            };
            Some(EdgeAction::Redirect {
                status,
                protocol: config.protocol.clone(),
                host: config.host.clone(),
                port: config.port.clone(),
                path: config.path.clone(),
                query: config.query.clone(),
            })
        }
        ActionTypeEnum::FixedResponse => {
            let config = action.fixed_response_config.as_ref()?;
            Some(EdgeAction::Fixed {
                status: config.status_code.parse().ok()?,
                content_type: config
                    .content_type
                    .clone()
                    .unwrap_or_else(|| "text/plain".into()),
                body: config.message_body.clone().unwrap_or_default(),
            })
        }
        _ => None,
    }
}

/// None when the field is not known or has no value.
pub fn condition(condition: &RuleCondition) -> Option<Condition> {
    let values = |own: Option<Option<Vec<String>>>| {
        own.flatten()
            .or_else(|| condition.values.clone())
            .filter(|it| !it.is_empty())
    };
    Some(match condition.field.as_deref()? {
        "path-pattern" => Condition::Path(values(
            condition
                .path_pattern_config
                .as_ref()
                .map(|it| it.values.clone()),
        )?),
        "host-header" => Condition::Host(values(
            condition
                .host_header_config
                .as_ref()
                .map(|it| it.values.clone()),
        )?),
        "http-request-method" => Condition::Method(values(
            condition
                .http_request_method_config
                .as_ref()
                .map(|it| it.values.clone()),
        )?),
        "http-header" => {
            let config = condition.http_header_config.as_ref()?;
            Condition::Header {
                name: config.http_header_name.clone()?,
                values: config.values.clone()?,
            }
        }
        "query-string" => {
            let config = condition.query_string_config.as_ref()?;
            let pairs = config.values.as_ref()?.iter();
            Condition::Query(
                pairs
                    .map(|it| Some((it.key.clone(), it.value.clone()?)))
                    .collect::<Option<_>>()?,
            )
        }
        "source-ip" => {
            let texts = values(
                condition
                    .source_ip_config
                    .as_ref()
                    .map(|it| it.values.clone()),
            )?;
            Condition::SourceIp(
                texts
                    .iter()
                    .map(|it| it.parse().ok())
                    .collect::<Option<_>>()?,
            )
        }
        _ => return None,
    })
}

fn target_group(group: &TargetGroup, clock: &Clock) -> engine::TargetGroup {
    let set = &group.attributes;
    let targets = (group.targets.iter()).filter(|it| !it.drained && !it.is_over);
    let targets = targets.map(|it| engine::Target {
        address: it.address,
        port: it.port,
        draining_until_ms: it.draining_until_ms,
    });
    engine::TargetGroup {
        id: group.key(),
        targets: targets.collect(),
        health_check: health_check(group, clock),
        stickiness: stickiness(set),
        algorithm: match value_of(set, "load_balancing.algorithm.type") {
            LEAST_OUTSTANDING => Algorithm::LeastOutstanding,
            RANDOM => Algorithm::Random,
            _ => Algorithm::RoundRobin,
        },
        // A program warms up no faster because waits are compressed.
        slow_start_ms: number_of(set, "slow_start.duration_seconds") * 1000,
        tls: group.shape.protocol == Some(ProtocolEnum::Https),
    }
}

fn stickiness(set: &Attributes) -> Option<Stickiness> {
    if !is_on(set, "stickiness.enabled") {
        return None;
    }
    let lasts_ms = |key| number_of(set, key) * 1000;
    Some(match value_of(set, "stickiness.type") {
        "app_cookie" => Stickiness::ByApplication {
            cookie: value_of(set, "stickiness.app_cookie.cookie_name").to_owned(),
            lasts_ms: lasts_ms("stickiness.app_cookie.duration_seconds"),
        },
        _ => Stickiness::ByBalancer {
            lasts_ms: lasts_ms("stickiness.lb_cookie.duration_seconds"),
        },
    })
}

fn health_check(group: &TargetGroup, clock: &Clock) -> TargetHealthCheck {
    let shape = &group.shape;
    let seconds = |value: Option<i32>, default: u64| {
        let seconds = value
            .and_then(|it| u64::try_from(it).ok())
            .unwrap_or(default);
        clock.paced_ms(Duration::from_secs(seconds))
    };
    let count = |value: Option<i32>, default: u32| {
        value
            .and_then(|it| u32::try_from(it).ok())
            .unwrap_or(default)
    };
    let codes = shape
        .matcher
        .as_ref()
        .and_then(|it| it.http_code.as_deref())
        .unwrap_or("200");
    let interval_ms = seconds(shape.health_check_interval_seconds, 30);
    TargetHealthCheck {
        enabled: shape.health_check_enabled.unwrap_or(true),
        tcp_only: false,
        tls: shape.health_check_protocol == Some(ProtocolEnum::Https),
        path: shape
            .health_check_path
            .clone()
            .unwrap_or_else(|| "/".into()),
        port: shape
            .health_check_port
            .as_deref()
            .and_then(|it| it.parse().ok()),
        interval_ms,
        // A probe's answer takes the application's time: at most the interval, but a second is
        // always given to it.
        timeout_ms: seconds(shape.health_check_timeout_seconds, 5).max(1000),
        healthy_threshold: count(shape.healthy_threshold_count, 5),
        unhealthy_threshold: count(shape.unhealthy_threshold_count, 2),
        matcher: matcher_ranges(codes).unwrap_or_else(|| vec![(200, 200)]),
    }
}

/// `200,302` or `200-299`, each within 200 and 499 (ELBv2 API reference, "Matcher").
pub fn matcher_ranges(text: &str) -> Option<Vec<(u16, u16)>> {
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        (from <= to && (200..=499).contains(&from) && (200..=499).contains(&to))
            .then_some((from, to))
    };
    text.split(',').map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::matcher_ranges;

    #[test]
    fn matchers_as_aws_takes_them() {
        assert_eq!(matcher_ranges("200"), Some(vec![(200, 200)]));
        assert_eq!(
            matcher_ranges("200,301-302"),
            Some(vec![(200, 200), (301, 302)])
        );
        for wrong in ["", "99", "200-", "500", "302-301", "abc"] {
            assert_eq!(matcher_ranges(wrong), None, "{wrong}");
        }
    }
}
