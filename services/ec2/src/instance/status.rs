//! Status checks: whether an instance's supervisor and its init answer for it, asked of the machine.

use cloud::{Cx, Error};
use engine::TaskState;
use shapes::ec2::{
    DescribeInstanceStatusInput, DescribeInstanceStatusOutput, InstanceStatus,
    InstanceStatusDetails, InstanceStatusSummary, StatusName, StatusType, SummaryStatus,
};

use super::describe::{FoundInstance, found};
use super::record::State;
use super::view;
use crate::errors::unsupported;
use crate::filters::page;
use crate::zones;

pub async fn describe_instance_status(
    cx: Cx,
    input: DescribeInstanceStatusInput,
) -> Result<DescribeInstanceStatusOutput, Error> {
    const OWN: [&str; 3] = ["event.", "instance-status.", "system-status."];
    let mut filters = input
        .filters
        .iter()
        .flatten()
        .filter_map(|it| it.name.as_deref());
    if let Some(name) = filters.find(|name| OWN.iter().any(|it| name.starts_with(it))) {
        return Err(unsupported(&format!("the filter '{name}'")));
    }
    let mut all =
        cx.read(|tx| found(&cx, tx, input.instance_ids.as_ref(), input.filters.as_ref()))?;
    if input.include_all_instances != Some(true) {
        all.retain(|it| it.instance.state == State::Running);
    }
    let (all, next_token) = page(all, input.max_results, input.next_token.as_ref())?;
    let mut statuses = Vec::with_capacity(all.len());
    for it in all {
        statuses.push(shown(&cx, it).await?);
    }
    Ok(DescribeInstanceStatusOutput {
        instance_statuses: Some(statuses),
        next_token,
    })
}

async fn shown(cx: &Cx, found: FoundInstance) -> Result<InstanceStatus, Error> {
    let instance = found.instance;
    let summary = match instance.state {
        State::Running => {
            let task = cx.engine().tasks.status(&instance.id).await;
            let task = task.map_err(cloud::internal)?;
            match task.map(|it| it.state) {
                Some(TaskState::Running) => summary(SummaryStatus::Ok, Some(StatusType::Passed)),
                Some(TaskState::Starting) | None => {
                    summary(SummaryStatus::Initializing, Some(StatusType::Initializing))
                }
                _ => summary(SummaryStatus::Impaired, Some(StatusType::Failed)),
            }
        }
        _ => summary(SummaryStatus::NotApplicable, None),
    };
    Ok(InstanceStatus {
        availability_zone_id: Some(zones::id(&instance.zone)),
        availability_zone: Some(instance.zone),
        instance_id: Some(instance.id),
        instance_state: Some(view::state(instance.state)),
        instance_status: Some(summary.clone()),
        system_status: Some(summary),
        ..Default::default()
    })
}

fn summary(status: SummaryStatus, reachability: Option<StatusType>) -> InstanceStatusSummary {
    InstanceStatusSummary {
        details: reachability.map(|status| {
            vec![InstanceStatusDetails {
                name: Some(StatusName::Reachability),
                status: Some(status),
                ..Default::default()
            }]
        }),
        status: Some(status),
    }
}
