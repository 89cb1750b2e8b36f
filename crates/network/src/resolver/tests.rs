//! What is answered to which question, without a socket.

use std::net::{IpAddr, Ipv4Addr};

use engine::ResolverSpec;
use fuzz::Target;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};

use super::Names;
use super::answer::{Outcome, Transport, answer};

const ASKER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 10));

fn names(leads_out: bool) -> Names {
    let spec = ResolverSpec {
        address_domain: Some("ec2.internal".into()),
        interface_domain: Some("Shop".into()),
        ..ResolverSpec::default()
    };
    let mut names = Names::new(&spec, vec!["10.0.0.0/16".parse().unwrap()], leads_out);
    let mut put = |address: &str, all: &[&str]| {
        let all: Vec<String> = all.iter().map(|it| (*it).to_owned()).collect();
        names.put(address.parse().unwrap(), &all);
    };
    put("10.0.1.10", &["web", "0123456789ab", "front"]);
    put("10.0.1.11", &["Second", "front"]);
    put("10.0.1.12", &["gone"]);
    put("10.0.1.12", &[]);
    let aliases = [("DB", "Second"), ("nobody", "not-there")];
    let aliases = aliases.map(|(alias, name)| (alias.to_owned(), name.to_owned()));
    names.put_aliases(Ipv4Addr::new(10, 0, 1, 10), &aliases.into());
    names
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// What comes of a question: its code and the data of its answers; or that somebody else is asked.
fn outcome(message: &Message, names: &Names) -> String {
    let bytes = message.to_vec().unwrap();
    match answer(&bytes, Transport::Datagram, ASKER, std::iter::once(names)) {
        Outcome::Reply(reply) => {
            let reply = Message::from_vec(&reply).unwrap();
            let asked = &message.metadata;
            assert_eq!(reply.metadata.id, asked.id);
            assert_eq!(reply.metadata.message_type, MessageType::Response);
            let mut data: Vec<String> =
                reply.answers.iter().map(|it| it.data.to_string()).collect();
            data.sort();
            format!("{:?} {}", reply.metadata.response_code, data.join(" "))
                .trim_end()
                .to_owned()
        }
        Outcome::Ask(_) => "asks".to_owned(),
        Outcome::Silence => "silence".to_owned(),
    }
}

#[test]
fn what_one_calls_another_is_its_own_name_for_it() {
    check("db", RecordType::A, "NoError 10.0.1.11");
    check("nobody", RecordType::A, "asks");
    let bytes = question("db", RecordType::A).to_vec().unwrap();
    let other = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 11));
    let networks = std::iter::once(names(true)).map(Box::new);
    let answered = answer(&bytes, Transport::Datagram, other, networks);
    assert!(matches!(answered, Outcome::Ask(_)));
}

fn check(name: &str, kind: RecordType, expect: &str) {
    let got = outcome(&question(name, kind), &names(true));
    assert_eq!(got, expect, "{name} {kind}");
}

#[test]
fn interfaces_are_found_by_their_names() {
    check("web.", RecordType::A, "NoError 10.0.1.10");
    check("WEB.", RecordType::A, "NoError 10.0.1.10");
    check("second.shop.", RecordType::A, "NoError 10.0.1.11");
    check("0123456789ab.", RecordType::A, "NoError 10.0.1.10");
    check("front.", RecordType::A, "NoError 10.0.1.10 10.0.1.11");
    check("front.", RecordType::ANY, "NoError 10.0.1.10 10.0.1.11");
    // The name is there: a resolver that asks for both kinds must not take it for missing.
    check("web.", RecordType::AAAA, "NoError");
    check("web.", RecordType::MX, "NoError");
    check("gone.", RecordType::A, "asks");
    check("web.example.com.", RecordType::A, "asks");
}

#[test]
fn addresses_are_found_by_what_they_are_called() {
    check(
        "ip-10-0-1-23.ec2.internal.",
        RecordType::A,
        "NoError 10.0.1.23",
    );
    check(
        "IP-10-0-1-23.EC2.Internal.",
        RecordType::A,
        "NoError 10.0.1.23",
    );
    // Never somebody else's to say.
    for name in [
        "ip-10-1-1-23",
        "ip-10-0-1",
        "ip-10-0-1-256",
        "db",
        "a.ip-10-0-1-23",
    ] {
        check(&format!("{name}.ec2.internal."), RecordType::A, "NXDomain");
    }
    check("ec2.internal.", RecordType::A, "NXDomain");
    check(
        "ip-10-0-1-23.ec2.internal.example.com.",
        RecordType::A,
        "asks",
    );
    check("notec2.internal.", RecordType::A, "asks");
}

#[test]
fn names_are_found_by_address() {
    let ptr = |name: &str, expect: &str| check(name, RecordType::PTR, expect);
    ptr("10.1.0.10.in-addr.arpa.", "NoError web.shop.");
    ptr(
        "23.1.0.10.IN-ADDR.arpa.",
        "NoError ip-10-0-1-23.ec2.internal.",
    );
    ptr("1.2.0.192.in-addr.arpa.", "asks");
    ptr("1.0.10.in-addr.arpa.", "asks");
    ptr("x.1.0.10.in-addr.arpa.", "asks");
}

#[test]
fn what_leads_nowhere_is_refused_at_once() {
    let closed = names(false);
    let ask = |name: &str| outcome(&question(name, RecordType::A), &closed);
    assert_eq!(ask("example.com."), "ServFail");
    assert_eq!(ask("web."), "NoError 10.0.1.10");

    let mut message = question("web.", RecordType::A);
    message.queries[0].query_class = DNSClass::CH;
    assert_eq!(outcome(&message, &closed), "Refused");
    message.queries.clear();
    assert_eq!(outcome(&message, &closed), "FormErr");
    let mut message = question("web.", RecordType::A);
    message.metadata.op_code = OpCode::Update;
    assert_eq!(outcome(&message, &closed), "NotImp");
    message.metadata.message_type = MessageType::Response;
    assert_eq!(outcome(&message, &closed), "silence");
}

#[test]
fn an_answer_that_does_not_fit_says_so() {
    let mut names = names(true);
    for last in 0..100 {
        let address = Ipv4Addr::new(10, 0, 2, last);
        names.put(address, &["many".to_owned()]);
    }
    let reply = |message: &Message, transport| {
        let bytes = message.to_vec().unwrap();
        match answer(&bytes, transport, ASKER, std::iter::once(&names)) {
            Outcome::Reply(reply) => (reply.len(), Message::from_vec(&reply).unwrap()),
            _ => panic!("no reply"),
        }
    };
    let mut message = question("many.", RecordType::A);
    let (length, short) = reply(&message, Transport::Datagram);
    assert!(length <= 512 && short.metadata.truncation, "{length}");
    let (_, whole) = reply(&message, Transport::Connection);
    assert_eq!(
        (whole.answers.len(), whole.metadata.truncation),
        (100, false)
    );
    let mut edns = Edns::new();
    edns.set_max_payload(65_000);
    message.set_edns(edns);
    let (length, longer) = reply(&message, Transport::Datagram);
    assert!((513..=1232).contains(&length), "{length}");
    assert!(longer.metadata.truncation && longer.edns.is_some());
    assert!(short.answers.len() > 20 && longer.answers.len() > 60);
}

/// What is passed on is what was asked, and what comes back is believed only if it answers just that.
#[test]
fn only_the_answer_to_the_question_is_passed_on() {
    let message = question("example.com.", RecordType::A);
    let bytes = message.to_vec().unwrap();
    let Outcome::Ask(asked) = answer(
        &bytes,
        Transport::Datagram,
        ASKER,
        std::iter::once(&names(true)),
    ) else {
        panic!("nobody is asked");
    };
    let ours = asked.in_our_words().unwrap();
    let read = Message::from_vec(&ours).unwrap();
    assert_eq!(read.queries, message.queries);
    assert!(read.metadata.recursion_desired);

    let mut good = read.clone();
    good.metadata.message_type = MessageType::Response;
    let passed = asked.passed_on(&ours, &good.to_vec().unwrap()).unwrap();
    assert_eq!(Message::from_vec(&passed).unwrap().metadata.id, 7);

    let bad = |change: &dyn Fn(&mut Message)| {
        let mut bad = good.clone();
        change(&mut bad);
        asked.passed_on(&ours, &bad.to_vec().unwrap()).is_none()
    };
    assert!(bad(&|it| it.metadata.id ^= 1), "another id");
    assert!(bad(&|it| it.metadata.message_type = MessageType::Query));
    assert!(bad(&|it| it.queries[0].query_type = RecordType::AAAA));
    let name = Name::from_ascii("example.org.").unwrap();
    assert!(bad(&|it| it.queries[0].name = name.clone()));
    assert!(asked.passed_on(&ours, &[]).is_none());
    assert!(asked.passed_on(&ours, &ours[..14]).is_none());
    // One that is longer than was asked for does not reach who asked.
    let mut long = good.to_vec().unwrap();
    long.resize(4096, 0);
    let cut = Message::from_vec(&asked.passed_on(&ours, &long).unwrap()).unwrap();
    assert!(cut.metadata.truncation && cut.metadata.response_code == ResponseCode::NoError);
}

#[test]
fn fuzz_dns() {
    let known = names(true);
    let mut with_edns = question("ip-10-0-1-23.ec2.internal.", RecordType::A);
    with_edns.set_edns(Edns::new());
    let seeds = [
        question("web.shop.", RecordType::A),
        question("10.1.0.10.in-addr.arpa.", RecordType::PTR),
        question("example.com.", RecordType::AAAA),
        with_edns,
    ];
    Target::new("dns", env!("CARGO_MANIFEST_DIR"))
        .seeds(seeds.map(|it| it.to_vec().unwrap()))
        .words([
            &b"\xc0\x0c"[..],
            b"\x00\x29",
            b"\x03web",
            b"\x00\x0c\x00\x01",
            b"\x04arpa",
        ])
        .run(
            |input| match answer(input, Transport::Datagram, ASKER, std::iter::once(&known)) {
                Outcome::Reply(reply) => {
                    assert!(reply.len() <= 1232);
                    let read = Message::from_vec(&reply).expect("what is said is well formed");
                    format!("{:?} {}", read.metadata.response_code, read.answers.len())
                }
                Outcome::Ask(asked) => {
                    let ours = asked.in_our_words();
                    let ours = ours.unwrap_or_default();
                    let passed = asked.passed_on(&ours, input).is_some();
                    format!("asks {} {passed}", ours.is_empty())
                }
                Outcome::Silence => "silence".to_owned(),
            },
        );
}
