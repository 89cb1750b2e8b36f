//! A URL: which listener, rule and group answer it.

use base::glob::matches_ignoring_case;
use cloud::{Cx, Error};
use shapes::elbv2::{
    Action, ActionTypeEnum, DescribeListenersInput, DescribeRulesInput, Listener, LoadBalancer,
    Rule, RuleCondition,
};

use super::{Gathered, list, targets};
use crate::report::{Basis, Evidence, Finding, Hop, Mend};
use crate::rows::{self, Row};

/// What a URL asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    pub host: String,
    pub port: u16,
    pub path: String,
}

/// Reads `http://host:port/path`; None: it is no URL.
pub fn read(url: &str) -> Option<Asked> {
    let (rest, port) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (rest, 80),
        (_, Some(rest)) => (rest, 443),
        (None, None) => return None,
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let authority = authority.rsplit_once('@').map_or(authority, |it| it.1);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, given)) => (host, given.parse().ok()?),
        None => (authority, port),
    };
    Some(Asked {
        host: host.to_lowercase(),
        port,
        path: path.split(['?', '#']).next().unwrap_or(path).to_owned(),
    })
}

pub async fn look(cx: &Cx, asked: &Asked) -> Result<Gathered, Error> {
    let mut gathered = Gathered {
        not_looked_at: vec!["what the URL answers: no request was sent".to_owned()],
        ..Gathered::default()
    };
    let balancers = list::balancers(cx).await?;
    // By its name where the URL has one, and else by the port alone.
    let is_named = |it: &&LoadBalancer| it.dns_name.as_deref() == Some(asked.host.as_str());
    let named: Vec<&LoadBalancer> = balancers.iter().filter(is_named).collect();
    let asked_of = match named.is_empty() {
        true => balancers.iter().collect(),
        false => named,
    };
    let mut ports = Vec::new();
    for balancer in asked_of {
        for listener in listeners(cx, balancer).await? {
            if listener.port == Some(i32::from(asked.port)) {
                return answer(cx, asked, balancer, &listener, gathered).await;
            }
            ports.extend(listener.port.map(|it| it.to_string()));
        }
    }
    let seen = match ports.is_empty() {
        true => "no load balancer has a listener".to_owned(),
        false => format!("there are listeners on {}", ports.join(", ")),
    };
    let cause = format!("no load balancer listens on port {}", asked.port);
    let because = Evidence::new("load balancers", seen);
    gathered
        .findings
        .push(finding(&rows::NO_LISTENER, asked, cause, because));
    Ok(gathered)
}

fn finding(row: &Row, asked: &Asked, cause: String, because: Evidence) -> Finding {
    Finding {
        id: row.id.to_owned(),
        name: row.name.to_owned(),
        thing: format!("http://{}:{}{}", asked.host, asked.port, asked.path),
        aws_says: cause.clone(),
        cause,
        because: vec![because],
        path: Vec::new(),
        mend: vec![Mend::template(row.mend)],
        basis: Basis::Derived,
        also_seen: Vec::new(),
        severity: None,
        place: None,
    }
}

async fn listeners(cx: &Cx, balancer: &LoadBalancer) -> Result<Vec<Listener>, Error> {
    let found = cx.call(DescribeListenersInput {
        load_balancer_arn: balancer.load_balancer_arn.clone(),
        ..Default::default()
    });
    Ok(found.await?.listeners.unwrap_or_default())
}

/// Which rule takes the request, and what becomes of it.
async fn answer(
    cx: &Cx,
    asked: &Asked,
    balancer: &LoadBalancer,
    listener: &Listener,
    mut gathered: Gathered,
) -> Result<Gathered, Error> {
    let rules = cx.call(DescribeRulesInput {
        listener_arn: listener.listener_arn.clone(),
        ..Default::default()
    });
    let mut rules = rules.await?.rules.unwrap_or_default();
    // The default has no number, and comes last.
    rules.sort_by_key(|it| {
        it.priority
            .as_ref()
            .and_then(|it| it.parse::<u32>().ok())
            .unwrap_or(u32::MAX)
    });
    let name = balancer.load_balancer_name.clone().unwrap_or_default();
    gathered.looked_at.push(format!("load balancer {name}"));
    gathered.path.push(Hop::passes(
        format!("load balancer {name}"),
        Some(format!("listener on port {}", asked.port)),
    ));
    let Some(rule) = rules
        .iter()
        .find(|it| takes(it, asked, &mut gathered.not_looked_at))
    else {
        return Ok(gathered);
    };
    let shown = match rule.is_default {
        Some(true) => "the listener's default".to_owned(),
        _ => format!("rule {}", rule.priority.as_deref().unwrap_or_default()),
    };
    let actions = rule.actions.as_deref().unwrap_or_default();
    let Some(last) = actions
        .iter()
        .find(|it| !groups(it).is_empty())
        .or(actions.last())
    else {
        return Ok(gathered);
    };
    let groups = groups(last);
    gathered
        .path
        .push(Hop::passes(shown.clone(), Some(action_shown(last))));
    if groups.is_empty() {
        let is_error = (last.fixed_response_config.as_ref())
            .is_some_and(|it| it.status_code.starts_with(['4', '5']));
        if is_error {
            let others: Vec<String> = rules
                .iter()
                .filter(|it| it.is_default != Some(true))
                .map(conditions_shown)
                .collect();
            let seen = match others.is_empty() {
                true => "has no other rule".to_owned(),
                false => format!("has other rules, for {}", others.join("; ")),
            };
            let cause = format!(
                "{shown} takes the request for {}{} and answers by itself: {}",
                asked.host,
                asked.path,
                action_shown(last)
            );
            let because = Evidence::new(format!("listener on port {}", asked.port), seen);
            let found = finding(&rows::WRONG_RULE, asked, cause, because);
            gathered.findings.push(Finding {
                path: gathered.path.clone(),
                ..found
            });
        }
        return Ok(gathered);
    }
    for arn in groups {
        let name = arn.split('/').nth(1).unwrap_or(&arn).to_owned();
        let all = targets::of_group(cx, &arn).await?.unwrap_or_default();
        gathered.looked_at.push(format!("target group {name}"));
        if all.is_empty() {
            let cause = format!(
                "the target group {name} has no target, so every request is answered with 503"
            );
            let because = Evidence::new(
                format!("target group {name}"),
                "nothing is registered at it",
            );
            let found = finding(&rows::NO_TARGETS, asked, cause, because);
            gathered.findings.push(Finding {
                path: gathered.path.clone(),
                ..found
            });
            continue;
        }
        let of_group = super::target_group(cx, &name, &arn).await?;
        gathered.situations.extend(of_group.situations);
    }
    Ok(gathered)
}

/// The groups that an action forwards to.
fn groups(action: &Action) -> Vec<String> {
    let more = action
        .forward_config
        .iter()
        .flat_map(|it| it.target_groups.iter().flatten());
    let more = more.filter_map(|it| it.target_group_arn.clone());
    let mut all: Vec<String> = action
        .target_group_arn
        .iter()
        .cloned()
        .chain(more)
        .collect();
    all.sort();
    all.dedup();
    all
}

fn action_shown(action: &Action) -> String {
    let named = groups(action);
    let names: Vec<&str> = named
        .iter()
        .map(|it| it.split('/').nth(1).unwrap_or(it))
        .collect();
    match (action.r#type, &action.fixed_response_config) {
        (ActionTypeEnum::Forward, _) => format!("forwards to {}", names.join(", ")),
        (_, Some(fixed)) => format!("a fixed response, {}", fixed.status_code),
        (other, None) => other.as_str().to_owned(),
    }
}

/// Host and path of a rule's conditions; others are named as not looked at, and taken to hold.
fn takes(rule: &Rule, asked: &Asked, not: &mut Vec<String>) -> bool {
    rule.conditions.iter().flatten().all(|it| {
        let any = |text: &str| {
            values(it)
                .iter()
                .any(|pattern| matches_ignoring_case(pattern, text))
        };
        match it.field.as_deref() {
            Some("host-header") => any(&asked.host),
            Some("path-pattern") => values(it)
                .iter()
                .any(|pattern| base::glob::matches(pattern, &asked.path)),
            other => {
                let shown = format!("conditions on {}", other.unwrap_or("something else"));
                if !not.contains(&shown) {
                    not.push(shown);
                }
                true
            }
        }
    })
}

fn values(condition: &RuleCondition) -> Vec<String> {
    let of_host = condition
        .host_header_config
        .iter()
        .flat_map(|it| it.values.iter().flatten());
    let of_path = condition
        .path_pattern_config
        .iter()
        .flat_map(|it| it.values.iter().flatten());
    let own = condition.values.iter().flatten();
    own.chain(of_host).chain(of_path).cloned().collect()
}

fn conditions_shown(rule: &Rule) -> String {
    let all = rule.conditions.iter().flatten().map(|it| {
        format!(
            "{} {}",
            it.field.as_deref().unwrap_or_default(),
            values(it).join(" or ")
        )
    });
    all.collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read() {
        let asked = |host: &str, port, path: &str| Asked {
            host: host.into(),
            port,
            path: path.into(),
        };
        for (url, expect) in [
            ("http://Site.example", Some(asked("site.example", 80, "/"))),
            ("https://a:8443/b/c?d=/e", Some(asked("a", 8443, "/b/c"))),
            (
                "http://me:secret@127.0.0.1:81/",
                Some(asked("127.0.0.1", 81, "/")),
            ),
            ("http://a:b/", None),
            ("web", None),
        ] {
            assert_eq!(read(url), expect, "{url}");
        }
    }
}
