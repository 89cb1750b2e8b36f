//! Sockets inside an interface's namespace.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use engine::{Fault, Network};

use super::harness::*;

async fn lab_with(lab: &Lab, interfaces: &[(&str, &str, &str)]) {
    let groups = vec![
        group("open", vec![tcp(0, "0.0.0.0/0")], everything()),
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
fn a_socket_listens_inside_at_an_address_of_its_own() {
    on_a_machine(|lab| async move {
        let interfaces = [("a", "10.0.1.10", "mute"), ("b", "10.0.2.10", "mute")];
        lab_with(&lab, &interfaces).await;
        let at = "169.254.170.2:80".parse().unwrap();
        // Each interface has one: the address is not shared.
        for (interface, text) in [("a", "for a"), ("b", "for b")] {
            let listener = lab.machine.listen_inside(interface, at).await.unwrap();
            std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(text.as_bytes()).unwrap();
            });
        }
        for (interface, text) in [("a", "for a"), ("b", "for b")] {
            let answer = lab
                .inside(interface, || {
                    let mut stream = TcpStream::connect(at).unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    answer
                })
                .await;
            assert_eq!(answer, text);
        }
        let again = lab.machine.listen_inside("a", at).await.unwrap();
        let error = lab.machine.listen_inside("a", at).await.unwrap_err();
        assert_eq!(error.fault, Fault::Conflict, "{}", error.chain());
        drop(again);
        let own = "10.0.1.10:81".parse().unwrap();
        lab.machine.listen_inside("a", own).await.unwrap();
        let error = lab.machine.listen_inside("x", at).await.unwrap_err();
        assert_eq!(error.fault, Fault::NotFound);
        let six = "[::1]:80".parse().unwrap();
        let error = lab.machine.listen_inside("a", six).await.unwrap_err();
        assert_eq!(error.fault, Fault::Invalid);
    });
}
