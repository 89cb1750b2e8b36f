//! Load balancers: listeners, their rules, the groups that these forward to, and what is found of the targets.

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::elbv2::{
    Action, DescribeListenersInput, DescribeLoadBalancersInput, DescribeRulesInput, LoadBalancer,
    Rule, RuleCondition,
};

use super::metrics::{data, dimensions_of, query};
use super::service::TargetRow;
use super::{State, health, now_ms, state_of};

/// Rates are those of the last half minute.
const RATE_S: i32 = 30;

#[derive(Debug, Clone, Serialize)]
pub struct BalancersFacts {
    pub balancers: Vec<BalancerRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct BalancerRow {
    pub name: String,
    pub arn: String,
    pub url: String,
    pub scheme: String,
    pub state: State,
    pub status: String,
    pub vpc: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct BalancerFacts {
    pub balancer: BalancerRow,
    pub listeners: Vec<ListenerRow>,
    pub groups: Vec<GroupRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ListenerRow {
    pub address: String,
    pub rules: Vec<RuleRow>,
}

#[derive(Debug, Clone, Serialize)]
pub struct RuleRow {
    pub priority: String,
    pub conditions: Vec<String>,
    pub actions: Vec<String>,
    /// The groups that it forwards to, by name, with their weights.
    pub forwards: Vec<(String, i32)>,
}

#[derive(Debug, Clone, Serialize)]
pub struct GroupRow {
    pub name: String,
    pub arn: String,
    pub requests_per_second: Option<f64>,
    pub failed_per_second: Option<f64>,
    pub targets: Vec<TargetRow>,
}

fn row(it: &LoadBalancer) -> BalancerRow {
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let status = it
        .state
        .as_ref()
        .and_then(|it| it.code)
        .map_or("", |it| it.as_str());
    BalancerRow {
        name: text(&it.load_balancer_name),
        arn: text(&it.load_balancer_arn),
        url: format!("http://{}", text(&it.dns_name)),
        scheme: it.scheme.map_or("", |it| it.as_str()).to_owned(),
        state: match status {
            "active" => State::Well,
            "failed" => State::Failed,
            _ => State::Changing,
        },
        status: status.to_owned(),
        vpc: text(&it.vpc_id),
    }
}

pub async fn gather_all(cx: &Cx) -> Result<BalancersFacts, Error> {
    let found = why::list::balancers(cx).await?;
    let mut balancers: Vec<BalancerRow> = found.iter().map(row).collect();
    balancers.sort_by(|one, other| (one.state, &one.name).cmp(&(other.state, &other.name)));
    Ok(BalancersFacts { balancers })
}

pub async fn gather(cx: &Cx, name: &str) -> Result<Option<BalancerFacts>, Error> {
    let asked = cx.call(DescribeLoadBalancersInput {
        names: Some(vec![name.to_owned()]),
        ..Default::default()
    });
    let found = match asked.await {
        Ok(found) => found.load_balancers.unwrap_or_default(),
        Err(error) if error.status < 500 => Vec::new(),
        Err(error) => return Err(error),
    };
    let Some(balancer) = found.first().map(row) else {
        return Ok(None);
    };
    let asked = cx.call(DescribeListenersInput {
        load_balancer_arn: Some(balancer.arn.clone()),
        ..Default::default()
    });
    let (mut listeners, mut arns) = (Vec::new(), Vec::new());
    for it in asked.await?.listeners.unwrap_or_default() {
        let rules = cx.call(DescribeRulesInput {
            listener_arn: it.listener_arn.clone(),
            ..Default::default()
        });
        let rules = rules.await?.rules.unwrap_or_default();
        arns.extend(rules.iter().flat_map(forwards).map(|it| it.0));
        let protocol = it.protocol.map_or("", |it| it.as_str());
        listeners.push(ListenerRow {
            address: format!("{protocol}:{}", it.port.unwrap_or_default()),
            rules: rules.iter().map(rule).collect(),
        });
    }
    arns.sort();
    arns.dedup();
    let mut groups = Vec::new();
    for arn in arns {
        groups.push(group(cx, arn).await?);
    }
    Ok(Some(BalancerFacts {
        balancer,
        listeners,
        groups,
    }))
}

/// `targetgroup/<name>/<id>` at the end of an ARN.
fn name_of(arn: &str) -> String {
    arn.split('/').nth(1).unwrap_or(arn).to_owned()
}

fn forwards(rule: &Rule) -> Vec<(String, i32)> {
    let actions = rule.actions.iter().flatten();
    let mut found = Vec::new();
    for action in actions {
        let config = action.forward_config.as_ref();
        let tuples = config.and_then(|it| it.target_groups.as_ref());
        match (tuples, &action.target_group_arn) {
            (Some(tuples), _) => found.extend(
                tuples
                    .iter()
                    .filter_map(|it| Some((it.target_group_arn.clone()?, it.weight.unwrap_or(1)))),
            ),
            (None, Some(arn)) => found.push((arn.clone(), 1)),
            (None, None) => {}
        }
    }
    found
}

fn rule(it: &Rule) -> RuleRow {
    RuleRow {
        priority: it.priority.clone().unwrap_or_default(),
        conditions: it.conditions.iter().flatten().map(condition).collect(),
        actions: it.actions.iter().flatten().map(action).collect(),
        forwards: (forwards(it).into_iter())
            .map(|(arn, weight)| (name_of(&arn), weight))
            .collect(),
    }
}

fn condition(it: &RuleCondition) -> String {
    let mut values: Vec<String> = it.values.clone().unwrap_or_default();
    let more = [
        it.host_header_config
            .as_ref()
            .and_then(|it| it.values.clone()),
        it.path_pattern_config
            .as_ref()
            .and_then(|it| it.values.clone()),
        it.http_header_config
            .as_ref()
            .and_then(|it| it.values.clone()),
        it.http_request_method_config
            .as_ref()
            .and_then(|it| it.values.clone()),
        it.source_ip_config
            .as_ref()
            .and_then(|it| it.values.clone()),
    ];
    for each in more.into_iter().flatten().flatten() {
        if !values.contains(&each) {
            values.push(each);
        }
    }
    let pairs = it
        .query_string_config
        .as_ref()
        .and_then(|it| it.values.clone());
    values.extend(pairs.into_iter().flatten().map(|it| {
        format!(
            "{}={}",
            it.key.unwrap_or_default(),
            it.value.unwrap_or_default()
        )
    }));
    format!(
        "{} is {}",
        it.field.as_deref().unwrap_or_default(),
        values.join(" or ")
    )
}

fn action(it: &Action) -> String {
    let kind = it.r#type.as_str();
    if let Some(fixed) = &it.fixed_response_config {
        return format!("answer {}", fixed.status_code);
    }
    if let Some(to) = &it.redirect_config {
        let part = |it: &Option<String>| it.clone().unwrap_or_default();
        return format!(
            "redirect ({}) to {}://{}:{}{}",
            to.status_code.as_str(),
            part(&to.protocol),
            part(&to.host),
            part(&to.port),
            part(&to.path)
        );
    }
    kind.to_owned()
}

async fn group(cx: &Cx, arn: String) -> Result<GroupRow, Error> {
    let mut targets = Vec::new();
    let name = name_of(&arn);
    for it in health(cx, &arn).await? {
        let words = state_of(&it);
        let target = it.target.unwrap_or_default();
        let said = it.target_health.unwrap_or_default();
        targets.push(TargetRow {
            group: name.clone(),
            address: target.id,
            port: target.port.unwrap_or_default(),
            state: State::of_words(words),
            health: words.to_owned(),
            reason: said.reason.map_or("", |it| it.as_str()).to_owned(),
            description: said.description.unwrap_or_default(),
        });
    }
    let (requests_per_second, failed_per_second) = rates(cx, &arn).await?;
    Ok(GroupRow {
        name,
        arn,
        requests_per_second,
        failed_per_second,
        targets,
    })
}

/// What CloudWatch was told last. None: nothing was, for there was no request or nobody forwards to it.
async fn rates(cx: &Cx, arn: &str) -> Result<(Option<f64>, Option<f64>), Error> {
    let Some(dimensions) = dimensions_of(cx, arn).await? else {
        return Ok((None, None));
    };
    let of = |id: &str, metric: &str| {
        let namespace = "AWS/ApplicationELB";
        query(
            id.to_owned(),
            namespace,
            dimensions.clone(),
            (metric, "Average"),
            RATE_S,
        )
    };
    let queries = vec![
        of("all", "RequestCount"),
        of("failed", "HTTPCode_Target_5XX_Count"),
    ];
    let now = now_ms(cx);
    let found = data(cx, queries, now - 2 * i64::from(RATE_S) * 1000, now + 1000).await?;
    let last = |id: &str| {
        let line = found.iter().find(|it| it.0 == id)?;
        line.1.last().map(|it| it.1 / 60.0)
    };
    Ok((last("all"), last("failed")))
}
