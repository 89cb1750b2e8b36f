//! Namespaces with interfaces of several networks, and of none.

use engine::{Fault, InterfaceSpec, Network, ResolverSpec, RouteTarget, VpcSpec};

use super::harness::*;
use super::names::{look_up, named};
use crate::links::Links;

const RESOLVER: &str = "127.0.0.11";

/// An open network with names.
fn network(id: &str, range: &str, subnet: &str) -> VpcSpec {
    let mut vpc = vpc(id, vec![group("all", everything(), everything())]);
    vpc.ranges = vec![range.parse().unwrap()];
    vpc.subnets.truncate(1);
    vpc.subnets[0].range = subnet.parse().unwrap();
    vpc.resolver = Some(ResolverSpec {
        at: Some(RESOLVER.parse().unwrap()),
        ..ResolverSpec::default()
    });
    vpc
}

fn inside(namespace: &str, interface: InterfaceSpec) -> InterfaceSpec {
    InterfaceSpec {
        namespace: Some(namespace.into()),
        ..interface
    }
}

fn links() -> Vec<String> {
    let all = Links::open().unwrap().all_links().unwrap();
    let mut names: Vec<String> = all.into_iter().map(|it| it.1).collect();
    names.retain(|it| it == "lo" || it.starts_with("eth"));
    names.sort();
    names
}

/// Two networks with one neighbour in each, who is called as it is.
async fn two_networks(lab: &Lab) {
    let front = network("front", "10.1.0.0/16", "10.1.1.0/24");
    let front = with_default_route(front, RouteTarget::NatGateway);
    let back = network("back", "10.2.0.0/16", "10.2.1.0/24");
    for vpc in [front, back] {
        lab.machine.apply_vpc(vpc).await.unwrap();
    }
    for (vpc, id, address) in [("front", "web", "10.1.1.20"), ("back", "db", "10.2.1.20")] {
        let neighbour = named(interface(vpc, id, address, &["all"]), &[id]);
        lab.machine.attach(neighbour).await.unwrap();
        lab.serve(id, 80).await;
    }
}

async fn join(lab: &Lab, vpc: &str, address: &str) {
    let id = format!("one-{vpc}");
    let member = named(interface(vpc, &id, address, &["all"]), &["one"]);
    lab.machine.attach(inside("one", member)).await.unwrap();
}

#[test]
fn one_that_is_alone_has_its_loopback_alone() {
    on_a_machine(|lab| async move {
        lab.machine.make_namespace("one").await.unwrap();
        lab.machine.make_namespace("one").await.unwrap();
        let seen = lab.inside("one", || {
            answer(std::net::TcpListener::bind("127.0.0.1:80").unwrap());
            let routes = std::fs::read_to_string("/proc/thread-self/net/route").unwrap();
            (links(), ask("127.0.0.1:80"), routes.lines().count())
        });
        let (links, own, routes) = seen.await;
        assert_eq!(links, ["lo"]);
        assert_eq!(own.unwrap(), "127.0.0.1");
        assert_eq!(routes, 1, "the head of the table");
        assert_eq!(lab.machine.resolver("one").await.unwrap(), None);
        let lab = lab.reopen();
        lab.machine.namespace("one").await.unwrap();
        lab.machine.remove_namespace("one").await.unwrap();
        lab.machine.remove_namespace("one").await.unwrap();
        let gone = lab.machine.namespace("one").await.unwrap_err();
        assert_eq!(gone.fault, Fault::NotFound);
        let nowhere = inside("one", interface("v", "x", "10.0.1.10", &[]));
        let refused = lab.machine.attach(nowhere).await.unwrap_err();
        assert_eq!(refused.fault, Fault::NotFound);
    });
}

#[test]
fn networks_come_and_go_while_a_program_runs() {
    on_a_machine(|lab| async move {
        two_networks(&lab).await;
        lab.machine.make_namespace("one").await.unwrap();
        join(&lab, "back", "10.2.1.10").await;
        lab.expect_open("one", "10.2.1.20:80").await;
        assert!(!lab.machine.has_way_out("one-back").await.unwrap());
        let ask_for = async |lab: &Lab, name| look_up(lab, "one", RESOLVER, name).await;
        assert_eq!(ask_for(&lab, "db.").await, "NoError 10.2.1.20");
        assert_eq!(ask_for(&lab, "web.").await, "ServFail");

        join(&lab, "front", "10.1.1.10").await;
        assert_eq!(lab.inside("one", links).await, ["eth0", "eth1", "lo"]);
        let mut lab = lab;
        for _ in 0..2 {
            for (to, as_whom) in [("10.1.1.20:80", "10.1.1.10"), ("10.2.1.20:80", "10.2.1.10")] {
                let seen = lab.inside("one", || ask(to)).await;
                assert_eq!(seen.unwrap(), as_whom);
            }
            assert_eq!(ask_for(&lab, "db.").await, "NoError 10.2.1.20");
            assert_eq!(ask_for(&lab, "web.").await, "NoError 10.1.1.20");
            // Its neighbours are not each other's, and reach it where they are.
            assert_eq!(look_up(&lab, "db", RESOLVER, "web.").await, "ServFail");
            let from_db = look_up(&lab, "db", RESOLVER, "one.").await;
            assert_eq!(from_db, "NoError 10.2.1.10");
            // A new daemon finds it so.
            let Lab { machine, run } = lab;
            drop(machine);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            lab = Lab::open(&run);
        }
        let way = lab.inside("one", default_link).await;
        assert_eq!(way, "eth1", "the network that leads out");

        lab.machine.detach("one-back").await.unwrap();
        assert_eq!(lab.inside("one", links).await, ["eth1", "lo"]);
        lab.expect_open("one", "10.1.1.20:80").await;
        assert_eq!(ask_for(&lab, "web.").await, "NoError 10.1.1.20");
        assert_ne!(ask_for(&lab, "db.").await, "NoError 10.2.1.20");
        // Its place is free again, also when somebody else was there.
        join(&lab, "back", "10.2.1.11").await;
        assert_eq!(lab.inside("one", links).await, ["eth0", "eth1", "lo"]);
        lab.expect_open("one", "10.2.1.20:80").await;
        lab.machine.remove_vpc("back").await.unwrap();
        assert_eq!(lab.inside("one", links).await, ["eth1", "lo"]);
        lab.machine.remove_namespace("one").await.unwrap();
        assert_eq!(lab.machine.list().await.unwrap().1, ["web"]);
    });
}

/// The link of the way to everywhere.
fn default_link() -> String {
    let table = std::fs::read_to_string("/proc/thread-self/net/route").unwrap();
    let mut rows = table
        .lines()
        .map(|it| it.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|it| it[1] == "00000000").unwrap();
    row[0].to_owned()
}

#[test]
fn what_is_half_made_in_a_namespace_is_in_nobody_s_way() {
    on_a_machine(|lab| async move {
        two_networks(&lab).await;
        lab.machine.make_namespace("one").await.unwrap();
        join(&lab, "back", "10.2.1.10").await;
        std::fs::remove_file(lab.file("netns", "one-back.json")).unwrap();
        let lab = lab.reopen();
        join(&lab, "front", "10.1.1.10").await;
        assert_eq!(lab.inside("one", links).await, ["eth0", "lo"]);
        lab.expect_open("one", "10.1.1.20:80").await;
    });
}
