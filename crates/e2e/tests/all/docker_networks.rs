//! Docker's networks: the machine in them, several of them for one container, and none.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use e2e::{Docker, Machine, eventually};

use crate::ground::docker_image;

#[track_caller]
fn image(docker: &Docker) {
    let text =
        "FROM scratch\nCOPY probe /probe\nENTRYPOINT [\"/probe\"]\nCMD [\"greeter\", \"80\"]\n";
    docker_image(docker, "probe", text);
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

#[track_caller]
fn ask(docker: &Docker, command: &str) -> String {
    docker.ask(&words(command))
}

fn greeting(at: &str) -> Result<String, String> {
    let mut said = String::new();
    let mut stream = TcpStream::connect(at).map_err(|it| it.to_string())?;
    let read = stream.read_to_string(&mut said);
    read.map(|_| said).map_err(|it| it.to_string())
}

fn address(docker: &Docker, container: &str, network: &str) -> String {
    let form = format!("{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}");
    docker.ask(&["inspect", "-f", &form, container])
}

/// How the kernel of this machine would send there.
fn way_to(address: &str) -> String {
    let way = Command::new("ip").args(["route", "get", address]).output();
    String::from_utf8_lossy(&way.unwrap().stdout).into_owned()
}

#[test]
fn one_without_a_network_has_its_loopback_alone() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    let links = ask(&docker, "run --rm --network none probe links");
    let real: Vec<&str> = links.lines().filter(|it| !it.contains("tunl")).collect();
    assert_eq!(real, ["link lo"]);
    ask(&docker, "run -d --name alone --network none probe");
    let form = "{{.HostConfig.NetworkMode}} {{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{$it.IPAddress}}{{end}}";
    assert_eq!(docker.ask(&["inspect", "-f", form, "alone"]), "none none");
    // Somebody may keep it company.
    let greeted = ask(
        &docker,
        "run --rm --network container:alone probe greet 127.0.0.1:80",
    );
    assert_eq!(greeted, "127.0.0.1:80: 127.0.0.1");
    ask(&docker, "network create n");
    let refused = docker.refused(&words("network connect n alone"));
    assert!(refused.contains("private (none) mode"), "{refused}");
}

#[test]
fn the_machine_and_its_containers_reach_each_other() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    ask(&docker, "network create --internal inner");
    for network in ["bridge", "inner"] {
        let run = format!("run -d --name {network} --network {network} probe");
        ask(&docker, &run);
        let at = address(&docker, network, network);
        let form = format!("{{{{.NetworkSettings.Networks.{network}.Gateway}}}}");
        let gateway = docker.ask(&["inspect", "-f", &form, network]);
        let greeted = eventually("it greets", || greeting(&format!("{at}:80")));
        assert_eq!(greeted, gateway);
        assert!(
            way_to(&gateway).starts_with("local "),
            "{}",
            way_to(&gateway)
        );

        let listener = TcpListener::bind((gateway.as_str(), 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let greeter = std::thread::spawn(move || {
            let (mut stream, peer) = listener.accept().unwrap();
            stream.write_all(peer.ip().to_string().as_bytes()).unwrap();
        });
        let greeted = ask(
            &docker,
            &format!("exec {network} /probe greet {gateway}:{port}"),
        );
        assert_eq!(greeted, format!("{gateway}:{port}: {at}"));
        greeter.join().unwrap();
    }
    let hosts = "run --rm --add-host machine:host-gateway probe look-up";
    let gateway = docker.ask(&["inspect", "-f", "{{.NetworkSettings.Gateway}}", "bridge"]);
    let printed = ask(&docker, hosts);
    assert!(
        printed.contains(&format!("{gateway}\tmachine")),
        "{printed}"
    );
    // What is removed leaves nothing on the machine.
    ask(&docker, "rm -f bridge inner");
    let subnet = "{{(index .IPAM.Config 0).Subnet}}";
    let range = docker.ask(&["network", "inspect", "-f", subnet, "inner"]);
    let table = || Command::new("ip").arg("route").output().unwrap().stdout;
    let has = || String::from_utf8_lossy(&table()).contains(&range);
    assert!(has());
    ask(&docker, "network rm inner");
    assert!(!has());
}

#[test]
fn two_daemons_have_networks_of_their_own() {
    let machines = [Machine::start(), Machine::start()];
    let mut seen = Vec::new();
    for machine in &machines {
        let Some(docker) = Docker::of(machine) else {
            return;
        };
        image(&docker);
        ask(&docker, "network create n");
        ask(&docker, "run -d --name one --network n probe");
        ask(&docker, "run -d --name two probe");
        for (container, network) in [("one", "n"), ("two", "bridge")] {
            let at = address(&docker, container, network);
            eventually("it greets", || greeting(&format!("{at}:80")));
            assert!(!seen.contains(&at), "{at}: {seen:?}");
            seen.push(at);
        }
        let subnet = docker.ask(&[
            "network",
            "inspect",
            "-f",
            "{{(index .IPAM.Config 0).Subnet}}",
            "n",
        ]);
        let other = if std::ptr::eq(machine, &machines[0]) {
            &machines[1]
        } else {
            &machines[0]
        };
        let other = Docker::of(other).unwrap();
        for range in [
            subnet.as_str(),
            "169.254.8.0/24",
            "127.9.0.0/16",
            "198.18.0.0/16",
            "239.1.0.0/16",
            "100.70.0.0/16",
        ] {
            let refused = other.refused(&["network", "create", "--subnet", range, "m"]);
            let says = "Pool overlaps with other one on this address space";
            assert!(refused.contains(says), "{range}: {refused}");
        }
    }
}

#[test]
fn a_container_is_in_several_networks_and_goes_between_them_while_it_runs() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    ask(&docker, "network create front");
    ask(&docker, "network create --internal back");
    ask(&docker, "run -d --name web --network front probe");
    ask(
        &docker,
        "run -d --name db --network back --network-alias data probe",
    );
    ask(
        &docker,
        "create --name app --network front -p 127.0.0.1::80 probe",
    );
    ask(&docker, "network connect --alias application back app");
    ask(&docker, "start app");
    let app = |names: &str| ask(&docker, &format!("exec app /probe look-up {names}"));
    let (web, db) = (
        address(&docker, "web", "front"),
        address(&docker, "db", "back"),
    );
    let printed = app("web data");
    for line in [format!("web NoError {web}"), format!("data NoError {db}")] {
        assert!(printed.contains(&line), "{printed}");
    }
    let inside = [
        address(&docker, "app", "front"),
        address(&docker, "app", "back"),
    ];
    let greeted = ask(&docker, &format!("exec app /probe greet {web}:80 {db}:80"));
    assert_eq!(
        greeted,
        format!("{web}:80: {}\n{db}:80: {}", inside[0], inside[1])
    );
    let printed = ask(&docker, "exec db /probe look-up application web");
    assert!(
        printed.contains(&format!("application NoError {}", inside[1])),
        "{printed}"
    );
    assert!(printed.contains("web ServFail"), "{printed}");
    let port = docker.ask(&["port", "app", "80"]);
    eventually("it greets", || greeting(&port));

    // The first of its networks goes, and what is published stays.
    ask(&docker, "network disconnect front app");
    assert!(!app("web").contains("web NoError"));
    eventually("it still greets", || greeting(&port));
    let links = ask(&docker, "exec app /probe links");
    assert!(
        links.contains("link eth1") && !links.contains("link eth0"),
        "{links}"
    );
    let refused = docker.refused(&words("network disconnect front app"));
    assert!(
        refused.contains("is not connected to network front"),
        "{refused}"
    );
    let listed = docker.ask(&["ps", "-q", "--filter", "network=front"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");

    // It comes back at an address of its own choice, also to a new daemon.
    let subnet = docker.ask(&[
        "network",
        "inspect",
        "-f",
        "{{(index .IPAM.Config 0).Subnet}}",
        "front",
    ]);
    let chosen = subnet.replace(".0.0/16", ".7.7").replace(".0/20", ".77");
    ask(&docker, &format!("network connect --ip {chosen} front app"));
    assert_eq!(address(&docker, "app", "front"), chosen);
    machine.kill_daemon();
    machine.serve();
    let again = || {
        let printed = app("web data");
        let found = printed.contains(&format!("web NoError {web}"));
        let found = found && printed.contains(&format!("data NoError {db}"));
        if found { Ok(()) } else { Err(printed) }
    };
    eventually("names are told again", again);
    eventually("it greets through the next daemon", || greeting(&port));
    let refused = docker.refused(&words("network rm front"));
    assert!(refused.contains("has active endpoints"), "{refused}");
    ask(&docker, "restart -t 0 app");
    assert_eq!(address(&docker, "app", "front"), chosen);
    ask(&docker, "rm -f app web db");
    ask(&docker, "network rm front back");
    machine.assert_no_processes_of_tasks();
}

/// A two-network application, as compose has it.
#[test]
fn compose_starts_an_application_in_two_networks() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    let folder = tempfile::tempdir().unwrap();
    let text = "
version: '3.4'
services:
  web: {image: probe, networks: [front]}
  app:
    image: probe
    networks: {front: {}, back: {aliases: [application]}}
    depends_on: [db]
  db: {image: probe, networks: [back]}
networks: {front: {}, back: {internal: true}}
";
    fs::write(folder.path().join("docker-compose.yml"), text).unwrap();
    let up = ["-p", "two", "up", "-d"];
    let Some(up) = docker.compose(folder.path(), &up) else {
        return;
    };
    assert_eq!(up.code, 0, "{up:?}");
    let app = ask(
        &docker,
        "ps -q --filter label=com.docker.compose.service=app",
    );
    let printed = ask(&docker, &format!("exec {app} /probe look-up web db"));
    for name in ["web", "db"] {
        assert!(printed.contains(&format!("{name} NoError ")), "{printed}");
    }
    let down = docker.compose(folder.path(), &["-p", "two", "down"]);
    assert_eq!(down.unwrap().code, 0);
}

#[test]
fn addresses_are_as_somebody_planned_them() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    // Whatever is free on this machine.
    ask(&docker, "network create first");
    let form = "{{(index .IPAM.Config 0).Subnet}}";
    let subnet = docker.ask(&["network", "inspect", "-f", form, "first"]);
    ask(&docker, "network rm first");
    let gateway = subnet
        .split('/')
        .next()
        .unwrap()
        .replace(".0.0", ".5.200")
        .replace(".0", ".6");
    let range = format!(
        "{}/29",
        gateway.rsplit_once('.').unwrap().0.to_owned() + ".8"
    );
    let taken = gateway.rsplit_once('.').unwrap().0.to_owned() + ".8";
    let made = docker.run(&[
        "network",
        "create",
        "--subnet",
        &subnet,
        "--ip-range",
        &range,
        "--gateway",
        &gateway,
        "--aux-address",
        &format!("printer={taken}"),
        "-o",
        "com.docker.network.bridge.name=br0",
        "planned",
    ]);
    assert_eq!(made.code, 0, "{made:?}");
    let run = "run -d --name one --network planned --mac-address 02:42:00:00:00:77 probe";
    ask(&docker, run);
    let expected = gateway.rsplit_once('.').unwrap().0.to_owned() + ".9";
    assert_eq!(address(&docker, "one", "planned"), expected);
    let greeted = eventually("it greets", || greeting(&format!("{expected}:80")));
    assert_eq!(greeted, gateway);
    let form = "{{.NetworkSettings.Networks.planned.MacAddress}} {{.NetworkSettings.Networks.planned.Gateway}}";
    let shown = docker.ask(&["inspect", "-f", form, "one"]);
    assert_eq!(shown, format!("02:42:00:00:00:77 {gateway}"));
    let pid = docker.ask(&["inspect", "-f", "{{.State.Pid}}", "one"]);
    let link = fs::read_to_string(format!("/proc/{pid}/root/sys/class/net/eth0/address"));
    assert_eq!(link.unwrap().trim(), "02:42:00:00:00:77");
    // What somebody else has is not given to who asks for it either.
    let ask_for_it = [
        "run",
        "--network",
        "planned",
        "--ip",
        taken.as_str(),
        "probe",
    ];
    let refused = docker.refused(&ask_for_it);
    assert!(refused.contains("Address already in use"), "{refused}");
    let option = ["-o", "com.docker.network.bridge.enable_icc=false"];
    let refused = docker.refused(&["network", "create", option[0], option[1], "apart"]);
    assert!(refused.contains("enable_icc"), "{refused}");
}

#[test]
fn what_is_pruned_is_built_anew() {
    let machine = Machine::start();
    let Some(docker) = Docker::of(&machine) else {
        return;
    };
    image(&docker);
    let pruned = ask(&docker, "builder prune -af");
    assert!(pruned.contains("Total"), "{pruned}");
    let again = ask(&docker, "builder prune -af");
    assert!(again.contains("0B"), "{again}");
}
