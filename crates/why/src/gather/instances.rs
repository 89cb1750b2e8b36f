//! Instances: those that stopped and were not told to, and those whose agents do not do what they should.

use std::collections::BTreeMap;
use std::time::Duration;

use cloud::{Cx, Error};
use shapes::ec2::{DescribeInstancesInput, Instance, InstanceStateName};
use tokio::sync::mpsc;

use super::list::{self, last_part};
use super::{Gathered, networks};
use crate::facts::{InstanceFacts, Situation};

/// What state reasons begin with that are not the user's doing (EC2 API reference, "StateReason").
const NOT_ASKED_FOR: &str = "Server.";
/// What the one container of an instance is called.
const CONTAINER: &str = "machine";
/// An instance that does not say in this time how it is has other cares.
const PATIENCE: Duration = Duration::from_millis(800);
/// An instance may say anything: no more lines of it are kept, nor more of a line.
const LINES_MAX: usize = 100;
const LINE_CHARS_MAX: usize = 1000;
/// The cluster of an agent that is told of none.
const DEFAULT_CLUSTER: &str = "default";

/// All that are not terminated.
pub async fn list(cx: &Cx) -> Result<Vec<Instance>, Error> {
    let mut all = Vec::new();
    let mut next_token = None;
    loop {
        let found = cx.call(DescribeInstancesInput {
            next_token,
            ..Default::default()
        });
        let found = found.await?;
        let reservations = found.reservations.unwrap_or_default().into_iter();
        all.extend(reservations.flat_map(|it| it.instances.unwrap_or_default()));
        next_token = found.next_token;
        if next_token.is_none() {
            break;
        }
    }
    all.retain(|it| state(it) != Some(InstanceStateName::Terminated));
    Ok(all)
}

fn state(it: &Instance) -> Option<InstanceStateName> {
    it.state.as_ref().and_then(|it| it.name)
}

/// Looks at instances, each once; `wanted_by` is a cluster that has none and needs one.
pub async fn look_at_all(
    cx: &Cx,
    instances: &[Instance],
    wanted_by: Option<&str>,
    gathered: &mut Gathered,
) -> Result<(), Error> {
    if instances.is_empty() {
        return Ok(());
    }
    let registered = registered(cx).await?;
    let mut reading = tokio::task::JoinSet::new();
    for (at, it) in instances.iter().enumerate() {
        let thing = thing(it);
        if gathered.looked_at.contains(&thing) {
            continue;
        }
        look(it, gathered);
        if state(it) == Some(InstanceStateName::Running) {
            let (cx, id) = (cx.clone(), id(it).to_owned());
            reading.spawn(async move { (at, read(&cx, &id).await) });
        }
    }
    let mut all = reading.join_all().await;
    all.sort_by_key(|it| it.0);
    for (at, inside) in all {
        let it = &instances[at];
        let Some(inside) = inside else {
            let shown = format!("the agent of {}, which does not answer", thing(it));
            gathered.not_looked_at.push(shown);
            continue;
        };
        let facts = facts(it, &inside, &registered, wanted_by);
        if is_red(&facts) {
            let situation = situation(cx, it, facts).await?;
            gathered.situations.push(situation);
        }
    }
    Ok(())
}

fn id(it: &Instance) -> &str {
    it.instance_id.as_deref().unwrap_or_default()
}

fn thing(it: &Instance) -> String {
    format!("instance {}", id(it))
}

fn look(it: &Instance, gathered: &mut Gathered) {
    let reason = it.state_reason.clone().unwrap_or_default();
    let code = reason.code.unwrap_or_default();
    if state(it) == Some(InstanceStateName::Stopped) && code.starts_with(NOT_ASKED_FOR) {
        let message = reason.message.unwrap_or_default();
        let symptom = format!("it stopped and nobody asked for it: {code}: {message}");
        gathered.unexplained.push((thing(it), symptom));
    }
    gathered.looked_at.push(thing(it));
}

fn is_red(it: &InstanceFacts) -> bool {
    let is_silent = it.joined.is_some() && !it.is_connected;
    let is_astray = it.is_default && it.joined.is_some() && it.wanted_by.is_some();
    it.complaint().is_some() || !it.boot_failures.is_empty() || is_silent || is_astray
}

/// Of each machine that is a container instance, its cluster and whether its agent is heard.
async fn registered(cx: &Cx) -> Result<BTreeMap<String, (String, bool)>, Error> {
    let mut all = BTreeMap::new();
    for cluster in list::clusters(cx).await? {
        for it in list::container_instances(cx, &cluster).await? {
            let machine = it.ec2_instance_id.unwrap_or_default();
            all.insert(machine, (cluster.clone(), it.agent_connected == Some(true)));
        }
    }
    Ok(all)
}

/// What is read inside of an instance.
#[derive(Debug, Default, PartialEq, Eq)]
struct Inside {
    config: Vec<String>,
    said: Vec<String>,
    boot_failures: Vec<String>,
}

impl Inside {
    /// Each line begins with the letter of its file.
    fn of(lines: &[String]) -> Self {
        let mut all = Self::default();
        for line in lines {
            let line: String = line.chars().take(LINE_CHARS_MAX).collect();
            match line.split_at_checked(1) {
                Some(("C", rest)) => all.config.push(rest.to_owned()),
                Some(("L", rest)) => all.said.push(rest.to_owned()),
                Some(("B", rest)) => all.boot_failures.push(rest.to_owned()),
                _ => {}
            }
        }
        all
    }

    /// The cluster of `/etc/ecs/ecs.config`; a later line wins.
    fn cluster(&self) -> Option<String> {
        let named = self.config.iter().rev().find_map(|it| {
            let it = it.trim();
            let (name, value) = it.strip_prefix("export ").unwrap_or(it).split_once('=')?;
            (name.trim() == "ECS_CLUSTER").then(|| value.trim().trim_matches(['"', '\'']))
        })?;
        Some(named.to_owned()).filter(|it| !it.is_empty())
    }
}

/// None: it does not answer. Its own shell reads three of its files.
async fn read(cx: &Cx, id: &str) -> Option<Inside> {
    const SCRIPT: &str = "sed 's/^/C/' /etc/ecs/ecs.config
        tail -n 20 /var/log/ecs/ecs-agent.log | sed 's/^/L/'
        grep -h 'WARNING.: Failed to ' /var/log/cloud-init-output.log | tail -n 5 | sed 's/^/B/'
        exit 0";
    let argv = ["/bin/sh", "-c", SCRIPT].map(str::to_owned).to_vec();
    let (sender, mut lines) = mpsc::channel(LINES_MAX);
    let keep = async {
        let mut kept = Vec::new();
        while let Some(line) = lines.recv().await {
            if kept.len() < LINES_MAX {
                kept.push(line);
            }
        }
        kept
    };
    let tasks = &cx.engine().tasks;
    let both = async { tokio::join!(tasks.exec(id, CONTAINER, argv, sender), keep) };
    let (ended, lines) = tokio::time::timeout(PATIENCE, both).await.ok()?;
    ended.ok()?;
    Some(Inside::of(&lines))
}

fn facts(
    it: &Instance,
    inside: &Inside,
    registered: &BTreeMap<String, (String, bool)>,
    wanted_by: Option<&str>,
) -> InstanceFacts {
    let own = registered.get(id(it));
    let named = inside.cluster();
    let profile = it.iam_instance_profile.as_ref();
    InstanceFacts {
        id: id(it).to_owned(),
        profile: profile.and_then(|it| it.arn.clone()),
        is_default: named.is_none(),
        cluster: named.unwrap_or(DEFAULT_CLUSTER.to_owned()),
        joined: own.map(|it| it.0.clone()),
        is_connected: own.is_some_and(|it| it.1),
        said: inside.said.clone(),
        boot_failures: inside.boot_failures.clone(),
        wanted_by: wanted_by.map(str::to_owned),
    }
}

async fn situation(cx: &Cx, it: &Instance, facts: InstanceFacts) -> Result<Situation, Error> {
    let interface = it.network_interfaces.iter().flatten().next();
    let place = it.subnet_id.clone().map(|subnet| networks::Place {
        subnet,
        interface: interface.and_then(|it| it.network_interface_id.clone()),
        ..networks::Place::default()
    });
    let network = match place {
        Some(place) => networks::of(cx, &place).await?,
        None => None,
    };
    Ok(Situation {
        thing: thing(it),
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        network,
        instance: Some(facts),
        ..Situation::default()
    })
}

/// A cluster has no instance: those that were to join it, or another by accident.
pub async fn look_for(cx: &Cx, cluster: &str, gathered: &mut Gathered) -> Result<(), Error> {
    let all = list(cx).await?;
    look_at_all(cx, &all, Some(cluster), gathered).await
}

/// The last part of a container instance's ARN.
pub fn container_instance_id(arn: Option<&str>) -> String {
    last_part(arn.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_instance_says_is_told_apart_by_its_file() {
        let lines = [
            "CECS_CLUSTER=first",
            "Cexport ECS_CLUSTER=\"web\"",
            "Llevel=error",
            "BFailed to run it",
            "",
            "\u{e9}x",
        ]
        .map(str::to_owned);
        let inside = Inside::of(&lines);
        assert_eq!(inside.cluster().as_deref(), Some("web"));
        assert_eq!((inside.said.len(), inside.boot_failures.len()), (1, 1));
        assert_eq!(Inside::of(&["CECS_CLUSTER=".to_owned()]).cluster(), None);
    }
}
