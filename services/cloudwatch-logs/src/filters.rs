//! Filters that are put on groups, for metrics and subscriptions. None can be put, so that there are none to
//! describe; whoever looks whether there is one is told so.

use cloud::{Cx, Error};
use shapes::logs::{
    DescribeMetricFiltersInput, DescribeMetricFiltersOutput, DescribeSubscriptionFiltersInput,
    DescribeSubscriptionFiltersOutput,
};

use crate::names::find;

pub async fn describe_metric_filters(
    cx: Cx,
    input: DescribeMetricFiltersInput,
) -> Result<DescribeMetricFiltersOutput, Error> {
    if let Some(name) = &input.log_group_name {
        cx.read(|tx| find(&cx, tx, name))?;
    }
    Ok(DescribeMetricFiltersOutput {
        metric_filters: Some(Vec::new()),
        next_token: None,
    })
}

pub async fn describe_subscription_filters(
    cx: Cx,
    input: DescribeSubscriptionFiltersInput,
) -> Result<DescribeSubscriptionFiltersOutput, Error> {
    cx.read(|tx| find(&cx, tx, &input.log_group_name))?;
    Ok(DescribeSubscriptionFiltersOutput {
        subscription_filters: Some(Vec::new()),
        next_token: None,
    })
}
