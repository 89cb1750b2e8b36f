//! What a program finds in its container: names, its limits, and the powers that it may have.

use e2e::{Docker, Machine, eventually};
use serde_json::json;

use crate::ground::{Ground, docker_image, probe_image, text};

/// An image of the probe, for Docker.
#[track_caller]
fn image(docker: &Docker) {
    let dockerfile = "FROM scratch\nCOPY probe /probe\nENTRYPOINT [\"/probe\"]\nCMD [\"sleep\"]\n";
    docker_image(docker, "probe", dockerfile);
}

/// Lines that a command prints in a container of a network.
#[track_caller]
fn looks_up(docker: &Docker, network: &str, names: &[&str]) -> Vec<String> {
    let run = ["run", "--rm", "--network", network, "probe", "look-up"];
    let words: Vec<&str> = run.into_iter().chain(names.iter().copied()).collect();
    let printed = docker.ask(&words);
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn containers_of_a_docker_network_find_each_other_by_name() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    docker.ask(&["network", "create", "--internal", "names"]);
    let run = "run -d --name da29 --hostname hosta --network names --network-alias other probe";
    let words: Vec<&str> = run.split(' ').collect();
    let id = docker.ask(&words);
    let form = "{{.NetworkSettings.Networks.names.IPAddress}}";
    let address = docker.ask(&["inspect", "-f", form, "da29"]);
    let names = [
        "da29",
        "hosta",
        "other",
        &id[..12],
        "da29.names",
        "example.com",
    ];
    let printed = looks_up(&docker, "names", &names);
    for name in &names[..5] {
        let line = format!("{name} NoError {address}");
        assert!(printed.contains(&line), "{line}: {printed:#?}");
    }
    // The network leads nowhere, and that is said at once.
    let closed = "example.com ServFail".to_owned();
    assert!(printed.contains(&closed), "{printed:#?}");
    let nameserver = "nameserver 127.0.0.11".to_owned();
    assert!(printed.contains(&nameserver), "{printed:#?}");
    let in_hosts = printed.iter().any(|it| it.contains("\tda29"));
    assert!(!in_hosts, "names are the resolver's: {printed:#?}");

    docker.ask(&["rename", "da29", "renamed"]);
    let printed = looks_up(&docker, "names", &["da29", "renamed"]);
    let lines = [
        "da29 ServFail".to_owned(),
        format!("renamed NoError {address}"),
    ];
    assert!(lines.iter().all(|it| printed.contains(it)), "{printed:#?}");
    docker.ask(&["rm", "-f", "renamed"]);
    let printed = looks_up(&docker, "names", &["renamed"]);
    assert!(
        printed.contains(&"renamed ServFail".to_owned()),
        "{printed:#?}"
    );
    docker.ask(&["network", "rm", "names"]);
}

#[test]
fn a_task_is_called_as_its_address_is_and_finds_it() {
    let machine = Machine::start();
    let ground = Ground::new(&machine);
    let image = probe_image(&machine);
    let group = ground.group("names");
    let first = ground.definition("first", &image, &["sleep"], json!({}));
    let first = ground.run(&first, &ground.subnets[0], &group);
    let address = ground.address(&first);
    let name = format!("ip-{}.ec2.internal", address.replace('.', "-"));
    let command = ["look-up", name.as_str(), "ip-10-9-9-9.ec2.internal"];
    let second = ground.definition("second", &image, &command, json!({}));
    let second = ground.run(&second, &ground.subnets[1], &group);
    let own = ground.address(&second);
    let hostname = format!("ip-{}.ec2.internal", own.replace('.', "-"));
    let printed = eventually("it has looked up", || {
        let printed = ground.printed("second");
        match printed.contains(&"looked up".to_owned()) {
            true => Ok(printed),
            false => Err(format!("{printed:#?}")),
        }
    });
    for line in [
        format!("{name} NoError {address}"),
        "ip-10-9-9-9.ec2.internal NXDomain".to_owned(),
        "nameserver 10.1.0.2".to_owned(),
        "search ec2.internal".to_owned(),
        format!("{own}\t{hostname}"),
        format!("HOSTNAME={hostname}"),
    ] {
        assert!(printed.contains(&line), "{line}: {printed:#?}");
    }
    let described = ground.task(&second);
    assert!(text(&described["lastStatus"]) != "STOPPED", "{described}");
}

/// Limits and powers as Docker has them.
#[test]
fn a_container_sees_its_limits_and_programs_may_be_root_s() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    let limits = docker.ask(&["run", "--rm", "-m", "64m", "probe", "limits"]);
    assert!(limits.contains("memory 67108864"), "{limits}");
    assert!(limits.contains("NoNewPrivs:\t0"), "{limits}");
    let option = ["--security-opt", "no-new-privileges"];
    let asked = docker.ask(&["run", "--rm", option[0], option[1], "probe", "limits"]);
    assert!(asked.contains("NoNewPrivs:\t1"), "{asked}");
}
