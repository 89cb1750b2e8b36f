//! Every generated operation against botocore, the library under the AWS command line: it signs and
//! writes the requests that are read here, and reads the answers that are written here.
//!
//! Needs a Python with the pinned botocore: `NEARGATE_PYTHON`, or the repository's `.venv`, which
//! `bin/test-setup` makes. Without one the test says so and does nothing.

mod operations;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use wire::{Decoder, Failure, Node, Operation, Problem, Protocol, ServiceModel, Shape, Style};

/// An operation with its types taken off.
pub struct Entry {
    module: &'static str,
    model: &'static ServiceModel,
    name: &'static str,
    service: &'static str,
    read_input: fn(Node, Style) -> (Json, Vec<Failure>),
    write_output: fn(Json) -> Node,
}

impl Entry {
    pub const fn of<I: Operation>(model: &'static ServiceModel, module: &'static str) -> Self {
        Self {
            module,
            model,
            name: I::NAME,
            service: I::SERVICE,
            read_input: read_shape::<I>,
            write_output: |json| {
                wire::from_json::<I::Output>(json)
                    .expect("the output fits its shape")
                    .get_node()
            },
        }
    }
}

trait GetNode {
    fn get_node(&self) -> Node;
}
impl<T: Shape> GetNode for T {
    fn get_node(&self) -> Node {
        wire::Value::get(self)
    }
}

/// Reads as the door does; values here are made without regard to limits, so what breaks them is
/// told apart from what does not fit.
fn read_shape<T: Shape>(node: Node, style: Style) -> (Json, Vec<Failure>) {
    let mut cx = Decoder::new(style);
    let mut value = T::default();
    wire::Value::set(&mut value, node, &mut cx);
    let failures = cx
        .finish(())
        .err()
        .map(|error| error.failures)
        .unwrap_or_default();
    let misfits = failures
        .into_iter()
        .filter(|failure| match failure.problem {
            // Form parameters have no way to say that a structure is there and empty.
            Problem::Missing => style == Style::Json,
            Problem::Unknown | Problem::WrongType { .. } | Problem::NotInEnum { .. } => true,
            _ => false,
        });
    (wire::to_json(&value), misfits.collect())
}

fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = std::env::var_os("NEARGATE_PYTHON").map(PathBuf::from);
    let python = given.unwrap_or_else(|| root.join(".venv/bin/python"));
    let found = Command::new(&python)
        .args(["-c", "import botocore"])
        .stderr(Stdio::null())
        .status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIPPED: no Python with botocore; bin/test-setup makes one");
    }
    found.then_some(python)
}

fn oracle(python: &Path, role: &str, operations: &Path, input: &str) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/botocore/oracle.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(role)
        .arg(operations)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_owned();
    // Beside the reading: a full pipe on either side would stop both.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("python ends");
    // The oracle may end before it has read everything; what it printed says why.
    let _ = writer.join().expect("writing does not panic");
    (
        output.status.success(),
        String::from_utf8(output.stdout).expect("python prints UTF-8"),
    )
}

fn head_of(request: &Json) -> http::request::Parts {
    let text = |json: &Json| json.as_str().expect("a text").to_owned();
    let url = text(&request["url"]);
    let path = url
        .strip_prefix("http://127.0.0.1:4566")
        .expect("the endpoint");
    let mut builder = http::Request::builder()
        .method(text(&request["method"]).as_str())
        .uri(path);
    builder = builder.header("host", "127.0.0.1:4566");
    for header in request["headers"].as_array().expect("headers") {
        builder = builder.header(text(&header[0]), text(&header[1]));
    }
    builder.body(()).expect("a good request").into_parts().0
}

fn find_key(key: &str, token: Option<&str>) -> Option<wire::Signer<()>> {
    (key == "AKIDTESTS" && token == Some("a session token"))
        .then(|| wire::Signer::new("a secret/with+signs".into(), ()))
}

fn headers_of<T>(response: &http::Response<T>) -> BTreeMap<String, String> {
    let headers = response.headers().iter();
    headers
        .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
        .collect()
}

/// What the whole way in and out makes of one case.
fn run_case(case: &Json, now: f64) -> Json {
    let (module, name) = (case["module"].as_str(), case["operation"].as_str());
    let entry = operations::OPERATIONS
        .iter()
        .find(|it| Some(it.module) == module && Some(it.name) == name);
    let entry = entry.expect("the oracle was given this table");
    let head = head_of(&case["request"]);
    let body = case["request"]["body"].as_str().expect("a body");
    let door = wire::Door {
        models: shapes::known::SERVICES,
        find_key: &find_key,
        now,
    };
    let received = wire::receive(&head, body.as_bytes(), &door)
        .unwrap_or_else(|it| panic!("{module:?} {name:?}: {it:?}"));
    assert_eq!(
        (received.service.signing_name, received.operation),
        (entry.service, entry.name)
    );
    assert_eq!(received.region, "eu-central-1");
    let style = match entry.model.protocol {
        Protocol::Json { .. } => Style::Json,
        Protocol::Query { .. } => Style::Query,
        _ => Style::Ec2,
    };
    let (input, misfits) = (entry.read_input)(received.input, style);
    assert_eq!(misfits, [], "{module:?} {name:?}");
    let output = (entry.write_output)(case["output"].clone());
    let answer = wire::answer(entry.model.protocol, entry.name, "the-request-id", &output);
    let error = wire::codes::ValidationError.because("v<1>&\"'é \u{2028}+%41/ x");
    let refusal = wire::refuse(entry.model.protocol, "the-request-id", &error);
    json!({
        "input": input,
        "status": answer.status().as_u16(),
        "headers": headers_of(&answer),
        "body": std::str::from_utf8(answer.body()).expect("text"),
        "error_status": refusal.status().as_u16(),
        "error_headers": headers_of(&refusal),
        "error_body": std::str::from_utf8(refusal.body()).expect("text"),
    })
}

#[test]
fn requests_are_read_and_answers_written_as_botocore_does() {
    let Some(python) = python() else { return };
    let table: Vec<_> = operations::OPERATIONS
        .iter()
        .map(|it| json!([it.module, it.service, it.model.api_version, it.name]))
        .collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(Json::from(table).to_string().as_bytes())
        .unwrap();
    let (good, requests) = oracle(&python, "requests", file.path(), "");
    assert!(good, "the oracle failed");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let mut results = String::new();
    for line in requests.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        results.push_str(&run_case(&case, now).to_string());
        results.push('\n');
    }
    assert_eq!(results.lines().count(), operations::OPERATIONS.len() * 2);
    let (good, problems) = oracle(&python, "check", file.path(), &results);
    assert!(
        good,
        "{} differences:\n{problems}",
        problems.lines().count()
    );
}
