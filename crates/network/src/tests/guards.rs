//! What a guard of a subnet says of each packet.

use engine::{Decision, GuardEntry, GuardSpec, Network, Passage, Protocol, RouteTarget, VpcSpec};

use super::harness::*;
use super::ways_out::{SERVER, make_internet};

const TCP_ANSWERS: Protocol = Protocol::Tcp {
    from: 1024,
    to: 65535,
};

fn port(port: u16) -> Protocol {
    Protocol::Tcp {
        from: port,
        to: port,
    }
}

fn entry(decision: Decision, protocol: Protocol, peer: &str) -> GuardEntry {
    GuardEntry {
        decision,
        protocol,
        peer: peer.parse().unwrap(),
    }
}

fn allow(protocol: Protocol) -> GuardEntry {
    entry(Decision::Allow, protocol, "0.0.0.0/0")
}

fn deny(protocol: Protocol, peer: &str) -> GuardEntry {
    entry(Decision::Deny, protocol, peer)
}

/// A guard of subnet `b`.
fn guard(ingress: Vec<GuardEntry>, egress: Vec<GuardEntry>) -> GuardSpec {
    GuardSpec {
        id: "acl-b".into(),
        subnets: vec!["b".into()],
        passages: vec![],
        ingress,
        egress,
    }
}

fn guarded(guard: GuardSpec) -> VpcSpec {
    let mut vpc = vpc("v", vec![group("all", everything(), everything())]);
    vpc.guards = vec![guard];
    vpc
}

/// A client in `a`, and a server and its neighbour in `b`, which listens at 80 and 81.
async fn attach(lab: &Lab) {
    for (id, address) in [
        ("client", "10.0.1.10"),
        ("server", "10.0.2.10"),
        ("neighbour", "10.0.2.11"),
    ] {
        let interface = interface("v", id, address, &["all"]);
        lab.machine.attach(interface).await.unwrap();
    }
    lab.serve("server", 80).await;
    lab.serve("server", 81).await;
}

#[test]
fn only_what_an_entry_allows_enters_and_only_from_elsewhere() {
    on_a_machine(|lab| async move {
        let open = allow(Protocol::All);
        let mut spec = guarded(guard(vec![allow(port(80))], vec![open.clone()]));
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        attach(&lab).await;
        lab.expect_open("client", "10.0.2.10:80").await;
        lab.expect_silence("client", "10.0.2.10:81").await;
        // Within a subnet nobody stands in between.
        lab.expect_open("neighbour", "10.0.2.10:81").await;
        // The first that matches decides.
        let theirs = deny(Protocol::All, "10.0.1.10/32");
        spec.guards = vec![guard(
            vec![theirs.clone(), open.clone()],
            vec![open.clone()],
        )];
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        lab.expect_silence("client", "10.0.2.10:80").await;
        spec.guards = vec![guard(vec![open.clone(), theirs], vec![open])];
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        lab.expect_open("client", "10.0.2.10:81").await;
        // One that says nothing lets nothing pass; none at all everything.
        spec.guards = vec![guard(vec![], vec![])];
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        lab.expect_silence("client", "10.0.2.10:80").await;
        spec.guards = vec![];
        lab.machine.apply_vpc(spec).await.unwrap();
        lab.expect_open("client", "10.0.2.10:80").await;
    });
}

#[test]
fn an_answer_needs_an_entry_of_its_own() {
    on_a_machine(|lab| async move {
        let mut spec = guarded(guard(vec![allow(port(80))], vec![allow(port(80))]));
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        attach(&lab).await;
        lab.expect_silence("client", "10.0.2.10:80").await;
        spec.guards = vec![guard(vec![allow(port(80))], vec![allow(TCP_ANSWERS)])];
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        lab.expect_open("client", "10.0.2.10:80").await;
        // The other way round: the subnet asks, and nothing comes back in.
        lab.serve("client", 80).await;
        spec.guards = vec![guard(vec![allow(port(80))], vec![allow(Protocol::All)])];
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        lab.expect_silence("server", "10.0.1.10:80").await;
        spec.guards = vec![guard(vec![allow(TCP_ANSWERS)], vec![allow(Protocol::All)])];
        lab.machine.apply_vpc(spec).await.unwrap();
        lab.expect_open("server", "10.0.1.10:80").await;
    });
}

/// Subnet `a` goes out through a gateway in `b`, and both have a guard.
#[test]
fn what_goes_out_through_a_subnet_passes_its_guard_too() {
    on_a_machine(|lab| async move {
        make_internet(&lab);
        let through = |ingress, egress| GuardSpec {
            passages: vec![Passage {
                from: "a".into(),
                to: "0.0.0.0/0".parse().unwrap(),
                but: vec![],
            }],
            ..guard(ingress, egress)
        };
        let answers = || allow(TCP_ANSWERS);
        let both = || vec![allow(port(80)), answers()];
        let shut_to_a = vec![deny(port(80), "10.0.1.0/24"), allow(Protocol::All)];
        let cases = [
            (both(), both(), true),
            // The gateway's answers to the client do not come out of its subnet.
            (both(), vec![allow(port(80))], false),
            // The internet's do not come in.
            (vec![allow(port(80))], both(), false),
            (shut_to_a, both(), false),
        ];
        for (at, (ingress, egress, expect)) in cases.into_iter().enumerate() {
            let spec = guarded(through(ingress, egress));
            let spec = with_default_route(spec, RouteTarget::NatGateway);
            lab.machine.apply_vpc(spec).await.unwrap();
            if at == 0 {
                attach(&lab).await;
            }
            match expect {
                true => lab.expect_open("client", SERVER).await,
                false => lab.expect_silence("client", SERVER).await,
            }
        }
    });
}

#[test]
fn a_way_out_is_none_where_a_guard_does_not_let_https_and_its_answers_pass() {
    on_a_machine(|lab| async move {
        make_internet(&lab);
        let open = || vec![allow(Protocol::All)];
        for (ingress, egress, expect) in [
            (open(), open(), true),
            (open(), vec![allow(port(80))], false),
            (vec![allow(port(443))], open(), false),
            (vec![allow(TCP_ANSWERS)], vec![allow(port(443))], true),
            (
                vec![deny(Protocol::All, "0.0.0.0/0"), allow(TCP_ANSWERS)],
                open(),
                false,
            ),
        ] {
            let spec = guarded(guard(ingress.clone(), egress.clone()));
            let spec = with_default_route(spec, RouteTarget::NatGateway);
            lab.machine.apply_vpc(spec).await.unwrap();
            let server = interface("v", "server", "10.0.2.10", &["all"]);
            lab.machine.attach(server).await.unwrap();
            let found = lab.machine.has_way_out("server").await.unwrap();
            assert_eq!(found, expect, "{ingress:?} {egress:?}");
        }
    });
}

#[test]
fn a_guard_of_an_unknown_subnet_is_refused() {
    on_a_machine(|lab| async move {
        let mut spec = guarded(guard(vec![], vec![]));
        spec.guards[0].subnets.push("c".into());
        let error = lab.machine.apply_vpc(spec).await.unwrap_err();
        assert_eq!(error.fault, engine::Fault::NotFound, "{error}");
    });
}
