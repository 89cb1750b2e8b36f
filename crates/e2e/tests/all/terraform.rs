//! The examples for Terraform, through their whole cycle with the real Terraform and the real provider.

use e2e::{Machine, Terraform};
use serde_json::{Value, json};

use crate::ground::web_image;

/// What is left of each kind, under the name of its list.
fn left(machine: &Machine) -> Vec<(&'static str, Value)> {
    let asked = [
        ("ec2", "DescribeVpcs", "vpcSet"),
        ("ec2", "DescribeAddresses", "addressesSet"),
        ("ec2", "DescribeNetworkAcls", "networkAclSet"),
        ("ec2", "DescribeSecurityGroups", "securityGroupInfo"),
        ("ec2", "DescribeNetworkInterfaces", "networkInterfaceSet"),
        (
            "elasticloadbalancing",
            "DescribeLoadBalancers",
            "LoadBalancers",
        ),
        (
            "elasticloadbalancing",
            "DescribeTargetGroups",
            "TargetGroups",
        ),
        ("ecs", "ListClusters", "clusterArns"),
        ("ecs", "ListTaskDefinitions", "taskDefinitionArns"),
        ("logs", "DescribeLogGroups", "logGroups"),
        ("monitoring", "DescribeAlarms", "MetricAlarms"),
        ("ssm", "DescribeParameters", "Parameters"),
        ("secretsmanager", "ListSecrets", "SecretList"),
    ];
    let lists = asked.into_iter().map(|(service, operation, list)| {
        let answer = machine.ask(service, operation, json!({}));
        let list = &answer[list];
        assert!(list.is_array() || list.is_null(), "{operation}: {answer}");
        (operation, list.clone())
    });
    lists.collect()
}

#[test]
fn fargate_services_come_change_and_go() {
    let machine = Machine::start();
    let Some(terraform) = Terraform::of(&machine, "terraform-fargate") else {
        return;
    };
    let before = left(&machine);
    let images = ["first", "second"].map(|it| web_image(&machine, it));
    let image = |at: usize| format!("-var=image={}", images[at]);

    let first = image(0);
    terraform.apply(&[&first]);
    terraform.assert_no_changes(&[&first]);
    let url = terraform.output("url");
    assert_eq!(machine.page(&url).unwrap().text(), "first");
    // Both services run, and each has its own name at the balancer.
    let api = url.replace("http://", "http://api.");
    assert_eq!(machine.page(&api).unwrap().text(), "first");

    let second = image(1);
    let edited = [&*second, "-var=greeting=bye", "-var=web_count=3"];
    terraform.apply(&edited);
    terraform.assert_no_changes(&edited);
    e2e::eventually("the edit is live", || {
        let page = machine.page(&url).map_err(|it| it.to_string())?;
        match page.text().as_str() {
            "second" => Ok(()),
            other => Err(other.to_owned()),
        }
    });

    let all = [&["destroy", "-auto-approve"][..], &edited].concat();
    terraform.ok(&all);
    assert_eq!(left(&machine), before);
    machine.assert_no_work();
}
