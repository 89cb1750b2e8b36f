//! Things by their names.

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::logs::DescribeLogGroupsInput;
use why::list;

use crate::asked::link;

/// What a list to choose from holds.
const THINGS_MAX: usize = 500;

#[derive(Debug, Clone, Serialize)]
pub struct FinderFacts {
    pub things: Vec<Thing>,
    pub left_off: usize,
}

#[derive(Debug, Clone, Serialize)]
pub struct Thing {
    pub name: String,
    pub kind: &'static str,
    pub address: String,
}

/// Whose name, id or ARN has `wanted` in it.
pub async fn gather(cx: &Cx, wanted: Option<&str>) -> Result<FinderFacts, Error> {
    let wanted = wanted.unwrap_or_default().to_lowercase();
    let mut things = Vec::new();
    let mut add = |name: String, arn: &str, kind: &'static str, address: String| {
        if name.to_lowercase().contains(&wanted) || arn.to_lowercase() == wanted {
            things.push(Thing {
                name,
                kind,
                address,
            });
        }
    };
    for stack in list::stacks(cx).await? {
        let id = stack.stack_id.unwrap_or_default();
        let address = link(&["stacks", &stack.stack_name], &[]);
        add(stack.stack_name, &id, "stack", address);
    }
    for cluster in list::clusters(cx).await? {
        for service in list::services(cx, &cluster).await? {
            let name = service.service_name.unwrap_or_default();
            let arn = service.service_arn.unwrap_or_default();
            let address = link(&["services", &cluster, &name], &[]);
            add(name, &arn, "service", address);
        }
        for id in list::task_ids(cx, &cluster, None).await? {
            let address = link(&["tasks", &cluster, &id], &[]);
            add(id, "", "task", address);
        }
    }
    for balancer in list::balancers(cx).await? {
        let name = balancer.load_balancer_name.unwrap_or_default();
        let arn = balancer.load_balancer_arn.unwrap_or_default();
        let address = link(&["balancers", &name], &[]);
        add(name, &arn, "load balancer", address);
    }
    for name in why::pipeline_names(cx).await? {
        let address = link(&["pipelines", &name], &[]);
        add(name, "", "pipeline", address);
    }
    for group in log_groups(cx).await? {
        let address = link(&["logs"], &[("group", &group)]);
        add(group, "", "log group", address);
    }
    let left_off = things.len().saturating_sub(THINGS_MAX);
    things.truncate(THINGS_MAX);
    Ok(FinderFacts { things, left_off })
}

/// Names of the log groups.
pub async fn log_groups(cx: &Cx) -> Result<Vec<String>, Error> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let page = cx.call(DescribeLogGroupsInput {
            next_token: next,
            ..Default::default()
        });
        let page = page.await?;
        let groups = page.log_groups.into_iter().flatten();
        all.extend(groups.filter_map(|it| it.log_group_name));
        next = page.next_token;
        if next.is_none() {
            return Ok(all);
        }
    }
}
