//! Auto Scaling groups of instances that are real: made by a template, behind a load balancer, replaced when they die.

use std::path::PathBuf;

use e2e::{Load, Machine, eventually, stack_input};
use serde_json::{Value, json};
use shapes::autoscaling::{
    DescribeAutoScalingGroupsInput, DescribeScalingActivitiesInput, LifecycleState,
    SetDesiredCapacityInput,
};
use shapes::ec2::{DescribeInstancesInput, TerminateInstancesInput};

use crate::ground::{Balancer, Ground, text};

/// Lets a root file system stand for every image. False, said loudly, where it was not made.
fn has_root(machine: &Machine) -> bool {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let file = root.join("target/test-images/instance.tar");
    if !file.exists() {
        eprintln!("SKIPPED: no root file system for instances; bin/test-setup makes it");
        return false;
    }
    machine.neargate(&["image", "import", &file.display().to_string(), "ami/any"]);
    true
}

const TEMPLATE: &str = r#"
Parameters:
  Image: {Type: 'AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>', Default: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}
  Subnets: {Type: CommaDelimitedList}
  Group: {Type: String}
  Targets: {Type: String}
  Size: {Type: Number, Default: 2}
Resources:
  Template:
    Type: AWS::EC2::LaunchTemplate
    Properties:
      LaunchTemplateData:
        ImageId: !Ref Image
        InstanceType: t3.nano
        SecurityGroupIds: [!Ref Group]
        UserData:
          Fn::Base64: |
            #!/bin/bash
            mkdir -p /srv && cd /srv && echo one $(hostname) > index.html
            nohup python3 -m http.server 8080 >/dev/null 2>&1 &
  Web:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties:
      LaunchTemplate: {LaunchTemplateId: !Ref Template, Version: !GetAtt Template.LatestVersionNumber}
      MinSize: '1'
      MaxSize: '3'
      DesiredCapacity: !Ref Size
      HealthCheckType: ELB
      HealthCheckGracePeriod: 30
      VPCZoneIdentifier: !Ref Subnets
      TargetGroupARNs: [!Ref Targets]
      Tags: [{Key: role, Value: web, PropagateAtLaunch: true}]
    UpdatePolicy:
      AutoScalingRollingUpdate:
        MinInstancesInService: 1
        MaxBatchSize: 1
        PauseTime: PT10S
        SuspendProcesses: [AZRebalance, AlarmNotification]
Outputs:
  Name: {Value: !Ref Web}
"#;

struct Web<'a> {
    machine: &'a Machine,
    group: String,
    balancer: Balancer,
}

impl<'a> Web<'a> {
    fn new(machine: &'a Machine) -> Self {
        let ground = Ground::new(machine);
        let mut balancer = ground.balancer("web", 80);
        let elb =
            |operation: &str, input: Value| machine.ask("elasticloadbalancing", operation, input);
        let made = elb(
            "CreateTargetGroup",
            json!({
                "Name": "instances", "Protocol": "HTTP", "Port": 8080, "VpcId": ground.vpc,
                "TargetType": "instance", "HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2,
                "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 2,
            }),
        );
        balancer.target_group = text(&made["TargetGroups"][0]["TargetGroupArn"]);
        let listeners = elb(
            "DescribeListeners",
            json!({ "LoadBalancerArn": balancer_arn(machine) }),
        );
        elb(
            "ModifyListener",
            json!({
                "ListenerArn": listeners["Listeners"][0]["ListenerArn"],
                "DefaultActions": [{ "Type": "forward", "TargetGroupArn": balancer.target_group }],
            }),
        );
        let group = ground.group("instances");
        ground.open_port_to(&group, 8080, &balancer.group);
        let parameters = [
            ("Subnets", ground.subnets.join(",")),
            ("Group", group),
            ("Targets", balancer.target_group.clone()),
        ];
        let parameters: Vec<(&str, &str)> = parameters
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        machine.create_stack("web", TEMPLATE, &parameters);
        let stack = machine.settled_stack("web");
        assert_eq!(
            stack["StackStatus"],
            "CREATE_COMPLETE",
            "{}",
            machine.stack_events("web")
        );
        let group = text(&stack["Outputs"][0]["OutputValue"]);
        Self {
            machine,
            group,
            balancer,
        }
    }

    /// Ids of the instances that serve.
    fn serving(&self) -> Vec<String> {
        let found = self.machine.typed(DescribeAutoScalingGroupsInput {
            auto_scaling_group_names: Some(vec![self.group.clone()]),
            ..Default::default()
        });
        let group = found.auto_scaling_groups.into_iter().next().unwrap();
        let serve = group.instances.into_iter().flatten();
        serve
            .filter(|it| it.lifecycle_state == LifecycleState::InService)
            .map(|it| it.instance_id)
            .collect()
    }

    /// What the page says, asked until all of so many instances have answered, and none else does.
    #[track_caller]
    fn answered_by(&self, count: usize) {
        eventually(&format!("{count} instances answer"), || {
            let input = json!({ "TargetGroupArn": self.balancer.target_group });
            let health = self
                .machine
                .ask("elasticloadbalancing", "DescribeTargetHealth", input);
            let all = health["TargetHealthDescriptions"].as_array().unwrap();
            let healthy = all
                .iter()
                .filter(|it| it["TargetHealth"]["State"] == "healthy");
            match healthy.count() == count && all.len() == count {
                true => Ok(()),
                false => Err(health.to_string()),
            }
        });
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..10 * count {
            let page = self
                .machine
                .page(&format!("http://{}/", self.balancer.host))
                .unwrap();
            assert_eq!(page.status, 200);
            names.insert(String::from_utf8_lossy(&page.body).into_owned());
        }
        assert_eq!(names.len(), count, "{names:?}");
    }

    /// A change of the template replaces the instances one by one, under load.
    #[track_caller]
    fn rolls_out(&self) {
        let before = self.serving();
        let load = Load::start(
            self.machine.edge_port(80),
            &self.balancer.host,
            "/",
            |_| "page",
        );
        let template = TEMPLATE.replace("echo one", "echo two");
        let mut input = stack_input("web", &template, &[]);
        input["Parameters"] = ["Subnets", "Group", "Targets"]
            .map(|it| json!({ "ParameterKey": it, "UsePreviousValue": true }))
            .into_iter()
            .collect();
        self.machine.ask("cloudformation", "UpdateStack", input);
        let stack = self.machine.settled_stack("web");
        let events = self.machine.stack_events("web");
        assert_eq!(stack["StackStatus"], "UPDATE_COMPLETE", "{events}");
        let after = self.serving();
        assert!(
            after.iter().all(|it| !before.contains(it)),
            "{before:?} {after:?}"
        );
        self.answered_by(2);
        let page = self
            .machine
            .page(&format!("http://{}/", self.balancer.host))
            .unwrap();
        let page = String::from_utf8_lossy(&page.body).into_owned();
        assert!(page.starts_with("two "), "{page}");
        load.stop().assert_none_failed();
    }

    fn causes(&self) -> Vec<(String, String)> {
        let found = self.machine.typed(DescribeScalingActivitiesInput {
            auto_scaling_group_name: Some(self.group.clone()),
            ..Default::default()
        });
        let told = found.activities.into_iter();
        told.map(|it| (it.description.unwrap_or_default(), it.cause))
            .collect()
    }
}

fn balancer_arn(machine: &Machine) -> Value {
    let found = machine.ask("elasticloadbalancing", "DescribeLoadBalancers", json!({}));
    found["LoadBalancers"][0]["LoadBalancerArn"].clone()
}

#[test]
fn a_group_serves_replaces_what_dies_and_goes_with_its_stack() {
    let machine = Machine::start();
    if !has_root(&machine) {
        return;
    }
    let web = Web::new(&machine);
    web.answered_by(2);
    let first = web.serving();
    let found = machine.typed(DescribeInstancesInput {
        instance_ids: Some(first.clone()),
        ..Default::default()
    });
    let mut zones = std::collections::BTreeSet::new();
    for it in found
        .reservations
        .unwrap()
        .into_iter()
        .flat_map(|it| it.instances.unwrap())
    {
        zones.insert(it.placement.unwrap().availability_zone.unwrap());
        let tags: Vec<_> = it
            .tags
            .unwrap()
            .into_iter()
            .map(|it| (it.key.unwrap(), it.value.unwrap()))
            .collect();
        for (key, value) in [
            ("role", "web"),
            ("aws:autoscaling:groupName", web.group.as_str()),
            ("aws:cloudformation:stack-name", "web"),
        ] {
            assert!(
                tags.contains(&(key.to_owned(), value.to_owned())),
                "{tags:?}"
            );
        }
    }
    assert_eq!(zones.len(), 2, "{zones:?}");

    // One that somebody ends is missed, and another takes its place.
    machine.typed(TerminateInstancesInput {
        instance_ids: vec![first[0].clone()],
        ..Default::default()
    });
    eventually("another instance serves", || {
        let now = web.serving();
        match now.len() == 2 && !now.contains(&first[0]) {
            true => Ok(()),
            false => Err(format!("{now:?} {:?}", web.causes())),
        }
    });
    web.answered_by(2);
    let causes = web.causes();
    for (description, cause) in [
        (
            format!("Terminating EC2 instance: {}", first[0]),
            "in response to an EC2 health check indicating it has been terminated or stopped.",
        ),
        (
            "Launching a new EC2 instance: i-".to_owned(),
            "an instance was launched in response to an unhealthy instance needing to be replaced.",
        ),
    ] {
        let told = causes
            .iter()
            .any(|it| it.0.starts_with(&description) && it.1.contains(cause));
        assert!(told, "{description}: {causes:#?}");
    }

    web.rolls_out();

    // The daemon's death changes nothing, and what is wanted meanwhile is done.
    machine.kill_daemon();
    machine.serve();
    machine.typed(SetDesiredCapacityInput {
        auto_scaling_group_name: web.group.clone(),
        desired_capacity: 1,
        honor_cooldown: None,
    });
    web.answered_by(1);

    machine.ask(
        "cloudformation",
        "DeleteStack",
        json!({ "StackName": "web" }),
    );
    eventually("the stack is gone", || {
        match machine.call(
            "cloudformation",
            "DescribeStacks",
            json!({ "StackName": "web" }),
        ) {
            Err(_) => Ok(()),
            Ok(stack) => Err(stack.to_string()),
        }
    });
    machine.assert_no_processes_of_tasks();
}
