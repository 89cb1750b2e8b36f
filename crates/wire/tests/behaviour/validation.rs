//! Input that its model forbids gets AWS's own words, in each protocol.

use crate::common::{EC2, JSON, QUERY, ec2_service, json_service, query_service};
use serde_json::{Value as Json, json};
use wire::{Constraints, ErrorCode, OwnRefusal, ServiceModel, Words};

#[track_caller]
fn check_json(input: Json, code: &str, message: &str) {
    let error =
        wire::decode_input::<json_service::MakeInput>(&JSON, wire::read_json(input)).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (code, message));
}

fn form(text: &str) -> wire::Node {
    let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap());
    wire::read_query(
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    )
    .unwrap()
}

#[track_caller]
fn check_query(input: &str, code: &str, message: &str) {
    let error = wire::decode_input::<query_service::MakeInput>(&QUERY, form(input)).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (code, message));
}

#[track_caller]
fn check_ec2(input: &str, code: &str, message: &str) {
    let error = wire::decode_input::<ec2_service::MakeInput>(&EC2, form(input)).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (code, message));
}

#[test]
fn json_services_speak_of_constraints() {
    let code = "ValidationException";
    check_json(
        json!({}),
        code,
        "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null",
    );
    check_json(
        json!({"name": ""}),
        code,
        "2 validation errors detected: Value '' at 'name' failed to satisfy constraint: Member must have length \
         greater than or equal to 1; Value '' at 'name' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: [a-z]+",
    );
    check_json(
        json!({"name": "abcdefghi"}),
        code,
        "1 validation error detected: Value 'abcdefghi' at 'name' failed to satisfy constraint: Member must have \
         length less than or equal to 8",
    );
    check_json(
        json!({"name": "a", "port": 0, "colour": "BLUE"}),
        code,
        "2 validation errors detected: Value '0' at 'port' failed to satisfy constraint: Member must have value \
         greater than or equal to 1; Value 'BLUE' at 'colour' failed to satisfy constraint: Member must satisfy \
         enum value set: [RED, GREEN]",
    );
    check_json(
        json!({"name": "a", "names": ["a", "B"], "tags": [{"key": "k"}, {}]}),
        code,
        "2 validation errors detected: Value 'B' at 'names.2.member' failed to satisfy constraint: Member must \
         satisfy regular expression pattern: [a-z]+; Value null at 'tags.2.member.key' failed to satisfy \
         constraint: Member must not be null",
    );
    check_json(
        json!({"name": "a", "secret": "HUSH"}),
        code,
        "1 validation error detected: Value at 'secret' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: [a-z]+",
    );
}

#[test]
fn wrong_types_end_a_request_before_its_constraints() {
    let code = "SerializationException";
    check_json(
        json!({"name": 1}),
        code,
        "NUMBER_VALUE can not be converted to a String at 'name'",
    );
    check_json(
        json!({"port": "80"}),
        code,
        "STRING_VALUE can not be converted to an Integer at 'port'",
    );
    check_json(
        json!({"name": "a", "names": "b"}),
        code,
        "STRING_VALUE can not be converted to a List at 'names'",
    );
    check_json(
        json!({"name": "a", "port": 5_000_000_000_i64}),
        code,
        "NUMBER_VALUE can not be converted to an Integer at 'port'",
    );
}

#[test]
fn json_services_pass_over_what_they_do_not_know() {
    let input = wire::read_json(json!({"name": "a", "later": {"deep": [1]}, "port": null}));
    let input: json_service::MakeInput = wire::decode_input(&JSON, input).unwrap();
    assert_eq!((input.name.as_str(), input.port), ("a", None));
}

#[test]
fn query_services_speak_of_constraints_too() {
    check_query(
        "Port=1",
        "ValidationError",
        "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null",
    );
    check_query(
        "Name=a&Tags.member.1.Value=v",
        "ValidationError",
        "1 validation error detected: Value null at 'tags.1.member.key' failed to satisfy constraint: Member must \
         not be null",
    );
    check_query(
        "Name=a&Port=x",
        "MalformedInput",
        "STRING_VALUE can not be converted to an Integer at 'port'",
    );
    let form = form(
        "Name=a&Names.member.2=c&Names.member.1=b&Labels.entry.1.key=k&Labels.entry.1.value=v&Tags=",
    );
    let input: query_service::MakeInput = wire::decode_input(&QUERY, form).unwrap();
    assert_eq!(input.names.unwrap(), ["b", "c"]);
    assert_eq!(input.labels.unwrap()["k"], "v");
    assert_eq!(input.tags, Some(vec![]));
}

/// `ProtocolVersion=` is what clients write for a member that has no value.
#[test]
fn an_empty_scalar_of_a_form_is_absent() {
    let read = |text: &str| -> query_service::MakeInput {
        wire::decode_input(&QUERY, form(text)).unwrap()
    };
    let input =
        read("Name=a&Port=&Colour=&Secret=&Tags.member.1.Key=k&Tags.member.1.Value=&Names=");
    assert_eq!((input.port, input.colour, input.secret), (None, None, None));
    let tag = &input.tags.unwrap()[0];
    assert_eq!(tag.value.as_deref(), Some(""), "it is said to keep it");
    assert_eq!(input.names, Some(vec![]), "a list is no scalar");
    check_ec2(
        "Name=",
        "MissingParameter",
        "The request must contain the parameter Name",
    );
    check_json(
        json!({"name": "a", "secret": ""}),
        "ValidationException",
        "2 validation errors detected: Value at 'secret' failed to satisfy constraint: Member must have length \
         greater than or equal to 1; Value at 'secret' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: [a-z]+",
    );
}

#[test]
fn services_have_codes_and_words_of_their_own() {
    const OLDER: ErrorCode = ErrorCode::sender("InvalidParameterException", 400);
    const NO_NAME: ErrorCode = ErrorCode::sender("NameRequiredException", 400);
    const BAD_NAME: ErrorCode = ErrorCode::sender("InvalidNameException", 400);
    let refused = |constraints: Constraints, input: Json| {
        let model = ServiceModel {
            constraints,
            ..JSON
        };
        let input = wire::read_json(input);
        let error = wire::decode_input::<json_service::MakeInput>(&model, input).unwrap_err();
        (error.code, error.message)
    };
    let by_operation = Constraints {
        operations: &[("Make", OLDER)],
        ..Constraints::USUAL
    };
    assert_eq!(
        refused(by_operation, json!({})).0,
        "InvalidParameterException"
    );
    let by_member = Constraints {
        members: &[OwnRefusal {
            member: "name",
            missing: Some(NO_NAME),
            unfit: Some(BAD_NAME),
        }],
        ..Constraints::USUAL
    };
    assert_eq!(refused(by_member, json!({})).0, "NameRequiredException");
    assert_eq!(
        refused(by_member, json!({"name": "A"})).0,
        "InvalidNameException"
    );
    let other = refused(by_member, json!({"name": "a", "port": 0}));
    assert_eq!(other.0, "ValidationException");
    let parameter = Constraints {
        words: Words::Parameter,
        ..Constraints::USUAL
    };
    for (input, message) in [
        (
            json!({"name": "A"}),
            "Invalid parameter at 'name' failed to satisfy constraint: 'must satisfy regular expression '[a-z]+''",
        ),
        (
            json!({"name": "abcdefghi"}),
            "Invalid parameter at 'name' failed to satisfy constraint: 'must have length less than or equal to 8'",
        ),
        (
            json!({"name": "a", "colour": "BLUE"}),
            "Invalid parameter at 'colour' failed to satisfy constraint: 'Member must satisfy enum value set: [RED, GREEN]'",
        ),
    ] {
        assert_eq!(refused(parameter, input).1, message);
    }
}

#[test]
fn ec2_speaks_of_parameters() {
    check_ec2(
        "Port=1",
        "MissingParameter",
        "The request must contain the parameter Name",
    );
    check_ec2(
        "Name=a&Tags.1.Value=v",
        "MissingParameter",
        "The request must contain the parameter Tags.1.Key",
    );
    check_ec2(
        "Name=a&Colour=BLUE",
        "InvalidParameterValue",
        "Value (BLUE) for parameter Colour is invalid.",
    );
    check_ec2(
        "Name=a&Size=1",
        "UnknownParameter",
        "The parameter Size is not recognized",
    );
    check_ec2(
        "Name=a&Port=x",
        "InvalidParameterValue",
        "Invalid value 'x' for Port: it must be an Integer",
    );
    check_ec2(
        "Name=a&Secret=HUSH",
        "InvalidParameterValue",
        "Value (…) for parameter Secret is invalid.",
    );
}

#[test]
fn a_call_from_inside_is_held_against_the_model_as_well() {
    let mut input = json_service::MakeInput {
        name: "a".into(),
        ..Default::default()
    };
    assert!(wire::validate(&JSON, &input).is_ok());
    input.name = "A".into();
    assert_eq!(
        wire::validate(&JSON, &input).unwrap_err().code,
        "ValidationException"
    );
}
