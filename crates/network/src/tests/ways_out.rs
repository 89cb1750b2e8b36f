//! The internet is reached where the route table says so, by who may, and nothing else is.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;

use engine::{InterfaceSpec, Network, RouteTarget};
use ipnet::Ipv4Net;

use super::harness::*;
use crate::Machine;
use crate::links::{self, Links, VethEnd};
use crate::namespaces;

const INTERNET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const MACHINE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const CREDENTIALS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
pub const SERVER: &str = "203.0.113.1:80";

/// Gives the machine a link to an "internet" with one server, which says who it was that asked.
/// The server knows no way to any address but the machine's.
pub fn make_internet(lab: &Lab) {
    let mut here = Links::open().unwrap();
    let pin = lab.run.join("internet");
    let (namespace, listener) = namespaces::make(&pin, || {
        // It has a cloud's address for credentials too.
        Links::open()?.change(vec![
            links::set_up(1),
            links::add_address(1, CREDENTIALS, 32),
        ])?;
        Ok((namespaces::own()?, TcpListener::bind(("0.0.0.0", 80))?))
    })
    .unwrap();
    let end = |name, index, last| VethEnd {
        name,
        index: Some(index),
        mac: [2, 0, 0, 0, 9, last],
    };
    here.change(vec![
        links::make_veth(
            &end("outside", 500, 1),
            &end("machine", 500, 2),
            namespace.as_raw_fd(),
        ),
        links::add_address(500, MACHINE, 24),
        links::add_default_route(500, INTERNET),
        links::add_neighbour(500, INTERNET, [2, 0, 0, 0, 9, 2]),
    ])
    .unwrap();
    namespaces::enter(&namespace, || {
        Ok(Links::open()?.change(vec![
            links::set_up(500),
            links::add_address(500, INTERNET, 24),
            links::add_host_route(500, MACHINE),
        ])?)
    })
    .unwrap();
    namespaces::unpin(&pin).unwrap();
    answer(listener);
}

fn public(interface: InterfaceSpec) -> InterfaceSpec {
    InterfaceSpec {
        public: true,
        ..interface
    }
}

/// An interface in each subnet, one of them public.
async fn attach_two(lab: &Lab, vpc: &str) {
    let private = interface(vpc, "private", "10.0.1.10", &["all"]);
    let public = public(interface(vpc, "public", "10.0.1.11", &["all"]));
    lab.machine.attach(private).await.unwrap();
    lab.machine.attach(public).await.unwrap();
}

fn open_to_all() -> Vec<engine::GroupSpec> {
    vec![group("all", everything(), everything())]
}

async fn way_out(lab: &Lab, interface: &str) -> bool {
    lab.machine.has_way_out(interface).await.unwrap()
}

#[test]
fn an_internet_gateway_serves_public_interfaces_only() {
    on_a_machine(|lab| async move {
        make_internet(&lab);
        let spec = with_default_route(vpc("v", open_to_all()), RouteTarget::InternetGateway);
        lab.machine.apply_vpc(spec).await.unwrap();
        attach_two(&lab, "v").await;
        lab.expect_open("public", SERVER).await;
        lab.expect_silence("private", SERVER).await;
        assert!(way_out(&lab, "public").await);
        assert!(!way_out(&lab, "private").await);
        // A public address may come later.
        let private = interface("v", "private", "10.0.1.10", &["all"]);
        lab.machine.attach(public(private.clone())).await.unwrap();
        assert!(way_out(&lab, "private").await);
        lab.expect_open("private", SERVER).await;
        lab.machine.attach(private).await.unwrap();
        lab.expect_silence("private", SERVER).await;
    });
}

#[test]
fn a_nat_gateway_serves_all_and_hides_them() {
    on_a_machine(|lab| async move {
        make_internet(&lab);
        let spec = with_default_route(vpc("v", open_to_all()), RouteTarget::NatGateway);
        lab.machine.apply_vpc(spec).await.unwrap();
        attach_two(&lab, "v").await;
        assert!(way_out(&lab, "private").await);
        let seen = lab.inside("private", || ask(SERVER)).await.unwrap();
        assert_eq!(seen, MACHINE.to_string());
    });
}

#[test]
fn no_default_route_is_no_way_out() {
    on_a_machine(|lab| async move {
        make_internet(&lab);
        let closed = vpc("v", open_to_all());
        let mut mixed = with_default_route(closed.clone(), RouteTarget::NatGateway);
        mixed.route_tables[0].routes.clear();
        // Subnet `b` has a way out, `a` has none.
        lab.machine.apply_vpc(mixed.clone()).await.unwrap();
        attach_two(&lab, "v").await;
        let other = interface("v", "other", "10.0.2.10", &["all"]);
        lab.machine.attach(other).await.unwrap();
        lab.expect_open("other", SERVER).await;
        for id in ["private", "public"] {
            lab.expect_silence(id, SERVER).await;
            assert!(!way_out(&lab, id).await);
        }
        lab.serve("other", 80).await;
        lab.expect_open("private", "10.0.2.10:80").await;
        // Routes change at once, both ways.
        let open = with_default_route(closed.clone(), RouteTarget::NatGateway);
        lab.machine.apply_vpc(open).await.unwrap();
        lab.expect_open("private", SERVER).await;
        let gone = with_default_route(closed.clone(), RouteTarget::Blackhole);
        lab.machine.apply_vpc(gone).await.unwrap();
        lab.expect_silence("private", SERVER).await;
        assert!(!way_out(&lab, "other").await);
        lab.machine.apply_vpc(closed).await.unwrap();
        lab.expect_silence("other", SERVER).await;
    });
}

#[test]
fn egress_rules_hold_on_the_way_out_too() {
    on_a_machine(|lab| async move {
        make_internet(&lab);
        let groups = vec![group("all", everything(), vec![tcp(443, "0.0.0.0/0")])];
        let spec = with_default_route(vpc("v", groups), RouteTarget::NatGateway);
        lab.machine.apply_vpc(spec).await.unwrap();
        attach_two(&lab, "v").await;
        lab.expect_silence("private", SERVER).await;
    });
}

#[test]
fn the_way_out_leads_neither_to_the_machine_nor_to_other_networks() {
    on_a_machine(|lab| async move {
        make_internet(&lab);
        for id in ["one", "two"] {
            let spec = with_default_route(vpc(id, open_to_all()), RouteTarget::NatGateway);
            lab.machine.apply_vpc(spec).await.unwrap();
        }
        attach_two(&lab, "one").await;
        // The same range, and even the same address, is another network's too.
        let twin = interface("two", "twin", "10.0.1.11", &["all"]);
        lab.machine.attach(twin).await.unwrap();
        let neighbour = interface("two", "neighbour", "10.0.2.20", &["all"]);
        lab.machine.attach(neighbour).await.unwrap();
        lab.serve("neighbour", 80).await;
        lab.expect_open("twin", "10.0.2.20:80").await;
        lab.expect_silence("private", "10.0.2.20:80").await;

        answer(TcpListener::bind(("0.0.0.0", 4566)).unwrap());
        for address in uplink_addresses() {
            lab.expect_silence("private", &format!("{address}:4566"))
                .await;
        }
        lab.expect_silence("private", &format!("{MACHINE}:4566"))
            .await;
        let credentials = format!("{CREDENTIALS}:80");
        lab.expect_silence("private", &credentials).await;
        // The machine itself does reach it, so the silence is not for want of a server.
        assert!(ask(&credentials).is_ok());
        lab.expect_open("private", SERVER).await;
        lab.expect_open("twin", SERVER).await;
    });
}

#[test]
fn two_daemons_share_a_machine() {
    on_a_machine(|lab| async move {
        make_internet(&lab);
        let second = Machine::open(lab.run.join("second"), "other".into()).unwrap();
        let spec = with_default_route(vpc("v", open_to_all()), RouteTarget::NatGateway);
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        second.apply_vpc(spec).await.unwrap();
        attach_two(&lab, "v").await;
        let theirs = interface("v", "theirs", "10.0.1.10", &["all"]);
        second.attach(theirs).await.unwrap();
        uplink_addresses();
        lab.expect_open("private", SERVER).await;
        second.cleanup_all().await.unwrap();
        // What is removed is one's own.
        lab.expect_open("private", SERVER).await;
        assert!(lab.machine.has_way_out("private").await.unwrap());
    });
}

#[test]
fn an_uplink_keeps_out_of_the_networks_own_range() {
    on_a_machine(|lab| async move {
        make_internet(&lab);
        let spec = with_default_route(vpc("v", open_to_all()), RouteTarget::NatGateway);
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        let block = uplinks()[0];
        lab.machine.remove_vpc("v").await.unwrap();
        let mut spec = spec;
        let range = Ipv4Net::new(block, 24).unwrap().trunc();
        spec.ranges.push(range);
        lab.machine.apply_vpc(spec).await.unwrap();
        assert!(!range.contains(&uplinks()[0]));
        attach_two(&lab, "v").await;
        lab.expect_open("private", SERVER).await;
    });
}

fn uplinks() -> Vec<Ipv4Addr> {
    let addresses = Links::open().unwrap().all_addresses().unwrap();
    let is_uplink = |address: &Ipv4Addr| crate::uplink::UPLINK_RANGE.contains(address);
    addresses.into_iter().filter(is_uplink).collect()
}

/// Those of two networks.
fn uplink_addresses() -> Vec<Ipv4Addr> {
    let uplinks = uplinks();
    assert_eq!(uplinks.len(), 2);
    uplinks
}
