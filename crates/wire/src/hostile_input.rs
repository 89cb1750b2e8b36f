//! Hostile messages.

use fuzz::{Target, bucket, shape_of};
use http::Request;

use crate::cbor::read_cbor;
use crate::json_reader::parse_json;
use crate::node::Node;
use crate::query::{read_query, split_form};
use crate::sigv4::Credentials;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// How a tree is built, without its values.
fn outcome(read: Result<Node, String>) -> String {
    match read {
        Ok(node) => structure(&node, 0),
        Err(error) => shape_of(&error),
    }
}

fn structure(node: &Node, depth: usize) -> String {
    let inner = |nodes: &mut dyn Iterator<Item = &Node>| {
        let first = nodes.next().map(|it| structure(it, depth + 1));
        format!("{}{}", first.unwrap_or_default(), bucket(nodes.count()))
    };
    match node {
        _ if depth > 6 => "…".into(),
        Node::List(items) | Node::Items(_, items) => format!("[{}]", inner(&mut items.iter())),
        Node::Map(members) | Node::Form(members) | Node::Dict(members) => {
            format!("{{{}}}", inner(&mut members.iter().map(|it| &it.1)))
        }
        Node::Str(text) => format!("s{}", bucket(text.len())),
        other => format!("{other:?}").chars().take(1).collect(),
    }
}

#[test]
fn fuzz_json() {
    Target::new("json", ROOT)
        .seeds([r#"{"a": [1, -2.5e3, "x\u00e9\n", true, null], "b": {"c": []}}"#])
        .words(["{\"", "\":", "[", "]", "\\u", "\\ud800", "null", "1e5", ","])
        .run(|input| outcome(parse_json(input).map_err(|it| it.message)));
}

#[test]
fn fuzz_cbor() {
    let seed: &[u8] = &[
        0xbf, 0x61, b'a', 0x83, 0x01, 0x20, 0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0x61, b'b', 0xc1,
        0x1a, 0, 0, 0, 1, 0x61, b'c', 0x9f, 0xf5, 0xf6, 0x42, 1, 2, 0xff, 0xff,
    ];
    let words: [&[u8]; 7] = [
        &[0x9f],
        &[0xbf],
        &[0xff],
        &[0x5f],
        &[0x7f],
        &[0x9b, 0xff, 0xff, 0xff, 0xff],
        &[0xbb, 0, 0, 0, 1],
    ];
    Target::new("cbor", ROOT)
        .seeds([seed])
        .words(words)
        .run(|input| outcome(read_cbor(input).map_err(str::to_owned)));
}

#[test]
fn fuzz_form() {
    Target::new("form", ROOT)
        .seeds([
            "Action=CreateVpc&Version=2016-11-15&Filter.1.Name=a&Filter.1.Value.1=b&Filter.1.Value.2=%2F",
            "A.member.1.K=1&A.member.2.K=2&M.entry.1.key=k&M.entry.1.value=v&E=",
        ])
        .words([".1", ".member.1", ".entry.1.key", "&", "=", ".99999999999", "%2", "+"])
        .run(|input| {
            let text = String::from_utf8_lossy(input);
            let read = split_form(&text).and_then(read_query);
            outcome(read.map_err(|it| it.message))
        });
}

#[test]
fn fuzz_credentials() {
    let header = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/ecs/aws4_request, \
                  SignedHeaders=host;x-amz-date, Signature=00";
    Target::new("credentials", ROOT)
        .seeds([
            format!("/?a=b\n{header}\n20260101T000000Z"),
            "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00\n\n".to_owned(),
        ])
        .words(["Credential=", "SignedHeaders=", "Signature=", "/", ", ", "aws4_request"])
        .run(|input| {
            let text = String::from_utf8_lossy(input);
            let mut lines = text.splitn(3, '\n');
            let mut next = || lines.next().unwrap_or_default();
            let request = Request::builder().uri(next());
            let request = request.header("authorization", next()).header("x-amz-date", next());
            match request.body(()) {
                Ok(request) => match Credentials::of(&request.into_parts().0) {
                    Ok(it) => format!("{}", it.session_token.is_some()),
                    Err(doubt) => shape_of(&doubt.to_string()),
                },
                Err(_) => String::new(),
            }
        });
}
