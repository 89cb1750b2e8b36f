//! Metrics of real tasks, alarms, and services that grow and shrink.

use std::time::Duration;

use e2e::{Aws, Load, Machine, eventually, eventually_within};
use serde_json::{Value, json};

use crate::ground::{TEMPLATE, text, web_image};

/// Scaling in takes fifteen minutes, which are thirty seconds here; two busy cores stretch it.
const PATIENCE: Duration = Duration::from_secs(150);

/// What a template adds to a service that is to grow and shrink by its requests. At 300 requests a
/// minute for each task one busy client is enough for more than one.
const SCALING: &str = r#"
  ScalableTarget:
    Type: AWS::ApplicationAutoScaling::ScalableTarget
    Properties:
      ServiceNamespace: ecs
      ScalableDimension: ecs:service:DesiredCount
      ResourceId: !Sub service/${Cluster}/${Service.Name}
      MinCapacity: 1
      MaxCapacity: 2
  Requests:
    Type: AWS::ApplicationAutoScaling::ScalingPolicy
    Properties:
      PolicyName: requests
      PolicyType: TargetTrackingScaling
      ScalingTargetId: !Ref ScalableTarget
      TargetTrackingScalingPolicyConfiguration:
        TargetValue: 300
        ScaleInCooldown: 60
        ScaleOutCooldown: 60
        PredefinedMetricSpecification:
          PredefinedMetricType: ALBRequestCountPerTarget
          ResourceLabel: !Sub ${Balancer.LoadBalancerFullName}/${Targets.TargetGroupFullName}
  Failures:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: failures
      Namespace: AWS/ApplicationELB
      MetricName: HTTPCode_Target_5XX_Count
      Dimensions:
        - Name: LoadBalancer
          Value: !GetAtt Balancer.LoadBalancerFullName
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: notBreaching

Outputs:"#;

fn template() -> String {
    TEMPLATE.replace("\nOutputs:", SCALING)
}

fn activities(machine: &Machine) -> Vec<Value> {
    let input = json!({ "ServiceNamespace": "ecs", "ResourceId": "service/web/web" });
    let answer = machine.ask(
        "application-autoscaling",
        "DescribeScalingActivities",
        input,
    );
    answer["ScalingActivities"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// The newest activity, when it has set this count and the service has reached it.
#[track_caller]
fn scaled_to(machine: &Machine, count: i64) -> Value {
    eventually_within(
        PATIENCE,
        &format!("the service is scaled to {count}"),
        || {
            let all = activities(machine);
            let wanted = format!("Setting desired count to {count}.");
            match all.first() {
                Some(it) if it["Description"] == wanted && it["StatusCode"] == "Successful" => {
                    Ok(it.clone())
                }
                _ => Err(format!("{all:?}")),
            }
        },
    )
}

fn running(machine: &Machine) -> i64 {
    let input = json!({ "cluster": "web", "services": ["web"] });
    let answer = machine.ask("ecs", "DescribeServices", input);
    answer["services"][0]["runningCount"]
        .as_i64()
        .unwrap_or_default()
}

/// The last hour of a metric, with this statistic.
fn metric(
    machine: &Machine,
    namespace: &str,
    name: &str,
    dimensions: &Value,
    stat: &str,
) -> Vec<f64> {
    let now = std::time::SystemTime::now();
    let now = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let query = json!({ "Id": "m1", "MetricStat": {
        "Metric": { "Namespace": namespace, "MetricName": name, "Dimensions": dimensions },
        "Period": 3600, "Stat": stat,
    } });
    let input =
        json!({ "MetricDataQueries": [query], "StartTime": now - 3600.0, "EndTime": now + 60.0 });
    let answer = machine.ask("monitoring", "GetMetricData", input);
    let values = answer["MetricDataResults"][0]["Values"].as_array().cloned();
    values
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_f64)
        .collect()
}

/// What the metrics say is what happened.
#[track_caller]
fn told_truly(machine: &Machine, answered: usize) {
    let balancers = machine.ask("elasticloadbalancing", "DescribeLoadBalancers", json!({}));
    let arn = text(&balancers["LoadBalancers"][0]["LoadBalancerArn"]);
    let balancer = arn.split_once(":loadbalancer/").unwrap().1.to_owned();
    let balancer = json!([{ "Name": "LoadBalancer", "Value": balancer }]);
    let of_balancer =
        |name: &str, stat: &str| metric(machine, "AWS/ApplicationELB", name, &balancer, stat);
    for name in ["RequestCount", "HTTPCode_Target_2XX_Count"] {
        eventually(&format!("{name} is {answered}"), || {
            let sum: f64 = of_balancer(name, "Sum").iter().sum();
            if sum == answered as f64 {
                Ok(())
            } else {
                Err(sum.to_string())
            }
        });
    }
    let slow = of_balancer("TargetResponseTime", "p99");
    assert!(
        !slow.is_empty() && slow.iter().all(|it| (0.0..5.0).contains(it) && *it > 0.0),
        "{slow:?}"
    );
    assert_eq!(of_balancer("HTTPCode_Target_5XX_Count", "Sum"), [0.0; 0]);
    let service = json!([
        { "Name": "ClusterName", "Value": "web" }, { "Name": "ServiceName", "Value": "web" },
    ]);
    for name in ["CPUUtilization", "MemoryUtilization"] {
        let most = metric(machine, "AWS/ECS", name, &service, "Maximum");
        // A task of a quarter of a core can use no more than that.
        assert!(
            !most.is_empty() && most.iter().all(|it| *it > 0.0 && *it < 130.0),
            "{name}: {most:?}"
        );
    }
}

#[test]
fn a_service_grows_under_load_and_shrinks_again() {
    let machine = Machine::start();
    let image = web_image(&machine, "one");
    let parameters = [
        ("Name", "web"),
        ("Image", image.as_str()),
        ("Count", "1"),
        ("ContainerPort", "8080"),
    ];
    machine.create_stack("web", &template(), &parameters);
    let stack = machine.settled_stack("web");
    assert_eq!(
        stack["StackStatus"],
        "CREATE_COMPLETE",
        "{}",
        machine.stack_events("web")
    );

    let balancers = machine.ask("elasticloadbalancing", "DescribeLoadBalancers", json!({}));
    let host = text(&balancers["LoadBalancers"][0]["DNSName"]);
    let load = Load::start(machine.edge_port(80), &host, "/", |_| "page");
    let grown = scaled_to(&machine, 2);
    let cause = text(&grown["Cause"]);
    assert!(
        cause.starts_with("monitor alarm TargetTracking-service/web/web-AlarmHigh-")
            && cause.ends_with(" in state ALARM triggered policy requests"),
        "{cause}"
    );
    assert_eq!(
        grown["StatusMessage"],
        "Successfully set desired count to 2. Change successfully fulfilled by ecs."
    );
    assert_eq!(running(&machine), 2);
    let tally = load.stop();
    tally.assert_none_failed();
    told_truly(&machine, tally.answered);

    // What the template says of the count is what it said before: an update leaves it as it is.
    let mut again = template().replace(
        "HealthCheckIntervalSeconds: 10",
        "HealthCheckIntervalSeconds: 11",
    );
    again = again.replace("MinimumHealthyPercent: 100", "MinimumHealthyPercent: 50");
    let input = e2e::stack_input("web", &again, &parameters);
    machine.ask("cloudformation", "UpdateStack", input);
    let stack = machine.settled_stack("web");
    assert_eq!(
        stack["StackStatus"],
        "UPDATE_COMPLETE",
        "{}",
        machine.stack_events("web")
    );
    let desired = machine.ask(
        "ecs",
        "DescribeServices",
        json!({ "cluster": "web", "services": ["web"] }),
    );
    assert_eq!(desired["services"][0]["desiredCount"], 2);

    let shrunk = scaled_to(&machine, 1);
    assert!(text(&shrunk["Cause"]).contains("-AlarmLow-"), "{shrunk}");
    assert_eq!(running(&machine), 1);
    let alarm = machine.typed(shapes::cloudwatch::DescribeAlarmsInput {
        alarm_names: Some(vec!["failures".into()]),
        ..Default::default()
    });
    let alarm = alarm.metric_alarms.unwrap().remove(0);
    assert_eq!(
        alarm.state_value,
        Some(shapes::cloudwatch::StateValue::Ok),
        "{alarm:?}"
    );

    machine.ask(
        "cloudformation",
        "DeleteStack",
        json!({ "StackName": "web" }),
    );
    eventually("the stack is gone", || {
        let stack = json!({ "StackName": "web" });
        match machine.call("cloudformation", "DescribeStacks", stack) {
            Err(error) if error.message.contains("does not exist") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let targets = json!({ "ServiceNamespace": "ecs" });
    let targets = machine.ask(
        "application-autoscaling",
        "DescribeScalableTargets",
        targets,
    );
    assert_eq!(targets["ScalableTargets"], json!([]));
    eventually("the policy's alarms are gone", || {
        let alarms = machine.typed(shapes::cloudwatch::DescribeAlarmsInput::default());
        match alarms.metric_alarms.unwrap_or_default() {
            none if none.is_empty() => Ok(()),
            some => Err(format!("{some:?}")),
        }
    });
    machine.stop();
}

/// The real clients: the command line and boto3, in each of the protocols that AWS's SDKs speak with
/// CloudWatch: the newest ones CBOR, the older ones forms.
#[test]
fn clients_put_metrics_and_watch_alarms() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    aws.ask(&[
        "cloudwatch",
        "put-metric-data",
        "--namespace",
        "Shop",
        "--metric-name",
        "Orders",
        "--dimensions",
        "Branch=Main",
        "--value",
        "7",
        "--unit",
        "Count",
    ]);
    let listed = aws.ask(&["cloudwatch", "list-metrics", "--namespace", "Shop"]);
    assert_eq!(
        listed["Metrics"],
        json!([{ "Namespace": "Shop", "MetricName": "Orders", "Dimensions": [{ "Name": "Branch", "Value": "Main" }] }])
    );
    aws.ask(&[
        "cloudwatch",
        "put-metric-alarm",
        "--alarm-name",
        "many-orders",
        "--namespace",
        "Shop",
        "--metric-name",
        "Orders",
        "--dimensions",
        "Name=Branch,Value=Main",
        "--statistic",
        "Maximum",
        "--period",
        "60",
        "--evaluation-periods",
        "1",
        "--threshold",
        "5",
        "--comparison-operator",
        "GreaterThanThreshold",
    ]);
    let alarm = eventually("the alarm is in ALARM", || {
        let found = aws.ask(&[
            "cloudwatch",
            "describe-alarms",
            "--alarm-names",
            "many-orders",
        ]);
        let alarm = found["MetricAlarms"][0].clone();
        if alarm["StateValue"] == "ALARM" {
            Ok(alarm)
        } else {
            Err(alarm.to_string())
        }
    });
    let reason = text(&alarm["StateReason"]);
    assert!(
        reason.starts_with("Threshold Crossed: 1 datapoint [7.0 ("),
        "{reason}"
    );
    let refused = aws.refused(&[
        "cloudwatch",
        "put-metric-alarm",
        "--alarm-name",
        "mails",
        "--namespace",
        "Shop",
        "--metric-name",
        "Orders",
        "--statistic",
        "Sum",
        "--period",
        "60",
        "--evaluation-periods",
        "1",
        "--threshold",
        "5",
        "--comparison-operator",
        "GreaterThanThreshold",
        "--alarm-actions",
        "arn:aws:sns:us-east-1:000000000000:mails",
    ]);
    assert!(
        refused.contains("arn:aws:sns:us-east-1:000000000000:mails is not supported by neargate"),
        "{refused}"
    );
    for protocol in ["json", "query", "smithy-rpc-v2-cbor"] {
        let printed = aws.python(&BOTO.replace("<protocol>", protocol));
        assert_eq!(printed.code, 0, "{printed:?}");
        assert_eq!(
            printed.stdout.trim(),
            "[7.0] [14.0] ['many-orders'] ResourceNotFound",
            "{protocol}: {printed:?}"
        );
    }
    machine.stop();
}

const BOTO: &str = r#"
import boto3, botocore.model, datetime
botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS = ("<protocol>",)
cloudwatch = boto3.client("cloudwatch")
assert cloudwatch.meta.service_model.resolved_protocol == "<protocol>"
now = datetime.datetime.now(datetime.timezone.utc)
hour = dict(StartTime=now - datetime.timedelta(hours=1), EndTime=now + datetime.timedelta(minutes=1))
dimensions = [dict(Name="Branch", Value="Main")]
metric = dict(Namespace="Shop", MetricName="Orders", Dimensions=dimensions)
statistics = cloudwatch.get_metric_statistics(**metric, **hour, Period=3600, Statistics=["Sum"])
queries = [
    dict(Id="m1", MetricStat=dict(Metric=metric, Period=3600, Stat="Sum"), ReturnData=False),
    dict(Id="twice", Expression="m1 * 2"),
]
data = cloudwatch.get_metric_data(MetricDataQueries=queries, **hour)
alarms = cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"]
try:
    cloudwatch.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="test")
    missing = "found"
except cloudwatch.exceptions.ResourceNotFound as error:
    missing = error.response["Error"]["Code"]
print(
    [it["Sum"] for it in statistics["Datapoints"]],
    data["MetricDataResults"][0]["Values"],
    [it["AlarmName"] for it in alarms],
    missing,
)
"#;
