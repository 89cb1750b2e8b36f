//! What happens when processes are killed: the daemon at many points of its work, the load balancer,
//! a task's supervisor, a container. The end is truthful, nothing leaks, and clients of the page
//! notice as little as possible.

use std::time::Duration;

use e2e::{Load, Machine, Site, eventually, stack_input};
use serde_json::json;

use crate::ground::{TEMPLATE, text, web_image};

/// A stack's creation takes about half a second, a deployment about one; the points lie across both.
const POINTS: u32 = 12;

fn parameters<'a>(name: &'a str, image: &'a str) -> [(&'a str, &'a str); 2] {
    [("Name", name), ("Image", image)]
}

fn version_of(page: &str) -> &'static str {
    match page {
        "first" => "first",
        "second" => "second",
        _ => "other",
    }
}

/// The URL of a stack that is complete.
#[track_caller]
fn url_of(machine: &Machine, name: &str, status: &str) -> String {
    let stack = machine.settled_stack(name);
    let events = machine.stack_events(name);
    assert_eq!(stack["StackStatus"], status, "{events}");
    let outputs = stack["Outputs"].as_array().cloned().unwrap_or_default();
    let url = outputs.iter().find(|it| it["OutputKey"] == "Url");
    text(&url.expect("the stack has a URL")["OutputValue"])
}

#[track_caller]
fn online(machine: &Machine, text: &str) -> String {
    let image = web_image(machine, text);
    machine.create_stack("web", TEMPLATE, &parameters("web", &image));
    url_of(machine, "web", "CREATE_COMPLETE")
}

fn load(machine: &Machine, url: &str) -> Load {
    let host = url.trim_start_matches("http://");
    Load::start(machine.edge_port(80), host, "/", version_of)
}

/// Deletes a stack if it is there; an earlier request may be under way.
#[track_caller]
fn delete_stack(machine: &Machine, name: &str) {
    let described = machine.call(
        "cloudformation",
        "DescribeStacks",
        json!({ "StackName": name }),
    );
    let Ok(answer) = described else { return };
    let id = text(&answer["Stacks"][0]["StackId"]);
    machine.ask("cloudformation", "DeleteStack", json!({ "StackName": id }));
    let stack = machine.settled_stack(&id);
    assert_eq!(
        stack["StackStatus"],
        "DELETE_COMPLETE",
        "{}",
        machine.stack_events(&id)
    );
}

#[test]
fn a_daemon_killed_while_it_creates_a_stack_ends_it_truthfully() {
    let machine = Machine::start();
    let image = web_image(&machine, "first");
    for point in 0..POINTS {
        let name = format!("web{point}");
        machine.create_stack(&name, TEMPLATE, &parameters(&name, &image));
        std::thread::sleep(Duration::from_millis(60) * point);
        machine.kill_daemon();
        machine.serve();
        let url = url_of(&machine, &name, "CREATE_COMPLETE");
        let page = machine.page(&url).unwrap();
        assert_eq!(
            (page.status, page.text().as_str()),
            (200, "first"),
            "point {point}"
        );
        // The end of it is interrupted, too.
        if point % 3 == 0 {
            machine.ask(
                "cloudformation",
                "DeleteStack",
                json!({ "StackName": name }),
            );
            std::thread::sleep(Duration::from_millis(40) * point);
            machine.kill_daemon();
            machine.serve();
        }
        delete_stack(&machine, &name);
        machine.assert_no_work();
    }
}

#[test]
fn a_daemon_killed_while_it_rolls_a_failed_stack_back_ends_it_truthfully() {
    let machine = Machine::start();
    let missing = "000000000000.dkr.ecr.us-east-1.amazonaws.com/nothing:latest";
    for point in 0..4 {
        let name = format!("bad{point}");
        machine.create_stack(&name, TEMPLATE, &parameters(&name, missing));
        eventually("the service is being made", || {
            let events = machine.stack_events(&name);
            if events.contains("Service CREATE_IN_PROGRESS") {
                Ok(())
            } else {
                Err(events)
            }
        });
        std::thread::sleep(Duration::from_millis(400) * point);
        machine.kill_daemon();
        machine.serve();
        let stack = machine.settled_stack(&name);
        let events = machine.stack_events(&name);
        assert_eq!(stack["StackStatus"], "ROLLBACK_COMPLETE", "{events}");
        machine.assert_no_work();
    }
}

#[test]
fn a_daemon_killed_during_deployments_loses_no_request() {
    let machine = Machine::start();
    let url = online(&machine, "first");
    let images = [web_image(&machine, "first"), web_image(&machine, "second")];
    let load = load(&machine, &url);
    for point in 0..POINTS {
        let (image, version) = match point % 2 {
            0 => (&images[1], "second"),
            _ => (&images[0], "first"),
        };
        let input = stack_input("web", TEMPLATE, &parameters("web", image));
        machine.ask("cloudformation", "UpdateStack", input);
        std::thread::sleep(Duration::from_millis(90) * point);
        machine.kill_daemon();
        machine.serve();
        url_of(&machine, "web", "UPDATE_COMPLETE");
        assert_eq!(machine.page(&url).unwrap().text(), version, "point {point}");
        load.tally().assert_none_failed();
    }
    load.stop().assert_none_failed();
    delete_stack(&machine, "web");
    machine.assert_no_work();
}

#[test]
fn a_dead_daemon_is_not_missed_by_clients_of_the_page() {
    let machine = Machine::start();
    let url = online(&machine, "first");
    let load = load(&machine, &url);
    for _ in 0..3 {
        machine.kill_daemon();
        std::thread::sleep(Duration::from_millis(1500));
        machine.serve();
        std::thread::sleep(Duration::from_millis(500));
    }
    let tally = load.stop();
    tally.assert_none_failed();
    assert!(tally.answered > 100, "{tally:?}");
}

/// A deployment that fails is rolled back by itself, and clients of the page never know.
#[test]
fn a_failed_update_rolls_back_without_a_failed_request() {
    let machine = Machine::start();
    let url = online(&machine, "first");
    let load = load(&machine, &url);
    let missing = "000000000000.dkr.ecr.us-east-1.amazonaws.com/nothing:latest";
    let input = stack_input("web", TEMPLATE, &parameters("web", missing));
    machine.ask("cloudformation", "UpdateStack", input);
    let stack = machine.settled_stack("web");
    let events = machine.stack_events("web");
    assert_eq!(stack["StackStatus"], "UPDATE_ROLLBACK_COMPLETE", "{events}");
    assert!(events.contains("CannotPullContainerError"), "{events}");
    let tally = load.stop();
    tally.assert_none_failed();
    assert_eq!(tally.seen.len(), 1, "{tally:?}");
    let input = json!({ "cluster": "web", "services": ["web"] });
    let service = machine.ask("ecs", "DescribeServices", input)["services"][0].clone();
    assert_eq!(service["runningCount"], 2, "{service}");
}

#[track_caller]
fn assert_whole_again(machine: &Machine, tasks_before: &[String]) {
    eventually("two other tasks run", || {
        let input = json!({ "cluster": "web", "services": ["web"] });
        let service = machine.ask("ecs", "DescribeServices", input)["services"][0].clone();
        let tasks = running_tasks(machine);
        let is_changed = tasks.iter().any(|it| !tasks_before.contains(it));
        match service["runningCount"] == 2 && service["pendingCount"] == 0 && is_changed {
            true => Ok(()),
            false => Err(format!("{tasks:?} {service}")),
        }
    });
}

fn running_tasks(machine: &Machine) -> Vec<String> {
    let answer = machine.ask("ecs", "ListTasks", json!({ "cluster": "web" }));
    let tasks = answer["taskArns"].as_array().cloned().unwrap_or_default();
    tasks.iter().map(text).collect()
}

#[test]
fn a_killed_container_is_replaced_and_its_end_is_told() {
    let machine = Machine::start();
    let url = online(&machine, "first");
    let before = running_tasks(&machine);
    assert_eq!(machine.kill_processes("/probe serve", 1), 2);
    assert_whole_again(&machine, &before);
    let input = json!({ "cluster": "web", "desiredStatus": "STOPPED" });
    let stopped = machine.ask("ecs", "ListTasks", input);
    let input = json!({ "cluster": "web", "tasks": stopped["taskArns"] });
    let task = machine.ask("ecs", "DescribeTasks", input)["tasks"][0].clone();
    assert_eq!(task["stopCode"], "EssentialContainerExited", "{task}");
    assert_eq!(task["containers"][0]["exitCode"], 137, "{task}");
    assert_eq!(machine.page(&url).unwrap().status, 200);
}

#[test]
fn a_killed_supervisor_takes_its_task_along_and_the_service_is_whole_again() {
    let machine = Machine::start();
    let url = online(&machine, "first");
    let before = running_tasks(&machine);
    assert_eq!(machine.kill_processes(" shim run ", 1), 2);
    assert_whole_again(&machine, &before);
    eventually("the lost supervisor's container is gone", || match machine
        .count_processes("/probe serve")
    {
        2 => Ok(()),
        count => Err(format!("{count} containers run")),
    });
    eventually("the page answers", || match machine.page(&url) {
        Ok(page) if page.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    delete_stack(&machine, "web");
    machine.assert_no_work();
}

/// Whoever was being served loses the connection; nobody else notices.
#[test]
fn a_killed_load_balancer_refuses_nobody() {
    let machine = Machine::start();
    let url = online(&machine, "first");
    for round in 0..4 {
        if round == 2 {
            // The next daemon holds the sockets as well.
            machine.kill_daemon();
            machine.serve();
        }
        let load = load(&machine, &url);
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(machine.kill_processes(" edge ", 1), 1);
        let page = machine.page(&url).unwrap();
        assert_eq!((page.status, page.text().as_str()), (200, "first"));
        std::thread::sleep(Duration::from_millis(100));
        let tally = load.stop();
        assert!(tally.answered > 0, "{tally:?}");
        let refused = tally.failed.keys().find(|it| it.contains("refused"));
        assert_eq!(refused, None, "{tally:?}");
        // Each of the four clients had a connection at most.
        assert!(tally.failed.values().sum::<usize>() <= 4, "{tally:?}");
    }
}

/// One that was stopped answers nobody until it is replaced, and the API says so.
#[test]
fn a_silent_load_balancer_is_replaced() {
    let machine = Machine::start();
    let url = online(&machine, "first");
    let groups = machine.ask("elasticloadbalancing", "DescribeTargetGroups", json!({}));
    let arn = text(&groups["TargetGroups"][0]["TargetGroupArn"]);
    let health = || {
        let input = json!({ "TargetGroupArn": arn });
        let found = machine.ask("elasticloadbalancing", "DescribeTargetHealth", input);
        found["TargetHealthDescriptions"][0]["TargetHealth"].clone()
    };
    assert_eq!(health()["State"], "healthy");
    assert_eq!(machine.stop_processes(" edge "), 1);
    let begun = std::time::Instant::now();
    let unknown = health();
    assert!(begun.elapsed() < Duration::from_secs(5), "{unknown}");
    assert_eq!(unknown["State"], "unavailable", "{unknown}");
    assert_eq!(unknown["Reason"], "Elb.InternalError", "{unknown}");
    let page = machine.page(&url).unwrap();
    assert_eq!((page.status, page.text().as_str()), (200, "first"));
    eventually("the targets are healthy", || match health() {
        it if it["State"] == "healthy" => Ok(()),
        other => Err(other.to_string()),
    });
    assert_eq!(machine.count_processes(" edge "), 1);
}

#[test]
fn everything_killed_at_once_comes_back() {
    let machine = Machine::start();
    let url = online(&machine, "first");
    machine.kill_daemon();
    machine.kill_processes(" shim run ", usize::MAX);
    machine.kill_processes(" edge ", usize::MAX);
    machine.kill_processes("/probe serve", usize::MAX);
    machine.serve();
    eventually("the page answers again", || match machine.page(&url) {
        Ok(page) if page.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    delete_stack(&machine, "web");
    machine.assert_no_work();
}

/// A build and a deployment that break off leave nothing that the next `up` stumbles over.
#[test]
fn up_works_again_after_the_daemon_died_under_it() {
    let machine = Machine::idle();
    let site = Site::page("again", "first");
    for point in 0..6 {
        let up = machine.spawn(&["up", &site.argument()]);
        eventually("the daemon runs", || {
            match machine.count_processes(" serve ") {
                0 => Err("it does not".into()),
                _ => Ok(()),
            }
        });
        std::thread::sleep(Duration::from_millis(250) * point);
        machine.kill_processes(" serve ", 1);
        eventually("the daemon is dead", || {
            match machine.count_processes(" serve ") {
                0 => Ok(()),
                count => Err(format!("{count} run")),
            }
        });
        let broken = up.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&broken.stderr).into_owned();
        assert!(
            broken.status.success() || said.contains("error:"),
            "point {point}: {said}"
        );
        let up = machine.neargate(&["up", &site.argument(), "--json"]).json();
        assert_eq!(
            machine.page(up["url"].as_str().unwrap()).unwrap().text(),
            "first"
        );
        machine.neargate(&["down", "again"]);
        machine.assert_no_work();
    }
    machine.neargate(&["down", "again", "--all-traces"]);
}
