//! Sockets inside an interface's namespace, and beside it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use engine::{Fault, Network};
use socket2::{Domain, Socket, Type};

use super::harness::*;
use crate::links::{LOOPBACK_INDEX, Links, add_address};

async fn lab_with(lab: &Lab, interfaces: &[(&str, &str, &str)]) {
    let groups = vec![
        group("open", vec![tcp(0, "0.0.0.0/0")], everything()),
        group("any", everything(), everything()),
        group("mute", vec![], vec![]),
    ];
    lab.machine.apply_vpc(vpc("v", groups)).await.unwrap();
    for (id, address, group) in interfaces {
        let interface = interface("v", id, address, &[group]);
        lab.machine.attach(interface).await.unwrap();
    }
}

#[test]
fn a_connection_is_made_from_inside() {
    on_a_machine(|lab| async move {
        let interfaces = [
            ("a", "10.0.1.10", "open"),
            ("b", "10.0.2.10", "open"),
            ("c", "10.0.1.11", "mute"),
        ];
        lab_with(&lab, &interfaces).await;
        lab.serve("b", 80).await;
        let there = "10.0.2.10:80".parse().unwrap();
        let mut stream = lab.machine.dial("a", there, PATIENCE_MS).await.unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "10.0.1.10", "the server sees the interface");

        // The group's rules hold for it as for any process inside.
        let error = lab.machine.dial("c", there, PATIENCE_MS).await.unwrap_err();
        assert_eq!(error.fault, Fault::Unreachable);
        let nobody = "10.0.2.10:81".parse().unwrap();
        let error = lab
            .machine
            .dial("a", nobody, PATIENCE_MS)
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::Unreachable);
        assert!(error.message.contains("refused"), "{}", error.message);
        let error = lab.machine.dial("x", there, PATIENCE_MS).await.unwrap_err();
        assert_eq!(error.fault, Fault::NotFound);
    });
}

#[test]
fn datagrams_are_sent_from_inside() {
    on_a_machine(|lab| async move {
        let interfaces = [("a", "10.0.1.10", "any"), ("b", "10.0.2.10", "any")];
        lab_with(&lab, &interfaces).await;
        let nobody = "10.0.1.10:9".parse().unwrap();
        let server = lab.machine.dial_udp("b", nobody).await.unwrap();
        let at = server.local_addr().unwrap();
        let client = lab.machine.dial_udp("a", at).await.unwrap();
        server.connect(client.local_addr().unwrap()).unwrap();
        for socket in [&server, &client] {
            // They are made for a runtime, and this test waits by itself.
            socket.set_nonblocking(false).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
        }
        client.send(b"ping").unwrap();
        let mut bytes = [0; 16];
        assert_eq!(server.recv(&mut bytes).unwrap(), 4);
        server.send(b"pong!").unwrap();
        assert_eq!(client.recv(&mut bytes).unwrap(), 5);
        let error = lab.machine.dial_udp("x", at).await.unwrap_err();
        assert_eq!(error.fault, Fault::NotFound);
    });
}

const DOOR: &str = "169.254.170.2:80";

/// Answers one interface's connections to the door with a text, until the test ends.
async fn open_door(lab: &Lab, interface: &str, text: &'static str) {
    let at = DOOR.parse().unwrap();
    let listener = lab.machine.listen_beside(interface, at).await.unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(text.as_bytes());
        }
    });
}

#[test]
fn each_interface_has_its_own_socket_beside_it_whatever_its_groups_say() {
    on_a_machine(|lab| async move {
        let interfaces = [
            ("a", "10.0.1.10", "mute"),
            ("b", "10.0.2.10", "mute"),
            ("c", "10.0.1.11", "open"),
        ];
        lab_with(&lab, &interfaces).await;
        open_door(&lab, "a", "for a").await;
        open_door(&lab, "b", "for b").await;
        for (interface, text) in [("a", "for a"), ("b", "for b")] {
            let answer = lab.inside(interface, || ask(DOOR)).await;
            assert_eq!(answer.unwrap(), text);
        }
        // One without a door finds nobody there, although others of its network do.
        let answer = lab.inside("c", || ask(DOOR)).await;
        assert!(answer.is_err(), "{answer:?}");

        let at = DOOR.parse().unwrap();
        let error = lab.machine.listen_beside("a", at).await.unwrap_err();
        assert_eq!(error.fault, Fault::Conflict, "{}", error.chain());
        let error = lab.machine.listen_beside("x", at).await.unwrap_err();
        assert_eq!(error.fault, Fault::NotFound);
        let own = "10.0.1.10:80".parse().unwrap();
        let error = lab.machine.listen_beside("a", own).await.unwrap_err();
        assert_eq!(error.fault, Fault::Invalid);
    });
}

#[test]
fn what_is_beside_an_interface_takes_nothing_in_it() {
    on_a_machine(|lab| async move {
        lab_with(&lab, &[("a", "10.0.1.10", "mute")]).await;
        open_door(&lab, "a", "for a").await;
        let found = lab.inside("a", || {
            let addresses = Links::open().unwrap().all_addresses().unwrap();
            let sockets = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
            (addresses, sockets.lines().count() - 1)
        });
        let own = ["127.0.0.1", "10.0.1.10"].map(|it| it.parse().unwrap());
        assert_eq!(found.await, (own.to_vec(), 0));
        let bind = |at: &'static str| move || TcpListener::bind(at);
        let loopback = lab.inside("a", bind("127.0.0.1:80")).await.unwrap();
        drop(loopback);
        let everywhere = lab.inside("a", bind("0.0.0.0:80")).await.unwrap();
        answer(everywhere);
        for own in ["127.0.0.1", "10.0.1.10"] {
            let at = format!("{own}:80");
            let text = lab.inside("a", || ask(&at)).await;
            assert_eq!(text.unwrap(), own, "the program is reached at its own port");
        }
        let text = lab.inside("a", || ask(DOOR)).await;
        assert_eq!(text.unwrap(), "for a");
    });
}

/// Whoever has the power to may say any source address: it gets nothing that is the address's owner's.
#[test]
fn a_false_source_address_opens_nobody_s_door() {
    on_a_machine(|lab| async move {
        let interfaces = [("a", "10.0.1.10", "open"), ("b", "10.0.1.11", "open")];
        lab_with(&lab, &interfaces).await;
        open_door(&lab, "b", "for b").await;
        let connect_as = |source: &'static str| {
            move || {
                let mut links = Links::open().unwrap();
                let address = source.parse().unwrap();
                let there = links.all_addresses().unwrap().contains(&address);
                if !there {
                    let added = vec![add_address(LOOPBACK_INDEX, address, 32)];
                    links.change(added).unwrap();
                }
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                let own: SocketAddr = (address, 0).into();
                socket.bind(&own.into()).unwrap();
                let door: SocketAddr = DOOR.parse().unwrap();
                socket.connect_timeout(&door.into(), Duration::from_millis(PATIENCE_MS))
            }
        };
        let connected = lab.inside("b", connect_as("10.0.1.11")).await;
        assert!(connected.is_ok(), "{connected:?}");
        for source in ["10.0.1.11", "10.0.1.99", "169.254.170.2", "192.0.2.1"] {
            let connected = lab.inside("a", connect_as(source)).await;
            assert!(connected.is_err(), "`{source}` was believed");
        }
    });
}
