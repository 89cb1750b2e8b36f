//! Metrics of a service as CloudWatch has them, with the thresholds of alarms and what scaling did.

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::application_autoscaling::{DescribeScalingActivitiesInput, ServiceNamespace};
use shapes::cloudwatch::{
    DescribeAlarmsInput, Dimension, GetMetricDataInput, Metric, MetricDataQuery, MetricStat,
};
use shapes::ecs::Service;
use shapes::elbv2::DescribeTargetGroupsInput;
use wire::Timestamp;

use super::service::describe;
use super::{ServiceSummary, ms, now_ms, summary};

/// How long a look back may be: a day of minutes.
const MINUTES_MAX: i64 = 24 * 60;
const MINUTES: i64 = 10;
/// Points of a line, about.
const POINTS: i64 = 60;
/// Requests are told as those of a minute, whatever the pace is.
const PER_SECOND: f64 = 1.0 / 60.0;

#[derive(Debug, Clone, Serialize)]
pub struct MetricsFacts {
    pub summary: ServiceSummary,
    pub minutes: i64,
    pub period_s: i32,
    pub from_ms: i64,
    pub to_ms: i64,
    pub plots: Vec<Plot>,
    pub marks: Vec<Mark>,
}

/// Lines over the same time, in one unit.
#[derive(Debug, Clone, Serialize)]
pub struct Plot {
    pub title: &'static str,
    pub unit: &'static str,
    pub lines: Vec<Series>,
    /// Thresholds of alarms.
    pub bounds: Vec<Bound>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Series {
    pub name: &'static str,
    pub metric: &'static str,
    /// The oldest first.
    pub points: Vec<(i64, f64)>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Bound {
    pub alarm: String,
    pub state: String,
    pub value: f64,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Mark {
    pub at_ms: i64,
    pub what: String,
}

/// One line that is asked for.
struct Wanted {
    plot: usize,
    name: &'static str,
    metric: &'static str,
    stat: &'static str,
    times: f64,
    of: Of,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Service,
    Group,
}

const PLOTS: [(&str, &str); 5] = [
    ("Requests", "a second"),
    ("Time until targets answer", "ms"),
    ("Hosts", ""),
    ("CPU", "%"),
    ("Memory", "%"),
];

fn wanted() -> Vec<Wanted> {
    let row = |plot, name, metric, stat, times, of| Wanted {
        plot,
        name,
        metric,
        stat,
        times,
        of,
    };
    vec![
        row(0, "all", "RequestCount", "Average", PER_SECOND, Of::Group),
        row(
            0,
            "4xx",
            "HTTPCode_Target_4XX_Count",
            "Average",
            PER_SECOND,
            Of::Group,
        ),
        row(
            0,
            "5xx",
            "HTTPCode_Target_5XX_Count",
            "Average",
            PER_SECOND,
            Of::Group,
        ),
        row(1, "p50", "TargetResponseTime", "p50", 1000.0, Of::Group),
        row(1, "p99", "TargetResponseTime", "p99", 1000.0, Of::Group),
        row(2, "healthy", "HealthyHostCount", "Average", 1.0, Of::Group),
        row(
            2,
            "unhealthy",
            "UnHealthyHostCount",
            "Average",
            1.0,
            Of::Group,
        ),
        row(3, "average", "CPUUtilization", "Average", 1.0, Of::Service),
        row(3, "highest", "CPUUtilization", "Maximum", 1.0, Of::Service),
        row(
            4,
            "average",
            "MemoryUtilization",
            "Average",
            1.0,
            Of::Service,
        ),
        row(
            4,
            "highest",
            "MemoryUtilization",
            "Maximum",
            1.0,
            Of::Service,
        ),
    ]
}

pub async fn gather(
    cx: &Cx,
    cluster: &str,
    name: &str,
    minutes: Option<i64>,
) -> Result<Option<MetricsFacts>, Error> {
    let Some(service) = describe(cx, cluster, name).await? else {
        return Ok(None);
    };
    let minutes = minutes.unwrap_or(MINUTES).clamp(1, MINUTES_MAX);
    let period_s = period(minutes);
    let to_ms = now_ms(cx) / 1000 / i64::from(period_s) * i64::from(period_s) * 1000;
    let from_ms = to_ms - minutes * 60_000;
    let of_group = group_dimensions(cx, &service).await?;
    let of_service = vec![
        dimension("ClusterName", cluster),
        dimension("ServiceName", name),
    ];
    let mut plots: Vec<Plot> = PLOTS
        .iter()
        .map(|(title, unit)| Plot {
            title,
            unit,
            lines: Vec::new(),
            bounds: Vec::new(),
        })
        .collect();
    let rows: Vec<Wanted> = (wanted().into_iter())
        .filter(|it| it.of == Of::Service || of_group.is_some())
        .collect();
    let dimensions = |it: &Wanted| match it.of {
        Of::Service => ("AWS/ECS", of_service.clone()),
        Of::Group => ("AWS/ApplicationELB", of_group.clone().unwrap_or_default()),
    };
    let queries = rows.iter().enumerate().map(|(at, row)| {
        let (namespace, dimensions) = dimensions(row);
        query(
            format!("m{at}"),
            namespace,
            dimensions,
            (row.metric, row.stat),
            period_s,
        )
    });
    let lines = data(cx, queries.collect(), from_ms, to_ms).await?;
    for (at, row) in rows.iter().enumerate() {
        let id = format!("m{at}");
        let points = lines.iter().find(|it| it.0 == id).map(|it| it.1.clone());
        let points = points.unwrap_or_default();
        plots[row.plot].lines.push(Series {
            name: row.name,
            metric: row.metric,
            points: points
                .into_iter()
                .map(|(at, it)| (at, it * row.times))
                .collect(),
        });
    }
    let own = [of_service, of_group.unwrap_or_default()];
    add_bounds(cx, &own, &rows, &mut plots).await?;
    plots.retain(|it| !it.lines.is_empty());
    let mut marks = deployments(&service);
    marks.extend(scaling(cx, cluster, name).await?);
    marks.retain(|it| (from_ms..=now_ms(cx)).contains(&it.at_ms));
    Ok(Some(MetricsFacts {
        summary: summary(cx, &service).await?,
        minutes,
        period_s,
        from_ms,
        to_ms,
        plots,
        marks,
    }))
}

/// One that CloudWatch knows, for about as many points as a line has.
fn period(minutes: i64) -> i32 {
    let seconds = minutes * 60 / POINTS;
    match seconds {
        ..=1 => 1,
        2..=5 => 5,
        6..=10 => 10,
        11..=30 => 30,
        more => i32::try_from((more + 59) / 60 * 60).unwrap_or(3600),
    }
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// Of the first target group that a balancer forwards to.
async fn group_dimensions(cx: &Cx, service: &Service) -> Result<Option<Vec<Dimension>>, Error> {
    let mut balanced = service.load_balancers.iter().flatten();
    let Some(arn) = balanced.find_map(|it| it.target_group_arn.clone()) else {
        return Ok(None);
    };
    dimensions_of(cx, &arn).await
}

/// The dimensions of a target group and its balancer. None: nobody forwards to it.
pub async fn dimensions_of(cx: &Cx, group: &str) -> Result<Option<Vec<Dimension>>, Error> {
    let found = cx.call(DescribeTargetGroupsInput {
        target_group_arns: Some(vec![group.to_owned()]),
        ..Default::default()
    });
    let found = match found.await {
        Ok(found) => found.target_groups.unwrap_or_default(),
        Err(error) if error.status < 500 => Vec::new(),
        Err(error) => return Err(error),
    };
    let balancer = found
        .iter()
        .find_map(|it| it.load_balancer_arns.iter().flatten().next().cloned());
    let full_name = |arn: &str| arn.rsplit(':').next().unwrap_or_default().to_owned();
    Ok(balancer.map(|balancer| {
        let balancer = full_name(&balancer);
        let balancer = balancer.strip_prefix("loadbalancer/").unwrap_or(&balancer);
        vec![
            dimension("TargetGroup", &full_name(group)),
            dimension("LoadBalancer", balancer),
        ]
    }))
}

pub fn query(
    id: String,
    namespace: &str,
    dimensions: Vec<Dimension>,
    (metric, stat): (&str, &str),
    period_s: i32,
) -> MetricDataQuery {
    MetricDataQuery {
        id,
        metric_stat: Some(MetricStat {
            metric: Metric {
                namespace: Some(namespace.to_owned()),
                metric_name: Some(metric.to_owned()),
                dimensions: Some(dimensions),
            },
            period: period_s,
            stat: stat.to_owned(),
            unit: None,
        }),
        ..Default::default()
    }
}

/// Points by the ids of their queries, the oldest first.
pub async fn data(
    cx: &Cx,
    queries: Vec<MetricDataQuery>,
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<(String, Vec<(i64, f64)>)>, Error> {
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let at = |ms: i64| Timestamp(ms as f64 / 1000.0);
    let asked = cx.call(GetMetricDataInput {
        metric_data_queries: queries,
        start_time: at(from_ms),
        end_time: at(to_ms),
        ..Default::default()
    });
    let found = asked.await?.metric_data_results.unwrap_or_default();
    let lines = found.into_iter().map(|it| {
        let times = it.timestamps.unwrap_or_default();
        let times = times.into_iter().map(|it| ms(Some(it)).unwrap_or_default());
        let mut points: Vec<(i64, f64)> = times.zip(it.values.unwrap_or_default()).collect();
        points.sort_by_key(|it| it.0);
        (it.id.unwrap_or_default(), points)
    });
    Ok(lines.collect())
}

async fn add_bounds(
    cx: &Cx,
    own: &[Vec<Dimension>],
    rows: &[Wanted],
    plots: &mut [Plot],
) -> Result<(), Error> {
    let alarms = cx.call(DescribeAlarmsInput::default()).await?.metric_alarms;
    for alarm in alarms.unwrap_or_default() {
        let row = rows
            .iter()
            .find(|it| Some(it.metric) == alarm.metric_name.as_deref());
        let is_own = alarm.dimensions.as_ref().is_some_and(|it| own.contains(it));
        if let (Some(row), true, Some(value)) = (row, is_own, alarm.threshold) {
            plots[row.plot].bounds.push(Bound {
                alarm: alarm.alarm_name.unwrap_or_default(),
                state: alarm.state_value.map_or("", |it| it.as_str()).to_owned(),
                value: value * row.times,
            });
        }
    }
    Ok(())
}

fn deployments(service: &Service) -> Vec<Mark> {
    let all = service.deployments.iter().flatten();
    let begun = all.filter_map(|it| {
        Some(Mark {
            at_ms: ms(it.created_at)?,
            what: format!(
                "deployment of {}",
                super::last_part(it.task_definition.as_deref()?)
            ),
        })
    });
    begun.collect()
}

async fn scaling(cx: &Cx, cluster: &str, name: &str) -> Result<Vec<Mark>, Error> {
    let asked = cx.call(DescribeScalingActivitiesInput {
        service_namespace: ServiceNamespace::Ecs,
        resource_id: Some(format!("service/{cluster}/{name}")),
        scalable_dimension: None,
        max_results: None,
        next_token: None,
        include_not_scaled_activities: None,
    });
    let found = match asked.await {
        Ok(found) => found.scaling_activities.unwrap_or_default(),
        Err(error) if error.status < 500 || error.is(wire::codes::NotImplemented) => Vec::new(),
        Err(error) => return Err(error),
    };
    let marks = found.into_iter().map(|it| Mark {
        at_ms: ms(Some(it.start_time)).unwrap_or_default(),
        what: it.description,
    });
    Ok(marks.collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_has_about_as_many_points_whatever_time_it_covers() {
        for (minutes, expect) in [(1, 1), (5, 5), (10, 10), (60, 60), (360, 360), (1440, 1440)] {
            assert_eq!(super::period(minutes), expect, "{minutes}");
        }
    }
}
