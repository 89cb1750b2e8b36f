//! `ListMetrics`.

use cloud::{Cx, Error};
use shapes::cloudwatch::errors::InvalidParameterValueException;
use shapes::cloudwatch::{DimensionFilter, ListMetricsInput, ListMetricsOutput, RecentlyActive};

use crate::metric::{LISTED_MS, MetricId, Series};

/// The API reference of `ListMetrics`.
const PAGE: usize = 500;
const RECENT_MS: i64 = 3 * 3_600_000;

fn has(id: &MetricId, filter: &DimensionFilter) -> bool {
    id.dimensions.iter().any(|(name, value)| {
        *name == filter.name && filter.value.as_ref().is_none_or(|it| it == value)
    })
}

pub async fn list_metrics(cx: Cx, input: ListMetricsInput) -> Result<ListMetricsOutput, Error> {
    if input.include_linked_accounts == Some(true) || input.owning_account.is_some() {
        return Err(InvalidParameterValueException
            .because("Metrics of other accounts are not supported by neargate"));
    }
    let listed_ms = match input.recently_active {
        Some(RecentlyActive::Pt3h) => RECENT_MS,
        None => LISTED_MS,
    };
    let since_ms = cx.clock().now_ms() - listed_ms;
    let all = cx.read(|tx| tx.list::<Series>(&cx.key("")))?;
    let filters = input.dimensions.unwrap_or_default();
    let mut ids: Vec<MetricId> = all
        .into_iter()
        .filter(|it| it.last_ms >= since_ms)
        .map(|it| it.id)
        .filter(|it| {
            input
                .namespace
                .as_ref()
                .is_none_or(|name| it.namespace == *name)
                && input
                    .metric_name
                    .as_ref()
                    .is_none_or(|name| it.name == *name)
                && filters.iter().all(|filter| has(it, filter))
        })
        .collect();
    ids.sort();
    ids.dedup();
    let skip = match &input.next_token {
        None => 0,
        Some(token) => token.parse().map_err(|_| {
            InvalidParameterValueException.because("The value for parameter NextToken is invalid.")
        })?,
    };
    let more = ids.len().saturating_sub(skip) > PAGE;
    let shown = ids.iter().skip(skip).take(PAGE);
    Ok(ListMetricsOutput {
        metrics: Some(shown.map(MetricId::shown).collect()),
        next_token: more.then(|| (skip + PAGE).to_string()),
        owning_accounts: None,
    })
}
