//! All of a kind, page by page, through the operations that list them.

use cloud::{Cx, Error};
use shapes::cloudformation::{DescribeStacksInput, Stack};
use shapes::ecs::{
    ContainerInstance, DescribeContainerInstancesInput, DescribeServicesInput, DescribeTasksInput,
    DesiredStatus, ListClustersInput, ListContainerInstancesInput, ListServicesInput,
    ListTasksInput, Service, Task,
};
use shapes::elbv2::{
    DescribeLoadBalancersInput, DescribeTargetGroupsInput, LoadBalancer, TargetGroup,
};
use shapes::logs::GetLogEventsInput;

/// So many services may be described at once, and so many tasks (ECS API reference).
const SERVICES_AT_ONCE: usize = 10;
const TASKS_AT_ONCE: usize = 100;

/// The part of an ARN after its last slash.
pub fn last_part(arn: &str) -> String {
    arn.rsplit('/').next().unwrap_or_default().to_owned()
}

pub async fn stacks(cx: &Cx) -> Result<Vec<Stack>, Error> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let page = cx.call(DescribeStacksInput {
            stack_name: None,
            next_token: next,
        });
        let page = page.await?;
        all.extend(page.stacks.unwrap_or_default());
        next = page.next_token;
        if next.is_none() {
            return Ok(all);
        }
    }
}

/// Names of the clusters.
pub async fn clusters(cx: &Cx) -> Result<Vec<String>, Error> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let page = cx.call(ListClustersInput {
            next_token: next,
            max_results: None,
        });
        let page = page.await?;
        all.extend(
            page.cluster_arns
                .unwrap_or_default()
                .iter()
                .map(|it| last_part(it)),
        );
        next = page.next_token;
        if next.is_none() {
            return Ok(all);
        }
    }
}

/// Every container instance that is registered in a cluster.
pub async fn container_instances(cx: &Cx, cluster: &str) -> Result<Vec<ContainerInstance>, Error> {
    let (mut arns, mut next) = (Vec::new(), None);
    loop {
        let page = cx.call(ListContainerInstancesInput {
            cluster: Some(cluster.to_owned()),
            next_token: next,
            ..Default::default()
        });
        let page = page.await?;
        arns.extend(page.container_instance_arns.unwrap_or_default());
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    let mut all = Vec::new();
    for some in arns.chunks(TASKS_AT_ONCE) {
        let described = cx.call(DescribeContainerInstancesInput {
            cluster: Some(cluster.to_owned()),
            container_instances: some.to_vec(),
            include: None,
        });
        all.extend(described.await?.container_instances.unwrap_or_default());
    }
    Ok(all)
}

pub async fn services(cx: &Cx, cluster: &str) -> Result<Vec<Service>, Error> {
    let (mut arns, mut next) = (Vec::new(), None);
    loop {
        let page = cx.call(ListServicesInput {
            cluster: Some(cluster.to_owned()),
            next_token: next,
            ..Default::default()
        });
        let page = page.await?;
        arns.extend(page.service_arns.unwrap_or_default());
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    let mut all = Vec::new();
    for some in arns.chunks(SERVICES_AT_ONCE) {
        let described = cx.call(DescribeServicesInput {
            cluster: Some(cluster.to_owned()),
            services: some.to_vec(),
            include: None,
        });
        all.extend(described.await?.services.unwrap_or_default());
    }
    Ok(all)
}

/// Ids of tasks that run and of tasks that have stopped, of a service or of all.
pub async fn task_ids(cx: &Cx, cluster: &str, service: Option<&str>) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let mut next = None;
        loop {
            let page = cx.call(ListTasksInput {
                cluster: Some(cluster.to_owned()),
                service_name: service.map(str::to_owned),
                desired_status: Some(status),
                next_token: next,
                ..Default::default()
            });
            let page = page.await?;
            ids.extend(
                page.task_arns
                    .unwrap_or_default()
                    .iter()
                    .map(|it| last_part(it)),
            );
            next = page.next_token;
            if next.is_none() {
                break;
            }
        }
    }
    Ok(ids)
}

pub async fn tasks(cx: &Cx, cluster: &str, ids: &[String]) -> Result<Vec<Task>, Error> {
    let mut all = Vec::new();
    for some in ids.chunks(TASKS_AT_ONCE) {
        let described = cx.call(DescribeTasksInput {
            cluster: Some(cluster.to_owned()),
            tasks: some.to_vec(),
            include: None,
        });
        all.extend(described.await?.tasks.unwrap_or_default());
    }
    Ok(all)
}

pub async fn balancers(cx: &Cx) -> Result<Vec<LoadBalancer>, Error> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let page = cx.call(DescribeLoadBalancersInput {
            marker: next,
            ..Default::default()
        });
        let page = page.await?;
        all.extend(page.load_balancers.unwrap_or_default());
        next = page.next_marker;
        if next.is_none() {
            return Ok(all);
        }
    }
}

pub async fn target_groups(cx: &Cx) -> Result<Vec<TargetGroup>, Error> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let page = cx.call(DescribeTargetGroupsInput {
            marker: next,
            ..Default::default()
        });
        let page = page.await?;
        all.extend(page.target_groups.unwrap_or_default());
        next = page.next_marker;
        if next.is_none() {
            return Ok(all);
        }
    }
}

/// The last events of a log stream, the oldest first; none of one that never came to be.
pub async fn last_events(
    cx: &Cx,
    group: &str,
    stream: &str,
    limit: i32,
) -> Result<Vec<String>, Error> {
    let events = cx.call(GetLogEventsInput {
        log_group_name: Some(group.to_owned()),
        log_stream_name: stream.to_owned(),
        limit: Some(limit),
        start_from_head: Some(false),
        ..Default::default()
    });
    match events.await {
        Ok(it) => {
            let events = it.events.into_iter().flatten();
            Ok(events.filter_map(|it| it.message).collect())
        }
        Err(error) if error.status < 500 => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
