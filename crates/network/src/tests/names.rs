//! Names as programs in interfaces' namespaces ask for them.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use engine::{InterfaceSpec, Network, ResolverSpec, RouteTarget};
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};

use super::harness::*;
use crate::links::Links;
use crate::namespaces;

const ON_THE_LOOPBACK: &str = "127.0.0.11";
/// The machine may be busy; nobody waits so long for nothing but a resolver that is not there.
const PATIENCE: Duration = Duration::from_secs(2);
const ON_THE_LINK: &str = "169.254.169.253";

pub fn named(interface: InterfaceSpec, names: &[&str]) -> InterfaceSpec {
    let names = names.iter().map(|it| (*it).to_owned()).collect();
    InterfaceSpec { names, ..interface }
}

/// A network whose groups let nothing through, with a resolver.
fn spec(at: &str) -> engine::VpcSpec {
    let mut vpc = vpc("v", vec![group("mute", vec![], vec![])]);
    vpc.resolver = Some(ResolverSpec {
        at: Some(at.parse().unwrap()),
        address_domain: Some("ec2.internal".into()),
        ..ResolverSpec::default()
    });
    vpc
}

async fn lab_with(lab: &Lab, at: &str) {
    lab.machine.apply_vpc(spec(at)).await.unwrap();
    for (id, address) in [("a", "10.0.1.10"), ("b", "10.0.2.10")] {
        let interface = named(interface("v", id, address, &["mute"]), &[id, "both"]);
        lab.machine.attach(interface).await.unwrap();
    }
}

fn question(name: &str) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(name).unwrap();
    message.add_query(Query::query(name, RecordType::A));
    message.to_vec().unwrap()
}

/// The code of a reply and its addresses.
fn read(reply: &[u8]) -> String {
    let reply = Message::from_vec(reply).unwrap();
    let mut data: Vec<String> = reply.answers.iter().map(|it| it.data.to_string()).collect();
    data.sort();
    let text = format!("{:?} {}", reply.metadata.response_code, data.join(" "));
    text.trim_end().to_owned()
}

/// What a server answers to a program in an interface's namespace, by datagram and by connection. The
/// resolver answers meanwhile, so the program has a thread of its own.
pub async fn look_up(lab: &Lab, interface: &str, server: &'static str, name: &str) -> String {
    let question = question(name);
    let namespace = lab.namespace(interface).await;
    let asking = tokio::task::spawn_blocking(move || {
        namespaces::enter(&namespace, || Ok(ask_both_ways(server, &question)))
    });
    asking.await.unwrap().unwrap()
}

fn ask_both_ways(server: &str, question: &[u8]) -> String {
    match by_datagram(server, question) {
        Ok(answer) => {
            assert_eq!(answer, by_connection(server, question).unwrap());
            answer
        }
        Err(error) => error.kind().to_string(),
    }
}

fn by_datagram(server: &str, question: &[u8]) -> io::Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((server, 53))?;
    socket.send(question)?;
    let mut reply = [0; 4096];
    let length = socket.recv(&mut reply)?;
    Ok(read(&reply[..length]))
}

fn by_connection(server: &str, question: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect((server, 53))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = u16::try_from(question.len()).unwrap();
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(question)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(read(&reply))
}

#[test]
fn names_are_answered_and_no_port_of_the_program_s_is_taken() {
    on_a_machine(|lab| async move {
        lab_with(&lab, ON_THE_LOOPBACK).await;
        let own = lab.inside("a", || {
            let sockets = ["0.0.0.0:53", "127.0.0.1:5353"];
            let udp = sockets.map(|it| UdpSocket::bind(it).unwrap());
            let tcp = sockets.map(|it| TcpListener::bind(it).unwrap());
            (udp, tcp, Links::open().unwrap().all_addresses().unwrap())
        });
        let (_udp, _tcp, addresses) = own.await;
        let expected: [std::net::Ipv4Addr; 2] =
            ["127.0.0.1", "10.0.1.10"].map(|it| it.parse().unwrap());
        assert_eq!(addresses, expected);
        for server in [ON_THE_LOOPBACK, ON_THE_LINK] {
            for (name, expected) in [
                ("b.", "NoError 10.0.2.10"),
                ("a.", "NoError 10.0.1.10"),
                ("both.", "NoError 10.0.1.10 10.0.2.10"),
                ("ip-10-0-9-9.ec2.internal.", "NoError 10.0.9.9"),
            ] {
                assert_eq!(look_up(&lab, "a", server, name).await, expected, "{name}");
            }
            // The network leads nowhere, so nobody else is asked, and nobody waits.
            let began = Instant::now();
            assert_eq!(look_up(&lab, "a", server, "example.com.").await, "ServFail");
            assert!(began.elapsed() < Duration::from_secs(1));
        }
        // The rest of the loopback is still the program's.
        let text = lab.inside("a", || {
            answer(TcpListener::bind("127.0.0.12:80").unwrap());
            ask("127.0.0.12:80")
        });
        assert_eq!(text.await.unwrap(), "127.0.0.1");
    });
}

#[test]
fn names_come_and_go_with_their_interfaces() {
    on_a_machine(|lab| async move {
        const SERVER: &str = "10.0.0.2";
        lab_with(&lab, SERVER).await;
        assert_eq!(look_up(&lab, "a", SERVER, "b.").await, "NoError 10.0.2.10");
        let renamed = named(interface("v", "b", "10.0.2.10", &["mute"]), &["c"]);
        lab.machine.attach(renamed).await.unwrap();
        assert_eq!(look_up(&lab, "a", SERVER, "b.").await, "ServFail");
        assert_eq!(look_up(&lab, "a", SERVER, "c.").await, "NoError 10.0.2.10");
        assert_eq!(
            look_up(&lab, "a", SERVER, "both.").await,
            "NoError 10.0.1.10"
        );
        lab.machine.apply_vpc(spec(SERVER)).await.unwrap();
        assert_eq!(look_up(&lab, "a", SERVER, "c.").await, "NoError 10.0.2.10");
        lab.machine.detach("b").await.unwrap();
        assert_eq!(look_up(&lab, "a", SERVER, "c.").await, "ServFail");

        // Another network has other names, although its addresses are the same.
        let mut other = spec(SERVER);
        other.id = "w".into();
        lab.machine.apply_vpc(other).await.unwrap();
        let there = named(interface("w", "there", "10.0.1.10", &["mute"]), &["x"]);
        lab.machine.attach(there).await.unwrap();
        assert_eq!(look_up(&lab, "there", SERVER, "a.").await, "ServFail");
        assert_eq!(
            look_up(&lab, "there", SERVER, "x.").await,
            "NoError 10.0.1.10"
        );

        // Without a resolver nobody answers, and nobody says that there is none.
        let mut without = spec(SERVER);
        without.resolver = None;
        lab.machine.apply_vpc(without).await.unwrap();
        let answer = look_up(&lab, "a", SERVER, "a.").await;
        assert!(!answer.starts_with("NoError"), "{answer}");
    });
}

#[test]
fn the_names_of_a_network_are_there_for_a_new_daemon() {
    on_a_machine(|lab| async move {
        lab_with(&lab, ON_THE_LOOPBACK).await;
        let mut open = spec(ON_THE_LOOPBACK);
        open = with_default_route(open, RouteTarget::NatGateway);
        lab.machine.apply_vpc(open).await.unwrap();
        let Lab { machine, run } = lab;
        drop(machine);
        // Its sockets close when its tasks are seen to have ended.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let lab = Lab::open(&run);
        let answer = look_up(&lab, "a", ON_THE_LOOPBACK, "b.").await;
        assert_eq!(answer, "NoError 10.0.2.10");
    });
}
