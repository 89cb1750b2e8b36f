//! What transforms make of a template.

use std::collections::BTreeMap;

use serde_json::json;
use template::Template;
use template::transform::{Names, carry_out, included};

use crate::{error, instance, properties};

const HEAD: &str = "Transform: AWS::LanguageExtensions\n";

fn names(given: &[(&str, &str)]) -> Names {
    Names {
        texts: crate::parameters(given),
    }
}

fn made(text: &str, given: &[(&str, &str)]) -> String {
    let text = format!("{HEAD}{text}");
    carry_out(&text, &names(given), &BTreeMap::new())
        .unwrap()
        .unwrap_or(text)
}

#[test]
fn loops_are_unrolled() {
    let text = made(
        "
Parameters: {Names: {Type: CommaDelimitedList, Default: 'A, B'}}
Mappings: {M: {x: {y: [p, q-r]}}}
Resources:
  Fn::ForEach::Things:
    - Name
    - !Ref Names
    - 'Thing${Name}': {Type: T::T::T, Properties: {Name: !Ref Name, Text: !Sub 'v${Name}-${AWS::Region}'}}
  Fn::ForEach::Outer:
    - X
    - [1, 2]
    - Fn::ForEach::Inner:
        - Y
        - !FindInMap [M, x, y]
        - 'N${X}&{Y}': {Type: T::T::T, Properties: {P: '${X}/${Y}'}}
  It:
    Type: T::T::T
    Properties:
      Fn::ForEach::P: [K, [a, b], {'P${K}': !GetAtt 'Thing${K}.Arn'}]
Outputs:
  Fn::ForEach::O: [Name, !Ref Names, {'Out${Name}': {Value: !GetAtt 'Thing${Name}.Arn'}}]
".replace("'Thing${K}.Arn'", "ThingA.Arn").as_str(),
        &[],
    );
    let template = Template::parse(&text).unwrap();
    let ids: Vec<&str> = template.resources.keys().map(String::as_str).collect();
    assert_eq!(
        ids,
        ["It", "N1p", "N1qr", "N2p", "N2qr", "ThingA", "ThingB"]
    );
    let instance = instance(&template, &[]);
    let of = |id: &str| {
        let properties = instance.properties(id, &crate::World).unwrap();
        properties.unwrap().value
    };
    assert_eq!(of("ThingB"), json!({"Name": "B", "Text": "vB-eu-west-1"}));
    assert_eq!(of("N2qr"), json!({"P": "2/q-r"}));
    assert_eq!(of("It"), json!({"Pa": "thinga/Arn", "Pb": "thinga/Arn"}));
    let outputs: Vec<String> = (template.outputs.keys().cloned()).collect();
    assert_eq!(outputs, ["OutA", "OutB"]);
    assert_eq!(template.transforms, ["AWS::LanguageExtensions"]);
}

#[test]
fn a_loop_over_nothing_makes_nothing_and_over_what_is_no_list_is_refused() {
    let text = "Parameters: {L: {Type: CommaDelimitedList}}\nResources: {It: {Type: T::T::T}, 'Fn::ForEach::X': [N, !Ref L, {'A${N}': {Type: T::T::T}}]}";
    assert_eq!(
        Template::parse(&made(text, &[])).unwrap().resources.len(),
        1
    );
    assert_eq!(
        Template::parse(&made(text, &[("L", "a,b")]))
            .unwrap()
            .resources
            .len(),
        3
    );
    for body in [
        "x",
        "[N, a, {}]",
        "[N, [a]]",
        "[[N], [a], {}]",
        "[N, [a], b]",
        "[N, [{a: b}], {}]",
    ] {
        let text = format!("{HEAD}Resources: {{'Fn::ForEach::X': {body}}}");
        assert!(
            carry_out(&text, &names(&[]), &BTreeMap::new()).is_err(),
            "{body}"
        );
    }
    let plain = "Resources: {'Fn::ForEach::X': [N, [a], {}]}";
    assert!(carry_out(plain, &names(&[]), &BTreeMap::new()).is_err());
}

#[test]
fn hostile_loops_end() {
    let mut body = "{'A${V0}${V1}${V2}${V3}${V4}${V5}': {Type: T::T::T}}".to_owned();
    let items = (0..40)
        .map(|it| it.to_string())
        .collect::<Vec<_>>()
        .join(",");
    for depth in 0..6 {
        body = format!("{{'Fn::ForEach::L{depth}': [V{depth}, [{items}], {body}]}}");
    }
    let text = format!("{HEAD}Resources: {body}");
    let error = carry_out(&text, &names(&[]), &BTreeMap::new()).unwrap_err();
    assert!(
        error.message.contains("transforms make more than"),
        "{error}"
    );
}

#[test]
fn the_extensions_functions_compute() {
    let p = |value: &str| {
        let text = format!(
            "{HEAD}Parameters: {{L: {{Type: CommaDelimitedList, Default: 'a,b,c'}}}}\nMappings: {{M: {{a: {{b: c}}}}}}\nResources: {{It: {{Type: T::T::T, Properties: {{P: {value}}}}}}}"
        );
        properties(&text, &[])["P"].clone()
    };
    assert_eq!(p("!Length [a, b]"), json!(2));
    assert_eq!(p("{Fn::Length: !Ref L}"), json!(3));
    assert_eq!(
        p("{Fn::ToJsonString: {a: !Ref AWS::Region, b: [1, x]}}"),
        json!(r#"{"a":"eu-west-1","b":[1,"x"]}"#)
    );
    assert_eq!(p("!FindInMap [M, a, z, {DefaultValue: dd}]"), json!("dd"));
    assert_eq!(
        p("!FindInMap [Q, a, z, {DefaultValue: !Ref L}]"),
        json!(["a", "b", "c"])
    );
    assert_eq!(p("!FindInMap [M, a, b, {DefaultValue: dd}]"), json!("c"));
    for (value, expect) in [
        (
            "!Length [a]",
            "Template error: Fn::Length is only known to templates with `Transform: AWS::LanguageExtensions` (line 1, column 49)",
        ),
        (
            "!FindInMap [M, a, b, {DefaultValue: d}]",
            "Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the attribute for return value (line 1, column 49)",
        ),
    ] {
        let text = format!("Resources: {{It: {{Type: T::T::T, Properties: {{P: {value}}}}}}}");
        assert_eq!(error(&text, &[]), expect);
    }
}

#[test]
fn snippets_are_put_in_where_they_are_asked_for() {
    let text = "
Transform:
  - {Name: AWS::Include, Parameters: {Location: !Sub 's3://${Bucket}/top.yaml'}}
Parameters: {Bucket: {Type: String, Default: b}}
Resources:
  It:
    Type: T::T::T
    Properties:
      Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://b/in.yaml}}
      Q: own
";
    let names = names(&[]);
    let places = included(text, &names).unwrap();
    assert_eq!(places, ["s3://b/top.yaml", "s3://b/in.yaml"]);
    let snippets = [
        (
            "s3://b/top.yaml",
            "Resources: {More: {Type: T::T::T}}\nOutputs: {O: {Value: x}}",
        ),
        ("s3://b/in.yaml", "P: !Ref AWS::Region\nR: 1"),
    ];
    let snippets = (snippets.iter()).map(|(place, text)| ((*place).into(), (*text).into()));
    let made = carry_out(text, &names, &snippets.collect())
        .unwrap()
        .unwrap();
    let template = Template::parse(&made).unwrap();
    assert_eq!(template.resources.len(), 2);
    assert_eq!(template.outputs.len(), 1);
    assert_eq!(
        properties(&made, &[]),
        json!({"P": "eu-west-1", "Q": "own", "R": 1})
    );
    let missing = carry_out(text, &names, &BTreeMap::new()).unwrap_err();
    assert!(
        missing.message.starts_with("Transform AWS::Include failed"),
        "{missing}"
    );
    let macros =
        "Resources: {It: {Type: T::T::T, Properties: {Fn::Transform: {Name: Mine}, a: b}}}";
    assert!(error(macros, &[]).contains("Fn::Transform"));
}

/// SAM's own bucket is made by such a template.
#[test]
fn a_serverless_template_without_serverless_resources_is_one_like_any_other() {
    let text = "Transform: AWS::Serverless-2016-10-31\nGlobals: {Function: {Timeout: 3}}\nResources: {It: {Type: T::T::T, Properties: {P: 1}}}";
    assert_eq!(properties(text, &[]), json!({"P": 1}));
}
