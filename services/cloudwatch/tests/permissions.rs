//! What each operation needs permission for, by an alarm's name and ARN.

use serde_json::{Value as Json, json};
use shapes::cloudwatch::*;
use testkit::{Watched, key_of, told};

const ALARM: &str = "arn:aws:cloudwatch:us-east-1:000000000000:alarm";

struct World(Watched);

impl World {
    /// An alarm `busy` of the team `a`.
    async fn new() -> Self {
        let world = testkit::world([cloudwatch::service()]).at_rest();
        world.call(alarm("busy", true)).await;
        Self(world.watched())
    }

    async fn check<I: wire::Operation>(&self, more: Json, expected: &[&str]) {
        let lines = self.0.lines(wire::from_json::<I>(more).unwrap()).await;
        let expected = expected.iter().map(|it| it.replace("ALARM", ALARM));
        assert_eq!(lines, expected.collect::<Vec<_>>(), "{}", I::NAME);
    }
}

fn alarm(name: &str, tagged: bool) -> PutMetricAlarmInput {
    let mut json = json!({
        "AlarmName": name, "Namespace": "Shop", "MetricName": "Orders", "Statistic": "Sum",
        "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0, "ActionsEnabled": false,
        "ComparisonOperator": "GreaterThanThreshold",
        "AlarmActions": ["arn:aws:sns:us-east-1:000000000000:a"],
        "OKActions": ["arn:aws:sns:us-east-1:000000000000:b"],
    });
    if tagged {
        json["Tags"] = json!([{"Key": "team", "Value": "a"}]);
    }
    wire::from_json(json).unwrap()
}

#[tokio::test]
async fn an_alarm_is_one_resource_however_it_is_spelled() {
    let world = World::new().await;
    let arn = format!("{ALARM}:busy");
    macro_rules! check {
        ($($input:ident $more:tt;)*) => {
            $({
                let action = stringify!($input).strip_suffix("Input").unwrap();
                let needed = format!("cloudwatch:{action} ALARM:busy {{team=a}}");
                world.check::<$input>(json!($more), &[&needed]).await;
            })*
        };
    }
    check! {
        DescribeAlarmsInput {"AlarmNames": ["busy"]};
        DescribeAlarmsInput {"AlarmNames": ["busy"], "AlarmNamePrefix": "other"};
        DeleteAlarmsInput {"AlarmNames": ["busy"]};
        SetAlarmStateInput {"AlarmName": "busy", "StateValue": "OK", "StateReason": "r"};
        EnableAlarmActionsInput {"AlarmNames": ["busy"]};
        DisableAlarmActionsInput {"AlarmNames": ["busy"]};
        DescribeAlarmHistoryInput {"AlarmName": "busy"};
        TagResourceInput {"ResourceARN": arn, "Tags": [{"Key": "team", "Value": "b"}]};
        UntagResourceInput {"ResourceARN": arn, "TagKeys": ["team"]};
        ListTagsForResourceInput {"ResourceARN": arn};
    }
    // Each of several counts, and one that is not there has no tags.
    let needed = [
        "cloudwatch:DeleteAlarms ALARM:gone",
        "cloudwatch:DeleteAlarms ALARM:busy {team=a}",
    ];
    world
        .check::<DeleteAlarmsInput>(json!({"AlarmNames": ["gone", "busy"]}), &needed)
        .await;
}

#[tokio::test]
async fn a_call_that_names_no_alarm_is_about_all() {
    let world = World::new().await;
    let needed = ["cloudwatch:DescribeAlarms any ALARM:* {?}"];
    for none in [
        json!({}),
        json!({"AlarmNames": []}),
        json!({"StateValue": "OK"}),
    ] {
        world.check::<DescribeAlarmsInput>(none, &needed).await;
    }
    world
        .check::<DescribeAlarmsInput>(
            json!({"AlarmNamePrefix": "b"}),
            &["cloudwatch:DescribeAlarms any ALARM:b* {?}"],
        )
        .await;
    world
        .check::<DescribeAlarmHistoryInput>(
            json!({}),
            &["cloudwatch:DescribeAlarmHistory any ALARM:* {?}"],
        )
        .await;
    let metric = json!({"MetricName": "Orders", "Namespace": "Shop"});
    world
        .check::<DescribeAlarmsForMetricInput>(metric, &["cloudwatch:DescribeAlarmsForMetric *"])
        .await;
}

#[tokio::test]
async fn metrics_are_no_resources_and_their_namespace_is_told() {
    let world = World::new().await;
    let input = wire::from_json::<PutMetricDataInput>(json!({"Namespace": "Shop"})).unwrap();
    let needs = world.0.needs(input).await;
    assert_eq!(told(&needs.all[0]), "cloudwatch:PutMetricData *");
    let namespace = key_of(&needs.all[0], "cloudwatch:namespace");
    assert_eq!(namespace.unwrap(), ["Shop"]);
    world
        .check::<ListMetricsInput>(json!({}), &["cloudwatch:ListMetrics *"])
        .await;
}

#[tokio::test]
async fn an_alarm_that_is_put_tells_all_its_actions_and_needs_the_permission_to_tag() {
    let world = World::new().await;
    let needs = world.0.needs(alarm("new", true)).await;
    let told: Vec<String> = needs.all.iter().map(told).collect();
    let new = format!("{ALARM}:new");
    assert_eq!(
        told,
        [
            format!("cloudwatch:PutMetricAlarm {new}"),
            format!("cloudwatch:TagResource {new}"),
        ]
    );
    let actions = key_of(&needs.all[0], "cloudwatch:AlarmActions").unwrap();
    assert_eq!(actions.len(), 2);
    let again = world.0.lines(alarm("busy", false)).await;
    assert_eq!(
        again,
        [format!("cloudwatch:PutMetricAlarm {ALARM}:busy {{team=a}}")]
    );
    // The name is no pattern.
    let star = world.0.lines(alarm("*", false)).await;
    assert_eq!(star, [format!("cloudwatch:PutMetricAlarm {ALARM}:*")]);
}
