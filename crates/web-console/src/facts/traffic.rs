//! What load balancers tell of services: one question to CloudWatch for all that a page shows.

use std::collections::HashMap;

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::ecs::Service;

use super::home::Card;
use super::metrics::{data, dimensions_of, query};
use super::now_ms;

/// How long a look back is, and of how many seconds a point tells.
const BACK_MS: i64 = 10 * 60 * 1000;
const PERIOD_S: i32 = 10;
/// Services that are asked about: a request takes 500 queries, and each asks four.
const SERVICES_MAX: usize = 100;
const NAMESPACE: &str = "AWS/ApplicationELB";

#[derive(Debug, Clone, Default, Serialize)]
pub struct Traffic {
    /// Requests a second, by the time in milliseconds since 1970.
    pub requests: Vec<(i64, f64)>,
    /// The last of them.
    pub requests_per_second: f64,
    pub failed_per_second: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// Adds the traffic of each card's first service that has some.
pub async fn add(cx: &Cx, services: &[Service], cards: &mut [Card]) -> Result<(), Error> {
    let by_arn: HashMap<&str, &Service> = (services.iter())
        .filter_map(|it| Some((it.service_arn.as_deref()?, it)))
        .collect();
    let (mut queries, mut asked) = (Vec::new(), Vec::new());
    for (at, card) in cards.iter().enumerate().take(SERVICES_MAX) {
        let Some(group) = card.services.iter().find_map(|it| {
            let service = by_arn.get(it.arn.as_str())?;
            let mut balanced = service.load_balancers.iter().flatten();
            balanced.find_map(|it| it.target_group_arn.clone())
        }) else {
            continue;
        };
        let Some(dimensions) = dimensions_of(cx, &group).await? else {
            continue;
        };
        let of = |letter: &str, metric: &str, stat: &str| {
            query(
                format!("{letter}{at}"),
                NAMESPACE,
                dimensions.clone(),
                (metric, stat),
                PERIOD_S,
            )
        };
        queries.push(of("r", "RequestCount", "Average"));
        queries.push(of("f", "HTTPCode_Target_5XX_Count", "Average"));
        queries.push(of("m", "TargetResponseTime", "p50"));
        queries.push(of("h", "TargetResponseTime", "p99"));
        asked.push(at);
    }
    let period_ms = i64::from(PERIOD_S) * 1000;
    let to_ms = now_ms(cx) / period_ms * period_ms;
    let mut lines: HashMap<String, Vec<(i64, f64)>> = data(cx, queries, to_ms - BACK_MS, to_ms)
        .await?
        .into_iter()
        .collect();
    for at in asked {
        let mut line = |letter: &str| lines.remove(&format!("{letter}{at}")).unwrap_or_default();
        let last = |line: &[(i64, f64)]| line.last().map(|it| it.1);
        // Requests are told as those of a minute.
        let requests: Vec<(i64, f64)> = (line("r").into_iter())
            .map(|(at, it)| (at, it / 60.0))
            .collect();
        if requests.is_empty() {
            continue;
        }
        // What was told long ago is not what is now.
        let is_now =
            |line: &[(i64, f64)]| line.last().is_some_and(|it| it.0 >= to_ms - 2 * period_ms);
        let failed = line("f");
        cards[at].traffic = Some(Traffic {
            requests_per_second: last(&requests)
                .filter(|_| is_now(&requests))
                .unwrap_or_default(),
            failed_per_second: last(&failed)
                .filter(|_| is_now(&failed))
                .unwrap_or_default()
                / 60.0,
            p50_ms: last(&line("m")).map(|it| it * 1000.0),
            p99_ms: last(&line("h")).map(|it| it * 1000.0),
            requests,
        });
    }
    Ok(())
}
