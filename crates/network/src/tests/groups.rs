//! What groups allow passes, and nothing else.

use std::net::UdpSocket;
use std::time::Duration;

use engine::{Fault, GroupRule, Network, Peer, Protocol};

use super::harness::*;

/// A balancer that may reach the application on 9292, and a stranger.
async fn site(lab: &Lab) {
    let groups = vec![
        group("balancer", vec![], everything()),
        group("app", vec![tcp(9292, "balancer")], everything()),
        group("stranger", vec![], everything()),
    ];
    lab.machine.apply_vpc(vpc("v", groups)).await.unwrap();
    for (id, address, groups) in [
        ("balancer", "10.0.1.10", ["balancer"]),
        ("app", "10.0.1.11", ["app"]),
        ("app-b", "10.0.2.11", ["app"]),
        ("stranger", "10.0.1.12", ["stranger"]),
    ] {
        let interface = interface("v", id, address, &groups);
        lab.machine.attach(interface).await.unwrap();
    }
    lab.serve("app", 9292).await;
    lab.serve("app", 9293).await;
    lab.serve("app-b", 9292).await;
}

#[test]
fn only_what_the_groups_allow_passes() {
    on_a_machine(|lab| async move {
        site(&lab).await;
        lab.expect_open("balancer", "10.0.1.11:9292").await;
        lab.expect_open("balancer", "10.0.2.11:9292").await;
        lab.expect_silence("balancer", "10.0.1.11:9293").await;
        // The stranger is in the application's own subnet.
        lab.expect_silence("stranger", "10.0.1.11:9292").await;
        lab.expect_silence("app", "10.0.2.11:9292").await;
    });
}

#[test]
fn an_open_port_where_nothing_listens_refuses() {
    on_a_machine(|lab| async move {
        let groups = vec![group("all", everything(), everything())];
        lab.machine.apply_vpc(vpc("v", groups)).await.unwrap();
        for (id, address) in [("one", "10.0.1.10"), ("two", "10.0.1.11")] {
            let interface = interface("v", id, address, &["all"]);
            lab.machine.attach(interface).await.unwrap();
        }
        let error = lab.connect("one", "10.0.1.11:80").await.unwrap_err();
        assert_eq!(error.fault, Fault::Unreachable);
        assert!(error.message.contains("connection refused"), "{error}");
    });
}

#[test]
fn closed_egress_drops() {
    on_a_machine(|lab| async move {
        site(&lab).await;
        let mut spec = vpc(
            "v",
            vec![
                group("balancer", vec![], vec![tcp(80, "app")]),
                group("app", everything(), everything()),
                group("stranger", vec![], vec![tcp(0, "10.0.2.0/24")]),
            ],
        );
        lab.machine.apply_vpc(spec.clone()).await.unwrap();
        lab.expect_silence("balancer", "10.0.1.11:9292").await;
        lab.expect_silence("stranger", "10.0.1.11:9292").await;
        lab.expect_open("stranger", "10.0.2.11:9292").await;
        spec.groups[0].egress = vec![tcp(9292, "app")];
        lab.machine.apply_vpc(spec).await.unwrap();
        lab.expect_open("balancer", "10.0.1.11:9292").await;
    });
}

#[test]
fn whoever_asks_for_neighbours_is_not_remembered() {
    on_a_machine(|lab| async move {
        site(&lab).await;
        let namespace = std::fs::File::open(lab.file("vpc", "v")).unwrap();
        let switch = "/proc/sys/net/ipv4/conf/all/arp_ignore";
        let read = || Ok(std::fs::read_to_string(switch).unwrap());
        let ignored = crate::namespaces::enter(&namespace, read).unwrap();
        assert_eq!(ignored.trim(), "8");
    });
}

#[test]
fn a_borrowed_source_address_is_dropped() {
    on_a_machine(|lab| async move {
        let from_balancer = GroupRule {
            protocol: Protocol::Udp { from: 53, to: 53 },
            peer: Peer::Group("balancer".into()),
        };
        let groups = vec![
            group("balancer", vec![], everything()),
            group("app", vec![from_balancer], everything()),
        ];
        lab.machine.apply_vpc(vpc("v", groups)).await.unwrap();
        for (id, address, groups) in [
            ("balancer", "10.0.1.10", ["balancer"]),
            ("app", "10.0.1.11", ["app"]),
            ("thief", "10.0.1.12", ["app"]),
        ] {
            let interface = interface("v", id, address, &groups);
            lab.machine.attach(interface).await.unwrap();
        }
        let server = lab.inside("app", || bind("0.0.0.0:53")).await;
        // One way only, so that the answer's way plays no part.
        let borrowed = lab
            .inside("thief", || {
                let address = "10.0.1.10".parse().unwrap();
                crate::links::Links::open()
                    .unwrap()
                    .change(vec![crate::links::add_address(1, address, 32)])
                    .unwrap();
                bind("10.0.1.10:1000")
            })
            .await;
        borrowed.send_to(b"?", "10.0.1.11:53").unwrap();
        assert!(server.recv(&mut [0; 8]).is_err(), "it came through");
        let owned = lab.inside("balancer", || bind("10.0.1.10:1000")).await;
        owned.send_to(b"?", "10.0.1.11:53").unwrap();
        server.recv(&mut [0; 8]).unwrap();
    });
}

fn bind(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    let patience = Duration::from_millis(PATIENCE_MS);
    socket.set_read_timeout(Some(patience)).unwrap();
    socket
}

#[test]
fn membership_changes_at_once() {
    on_a_machine(|lab| async move {
        site(&lab).await;
        let mut stranger = interface("v", "stranger", "10.0.1.12", &["stranger", "balancer"]);
        lab.machine.attach(stranger.clone()).await.unwrap();
        lab.expect_open("stranger", "10.0.1.11:9292").await;
        stranger.groups = vec!["stranger".into()];
        lab.machine.attach(stranger).await.unwrap();
        lab.expect_silence("stranger", "10.0.1.11:9292").await;
        lab.expect_open("balancer", "10.0.1.11:9292").await;
    });
}

#[test]
fn rules_change_at_once() {
    on_a_machine(|lab| async move {
        site(&lab).await;
        let groups = |ingress| {
            vec![
                group("balancer", vec![], everything()),
                group("app", ingress, everything()),
                group("stranger", vec![], everything()),
            ]
        };
        let to_range = GroupRule {
            protocol: Protocol::Tcp {
                from: 9290,
                to: 9292,
            },
            peer: Peer::Range("10.0.1.12/32".parse().unwrap()),
        };
        lab.machine
            .apply_vpc(vpc("v", groups(vec![to_range])))
            .await
            .unwrap();
        lab.expect_open("stranger", "10.0.1.11:9292").await;
        lab.expect_silence("stranger", "10.0.1.11:9293").await;
        lab.expect_silence("balancer", "10.0.1.11:9292").await;
    });
}

#[test]
fn udp_has_rules_of_its_own() {
    on_a_machine(|lab| async move {
        client_and_server(&lab, Protocol::Udp { from: 53, to: 53 }).await;
        lab.serve("server", 53).await;
        let allowed = lab.inside("server", || bind("0.0.0.0:53")).await;
        let other = lab.inside("server", || bind("0.0.0.0:54")).await;
        let client = lab.inside("client", || bind("0.0.0.0:0")).await;
        for server in [&allowed, &other] {
            let port = server.local_addr().unwrap().port();
            client.send_to(b"?", ("10.0.1.11", port)).unwrap();
        }
        assert!(allowed.recv(&mut [0; 8]).is_ok());
        assert!(other.recv(&mut [0; 8]).is_err());
        lab.expect_silence("client", "10.0.1.11:53").await;
        assert!(!lab.inside("client", || ping("10.0.1.11")).await);
    });
}

#[test]
fn icmp_has_rules_of_its_own() {
    on_a_machine(|lab| async move {
        client_and_server(&lab, Protocol::Icmp).await;
        lab.serve("server", 53).await;
        assert!(lab.inside("client", || ping("10.0.1.11")).await);
        assert!(!lab.inside("server", || ping("10.0.1.10")).await);
        lab.expect_silence("client", "10.0.1.11:53").await;
    });
}

#[test]
fn icmp_may_be_of_one_type_and_code() {
    on_a_machine(|lab| async move {
        // What was let in once is known afterwards: the answers come last.
        for (kind, code, expect) in [
            (13, None, false),
            (8, Some(1), false),
            (8, Some(0), true),
            (8, None, true),
        ] {
            client_and_server(&lab, Protocol::IcmpOf { kind, code }).await;
            let answered = lab.inside("client", || ping("10.0.1.11")).await;
            assert_eq!(answered, expect, "{kind} {code:?}");
        }
    });
}

#[test]
fn a_protocol_may_be_a_number() {
    on_a_machine(|lab| async move {
        client_and_server(&lab, Protocol::Other(libc::IPPROTO_TCP as u8)).await;
        lab.serve("server", 53).await;
        lab.expect_open("client", "10.0.1.11:53").await;
        assert!(!lab.inside("client", || ping("10.0.1.11")).await);
    });
}

/// A client that may send anything and a server that takes one protocol.
async fn client_and_server(lab: &Lab, protocol: Protocol) {
    let allowed = GroupRule {
        protocol,
        peer: Peer::Range("10.0.0.0/16".parse().unwrap()),
    };
    let groups = vec![
        group("client", vec![], everything()),
        group("server", vec![allowed], everything()),
    ];
    lab.machine.apply_vpc(vpc("v", groups)).await.unwrap();
    for (id, address) in [("client", "10.0.1.10"), ("server", "10.0.1.11")] {
        let interface = interface("v", id, address, &[id]);
        lab.machine.attach(interface).await.unwrap();
    }
}

/// Whether an echo request is answered.
fn ping(to: &str) -> bool {
    use nix::sys::socket::*;
    use std::os::fd::AsRawFd;
    let (raw, icmp) = (SockType::Raw, SockProtocol::Icmp);
    let socket = socket(AddressFamily::Inet, raw, SockFlag::empty(), icmp).unwrap();
    let patience = nix::sys::time::TimeVal::new(0, PATIENCE_MS as i64 * 1000);
    setsockopt(&socket, sockopt::ReceiveTimeout, &patience).unwrap();
    // Type 8, code 0, its checksum, then an id and a number of zero.
    let request = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    let to = SockaddrIn::from(std::net::SocketAddrV4::new(to.parse().unwrap(), 0));
    sendto(socket.as_raw_fd(), &request, &to, MsgFlags::empty()).unwrap();
    recv(socket.as_raw_fd(), &mut [0; 64], MsgFlags::empty()).is_ok()
}
