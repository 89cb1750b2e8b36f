//! What the model has and the program has not is refused by name, where it asks for something.

use crate::common::{EC2, JSON, QUERY};
use serde_json::{Value as Json, json};
use wire::{How, Node, Operation, ServiceModel, Shape, Value};

#[derive(Debug, Clone, Default, PartialEq, Shape)]
#[aws(names = "PascalCase")]
struct Part {
    name: Option<String>,
}

macro_rules! input {
    ($input:ident, $part:ident, $service:literal, $style:meta) => {
        #[derive(Debug, Clone, Default, PartialEq, Shape)]
        #[$style]
        #[aws(unbuilt(name = "Zones"))]
        #[aws(unbuilt(name = "Monitored", only = "false"))]
        #[aws(unbuilt(name = "Region", only = "*"))]
        #[aws(unbuilt(name = "Shown", only = "false"))]
        struct $part {
            name: Option<String>,
            shown: Option<bool>,
        }

        #[derive(Debug, Clone, Default, PartialEq, Shape)]
        #[$style]
        struct $input {
            parts: Option<Vec<$part>>,
        }

        impl Operation for $input {
            const SERVICE: &'static str = $service;
            const NAME: &'static str = "Make";
            type Output = Part;
        }
    };
}
input!(
    JsonInput,
    JsonPart,
    "json-service",
    aws(names = "PascalCase")
);
input!(
    QueryInput,
    QueryPart,
    "query-service",
    aws(names = "PascalCase")
);
input!(
    Ec2Input,
    Ec2Part,
    "ec2-service",
    aws(names = "PascalCase", output = "camelCase")
);

#[track_caller]
fn check<I: Operation>(model: &ServiceModel, input: Node, refused: Option<&str>) {
    let read = wire::decode_input::<I>(model, input.clone());
    let message = read.err().map(|it| it.message);
    let expected = refused.map(|it| format!("the parameter {it} is not supported by neargate"));
    assert_eq!(message, expected, "{input:?}");
}

#[track_caller]
fn check_json(part: Json, refused: Option<&str>) {
    check::<JsonInput>(&JSON, wire::read_json(json!({ "Parts": [part] })), refused);
}

fn form(text: &str) -> Node {
    let pairs = text.split('&').filter_map(|it| it.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    wire::read_query(pairs.collect()).unwrap()
}

#[test]
fn json_tells_absent_and_empty_from_what_asks_for_something() {
    for nothing in [json!(null), json!([]), json!({}), json!({ "A": [] })] {
        check_json(json!({ "Zones": nothing }), None);
    }
    for something in [
        json!("a"),
        json!(""),
        json!(0),
        json!(false),
        json!(["a"]),
        json!({ "A": 1 }),
    ] {
        check_json(json!({ "Zones": something }), Some("Parts[0].Zones"));
    }
    // What the model does not know is passed over, as AWS does.
    check_json(json!({ "Unheard": "of" }), None);
}

#[test]
fn a_value_that_changes_nothing_is_let_pass() {
    check_json(
        json!({ "Monitored": false, "Region": { "any": ["thing"] } }),
        None,
    );
    check_json(json!({ "Monitored": { "Value": false } }), None);
    let other = "Parts[0].Monitored with another value than 'false'";
    check_json(json!({ "Monitored": true }), Some(other));
    check_json(json!({ "Monitored": { "Value": true } }), Some(other));
}

#[test]
fn a_member_that_answers_show_is_kept_and_refused() {
    let read = |shown: bool| {
        let input = wire::read_json(json!({ "Parts": [{ "Shown": shown }] }));
        wire::decode_input::<JsonInput>(&JSON, input)
    };
    let parts = read(false).unwrap().parts.unwrap();
    assert_eq!(parts[0].shown, Some(false));
    let refused =
        "the parameter Parts[0].Shown with another value than 'false' is not supported by neargate";
    assert_eq!(read(true).unwrap_err().message, refused);
}

#[test]
fn an_empty_scalar_of_a_form_is_absent() {
    let query = |text: &str, refused| check::<QueryInput>(&QUERY, form(text), refused);
    query("Parts.member.1.Zones=", None);
    query("Parts.member.1.Zones.member=", None);
    query("Parts.member.1.Monitored=False", None);
    query("Parts.member.1.Zones.member.1=a", Some("Parts[0].Zones"));
    let ec2 = |text: &str, refused| check::<Ec2Input>(&EC2, form(text), refused);
    ec2("Parts.1.Zones=", None);
    ec2("Parts.1.Monitored.Value=false", None);
    ec2("Parts.1.Zones.1=a", Some("Parts.1.Zones"));
}

#[test]
fn a_template_is_told_of_it_and_a_store_opens() {
    let part = json!({ "Name": "a", "zones": ["b"], "Monitored": "false" });
    let error = wire::lenient::<JsonPart>(part.clone()).unwrap_err();
    assert_eq!(error.to_string(), "`zones` is not supported by neargate");
    assert!(error.unbuilt().is_some());
    let stored = json!({ "Name": "a", "Zones": ["b"], "Shown": true });
    let read: JsonPart = wire::from_json(stored).unwrap();
    assert_eq!((read.name.as_deref(), read.shown), (Some("a"), Some(true)));
}

#[test]
fn an_outline_says_what_is_taken() {
    let outline = JsonInput::default().get_as(How::Outline { depth: 4 });
    let expected = json!({ "Parts": [{
        "Name": true, "Zones": false, "Monitored": "false", "Region": "*", "Shown": "false",
    }] });
    assert_eq!(wire::write_json(&outline), expected);
}
