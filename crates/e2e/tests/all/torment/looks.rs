//! Whether what is said is so, and whether anything is left of what is over.

use std::collections::BTreeSet;
use std::fs;

use e2e::{Machine, eventually, find_remains, find_work};
use serde_json::{Value, json};

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn name_of(arn: &str) -> String {
    arn.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The ids of all tasks that the API says to be RUNNING; none when one is on its way.
fn said_to_run(machine: &Machine) -> Result<BTreeSet<String>, String> {
    let mut running = BTreeSet::new();
    let clusters = machine.ask("ecs", "ListClusters", json!({}));
    for cluster in texts(&clusters["clusterArns"]) {
        let tasks = machine.ask("ecs", "ListTasks", json!({ "cluster": cluster }));
        let tasks = texts(&tasks["taskArns"]);
        if tasks.is_empty() {
            continue;
        }
        let input = json!({ "cluster": cluster, "tasks": tasks });
        let described = machine.ask("ecs", "DescribeTasks", input);
        for task in described["tasks"].as_array().into_iter().flatten() {
            match task["lastStatus"].as_str() {
                Some("RUNNING") => {
                    running.insert(name_of(task["taskArn"].as_str().unwrap_or_default()));
                }
                // It ends in its time.
                Some("STOPPED") => {}
                _ => return Err(format!("a task is on its way: {task}")),
            }
        }
    }
    Ok(running)
}

/// The tasks whose supervisor lives, by what it was started with.
fn supervised(machine: &Machine) -> BTreeSet<String> {
    let found = machine.processes(" shim run ").into_iter();
    let arguments = found.filter_map(|id| fs::read(format!("/proc/{id}/cmdline")).ok());
    let directories = arguments.filter_map(|it| {
        let text = String::from_utf8_lossy(&it).into_owned();
        text.split('\0').rfind(|it| !it.is_empty()).map(name_of)
    });
    directories.collect()
}

/// Every task that is said to run has a supervisor and a process, and no other has any.
#[track_caller]
pub fn assert_truthful(machine: &Machine) {
    eventually("what runs is what is said to run", || {
        let said = said_to_run(machine)?;
        let found = supervised(machine);
        let containers = machine.count_processes("/probe ");
        match said == found && containers == said.len() {
            true => Ok(()),
            false => Err(format!(
                "said {said:?}, found {found:?}, {containers} containers"
            )),
        }
    });
}

/// The networks of builds, of their steps and of docker's containers last as long as the daemon does, as
/// does the interface that one step has after the other. Each network has one link to the machine.
fn without_lasting(found: Vec<String>) -> Vec<String> {
    let is_network = |it: &String| {
        let kinds = ["steps ", "codebuild-", "docker-"];
        kinds
            .iter()
            .any(|kind| it.contains(&format!("/run/vpc/{kind}")))
    };
    let networks = found.iter().filter(|it| is_network(it)).count();
    let mut links = 0;
    let rest = found.into_iter().filter(|it| {
        let is_link = it.starts_with("link ");
        links += usize::from(is_link);
        let is_step = it.contains("/run/netns/step-0 ");
        let lasts = is_network(it) || is_step || is_link && links <= networks;
        !lasts
    });
    rest.collect()
}

#[track_caller]
pub fn assert_nothing_left(machine: &Machine) {
    eventually("nothing is left", || {
        let mut found = without_lasting(find_work(&machine.state));
        found.extend(find_remains(&machine.state, machine.edge));
        match found.is_empty() {
            true => Ok(()),
            false => Err(found.join("\n")),
        }
    });
}
