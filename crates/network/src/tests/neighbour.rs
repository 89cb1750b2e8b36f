//! Networks that the machine itself is in.

use std::net::TcpListener;

use engine::{Fault, Network, RouteTarget, VpcSpec};

use super::harness::*;
use crate::Machine;

const MACHINE: &str = "10.0.0.1";

/// A network that is open, with the machine in it.
fn open(id: &str) -> VpcSpec {
    let mut vpc = vpc(id, vec![group("all", everything(), everything())]);
    vpc.machine = Some(MACHINE.parse().unwrap());
    vpc
}

async fn with_a_server(lab: &Lab, vpc: VpcSpec) {
    let id = vpc.id.clone();
    lab.machine.apply_vpc(vpc).await.unwrap();
    let server = interface(&id, "server", "10.0.1.10", &["all"]);
    lab.machine.attach(server).await.unwrap();
    lab.serve("server", 80).await;
}

#[test]
fn the_machine_and_its_neighbours_reach_each_other() {
    on_a_machine(|lab| async move {
        let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
        answer(listener);
        // With a way out and without one.
        let ways = [
            open("v"),
            with_default_route(open("v"), RouteTarget::NatGateway),
        ];
        let mut lab = lab;
        for vpc in ways {
            with_a_server(&lab, vpc).await;
            assert_eq!(ask("10.0.1.10:80").unwrap(), MACHINE);
            let seen = lab.inside("server", || ask("10.0.0.1:8080")).await;
            assert_eq!(seen.unwrap(), "10.0.1.10");
            lab = lab.reopen();
            assert_eq!(ask("10.0.1.10:80").unwrap(), MACHINE);
            let seen = lab.inside("server", || ask("10.0.0.1:8080")).await;
            assert_eq!(seen.unwrap(), "10.0.1.10");
            lab.machine.remove_vpc("v").await.unwrap();
            assert!(ask("10.0.1.10:80").is_err());
        }
    });
}

#[test]
fn a_closed_network_s_interfaces_reach_neither_the_machine_nor_its_neighbours() {
    on_a_machine(|lab| async move {
        answer(TcpListener::bind("0.0.0.0:8080").unwrap());
        with_a_server(&lab, open("v")).await;
        let mut closed = vpc("w", vec![group("all", everything(), everything())]);
        // Its own range is another, so that these addresses are outside.
        closed.ranges = vec!["10.7.0.0/16".parse().unwrap()];
        closed.subnets.truncate(1);
        closed.subnets[0].range = "10.7.1.0/24".parse().unwrap();
        let closed = with_default_route(closed, RouteTarget::NatGateway);
        lab.machine.apply_vpc(closed).await.unwrap();
        let stranger = interface("w", "stranger", "10.7.1.10", &["all"]);
        lab.machine.attach(stranger).await.unwrap();
        for to in ["10.0.0.1:8080", "10.0.1.10:80"] {
            lab.expect_silence("stranger", to).await;
        }
        assert!(ask("10.7.1.10:80").is_err());
        // A network may stop to be the machine's neighbour.
        let mut alone = open("v");
        alone.machine = None;
        lab.machine.apply_vpc(alone).await.unwrap();
        assert!(ask("10.0.1.10:80").is_err());
        lab.expect_silence("server", "10.0.0.1:8080").await;
        lab.machine.apply_vpc(open("v")).await.unwrap();
        assert_eq!(ask("10.0.1.10:80").unwrap(), MACHINE);
    });
}

#[test]
fn two_daemons_do_not_have_the_same_range() {
    on_a_machine(|lab| async move {
        let run = tempfile::tempdir().unwrap();
        let other = Machine::open(run.path().to_owned(), "other".into()).unwrap();
        with_a_server(&lab, open("v")).await;
        let refused = other.apply_vpc(open("w")).await.unwrap_err();
        assert_eq!(refused.fault, Fault::Conflict, "{}", refused.chain());
        assert_eq!(other.list().await.unwrap().0, Vec::<String>::new());
        // What is nobody's neighbour may have it.
        let mut closed = open("w");
        closed.machine = None;
        other.apply_vpc(closed).await.unwrap();
        assert_eq!(ask("10.0.1.10:80").unwrap(), MACHINE);
        // Nor does one daemon twice, and what it has stays its own.
        assert!(lab.machine.apply_vpc(open("x")).await.is_err());
        lab.machine.apply_vpc(open("v")).await.unwrap();
        let ranges = lab.machine.ranges().await.unwrap();
        let own = ranges
            .iter()
            .filter(|it| it.network.as_deref() == Some("v"));
        assert_eq!(own.count(), 1);
        assert!(
            ranges
                .iter()
                .all(|it| it.network.is_some() || it.range.addr().is_loopback())
        );
        lab.machine.remove_vpc("v").await.unwrap();
        other.apply_vpc(open("w")).await.unwrap();
        other.cleanup_all().await.unwrap();
    });
}
