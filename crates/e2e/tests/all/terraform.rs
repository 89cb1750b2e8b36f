//! The examples for Terraform, through their whole cycle with the real Terraform and the real provider.

use e2e::{Machine, Terraform};
use serde_json::{Value, json};

use crate::container_instances::has_root;
use crate::ground::web_image;

/// What is left of each kind, under the name of its list.
fn left(machine: &Machine) -> Vec<(&'static str, Value)> {
    let asked = [
        ("ec2", "DescribeVpcs", "vpcSet"),
        ("ec2", "DescribeAddresses", "addressesSet"),
        ("ec2", "DescribeNetworkAcls", "networkAclSet"),
        ("ec2", "DescribeSecurityGroups", "securityGroupInfo"),
        ("ec2", "DescribeNetworkInterfaces", "networkInterfaceSet"),
        ("ec2", "DescribeKeyPairs", "keySet"),
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

#[test]
fn services_on_instances_come_change_and_go() {
    let machine = Machine::start();
    if !has_root(&machine) {
        return;
    }
    let Some(terraform) = Terraform::of(&machine, "terraform-ecs-ec2") else {
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
    let api = url.replace("http://", "http://api.");
    assert_eq!(machine.page(&api).unwrap().text(), "first");

    let second = image(1);
    let edited = [&*second, "-var=web_count=3", "-var=instance_type=t3.medium"];
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
    machine.assert_no_processes_of_tasks();
}

#[test]
fn instances_without_a_nat_gateway_do_not_join_and_say_why() {
    let machine = Machine::start();
    if !has_root(&machine) {
        return;
    }
    let Some(terraform) = Terraform::of(&machine, "terraform-ecs-ec2") else {
        return;
    };
    let image = format!("-var=image={}", web_image(&machine, "never"));
    let closed = [&*image, "-var=enable_nat_gateway=false"];
    terraform.apply(&closed);
    terraform.assert_no_changes(&closed);
    let id = terraform.output("instance");
    e2e::eventually("the agent's log says why", || {
        let log = machine.file_of_instance(&id, "var/log/ecs/ecs-agent.log");
        let says = |text: &str| log.contains(text);
        match says(
            "Unable to register as a container instance with ECS: RequestError: send request failed",
        ) && says("net/http: request canceled while waiting for connection")
        {
            true => Ok(()),
            false => Err(log),
        }
    });
    let asked = json!({ "cluster": "harbour" });
    let found = machine.ask("ecs", "ListContainerInstances", asked);
    assert_eq!(found["containerInstanceArns"], json!([]), "{found}");
    terraform.ok(&[&["destroy", "-auto-approve"][..], &closed].concat());
    machine.assert_no_processes_of_tasks();
}
