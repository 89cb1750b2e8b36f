//! Every rule as data: what is seen, and the row that it makes.

use std::collections::{BTreeMap, BTreeSet};

use crate::acl::{AclDirection, AclEntryFacts, AclFacts};
use crate::explain::explain;
use crate::facts::*;
use crate::report::{Basis, Finding};
use crate::rules::find;
use crate::{rows, rules};

const TIMEOUT: &str =
    "ResourceInitializationError: unable to pull secrets or registry auth: dial tcp: i/o timeout";
const PULL: &str = "CannotPullContainerError: failed to resolve ref x: not found";
const NO_GROUP: &str = "ResourceInitializationError: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist.";

fn route(target: &str) -> RouteFacts {
    RouteFacts {
        destination: EVERYWHERE.into(),
        target: target.into(),
        via: Via::of(target),
        is_active: true,
        place: None,
    }
}

fn rule(protocol: &str, port: i32, peer: &str) -> GroupRuleFacts {
    let is_group = peer.starts_with("sg-");
    GroupRuleFacts {
        protocol: protocol.into(),
        from_port: port,
        to_port: port,
        ranges: (!is_group).then(|| peer.to_owned()).into_iter().collect(),
        groups: is_group.then(|| peer.to_owned()).into_iter().collect(),
    }
}

/// A task that stopped with a reason, in a network that is in order.
fn stopped(reason: &str) -> Situation {
    let group = GroupFacts {
        id: "sg-1".into(),
        name: "tasks".into(),
        egress: vec![rule("-1", 0, EVERYWHERE)],
        ..GroupFacts::default()
    };
    Situation {
        thing: "task 1".into(),
        region: "us-east-1".into(),
        account: "000000000000".into(),
        task: Some(TaskFacts {
            id: "1".into(),
            stopped_reason: reason.into(),
            stop_code: "TaskFailedToStart".into(),
            execution_role: Some("arn:aws:iam::000000000000:role/execution".into()),
            memory_mib: Some(512),
            ..TaskFacts::default()
        }),
        network: Some(NetworkFacts {
            subnet: "subnet-1".into(),
            route_table: "rtb-1".into(),
            routes: vec![route("igw-1")],
            internet_gateway_attached: true,
            has_public_address: Some(true),
            groups: vec![group],
            ..NetworkFacts::default()
        }),
        containers: vec![ContainerFacts {
            name: "web".into(),
            is_essential: true,
            ..ContainerFacts::default()
        }],
        ..Situation::default()
    }
}

fn with(mut situation: Situation, change: impl FnOnce(&mut Situation)) -> Situation {
    change(&mut situation);
    situation
}

/// A task that ran and exited.
fn exited(code: i32, reason: Option<&str>) -> Situation {
    with(stopped("Essential container in task exited"), |it| {
        it.task.as_mut().unwrap().stop_code = "EssentialContainerExited".into();
        it.containers[0].exit_code = Some(code);
        it.containers[0].reason = reason.map(str::to_owned);
    })
}

/// A task that runs, and what its balancer says of it.
fn probed(reason: &str, description: &str) -> Situation {
    with(stopped(""), |it| {
        it.task.as_mut().unwrap().stop_code.clear();
        it.targets = vec![TargetFacts {
            group: "web".into(),
            port: 8080,
            state: "unhealthy".into(),
            reason: reason.into(),
            description: description.into(),
            matcher: "200".into(),
            check_path: "/".into(),
            has_listener: true,
            balancer: Some(BalancerFacts {
                name: "site".into(),
                groups: vec![GroupFacts {
                    id: "sg-lb".into(),
                    ..GroupFacts::default()
                }],
                addresses: vec!["10.0.0.5".parse().unwrap()],
                ..BalancerFacts::default()
            }),
            ..TargetFacts::default()
        }];
        it.listening = Some(BTreeSet::new());
    })
}

fn network(change: impl FnOnce(&mut NetworkFacts)) -> Situation {
    with(stopped(TIMEOUT), |it| change(it.network.as_mut().unwrap()))
}

fn image(reason: &str, change: impl FnOnce(&mut ImageFacts)) -> Situation {
    with(stopped(reason), |it| change(&mut it.containers[0].image))
}

fn program(why: &str, found: Option<(u32, Option<&str>)>) -> Situation {
    let reason = format!("CannotStartContainerError: container web: exec: \"/run.sh\": {why}");
    image(&reason, |it| {
        it.program = Some(ProgramFacts {
            path: "/run.sh".into(),
            is_there: found.is_some(),
            mode: found.map_or(0, |it| it.0),
            shebang: found.and_then(|it| it.1.map(str::to_owned)),
            ..ProgramFacts::default()
        });
    })
}

fn log(elsewhere: &[&str]) -> Situation {
    with(stopped(NO_GROUP), |it| {
        it.containers[0].log = Some(LogFacts {
            group: "/site".into(),
            region: "us-east-1".into(),
            elsewhere: elsewhere.iter().map(|it| (*it).to_owned()).collect(),
            ..LogFacts::default()
        });
    })
}

#[track_caller]
fn check(situation: &Situation, id: &str, parts: &[&str]) -> Finding {
    let found = find(situation).unwrap_or_else(|| panic!("nothing is found of {situation:#?}"));
    assert_eq!(found.id, id, "{found:#?}");
    let text = serde_json::to_string(&found).unwrap();
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    assert!(
        !found.mend.is_empty() && !found.because.is_empty(),
        "{found:#?}"
    );
    found
}

#[test]
fn what_ends_a_packets_way_is_named_with_its_hop() {
    let none = network(|it| it.routes.clear());
    let found = check(&none, "N1", &["NO_ROUTE_TO_DESTINATION", "subnet-1"]);
    assert_eq!(found.path.iter().filter(|it| !it.passes).count(), 1);
    check(
        &network(|it| it.has_public_address = Some(false)),
        "N2",
        &["IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"],
    );
    let nat = |state: &str, leads_to: Option<&str>| {
        network(|it| {
            it.routes = vec![route("nat-1")];
            it.nat = Some(NatFacts {
                id: "nat-1".into(),
                state: state.into(),
                subnet: "subnet-2".into(),
                subnets_default_route: leads_to.map(route),
                place: None,
            });
        })
    };
    check(
        &nat("deleted", Some("igw-1")),
        "N3",
        &["BAD_STATE_ROUTE", "deleted"],
    );
    check(&nat("available", None), "N4", &["subnet-2"]);
    assert_eq!(find(&nat("available", Some("igw-1"))), None);
    check(
        &network(|it| it.internet_gateway_attached = false),
        "N5",
        &["BAD_STATE_ATTACHMENT"],
    );
    let shut = network(|it| it.groups[0].egress = vec![rule("tcp", 80, EVERYWHERE)]);
    let found = check(&shut, "N6", &["tcp 80: 0.0.0.0/0", "ENI_SG_RULES_MISMATCH"]);
    assert_eq!(
        found.path.last().unwrap().code.as_deref(),
        Some("ENI_SG_RULES_MISMATCH")
    );
    let guarded = |number: i64, direction, allows, port: i32| AclEntryFacts {
        number,
        direction,
        allows,
        protocol: "6".into(),
        from_port: port,
        to_port: port.max(443),
        range: EVERYWHERE.into(),
    };
    let at_acl = |entries: Vec<AclEntryFacts>| {
        network(|it| {
            it.acl = Some(AclFacts {
                id: "acl-1".into(),
                entries,
                place: None,
            });
        })
    };
    let out = guarded(100, AclDirection::Out, true, 443);
    let found = check(
        &at_acl(vec![
            guarded(90, AclDirection::Out, false, 443),
            out.clone(),
        ]),
        "N12",
        &["rule 90: deny tcp 443 to 0.0.0.0/0", "--egress"],
    );
    let last = found.path.last().unwrap().code.clone();
    assert_eq!(last.as_deref(), Some("SUBNET_ACL_RESTRICTION"));
    let back = guarded(100, AclDirection::In, true, 443);
    check(
        &at_acl(vec![out.clone(), back]),
        "N12",
        &["rule *: all traffic is denied", "1024-65535", "--ingress"],
    );
    let answers = AclEntryFacts {
        to_port: 65_535,
        ..guarded(100, AclDirection::In, true, 1024)
    };
    assert_eq!(find(&at_acl(vec![out, answers])), None);
    // Nothing is wrong with the network of a task that failed for another reason.
    assert_eq!(
        find(&with(stopped("x"), |it| it
            .network
            .as_mut()
            .unwrap()
            .routes
            .clear())),
        None
    );
}

#[test]
fn images_that_are_not_there_are_told_apart() {
    let own = |has_repository: bool, tags: &[&str]| {
        image(PULL, |it| {
            it.here = Some(OwnImage {
                repository: "site".into(),
                tag: "v2".into(),
                has_repository,
                has_tag: false,
                tags: tags.iter().map(|it| (*it).to_owned()).collect(),
                repositories: vec!["sites".into()],
            });
        })
    };
    check(
        &own(false, &[]),
        "I1",
        &["nearest is `sites`", "create-repository"],
    );
    check(&own(true, &[]), "I2", &["nothing was pushed"]);
    check(&own(true, &["v1", "v3"]), "I2", &["nearest: `v1`"]);
    let denied = "CannotPullContainerError: x is not authorized to perform: ecr:BatchGetImage on resource: y";
    check(
        &stopped(denied),
        "I3",
        &["ecr:BatchGetImage", "--role-name execution"],
    );
    let foreign = image(PULL, |it| it.account = Some("111111111111".into()));
    assert_eq!(
        check(&foreign, "I6", &["111111111111"]).basis,
        Basis::Derived
    );
    let away = image(PULL, |it| {
        it.account = Some("000000000000".into());
        it.region = Some("eu-west-1".into());
        it.here = Some(OwnImage {
            has_repository: true,
            ..OwnImage::default()
        });
    });
    // That the tag is missing there is seen; that the region is the wrong one follows.
    let found = check(&away, "I2", &[]);
    assert!(found.also_seen[0].contains("I7"), "{found:#?}");
    check(
        &stopped("CannotPullContainerError: invalid reference format"),
        "I9",
        &[],
    );
    check(
        &stopped("CannotPullContainerError: toomanyrequests: slow down"),
        "I11",
        &[],
    );
}

#[test]
fn programs_that_do_not_start_are_told_apart() {
    check(
        &program("no such file or directory", None),
        "S1",
        &["/run.sh"],
    );
    check(
        &program("executable file not found in $PATH", None),
        "S1",
        &[],
    );
    check(
        &program("permission denied", Some((0o644, None))),
        "S2",
        &["0644"],
    );
    let script =
        |line: &'static str| program("no such file or directory", Some((0o755, Some(line))));
    check(&script("#!/bin/sh\r"), "S3", &["carriage return"]);
    check(
        &script("#!/bin/bash"),
        "S3",
        &["#!/bin/bash", "not in the image"],
    );
    check(
        &program("no such file or directory", Some((0o755, None))),
        "S3",
        &["loader"],
    );
    check(
        &stopped("container web: unable to find user nemo: no matching entries"),
        "S4",
        &[],
    );
    check(
        &stopped("CannotStartContainerError: container web: no command specified"),
        "S27",
        &[],
    );
}

#[test]
fn what_a_task_is_given_and_is_not_there_is_named() {
    check(&log(&[]), "S8", &["create-log-group", "/site"]);
    check(&log(&["eu-west-1"]), "S9", &["eu-west-1"]);
    let said = |what: &str| {
        format!("ResourceInitializationError: unable to pull secrets or registry auth: {what}")
    };
    let missing = "unable to retrieve secret from asm: ResourceNotFoundException";
    check(&stopped(&said(missing)), "S13", &[]);
    let key = "retrieved secret from Secrets Manager did not contain json key password";
    check(&stopped(&said(key)), "S14", &[]);
    let denied = "unable to retrieve secret from asm: User: x is not authorized to perform: secretsmanager:GetSecretValue on resource: y";
    check(
        &stopped(&said(denied)),
        "S15",
        &["secretsmanager:GetSecretValue"],
    );
    check(
        &stopped("ECS was unable to assume the role 'x' that was provided for this task."),
        "S18",
        &[],
    );
}

#[test]
fn ends_of_programs_are_told_apart() {
    check(&exited(0, None), "R1", &["foreground"]);
    let crash = with(exited(1, None), |it| {
        it.containers[0].printed = vec!["Error: Cannot find module 'express'".into()];
    });
    check(
        &crash,
        "R2",
        &["exit code 1", "Cannot find module", "a module is missing"],
    );
    let memory = Some("OutOfMemoryError: Container killed due to memory usage");
    check(&exited(137, memory), "R3", &["512 MiB", "1024 MiB"]);
    check(&exited(139, None), "R5", &["SIGSEGV"]);
    let sick = with(exited(0, None), |it| {
        it.task.as_mut().unwrap().stop_code = "ServiceSchedulerInitiated".into();
        it.containers[0].health = "UNHEALTHY".into();
        it.containers[0].health_command = vec!["CMD".into(), "curl".into()];
    });
    check(&sick, "R7", &["curl"]);
    // It was asked to end.
    assert_eq!(
        find(&with(exited(143, None), |it| it
            .task
            .as_mut()
            .unwrap()
            .stop_code =
            "UserInitiated".into())),
        None
    );
}

#[test]
fn what_a_probe_does_not_reach_is_told_apart() {
    let refused = |at: &[&str]| {
        with(
            probed("Target.FailedHealthChecks", "Health checks failed"),
            |it| {
                it.listening = Some(at.iter().map(|it| it.parse().unwrap()).collect());
            },
        )
    };
    check(
        &refused(&["127.0.0.1:8080"]),
        "R12",
        &["127.0.0.1:8080 only", "0.0.0.0"],
    );
    check(&refused(&["0.0.0.0:3000"]), "R13", &["port 3000"]);
    check(&refused(&[]), "R13", &["listens nowhere"]);
    assert_eq!(find(&refused(&["0.0.0.0:8080"])), None);
    let silent = |rules: Vec<GroupRuleFacts>| {
        with(probed("Target.Timeout", "Request timed out"), |it| {
            it.network.as_mut().unwrap().groups[0].ingress = rules;
        })
    };
    check(&silent(vec![]), "L1", &["sg-lb", "--port 8080"]);
    check(
        &silent(vec![rule("tcp", 80, "sg-lb")]),
        "L1",
        &["tcp 80: sg-lb"],
    );
    for open in [
        rule("tcp", 8080, "sg-lb"),
        rule("tcp", 8080, "10.0.0.0/24"),
        rule("-1", 0, EVERYWHERE),
    ] {
        assert_eq!(find(&silent(vec![open])), None);
    }
    check(
        &probed(
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [404]",
        ),
        "L3",
        &["[404]"],
    );
    let unused = with(probed("Target.NotInUse", ""), |it| {
        it.targets[0].state = "unused".into();
        it.targets[0].has_listener = false;
    });
    check(&unused, "L8", &[]);
}

#[test]
fn a_deployment_that_may_do_nothing_is_stuck() {
    let service = |minimum: i32, maximum: i32| {
        Situation {
        service: Some(ServiceFacts {
            name: "web".into(),
            desired: 1,
            minimum_healthy_percent: minimum,
            maximum_percent: maximum,
            events: vec!["(service web) was unable to stop or start tasks during a deployment because of the service deployment configuration.".into()],
            ..ServiceFacts::default()
        }),
        ..Situation::default()
    }
    };
    check(&service(100, 100), "D1", &["at least 1 healthy"]);
    assert_eq!(find(&service(0, 100)), None);
    assert_eq!(find(&service(100, 200)), None);
}

#[test]
fn what_fails_first_is_the_cause_and_the_rest_follows() {
    let both = with(network(|it| it.routes.clear()), |it| {
        it.containers[0].exit_code = Some(0);
        it.task.as_mut().unwrap().stop_code = "EssentialContainerExited".into();
    });
    let found = check(&both, "N1", &[]);
    assert!(
        found.also_seen.iter().any(|it| it.contains("R1")),
        "{found:#?}"
    );
}

#[test]
fn a_row_has_one_name() {
    let ids: BTreeSet<&str> = crate::rules::RULES.iter().map(|it| it.id).collect();
    let names: BTreeSet<&str> = crate::rules::RULES.iter().map(|it| it.name).collect();
    assert_eq!(
        (ids.len(), names.len()),
        (crate::rules::RULES.len(), crate::rules::RULES.len())
    );
}

/// A task that its balancer gave up, of which nothing is left but that.
fn given_up() -> Situation {
    with(probed("", ""), |it| {
        let task = it.task.as_mut().unwrap();
        task.stop_code = "ServiceSchedulerInitiated".into();
        task.stopped_reason = "Task failed ELB health checks in (target-group arn:x)".into();
        it.listening = None;
    })
}

fn of_service(name: &str, thing: &str, situation: Situation) -> Situation {
    with(situation, |it| {
        it.thing = thing.into();
        it.service = Some(ServiceFacts {
            name: name.into(),
            cluster: "main".into(),
            ..ServiceFacts::default()
        });
    })
}

#[test]
fn a_closed_group_is_seen_of_a_task_that_is_over() {
    let closed = check(
        &given_up(),
        "L1",
        &["ENI_SG_RULES_MISMATCH", "has no ingress"],
    );
    assert_eq!(closed.basis, Basis::Derived);
    // An open one is no cause, and what it was is not guessed.
    let open = with(given_up(), |it| {
        it.network.as_mut().unwrap().groups[0].ingress = vec![rule("tcp", 8080, "sg-lb")];
    });
    assert_eq!(find(&open), None);
}

#[test]
fn a_service_that_was_rolled_back_is_said_to_be() {
    let back = with(of_service("web", "task 1", exited(3, None)), |it| {
        it.service.as_mut().unwrap().is_rolled_back = true;
    });
    let found = check(&back, "R2", &[]);
    assert!(
        found.also_seen[0].contains("service web was rolled back"),
        "{found:#?}"
    );
}

#[test]
fn one_cause_is_told_once_and_for_all_whom_it_concerns() {
    let closed = || network(|it| it.routes.clear());
    let (findings, unexplained) = explain(
        vec![
            of_service("a", "task 1 of service a", closed()),
            of_service("a", "task 2 of service a", closed()),
            of_service("b", "task 3 of service b", closed()),
        ],
        vec![],
    );
    assert!(unexplained.is_empty());
    let [one] = &findings[..] else {
        panic!("{findings:#?}");
    };
    assert_eq!(
        one.also_seen,
        ["the same is the cause for task 3 of service b"]
    );
}

#[test]
fn two_programs_that_end_alike_are_told_apart() {
    let crash = |name: &str, line: &str| {
        with(of_service(name, name, exited(1, None)), |it| {
            it.containers[0].printed = vec![line.to_owned()];
        })
    };
    let all = vec![
        crash("a", "no database"),
        crash("b", "no queue"),
        crash("a", "gone"),
    ];
    let (findings, _) = explain(all, vec![]);
    let things: Vec<&str> = findings.iter().map(|it| it.thing.as_str()).collect();
    assert_eq!(things, ["a", "b"], "{findings:#?}");
}

#[test]
fn a_task_without_a_cause_is_told_unless_its_service_is_explained() {
    let open = |name: &str, thing: &str| {
        with(of_service(name, thing, given_up()), |it| {
            it.network.as_mut().unwrap().groups[0].ingress = vec![rule("-1", 0, EVERYWHERE)];
        })
    };
    let (findings, unexplained) = explain(
        vec![
            open("a", "task 1 of service a"),
            of_service("a", "task 2 of service a", exited(3, None)),
            open("b", "task 3 of service b"),
            open("b", "task 4 of service b"),
            open("c", "task 5 of service c"),
        ],
        vec![],
    );
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let things: Vec<&str> = unexplained.iter().map(|it| it.thing.as_str()).collect();
    assert_eq!(things, ["task 3 of service b", "task 5 of service c"]);
    assert!(
        unexplained[0].symptom.contains("ask again"),
        "{unexplained:#?}"
    );
}

#[test]
fn the_list_that_people_read_has_every_row_and_no_other() {
    let list = include_str!("../../../docs/why.md");
    let (_, table) = list.split_once("## What is known").unwrap();
    let written: BTreeMap<&str, (&str, bool)> = (table.lines())
        .filter_map(|it| {
            let cells: Vec<&str> = it.split('|').map(str::trim).collect();
            let [_, id, name, _, check, _] = cells[..] else {
                return None;
            };
            let is_row = id.starts_with(|it: char| it.is_ascii_uppercase());
            is_row.then_some((id, (name, !check.is_empty())))
        })
        .collect();
    let by_message = rows::ROWS
        .iter()
        .chain(rows::OF_FILES)
        .chain(rows::OF_REQUESTS);
    let mut known: BTreeMap<&str, &str> = by_message.map(|it| (it.id, it.name)).collect();
    for rule in rules::RULES {
        known.insert(rule.id, rule.name);
        let is_before = written.get(rule.id).is_some_and(|it| it.1);
        let is_of_files = rows::OF_FILES.iter().any(|it| it.id == rule.id);
        assert_eq!(is_before, rule.knows_before() || is_of_files, "{}", rule.id);
    }
    let names: BTreeMap<&str, &str> = written.iter().map(|(id, it)| (*id, it.0)).collect();
    assert_eq!(names, known);
    let readme = include_str!("../../../README.md");
    let says = format!("know {} causes", known.len());
    assert!(readme.contains(&says), "README.md does not say `{says}`");
}

#[test]
fn builds_and_pipelines_are_told_apart() {
    let build = |code: &str, printed: &[&str]| Situation {
        build: Some(BuildFacts {
            id: "site:1".into(),
            project: "site".into(),
            phase: "BUILD".into(),
            code: code.into(),
            message: "exit status 1".into(),
            is_privileged: false,
            printed: printed.iter().map(|it| (*it).to_owned()).collect(),
        }),
        ..Situation::default()
    };
    let command = "COMMAND_EXECUTION_ERROR";
    check(&build("YAML_FILE_ERROR", &[]), "B3", &["buildspec.yml"]);
    check(
        &build(command, &["make: no rule"]),
        "B4",
        &["make: no rule", "BUILD"],
    );
    let docker = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.";
    check(&build(command, &[docker]), "B5", &["privilegedMode"]);
    check(
        &build(command, &["no basic auth credentials"]),
        "B6",
        &["docker login"],
    );
    let action = |message: &str| Situation {
        action: Some(ActionFacts {
            pipeline: "site".into(),
            message: message.into(),
            ..ActionFacts::default()
        }),
        ..Situation::default()
    };
    check(
        &action("The connection x is not available: complete it"),
        "B1",
        &[],
    );
    check(
        &action("The branch \"main\" does not exist in the repository \"x\"."),
        "B2",
        &["main"],
    );
    check(
        &action("Did not find the image definition file imagedefinitions.json"),
        "B7",
        &[],
    );
}

fn of_instance(change: impl FnOnce(&mut InstanceFacts)) -> Situation {
    let mut instance = InstanceFacts {
        id: "i-1".into(),
        cluster: "web".into(),
        ..InstanceFacts::default()
    };
    change(&mut instance);
    Situation {
        task: None,
        containers: vec![],
        instance: Some(instance),
        ..stopped("")
    }
}

fn refused(why: &str) -> Situation {
    of_instance(|it| {
        it.profile = Some("arn:aws:iam::000000000000:instance-profile/nodes".into());
        it.said = vec![format!(
            "level=error msg=\"Unable to register as a container instance with ECS: {why}\""
        )];
    })
}

#[test]
fn an_instance_that_is_not_in_its_cluster_is_told_why() {
    let cut_off = "RequestError: send request failed caused by: Post: net/http: request canceled";
    let closed = with(refused(cut_off), |it| {
        it.network.as_mut().unwrap().routes.clear()
    });
    let found = check(
        &closed,
        "N1",
        &[
            "NO_ROUTE_TO_DESTINATION",
            "the instance",
            "send request failed",
        ],
    );
    assert!(found.also_seen[0].contains("N20"), "{found:#?}");
    assert!(!found.cause.contains("the task"), "{found:#?}");
    check(&refused(cut_off), "N20", &["does not reach ECS"]);
    check(
        &refused("AccessDeniedException: no"),
        "N20",
        &["nodes may not register it"],
    );
    check(
        &refused("ClientException: Cluster not found."),
        "N20",
        &["no cluster `web`"],
    );
    let bare = with(refused("NoCredentialProviders: none"), |it| {
        it.instance.as_mut().unwrap().profile = None;
    });
    check(&bare, "N20", &["no instance profile"]);
    let joined = |cluster: &str, is_connected: bool| {
        of_instance(|it| {
            it.joined = Some(cluster.into());
            it.is_connected = is_connected;
        })
    };
    assert_eq!(find(&joined("web", true)), None);
    check(&joined("web", false), "P8", &["agentConnected"]);
    let astray = with(joined("default", true), |it| {
        let instance = it.instance.as_mut().unwrap();
        (instance.is_default, instance.wanted_by) = (true, Some("web".into()));
    });
    check(&astray, "P12", &["ECS_CLUSTER=web"]);
    let failed = of_instance(|it| it.boot_failures = vec!["Failed to run x: exit status 3".into()]);
    check(&failed, "P13", &["exit status 3"]);
}

#[test]
fn a_task_without_a_place_is_told_what_is_short() {
    let placed = |event: &str, all: Amounts| Situation {
        service: Some(ServiceFacts {
            name: "site".into(),
            cluster: "web".into(),
            ..ServiceFacts::default()
        }),
        placement: Some(PlacementFacts {
            event: format!(
                "was unable to place a task. The closest matching (container-instance c1) {event}."
            ),
            needs: Amounts {
                cpu: 2000,
                memory: 4000,
            },
            host_ports: vec![80],
            instances: vec![CandidateFacts {
                id: "c1".into(),
                instance: "i-1".into(),
                all,
                ..CandidateFacts::default()
            }],
        }),
        ..Situation::default()
    };
    let large = Amounts {
        cpu: 4096,
        memory: 8192,
    };
    let small = Amounts {
        cpu: 1024,
        memory: 1024,
    };
    let cpu = "has insufficient CPU units available";
    check(&placed(cpu, large), "P2", &["as much free"]);
    check(&placed(cpu, small), "P2", &["even when it is empty", "i-1"]);
    check(
        &placed("has insufficient memory available", small),
        "P3",
        &["4000 MiB"],
    );
    check(
        &placed("is already using a port required by your task", large),
        "P4",
        &["port 80"],
    );
    check(
        &placed("is missing an attribute required by your task", large),
        "P6",
        &["i-1"],
    );
    check(
        &placed("does not satisfy a memberOf placement constraint", large),
        "P7",
        &["memberOf"],
    );
    let none = "Reason: No Container Instances were found in your cluster";
    check(&placed(none, large), "P1", &["ECS_CLUSTER=web"]);
}

#[test]
fn a_task_that_was_taken_from_its_group_is_told() {
    let lost = with(probed("", ""), |it| {
        it.service = Some(ServiceFacts::default());
        it.targets[0].state = TargetFacts::ABSENT.into();
        it.targets[0].address = Some("10.0.0.9".parse().unwrap());
    });
    check(&lost, "L21", &["10.0.0.9", "deregistered"]);
}
