//! Signed requests: what is understood, and what is refused once the sender is believed.

use wire::{Door, Node, Received, Refusal, Signer};

use crate::common::MODELS;
use crate::signer::{KEY, NOW, SECRET, signed};

fn send(service: &str, target: &str, body: &[u8]) -> Result<Received<String>, Refusal> {
    let find_key = |key: &str, token: Option<&str>| {
        (key == KEY && token.is_none()).then(|| Signer::new(SECRET.to_owned(), key.to_owned()))
    };
    let door = Door {
        models: MODELS,
        find_key: &find_key,
        now: NOW,
    };
    wire::receive(&signed(service, target, body), body, &door)
}

#[track_caller]
fn check_refused(service: &str, target: &str, body: &[u8], code: &str, status: u16) {
    let error = send(service, target, body)
        .expect_err("it is refused")
        .error;
    assert_eq!(
        (error.code, error.status),
        (code, status),
        "{}",
        error.message
    );
}

#[test]
fn the_operation_the_region_and_the_caller_are_found() {
    for (service, target, body) in [
        (
            "json-service",
            "Json_1.Make",
            br#"{"name": "a"}"#.as_slice(),
        ),
        (
            "query-service",
            "",
            b"Action=Make&Version=query-service&name=a",
        ),
        ("ec2-service", "", b"Action=Make&Version=ec2-service&name=a"),
    ] {
        let received = send(service, target, body).expect("it is understood");
        assert_eq!(
            (received.service.signing_name, received.operation),
            (service, "Make")
        );
        assert_eq!(
            (received.region.as_str(), received.identity.as_str()),
            ("eu-west-1", KEY)
        );
        assert_eq!(received.input.member("name"), Some(&Node::text("a")));
    }
    assert_eq!(
        send("json-service", "Json_1.Make", b"").unwrap().input,
        Node::empty()
    );
}

/// SDKs differ in whether they write the namespace of a service's shapes before its name.
#[test]
fn a_target_names_its_service_by_the_last_dotted_part() {
    for target in ["Json_1.Make", "com.example.Json_1.Make"] {
        let received = send("json-service", target, b"{}").unwrap();
        assert_eq!(received.operation, "Make", "{target}");
    }
}

#[test]
fn operations_that_no_model_knows_are_refused_in_the_services_words() {
    check_refused(
        "json-service",
        "Json_1.Nope",
        b"{}",
        "UnknownOperationException",
        400,
    );
    check_refused(
        "json-service",
        "Other_1.Make",
        b"{}",
        "UnknownOperationException",
        400,
    );
    check_refused("json-service", "", b"{}", "UnknownOperationException", 400);
    check_refused(
        "query-service",
        "",
        b"Action=Nope&Version=query-service",
        "InvalidAction",
        400,
    );
    check_refused(
        "query-service",
        "",
        b"Action=Make&Version=1999-01-01",
        "InvalidAction",
        400,
    );
    check_refused(
        "query-service",
        "",
        b"Version=query-service",
        "MissingAction",
        400,
    );
    check_refused("unheard-of", "Json_1.Make", b"{}", "NotImplemented", 501);
}

#[test]
fn bodies_that_cannot_be_read_are_refused() {
    let deep_json = format!("{{\"a\":{}", "[".repeat(100_000));
    let deep_form = format!("Action=Make&{}=1", ["a"; 1_000].join("."));
    for body in [
        "{",
        "[]",
        "7",
        "nonsense",
        "{\"a\": 1} x",
        deep_json.as_str(),
    ] {
        check_refused(
            "json-service",
            "Json_1.Make",
            body.as_bytes(),
            "SerializationException",
            400,
        );
    }
    check_refused(
        "json-service",
        "Json_1.Make",
        b"{\"a\": \"\xff\"}",
        "SerializationException",
        400,
    );
    for body in [
        "Action=Make&A=%ff",
        "Action=Make&A=1&A.B=1",
        deep_form.as_str(),
    ] {
        check_refused(
            "query-service",
            "",
            body.as_bytes(),
            "MalformedQueryString",
            404,
        );
    }
    check_refused(
        "ec2-service",
        "",
        b"Action=Make&A=\xff",
        "MalformedQueryString",
        404,
    );
}

#[test]
fn a_json_service_is_spoken_to_in_cbor_as_well() {
    let body = [0xa1, 0x64, b'n', b'a', b'm', b'e', 0x61, b'a'];
    let mut head = signed("json-service", "Json_1.Make", &body);
    let protocol = "rpc-v2-cbor".parse().unwrap();
    head.headers.insert("smithy-protocol", protocol);
    let find_key = |_: &str, _: Option<&str>| Some(Signer::new(SECRET.to_owned(), ()));
    let door = Door {
        models: MODELS,
        find_key: &find_key,
        now: NOW,
    };
    let received = wire::receive(&head, &body, &door).expect("it is understood");
    assert_eq!(received.protocol, wire::Protocol::Cbor);
    assert_eq!(received.input.member("name"), Some(&Node::text("a")));
    let head = {
        let mut head = signed("json-service", "Json_1.Make", b"\x81\x00");
        let protocol = "rpc-v2-cbor".parse().unwrap();
        head.headers.insert("smithy-protocol", protocol);
        head
    };
    let refusal = wire::receive(&head, b"\x81\x00", &door).expect_err("it is a list");
    assert_eq!(refusal.error.code, "SerializationException");
}
