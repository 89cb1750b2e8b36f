//! Metrics and alarms over the real store and loop, in paused time.

use std::ops::Deref;
use std::time::Duration;

use cloud::{Clock, Pace};
use shapes::cloudwatch::*;
use wire::Timestamp;

struct World(testkit::World);

fn world(pace: Pace) -> World {
    let world = testkit::world([cloudwatch::service()]).by(Clock::new(pace));
    World(world.run())
}

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    async fn refused<I: wire::Operation>(&self, input: I) -> String {
        self.err(input).await.to_string()
    }

    fn now(&self) -> f64 {
        self.cloud.clock.now()
    }

    async fn put(&self, namespace: &str, datum: MetricDatum) {
        let input = PutMetricDataInput {
            namespace: namespace.into(),
            metric_data: Some(vec![datum]),
        };
        self.cx.with_token("test").call(input).await.unwrap();
    }

    /// Sums of `Orders`, by period.
    async fn sums(&self, back_s: f64, period: i32) -> Vec<f64> {
        let input = GetMetricStatisticsInput {
            namespace: "Shop".into(),
            metric_name: "Orders".into(),
            start_time: Timestamp(self.now() - back_s),
            end_time: Timestamp(self.now() + 60.0),
            period,
            statistics: Some(vec![Statistic::Sum]),
            ..Default::default()
        };
        let points = self.call(input).await.datapoints.unwrap();
        points.into_iter().filter_map(|it| it.sum).collect()
    }

    async fn alarm(&self) -> MetricAlarm {
        let found = self.call(DescribeAlarmsInput::default()).await;
        found.metric_alarms.unwrap().remove(0)
    }

    async fn state(&self) -> StateValue {
        self.alarm().await.state_value.unwrap()
    }
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

fn orders(value: f64) -> MetricDatum {
    MetricDatum {
        metric_name: "Orders".into(),
        value: Some(value),
        ..Default::default()
    }
}

fn above(namespace: &str, threshold: f64) -> PutMetricAlarmInput {
    PutMetricAlarmInput {
        alarm_name: "many".into(),
        namespace: Some(namespace.into()),
        metric_name: Some("Orders".into()),
        statistic: Some(Statistic::Sum),
        period: Some(60),
        evaluation_periods: Some(1),
        threshold: Some(threshold),
        comparison_operator: Some(ComparisonOperator::GreaterThanThreshold),
        ..Default::default()
    }
}

fn metric(id: &str, name: &str, stat: &str, period: i32) -> MetricDataQuery {
    MetricDataQuery {
        id: id.into(),
        metric_stat: Some(MetricStat {
            metric: Metric {
                namespace: Some("Shop".into()),
                metric_name: Some(name.into()),
                dimensions: None,
            },
            period,
            stat: stat.into(),
            unit: None,
        }),
        ..Default::default()
    }
}

fn expression(id: &str, text: &str) -> MetricDataQuery {
    MetricDataQuery {
        id: id.into(),
        expression: Some(text.into()),
        ..Default::default()
    }
}

#[tokio::test(start_paused = true)]
async fn data_are_added_up_by_period() {
    let world = world(Pace::Real);
    for value in [1.0, 2.0, 4.0] {
        world.put("Shop", orders(value)).await;
    }
    let earlier = MetricDatum {
        timestamp: Some(Timestamp(world.now() - 7200.0)),
        ..orders(8.0)
    };
    world.put("Shop", earlier).await;
    assert_eq!(world.sums(3600.0, 86_400).await, [7.0]);
    assert_eq!(world.sums(10_000.0, 3600).await, [8.0, 7.0]);
    assert_eq!(world.sums(10_000.0, 86_400).await, [15.0]);
}

#[tokio::test(start_paused = true)]
async fn times_that_mean_nothing_are_too_many_datapoints() {
    let world = world(Pace::Fast);
    let input = GetMetricStatisticsInput {
        namespace: "Shop".into(),
        metric_name: "Orders".into(),
        start_time: Timestamp(-1e300),
        end_time: Timestamp(1e300),
        period: 60,
        statistics: Some(vec![Statistic::Sum]),
        ..Default::default()
    };
    let refused = world.refused(input).await;
    assert!(refused.contains("exceeds the limit of 1440"), "{refused}");
    let input = GetMetricDataInput {
        metric_data_queries: vec![metric("a", "Orders", "Sum", 60)],
        start_time: Timestamp(-1e300),
        end_time: Timestamp(1e300),
        ..Default::default()
    };
    let refused = world.refused(input).await;
    assert!(refused.contains("at most 100800 datapoints"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn percentiles_and_expressions() {
    const DAY: i32 = 86_400;
    let world = world(Pace::Fast);
    let many = MetricDatum {
        metric_name: "Orders".into(),
        values: Some((1..=100).map(f64::from).collect()),
        ..Default::default()
    };
    world.put("Shop", many).await;
    let input = |queries| GetMetricDataInput {
        metric_data_queries: queries,
        start_time: Timestamp(world.now() - 1.0),
        end_time: Timestamp(world.now() + 1.0),
        ..Default::default()
    };
    let queries = vec![
        metric("p90", "Orders", "p90", DAY),
        metric("sum", "Orders", "Sum", DAY),
        expression("e2", "e1 / 10"),
        expression("e1", "sum + p90"),
    ];
    let results = world
        .call(input(queries))
        .await
        .metric_data_results
        .unwrap();
    let values: Vec<_> = results.into_iter().filter_map(|it| it.values).collect();
    assert_eq!(
        values,
        [vec![90.0], vec![5050.0], vec![514.0], vec![5140.0]]
    );
    for (queries, message) in [
        (
            vec![metric("a", "Orders", "tm90", DAY)],
            "InvalidParameterValue: The statistic tm90 is not supported by neargate",
        ),
        (
            vec![expression("a", "SEARCH('x', 'Sum')")],
            "ValidationError: The function SEARCH is not supported by neargate",
        ),
        (
            vec![expression("a", "b + 1"), expression("b", "a + 1")],
            "ValidationError: The expression with the id a depends on itself",
        ),
    ] {
        assert_eq!(world.refused(input(queries)).await, message);
    }
}

/// Only its kind is of interest.
#[derive(serde::Serialize, serde::Deserialize)]
struct AnyChunk {}

impl cloud::Record for AnyChunk {
    const KIND: &'static str = "cloudwatch.chunk";
    fn key(&self) -> String {
        String::new()
    }
}

#[tokio::test(start_paused = true)]
async fn old_data_are_folded_and_nothing_is_lost() {
    const HOUR: u64 = 3600;
    let world = world(Pace::Fast);
    for _ in 0..30 {
        world.put("Shop", orders(1.0)).await;
        seconds(2).await;
    }
    for hours in [1, 4, 20 * 24, 70 * 24, 300 * 24] {
        seconds(HOUR * hours).await;
        let sum: f64 = world.sums(480.0 * 86_400.0, 86_400).await.iter().sum();
        assert_eq!(sum, 30.0, "after {hours} hours more");
    }
    let chunks = || {
        world
            .cloud
            .store
            .read(|tx| tx.keys::<AnyChunk>(""))
            .unwrap()
    };
    assert!(!chunks().is_empty());
    seconds(HOUR * 24 * 100).await;
    assert_eq!(chunks(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn metrics_are_listed_by_their_dimensions() {
    let world = world(Pace::Fast);
    let dimension = |name: &str, value: &str| Dimension {
        name: name.into(),
        value: value.into(),
    };
    for branch in ["north", "south"] {
        let datum = MetricDatum {
            dimensions: Some(vec![dimension("Branch", branch), dimension("Kind", "shop")]),
            ..orders(1.0)
        };
        world.put("Shop", datum).await;
    }
    world.put("Other", orders(1.0)).await;
    let count = async |filters: &[(&str, Option<&str>)], namespace: Option<&str>| {
        let filters = filters.iter().map(|(name, value)| DimensionFilter {
            name: (*name).into(),
            value: value.map(Into::into),
        });
        let input = ListMetricsInput {
            namespace: namespace.map(Into::into),
            dimensions: Some(filters.collect()),
            ..Default::default()
        };
        world.call(input).await.metrics.unwrap().len()
    };
    assert_eq!(count(&[], None).await, 3);
    assert_eq!(count(&[], Some("Shop")).await, 2);
    assert_eq!(count(&[("Branch", None)], None).await, 2);
    let both = [("Branch", Some("north")), ("Kind", Some("shop"))];
    assert_eq!(count(&both, None).await, 1);
    assert_eq!(count(&[("Kind", Some("bank"))], None).await, 0);
    // Two weeks later they are not shown any more.
    seconds(15 * 86_400).await;
    assert_eq!(count(&[], None).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_programs_put_keeps_its_period_at_the_fast_pace() {
    let world = world(Pace::Fast);
    world.call(above("Shop", 5.0)).await;
    assert_eq!(world.state().await, StateValue::InsufficientData);
    // To the beginning of a minute.
    let past_ms = world.cloud.clock.now_ms() % 60_000;
    tokio::time::sleep(Duration::from_millis(60_010 - past_ms as u64)).await;
    world.put("Shop", orders(3.0)).await;
    seconds(3).await;
    // Three in a minute are three, and not more than five; the minute is not over yet.
    assert_eq!(world.state().await, StateValue::InsufficientData);
    world.put("Shop", orders(3.0)).await;
    seconds(3).await;
    assert_eq!(world.state().await, StateValue::Alarm);
    seconds(60).await;
    world.put("Shop", orders(1.0)).await;
    seconds(50).await;
    assert_eq!(world.state().await, StateValue::Alarm);
    seconds(10).await;
    assert_eq!(world.state().await, StateValue::Ok);
    seconds(300).await;
    assert_eq!(world.state().await, StateValue::InsufficientData);
    let history = DescribeAlarmHistoryInput {
        history_item_type: Some(HistoryItemType::StateUpdate),
        scan_by: Some(ScanBy::TimestampAscending),
        ..Default::default()
    };
    let items = world.call(history).await.alarm_history_items.unwrap();
    let said: Vec<_> = items
        .into_iter()
        .filter_map(|it| it.history_summary)
        .collect();
    assert_eq!(
        said,
        [
            "Alarm updated from INSUFFICIENT_DATA to ALARM",
            "Alarm updated from ALARM to OK",
            "Alarm updated from OK to INSUFFICIENT_DATA",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_services_tell_has_a_minute_of_two_seconds_and_its_rate_is_kept() {
    let world = world(Pace::Fast);
    world.call(above("AWS/Shop", 100.0)).await;
    // Four in two seconds are 120 in a minute.
    world.put("AWS/Shop", orders(4.0)).await;
    seconds(4).await;
    let alarm = world.alarm().await;
    assert_eq!(alarm.state_value, Some(StateValue::Alarm));
    let reason = alarm.state_reason.unwrap();
    assert!(reason.contains("[120.0 ("), "{reason}");
    for _ in 0..3 {
        world.put("AWS/Shop", orders(3.0)).await;
        seconds(2).await;
    }
    assert_eq!(world.state().await, StateValue::Ok);
}

#[tokio::test(start_paused = true)]
async fn the_real_pace_evaluates_minutes() {
    let world = world(Pace::Real);
    world.call(above("AWS/Shop", 100.0)).await;
    for (value, state) in [(101.0, StateValue::Alarm), (99.0, StateValue::Ok)] {
        for _ in 0..3 {
            world.put("AWS/Shop", orders(value)).await;
            seconds(60).await;
        }
        assert_eq!(world.state().await, state);
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_that_was_set_holds_until_the_next_look() {
    let world = world(Pace::Fast);
    world.put("Shop", orders(1.0)).await;
    world.call(above("Shop", 5.0)).await;
    seconds(63).await;
    assert_eq!(world.state().await, StateValue::Ok);
    let set = SetAlarmStateInput {
        alarm_name: "many".into(),
        state_value: StateValue::Alarm,
        state_reason: "a drill".into(),
        state_reason_data: None,
    };
    world.call(set).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let alarm = world.alarm().await;
    assert_eq!(alarm.state_value, Some(StateValue::Alarm));
    assert_eq!(alarm.state_reason.as_deref(), Some("a drill"));
    seconds(3).await;
    assert_eq!(world.state().await, StateValue::Ok);
}

#[tokio::test(start_paused = true)]
async fn an_expression_can_be_watched() {
    let world = world(Pace::Fast);
    let hidden = |query| MetricDataQuery {
        return_data: Some(false),
        ..query
    };
    let alarm = PutMetricAlarmInput {
        namespace: None,
        metric_name: None,
        statistic: None,
        period: None,
        metrics: Some(vec![
            hidden(metric("failed", "Failed", "Sum", 60)),
            hidden(metric("all", "Orders", "Sum", 60)),
            expression("rate", "100 * failed / FILL(all, 1)"),
        ]),
        ..above("", 10.0)
    };
    world.call(alarm).await;
    world.put("Shop", orders(50.0)).await;
    let failed = MetricDatum {
        metric_name: "Failed".into(),
        value: Some(6.0),
        ..Default::default()
    };
    world.put("Shop", failed).await;
    seconds(3).await;
    let alarm = world.alarm().await;
    assert_eq!(alarm.state_value, Some(StateValue::Alarm), "{alarm:?}");
    assert!(alarm.state_reason.unwrap().contains("[12.0 ("));
}

#[tokio::test(start_paused = true)]
async fn what_nothing_would_come_of_is_refused() {
    let world = world(Pace::Fast);
    let mails = "arn:aws:sns:us-east-1:000000000000:mails".to_owned();
    let with_mails = PutMetricAlarmInput {
        alarm_actions: Some(vec![mails.clone()]),
        ..above("Shop", 5.0)
    };
    let why = format!("ValidationError: The alarm action {mails} is not supported by neargate");
    let said = world.refused(with_mails.clone()).await;
    assert!(said.starts_with(&why), "{said}");
    // Disabled actions promise nothing; enabling them does.
    let disabled = PutMetricAlarmInput {
        actions_enabled: Some(false),
        ..with_mails
    };
    world.call(disabled).await;
    let enable = EnableAlarmActionsInput {
        alarm_names: vec!["many".into()],
    };
    let said = world.refused(enable).await;
    assert!(said.starts_with(&why), "{said}");
    for (input, message) in [
        (
            PutMetricAlarmInput {
                comparison_operator: Some(ComparisonOperator::GreaterThanUpperThreshold),
                ..above("Shop", 5.0)
            },
            "ValidationError: ComparisonOperator GreaterThanUpperThreshold is for anomaly detection, which is not supported by neargate",
        ),
        (
            PutMetricAlarmInput {
                datapoints_to_alarm: Some(2),
                ..above("Shop", 5.0)
            },
            "ValidationError: DatapointsToAlarm must be less than or equal to EvaluationPeriods",
        ),
        (
            PutMetricAlarmInput {
                period: Some(45),
                ..above("Shop", 5.0)
            },
            "InvalidParameterValue: The parameter Period must be 1, 5, 10, 20, 30, or a multiple of 60.",
        ),
        (
            PutMetricAlarmInput {
                threshold: None,
                ..above("Shop", 5.0)
            },
            "MissingParameter: The parameter Threshold is required.",
        ),
    ] {
        assert_eq!(world.refused(input).await, message);
    }
    let own = PutMetricDataInput {
        namespace: "AWS/ECS".into(),
        metric_data: Some(vec![orders(1.0)]),
    };
    assert_eq!(
        world.refused(own).await,
        "InvalidParameterValue: The value AWS/ECS for parameter Namespace is invalid."
    );
    let delete = DeleteAlarmsInput {
        alarm_names: vec!["many".into(), "none".into()],
    };
    assert_eq!(
        world.refused(delete).await,
        "ResourceNotFound: Unknown alarm: none"
    );
    assert_eq!(world.alarm().await.alarm_name.as_deref(), Some("many"));
}

#[tokio::test(start_paused = true)]
async fn each_unit_has_datapoints_of_its_own() {
    let world = world(Pace::Real);
    for (value, unit) in [
        (1.0, Some(StandardUnit::Seconds)),
        (5.0, Some(StandardUnit::Count)),
        (10.0, None),
    ] {
        let datum = MetricDatum {
            metric_name: "Orders".into(),
            value: Some(value),
            unit,
            ..Default::default()
        };
        world.put("Shop", datum).await;
    }
    let input = GetMetricStatisticsInput {
        namespace: "Shop".into(),
        metric_name: "Orders".into(),
        start_time: Timestamp(world.now() - 60.0),
        end_time: Timestamp(world.now() + 60.0),
        period: 60,
        statistics: Some(vec![Statistic::Average]),
        ..Default::default()
    };
    let points = world.call(input).await.datapoints.unwrap();
    let mut told: Vec<_> = points
        .iter()
        .map(|it| (it.average.unwrap() as i64, it.unit.unwrap().to_string()))
        .collect();
    told.sort();
    let expected = [(1, "Seconds"), (5, "Count"), (10, "None")];
    assert_eq!(told, expected.map(|(value, unit)| (value, unit.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_day_by_the_minute_is_not_too_much_and_values_may_come_with_statistics() {
    let world = world(Pace::Real);
    let at = (world.now() / 60.0).floor() * 60.0 + 30.0;
    let day = |more: f64| GetMetricStatisticsInput {
        namespace: "Shop".into(),
        metric_name: "Orders".into(),
        start_time: Timestamp(at),
        end_time: Timestamp(at + 86_400.0 + more),
        period: 60,
        statistics: Some(vec![Statistic::Sum]),
        ..Default::default()
    };
    world.call(day(0.0)).await;
    assert!(world.refused(day(1.0)).await.contains("1441 datapoints"));
    let both = MetricDatum {
        metric_name: "Orders".into(),
        values: Some(vec![2.0]),
        statistic_values: Some(StatisticSet {
            sample_count: 1.0,
            sum: 1.0,
            minimum: 1.0,
            maximum: 1.0,
        }),
        ..Default::default()
    };
    world.put("Shop", both).await;
    assert_eq!(world.sums(60.0, 60).await, [3.0]);
}

#[tokio::test(start_paused = true)]
async fn lines_without_labels_are_named_by_what_tells_them_apart() {
    let world = world(Pace::Real);
    let datum = MetricDatum {
        metric_name: "Orders".into(),
        value: Some(1.0),
        ..Default::default()
    };
    world.put("Shop", datum).await;
    let labels = async |asked: &[(&str, i32, &str, Option<&str>)]| -> Vec<String> {
        let query =
            |(at, (namespace, period, stat, label)): (usize, &(&str, i32, &str, Option<&str>))| {
                MetricDataQuery {
                    id: format!("q{at}"),
                    label: label.map(str::to_owned),
                    metric_stat: Some(MetricStat {
                        metric: Metric {
                            namespace: Some((*namespace).into()),
                            metric_name: Some("Orders".into()),
                            dimensions: None,
                        },
                        period: *period,
                        stat: (*stat).into(),
                        unit: None,
                    }),
                    ..Default::default()
                }
            };
        let input = GetMetricDataInput {
            metric_data_queries: asked.iter().enumerate().map(query).collect(),
            start_time: Timestamp(world.now() - 300.0),
            end_time: Timestamp(world.now() + 60.0),
            ..Default::default()
        };
        let results = world.call(input).await.metric_data_results.unwrap();
        results.into_iter().filter_map(|it| it.label).collect()
    };
    assert_eq!(labels(&[("Shop", 60, "Sum", None)]).await, ["Orders"]);
    assert_eq!(
        labels(&[("Shop", 60, "Sum", None), ("Shop", 60, "Minimum", None)]).await,
        ["Orders Sum", "Orders Minimum"]
    );
    assert_eq!(
        labels(&[("Shop", 60, "Sum", None), ("Shop", 300, "Sum", None)]).await,
        ["Orders Sum 60", "Orders Sum 300"]
    );
    assert_eq!(
        labels(&[
            ("Shop", 60, "Sum", None),
            ("Shop", 60, "Minimum", Some("least"))
        ])
        .await,
        ["Orders", "least"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_page_past_the_last_one_is_empty() {
    let world = world(Pace::Real);
    let past = || Some(usize::MAX.to_string());
    let metrics = ListMetricsInput {
        next_token: past(),
        ..Default::default()
    };
    let answer = world.call(metrics).await;
    assert_eq!(
        (answer.metrics.unwrap().len(), answer.next_token),
        (0, None)
    );
    let alarms = DescribeAlarmsInput {
        next_token: past(),
        ..Default::default()
    };
    let answer = world.call(alarms).await;
    assert_eq!(answer.metric_alarms.unwrap().len(), 0);
    assert_eq!(answer.next_token, None);
    let history = DescribeAlarmHistoryInput {
        next_token: past(),
        ..Default::default()
    };
    let answer = world.call(history).await;
    assert_eq!(answer.alarm_history_items.unwrap().len(), 0);
    assert_eq!(answer.next_token, None);
}
