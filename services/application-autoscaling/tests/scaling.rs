//! Services that grow and shrink: CloudWatch's alarms and the policies together, beside an ECS that
//! does at once what it is asked. Time is paused: minutes of the fast pace pass at once.

use std::ops::Deref;
use std::time::Duration;

use cloud::{Cx, Error, Record, Service};
use serde::{Deserialize, Serialize};
use shapes::application_autoscaling::*;
use shapes::cloudwatch as cw;
use shapes::ecs;

const WEB: &str = "service/main/web";
/// A minute of the fast pace.
const MINUTE: Duration = Duration::from_secs(2);

/// The one service that there is.
#[derive(Serialize, Deserialize)]
struct Web {
    desired: i32,
}

impl Record for Web {
    const KIND: &'static str = "test.web";
    fn key(&self) -> String {
        "web".into()
    }
}

async fn describe(
    cx: Cx,
    _: ecs::DescribeServicesInput,
) -> Result<ecs::DescribeServicesOutput, Error> {
    let web = cx.read(|tx| tx.get::<Web>("web"))?;
    let services = web.into_iter().map(|it| ecs::Service {
        service_name: Some("web".into()),
        cluster_arn: Some("main".into()),
        status: Some("ACTIVE".into()),
        desired_count: Some(it.desired),
        running_count: Some(it.desired),
        pending_count: Some(0),
        ..Default::default()
    });
    Ok(ecs::DescribeServicesOutput {
        services: Some(services.collect()),
        ..Default::default()
    })
}

async fn update(cx: Cx, input: ecs::UpdateServiceInput) -> Result<ecs::UpdateServiceOutput, Error> {
    let desired = input.desired_count.expect("only the count is ever changed");
    cx.write(|tx| tx.put(&Web { desired }))?;
    Ok(ecs::UpdateServiceOutput::default())
}

struct World(testkit::World);

fn services() -> [Service; 3] {
    let ecs = Service::new(&ecs::MODEL)
        .on(describe, testkit::not_asked())
        .on(update, testkit::not_asked());
    [
        application_autoscaling::service(),
        cloudwatch::service(),
        ecs,
    ]
}

impl Deref for World {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.0
    }
}

impl World {
    fn new(desired: i32) -> Self {
        let world = testkit::world(services()).run();
        world.cx.write(|tx| tx.put(&Web { desired })).unwrap();
        Self(world)
    }

    /// The daemon dies, and another one goes on.
    fn crash(self) -> Self {
        Self(testkit::world(services()).on(&self.0.crash()).run())
    }

    async fn register(&self, min: i32, max: i32) {
        self.call(RegisterScalableTargetInput {
            service_namespace: ServiceNamespace::Ecs,
            scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
            resource_id: WEB.into(),
            min_capacity: Some(min),
            max_capacity: Some(max),
            ..Default::default()
        })
        .await;
    }

    /// Tracks 50 percent.
    async fn track_cpu(&self) -> PutScalingPolicyOutput {
        self.call(PutScalingPolicyInput {
            policy_name: "cpu".into(),
            policy_type: Some(PolicyType::TargetTrackingScaling),
            target_tracking_scaling_policy_configuration: Some(
                TargetTrackingScalingPolicyConfiguration {
                    target_value: 50.0,
                    predefined_metric_specification: Some(PredefinedMetricSpecification {
                        predefined_metric_type: MetricType::ECSServiceAverageCPUUtilization,
                        resource_label: None,
                    }),
                    scale_in_cooldown: Some(60),
                    scale_out_cooldown: Some(60),
                    ..Default::default()
                },
            ),
            ..policy()
        })
        .await
    }

    /// What ECS tells in a minute.
    async fn minute(&self, percent: f64) {
        let dimension = |name: &str, value: &str| cw::Dimension {
            name: name.into(),
            value: value.into(),
        };
        let datum = cw::MetricDatum {
            metric_name: "CPUUtilization".into(),
            dimensions: Some(vec![
                dimension("ClusterName", "main"),
                dimension("ServiceName", "web"),
            ]),
            value: Some(percent),
            unit: Some(cw::StandardUnit::Percent),
            ..Default::default()
        };
        let input = cw::PutMetricDataInput {
            namespace: "AWS/ECS".into(),
            metric_data: Some(vec![datum]),
        };
        self.cx.with_token("test").call(input).await.unwrap();
        tokio::time::sleep(MINUTE).await;
    }

    /// Minutes of this load, until the service has this count.
    async fn until(&self, percent: f64, count: i32) {
        for _ in 0..30 {
            self.minute(percent).await;
            if self.desired() == count {
                return;
            }
        }
        panic!("it has {} and not {count}", self.desired());
    }

    fn desired(&self) -> i32 {
        let web = self.cx.read(|tx| tx.get::<Web>("web")).unwrap();
        web.unwrap().desired
    }

    async fn alarms(&self) -> Vec<cw::MetricAlarm> {
        let all = self.call(cw::DescribeAlarmsInput::default()).await;
        all.metric_alarms.unwrap()
    }

    /// The newest first.
    async fn activities(&self, not_scaled: bool) -> Vec<ScalingActivity> {
        let input = DescribeScalingActivitiesInput {
            service_namespace: ServiceNamespace::Ecs,
            resource_id: Some(WEB.into()),
            include_not_scaled_activities: Some(not_scaled),
            ..Default::default()
        };
        self.call(input).await.scaling_activities.unwrap()
    }
}

fn policy() -> PutScalingPolicyInput {
    PutScalingPolicyInput {
        service_namespace: ServiceNamespace::Ecs,
        scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
        resource_id: WEB.into(),
        ..Default::default()
    }
}

async fn moment() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_service_grows_and_an_idle_one_shrinks() {
    let world = World::new(2);
    world.register(1, 6).await;
    let put = world.track_cpu().await;
    for _ in 0..2 {
        world.minute(90.0).await;
        assert_eq!(world.desired(), 2);
    }
    for _ in 0..2 {
        world.minute(90.0).await;
    }
    assert_eq!(world.desired(), 4);
    let high = &put.alarms.unwrap()[0].alarm_name;
    assert!(high.starts_with("TargetTracking-service/main/web-AlarmHigh-"));
    let activity = world.activities(false).await.remove(0);
    assert_eq!(activity.description, "Setting desired count to 4.");
    assert_eq!(
        activity.cause,
        format!("monitor alarm {high} in state ALARM triggered policy cpu")
    );
    assert_eq!(activity.status_code, ScalingActivityStatusCode::Successful);
    assert_eq!(
        activity.status_message.as_deref(),
        Some("Successfully set desired count to 4. Change successfully fulfilled by ecs.")
    );
    // Fifteen minutes of idling, and not one before.
    for _ in 0..13 {
        world.minute(10.0).await;
        assert_eq!(world.desired(), 4);
    }
    for _ in 0..5 {
        world.minute(10.0).await;
    }
    assert_eq!(world.desired(), 1);
    let causes: Vec<String> = world
        .activities(false)
        .await
        .into_iter()
        .map(|it| it.cause)
        .collect();
    assert_eq!(causes.len(), 2);
    assert!(causes[0].contains("-AlarmLow-"), "{causes:?}");
    // It cannot shrink any further, and says so once.
    for _ in 0..8 {
        world.minute(10.0).await;
    }
    let all = world.activities(true).await;
    let reasons: Vec<_> = all
        .iter()
        .filter_map(|it| it.not_scaled_reasons.as_ref())
        .collect();
    assert_eq!(reasons.len(), 1, "{all:?}");
    assert_eq!(reasons[0][0].code, "AlreadyAtMinCapacity");
}

#[tokio::test(start_paused = true)]
async fn load_that_lasts_is_followed_to_the_maximum_and_through_a_crash() {
    let world = World::new(1);
    world.register(1, 3).await;
    world.track_cpu().await;
    world.until(100.0, 2).await;
    // Its clock begins at the machine's time again, which paused time has left behind.
    let world = world.crash();
    world.until(100.0, 3).await;
    for _ in 0..4 {
        world.minute(100.0).await;
    }
    assert_eq!(world.desired(), 3);
    let all = world.activities(true).await;
    let codes: Vec<_> = all
        .iter()
        .map(|it| (it.status_code, it.not_scaled_reasons.is_some()))
        .collect();
    assert_eq!(
        codes,
        [
            (ScalingActivityStatusCode::Failed, true),
            (ScalingActivityStatusCode::Successful, false),
            (ScalingActivityStatusCode::Successful, false),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn alarms_come_and_go_with_their_policy() {
    let world = World::new(1);
    world.register(1, 3).await;
    world.track_cpu().await;
    moment().await;
    let alarms = world.alarms().await;
    let thresholds: Vec<_> = alarms
        .iter()
        .map(|it| (it.threshold, it.evaluation_periods))
        .collect();
    assert_eq!(thresholds, [(Some(50.0), Some(3)), (Some(45.0), Some(15))]);
    let delete = DeleteScalingPolicyInput {
        policy_name: "cpu".into(),
        service_namespace: ServiceNamespace::Ecs,
        scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
        resource_id: WEB.into(),
    };
    world.call(delete).await;
    // One of the same name, at once: its alarms stay, those of the first one go.
    let second = world.track_cpu().await.alarms.unwrap();
    moment().await;
    let mut names: Vec<_> = world
        .alarms()
        .await
        .into_iter()
        .filter_map(|it| it.alarm_name)
        .collect();
    names.sort();
    assert_eq!(
        names,
        [second[0].alarm_name.clone(), second[1].alarm_name.clone()]
    );
    let deregister = DeregisterScalableTargetInput {
        service_namespace: ServiceNamespace::Ecs,
        scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
        resource_id: WEB.into(),
    };
    world.call(deregister).await;
    moment().await;
    assert_eq!(world.alarms().await, []);
}

#[tokio::test(start_paused = true)]
async fn bounds_are_brought_about_when_they_are_set() {
    let world = World::new(1);
    world.register(3, 6).await;
    moment().await;
    assert_eq!(world.desired(), 3);
    world.register(1, 2).await;
    moment().await;
    assert_eq!(world.desired(), 2);
    let causes: Vec<String> = world
        .activities(false)
        .await
        .into_iter()
        .map(|it| it.cause)
        .collect();
    assert_eq!(
        causes,
        [
            "maximum capacity was set to 2",
            "minimum capacity was set to 3"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn steps_follow_whatever_alarm_names_them() {
    let world = World::new(2);
    world.register(1, 10).await;
    let put = PutScalingPolicyInput {
        policy_name: "steps".into(),
        policy_type: Some(PolicyType::StepScaling),
        step_scaling_policy_configuration: Some(StepScalingPolicyConfiguration {
            adjustment_type: Some(AdjustmentType::ChangeInCapacity),
            cooldown: Some(120),
            step_adjustments: Some(vec![
                StepAdjustment {
                    metric_interval_lower_bound: Some(0.0),
                    metric_interval_upper_bound: Some(10.0),
                    scaling_adjustment: 1,
                },
                StepAdjustment {
                    metric_interval_lower_bound: Some(10.0),
                    metric_interval_upper_bound: None,
                    scaling_adjustment: 3,
                },
            ]),
            ..Default::default()
        }),
        ..policy()
    };
    let arn = world.call(put).await.policy_arn;
    let alarm = cw::PutMetricAlarmInput {
        alarm_name: "long-queue".into(),
        namespace: Some("Shop".into()),
        metric_name: Some("Queue".into()),
        statistic: Some(cw::Statistic::Maximum),
        period: Some(60),
        evaluation_periods: Some(1),
        threshold: Some(100.0),
        comparison_operator: Some(cw::ComparisonOperator::GreaterThanThreshold),
        alarm_actions: Some(vec![arn]),
        ..Default::default()
    };
    world.call(alarm).await;
    let datum = cw::MetricDatum {
        metric_name: "Queue".into(),
        value: Some(150.0),
        ..Default::default()
    };
    let data = cw::PutMetricDataInput {
        namespace: "Shop".into(),
        metric_data: Some(vec![datum]),
    };
    world.call(data).await;
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(world.desired(), 5);
    let history = cw::DescribeAlarmHistoryInput {
        alarm_name: Some("long-queue".into()),
        history_item_type: Some(cw::HistoryItemType::Action),
        ..Default::default()
    };
    let said = world.call(history).await.alarm_history_items.unwrap();
    let summary = said[0].history_summary.as_deref().unwrap();
    assert!(
        summary.starts_with("Successfully executed action arn:aws:autoscaling:"),
        "{summary}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_schedule_sets_bounds_when_its_time_comes() {
    let world = World::new(1);
    world.register(1, 4).await;
    let put = PutScheduledActionInput {
        service_namespace: ServiceNamespace::Ecs,
        scalable_dimension: ScalableDimension::EcsServiceDesiredCount,
        resource_id: WEB.into(),
        scheduled_action_name: "morning".into(),
        schedule: Some("rate(5 minutes)".into()),
        scalable_target_action: Some(ScalableTargetAction {
            min_capacity: Some(3),
            max_capacity: Some(8),
        }),
        ..Default::default()
    };
    world.call(put).await;
    tokio::time::sleep(Duration::from_secs(290)).await;
    assert_eq!(world.desired(), 1);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.desired(), 3);
    let activities = world.activities(false).await;
    assert_eq!(activities[0].cause, "minimum capacity was set to 3");
}
