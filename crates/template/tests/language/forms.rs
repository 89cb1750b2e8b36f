//! YAML and JSON, and where things stand.

use serde_json::json;
use template::Template;

use crate::{World, error, instance, properties};

#[test]
fn json_is_read_by_its_own_rules() {
    let text = "{\n\t\"Resources\": {\"It\": {\"Type\": \"T::T::T\",\t\"Properties\": {\"A\": \"x\\/\\ud83d\\ude00\\n\", \"B\": 1, \"C\": \"012\", \"D\": {\"Ref\": \"AWS::Region\"}, \"E\": true, \"F\": [], \"G\": 1.10}}}}";
    assert_eq!(
        properties(text, &[]),
        json!({"A": "x/\u{1f600}\n", "B": 1, "C": "012", "D": "eu-west-1", "E": true, "F": [], "G": "1.10"})
    );
}

#[test]
fn malformed_documents_say_where() {
    for (text, expect) in [
        (
            "{\"Resources\": {\n  \"A\": }}",
            "Template format error: JSON not well-formed. (line 2, column 8): a value is missing",
        ),
        (
            "{\"a\": 1,}",
            "Template format error: JSON not well-formed. (line 1, column 9): a quoted text is missing",
        ),
        (
            "{\"a\": 01}",
            "Template format error: JSON not well-formed. (line 1, column 9): a value is missing",
        ),
        (
            "{\"a\": \"\\ud800\"}",
            "Template format error: JSON not well-formed. (line 1, column 16): half of a surrogate pair",
        ),
        (
            "{\"a\": 1} x",
            "Template format error: JSON not well-formed. (line 1, column 10): there is more text after the template",
        ),
        (
            "{\"a\": 1, \"a\": 2}",
            "Template format error: JSON not well-formed. (line 1, column 10): `a` is twice in one object",
        ),
        (
            "a: 1\na: 2",
            "Template format error: YAML not well-formed. (line 2, column 1): `a` is twice in one mapping",
        ),
        (
            "a: &x 1\nb: *x",
            "Template error: YAML aliases are not allowed in CloudFormation templates (line 2, column 4)",
        ),
        (
            "a: {<<: {b: 1}}",
            "Template format error: YAML not well-formed. (line 1, column 5): merge keys are not allowed in CloudFormation templates",
        ),
        (
            "--- {a: 1}\n---\nb: 1",
            "Template format error: YAML not well-formed. (line 3, column 1): a template is a single document",
        ),
        (
            "[a]",
            "Template format error: unsupported structure. (line 1, column 1)",
        ),
        (
            "text",
            "Template format error: unsupported structure. (line 1, column 1)",
        ),
        ("", "Template format error: the template is empty"),
        (
            "a: !!binary x",
            "Template format error: YAML not well-formed. (line 1, column 4): unknown tag `tag:yaml.org,2002:!binary`",
        ),
    ] {
        assert_eq!(error(text, &[]), expect, "{text}");
    }
    let found = error("Resources:\n  A:\n   - b\n  c", &[]);
    assert!(
        found.starts_with("Template format error: YAML not well-formed. (line "),
        "{found}"
    );
}

#[test]
fn a_property_is_found_again_in_the_text() {
    let text = "Conditions: {C: !Equals [a, a]}
Resources:
  It:
    Type: T::T::T
    Properties:
      Rules:
        - !Ref AWS::NoValue
        - Port: 80
          Deep: !If
            - C
            - Inner: x
            - y
      Name: a
";
    let template = Template::parse(text).unwrap();
    let it = instance(&template, &[])
        .properties("It", &World)
        .unwrap()
        .unwrap();
    let place = |path: &str| it.spans.of(path).map(|it| (it.line, it.column));
    assert_eq!(
        it.value,
        json!({"Rules": [{"Port": 80, "Deep": {"Inner": "x"}}], "Name": "a"})
    );
    assert_eq!(place("Name"), Some((13, 7)));
    assert_eq!(place("Rules.0"), Some((8, 11)));
    assert_eq!(place("Rules.0.Port"), Some((8, 11)));
    assert_eq!(place("Rules.0.Deep.Inner"), Some((11, 15)));
    assert_eq!(place("Rules.0.Deep.Inner.What"), Some((11, 15)));
    assert_eq!(place("Missing"), Some((6, 7)));
    assert_eq!(
        template.resources["It"].type_span.to_string(),
        "line 4, column 11"
    );
}
