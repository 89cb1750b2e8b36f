//! What the door answers, before any operation runs.

use crate::common::{EC2, JSON, MODELS, QUERY};
use http::Request;
use http::request::{Builder, Parts};
use wire::{Door, Node, Protocol, Refusal, Signer, codes};

const NOW: f64 = 1_795_350_896.0;

fn scope(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=KEY/20261122/us-east-1/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-target, Signature={}",
        "0".repeat(64)
    )
}

fn head(build: impl FnOnce(Builder) -> Builder) -> Parts {
    build(
        Request::builder()
            .method("POST")
            .uri("/")
            .header("host", "h"),
    )
    .body(())
    .unwrap()
    .into_parts()
    .0
}

fn signed(service: &str, time: &str) -> Parts {
    head(|it| {
        it.header("authorization", scope(service))
            .header("x-amz-date", time)
    })
}

fn knock(head: &Parts, body: &[u8], secret: Option<&str>) -> Refusal {
    let find_key = |_: &str, _: Option<&str>| secret.map(|it| Signer::new(it.to_owned(), ()));
    let door = Door {
        models: MODELS,
        find_key: &find_key,
        now: NOW,
    };
    wire::receive(head, body, &door).expect_err("it is refused")
}

#[track_caller]
fn check(refusal: Refusal, code: &str, status: u16) {
    assert_eq!(
        (refusal.error.code, refusal.error.status),
        (code, status),
        "{:?}",
        refusal.error
    );
}

#[test]
fn each_protocol_has_its_own_words_for_a_bad_signature() {
    let time = "20261122T123456Z";
    for (service, unknown_key, wrong_signature) in [
        (
            "json-service",
            ("UnrecognizedClientException", 400),
            ("InvalidSignatureException", 400),
        ),
        (
            "query-service",
            ("InvalidClientTokenId", 403),
            ("SignatureDoesNotMatch", 403),
        ),
        ("ec2-service", ("AuthFailure", 401), ("AuthFailure", 401)),
    ] {
        let head = signed(service, time);
        check(knock(&head, b"", None), unknown_key.0, unknown_key.1);
        check(
            knock(&head, b"", Some("secret")),
            wrong_signature.0,
            wrong_signature.1,
        );
    }
}

#[test]
fn an_unsigned_request_is_refused_in_the_words_of_its_form() {
    let target = head(|it| it.header("x-amz-target", "Json_1.Make"));
    let refusal = knock(&target, b"{}", Some("secret"));
    assert_eq!(refusal.protocol, JSON.protocol);
    check(refusal, "MissingAuthenticationTokenException", 400);
    let form = head(|it| it.header("content-type", "application/x-www-form-urlencoded"));
    let refusal = knock(&form, b"Action=Make&Version=query-service", Some("secret"));
    assert_eq!(refusal.protocol, QUERY.protocol);
    check(refusal, "MissingAuthenticationToken", 403);
    let refusal = knock(&form, b"Action=Make&Version=ec2-service", Some("secret"));
    assert_eq!(refusal.protocol, EC2.protocol);
    check(refusal, "MissingParameter", 400);
    let page = knock(&head(|it| it), b"", Some("secret"));
    assert_eq!(page.protocol, Protocol::S3);
    check(page, "AccessDenied", 403);
}

/// Some operations are signed by nobody on AWS: what is not built of them is not said to lack a signature.
#[test]
fn an_operation_that_nobody_signs_is_named() {
    let form = head(|it| it.header("content-type", "application/x-www-form-urlencoded"));
    let refusal = knock(&form, b"Action=Destroy&Version=query-service", None);
    assert_eq!(refusal.protocol, QUERY.protocol);
    assert_eq!(
        refusal.error.message,
        "query-service:Destroy is not supported by neargate"
    );
    check(refusal, "NotImplemented", 501);
}

/// A client reads a refusal in the protocol of the service that it asked.
#[test]
fn an_unknown_service_is_refused_in_the_protocol_that_its_clients_read() {
    let rest = head(|it| {
        it.header("authorization", scope("elsewhere"))
            .header("x-amz-date", "20261122T123456Z")
    });
    assert_eq!(knock(&rest, b"", None).protocol, Protocol::RestJson);
    let error = codes::NotImplemented.because("no");
    let body = |protocol| {
        let answer = wire::refuse(protocol, "id", &error);
        String::from_utf8(answer.into_body().to_vec()).unwrap()
    };
    assert!(body(Protocol::RestXml).contains("<ErrorResponse><Error><Type>Receiver</Type><Code>"));
    assert!(body(Protocol::S3).contains("?>\n<Error><Code>NotImplemented</Code>"));
}

#[test]
fn incomplete_signatures_say_what_is_missing() {
    let no_date = head(|it| it.header("authorization", scope("query-service")));
    check(
        knock(&no_date, b"", Some("secret")),
        "IncompleteSignature",
        400,
    );
    let bare = head(|it| it.header("authorization", "AWS4-HMAC-SHA256 Credential=x"));
    check(
        knock(&bare, b"", Some("secret")),
        "IncompleteSignature",
        400,
    );
    let other_day = head(|it| {
        it.header("authorization", scope("json-service"))
            .header("x-amz-date", "20261121T000000Z")
            .header("x-amz-target", "Json_1.Make")
    });
    check(
        knock(&other_day, b"", Some("secret")),
        "IncompleteSignatureException",
        400,
    );
}

#[test]
fn errors_are_written_as_each_protocol_has_them() {
    let error = wire::codes::AccessDenied
        .because("no <way>")
        .with("Detail", Node::text("d"));
    let text = |protocol: Protocol| {
        let answer = wire::refuse(protocol, "id-1", &error);
        assert_eq!(answer.status(), 403);
        assert_eq!(answer.headers()["x-amzn-requestid"], "id-1");
        let content_type = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        (
            content_type,
            String::from_utf8(answer.into_body().to_vec()).unwrap(),
        )
    };
    assert_eq!(
        text(JSON.protocol),
        (
            "application/x-amz-json-1.1".into(),
            r#"{"Detail":"d","__type":"AccessDenied","message":"no <way>"}"#.into()
        )
    );
    assert_eq!(
        wire::refuse(JSON.protocol, "id-1", &error).headers()["x-amzn-errortype"],
        "AccessDenied"
    );
    assert_eq!(
        text(QUERY.protocol),
        (
            "text/xml".into(),
            "<ErrorResponse xmlns=\"urn:query\"><Error><Type>Sender</Type><Code>AccessDenied</Code>\
             <Message>no &lt;way&gt;</Message><Detail>d</Detail></Error><RequestId>id-1</RequestId></ErrorResponse>"
                .into()
        )
    );
    assert_eq!(
        text(EC2.protocol),
        (
            "text/xml;charset=UTF-8".into(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>AccessDenied</Code>\
             <Message>no &lt;way&gt;</Message><Detail>d</Detail></Error></Errors><RequestID>id-1</RequestID></Response>"
                .into()
        )
    );
}

#[test]
fn answers_are_written_as_each_protocol_has_them() {
    let output = Node::Map(vec![("Names".into(), Node::List(vec![Node::text("a")]))]);
    let text = |service: &wire::ServiceModel| {
        String::from_utf8(
            wire::answer(service.protocol, "Make", "id-1", &output)
                .into_body()
                .to_vec(),
        )
        .unwrap()
    };
    assert_eq!(text(&JSON), r#"{"Names":["a"]}"#);
    assert_eq!(
        text(&QUERY),
        "<MakeResponse xmlns=\"urn:query\"><MakeResult><Names><member>a</member></Names></MakeResult>\
         <ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></MakeResponse>"
    );
    assert_eq!(
        text(&EC2),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MakeResponse xmlns=\"urn:ec2\"><requestId>id-1</requestId>\
         <Names><item>a</item></Names></MakeResponse>"
    );
}

#[test]
fn a_client_that_speaks_cbor_can_read_its_refusal() {
    let head = head(|it| {
        it.uri("/service/Json/operation/Make")
            .header("smithy-protocol", "rpc-v2-cbor")
    });
    let refusal = knock(&head, b"\xa0", Some("secret"));
    assert_eq!(refusal.protocol, Protocol::Cbor);
    let answer = wire::refuse(refusal.protocol, "id-1", &refusal.error);
    assert_eq!(answer.headers()["smithy-protocol"], "rpc-v2-cbor");
    assert!(
        answer
            .body()
            .starts_with(b"\xa2\x66__type\x78\x23MissingAuthenticationTokenException")
    );
}

#[test]
fn a_client_that_knows_the_codes_of_forms_gets_them() {
    const GONE: wire::ErrorCode =
        wire::ErrorCode::modelled("GoneFault", "Gone", 404, wire::Fault::Sender);
    for protocol in [JSON.protocol, Protocol::Cbor] {
        let answer = wire::refuse(protocol, "id-1", &GONE.because("it is gone"));
        assert_eq!(answer.headers()["x-amzn-query-error"], "Gone;Sender");
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(body.contains("GoneFault"), "{body}");
    }
    let answer = wire::refuse(
        JSON.protocol,
        "id-1",
        &wire::codes::ValidationException.because(""),
    );
    assert_eq!(answer.headers().get("x-amzn-query-error"), None);
}

fn admitted(head: &Parts, secret: Option<&str>, now: f64) -> Result<wire::Admission, Refusal> {
    let find_key = |_: &str, _: Option<&str>| secret.map(|it| Signer::new(it.to_owned(), ()));
    let door = Door {
        models: MODELS,
        find_key: &find_key,
        now,
    };
    wire::admit(head, &door)
}

#[test]
fn the_head_alone_is_refused_for_what_it_lacks() {
    let time = "20261122T123456Z";
    let good = signed("json-service", time);
    let admission = admitted(&good, Some("secret"), NOW).unwrap();
    assert_eq!(admission.body_bytes_max, wire::MAX_BODY_BYTES);
    let form = admitted(&signed("ec2-service", time), Some("secret"), NOW).unwrap();
    assert!(form.body_bytes_max < wire::MAX_BODY_BYTES);
    let unknown = admitted(&signed("no-service", time), Some("secret"), NOW).unwrap();
    assert_eq!(unknown.body_bytes_max, wire::UNBELIEVED_BODY_BYTES_MAX);
    for (head, secret, now, code) in [
        (
            head(|it| it.header("x-amz-target", "Json_1.Make")),
            Some("secret"),
            NOW,
            "MissingAuthenticationTokenException",
        ),
        (good.clone(), None, NOW, "UnrecognizedClientException"),
        (
            good.clone(),
            Some("secret"),
            NOW + 901.0,
            "InvalidSignatureException",
        ),
        (
            good.clone(),
            Some("secret"),
            NOW - 901.0,
            "InvalidSignatureException",
        ),
    ] {
        let refusal = admitted(&head, secret, now).unwrap_err();
        assert_eq!(refusal.error.code, code);
    }
    let mut more = good;
    more.headers.insert("x-amz-more", "1".parse().unwrap());
    let refusal = admitted(&more, Some("secret"), NOW).unwrap_err();
    assert_eq!(refusal.error.code, "IncompleteSignatureException");
}

/// A key that goes while the body comes: the look at the head yields nobody.
#[test]
fn a_key_that_is_gone_when_the_body_is_there_lets_nobody_in() {
    let body = b"{}";
    let head = crate::signer::signed("json-service", "Json_1.Make", body);
    let looks = std::cell::Cell::new(0);
    let once = |_: &str, _: Option<&str>| {
        looks.set(looks.get() + 1);
        (looks.get() == 1).then(|| Signer::new(crate::signer::SECRET.to_owned(), "ann"))
    };
    let door = Door {
        models: MODELS,
        find_key: &once,
        now: crate::signer::NOW,
    };
    assert!(wire::admit(&head, &door).is_ok());
    let refusal = wire::receive(&head, body, &door).expect_err("its key is gone");
    check(refusal, "UnrecognizedClientException", 400);
}
