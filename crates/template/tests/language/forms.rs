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
            "{\"a\": 1,,}",
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
            "{\"a\": [,]}",
            "Template format error: JSON not well-formed. (line 1, column 8): a value is missing",
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

/// Layouts that CloudFormation's readers take.
#[test]
fn templates_are_read_as_cloudformation_reads_them() {
    let p = |text: &str| crate::properties(text, &[])["P"].clone();
    for (text, expect) in [
        // The last of two keys counts.
        (
            "Resources:\n  It: {Type: A}\n  It:\n    Type: T::T::T\n    Properties: {P: 1, P: 2}",
            json!(2),
        ),
        (
            r#"{"Resources": {"It": {"Type": "T::T::T", "Properties": {"P": 1, "P": 2}}}}"#,
            json!(2),
        ),
        // A comma behind the last one.
        (
            r#"{"Resources": {"It": {"Type": "T::T::T", "Properties": {"P": ["a",],},},},}"#,
            json!(["a"]),
        ),
        // Brackets at the column of their key, tabs at the ends of lines.
        (
            "Resources:\n  It:\n    Type: T::T::T\n    Properties:\n      P: [\n        a,\n        b\n      ]\n",
            json!(["a", "b"]),
        ),
        (
            "Resources:\n  It:\n    Type: T::T::T\n    Properties: {\n    P: {\n  Q: a }\n    }\n",
            json!({"Q": "a"}),
        ),
        (
            "Resources:\t\n  It:\t\n    Type: T::T::T\t\n    Properties:\n      P: a\t# text\n",
            json!("a"),
        ),
        (
            "Resources:\n  It:\n    Type: T::T::T\n    Properties:\n      P: !Join ['-', [\n      a, 'b]'\n      ]]\n",
            json!("a-b]"),
        ),
        // A block of text stays as it is, whatever stands around it.
        (
            "Resources:\n  It:\n    Type: T::T::T\n    Properties:\n      P:\n        - |\n          a [\t\n        - [\n        b\n        ]\n",
            json!(["a [\t\n", ["b"]]),
        ),
        // Booleans and octal numbers of YAML 1.1.
        (
            "Resources: {It: {Type: T::T::T, Properties: {P: [yes, NO, On, off, 'yes', 0644, '0644', y]}}}",
            json!([true, false, true, false, "yes", 420, "0644", "y"]),
        ),
        (
            "Resources: {It: {Type: T::T::T, Properties: {P: !Join ['|', [yes, off, 065115117704, 002406178527]]}}}",
            json!("true|false|7133765572|002406178527"),
        ),
        (
            "Conditions: {Yes: !Equals [yes, true]}\nResources: {It: {Type: T::T::T, Condition: Yes, Properties: {P: !If [Yes, a, b]}}}",
            json!("a"),
        ),
        (
            "Mappings: {M: {yes: {no: x}}}\nResources: {It: {Type: T::T::T, Properties: {P: [!FindInMap [M, yes, no], !FindInMap [M, 'yes', 'no']]}}}",
            json!(["x", "x"]),
        ),
        (
            "Parameters: {A: {Type: String, Default: yes, AllowedValues: [yes, no]}}\nResources: {It: {Type: T::T::T, Properties: {P: !Ref A}}}",
            json!("true"),
        ),
        // A description is for people.
        (
            "Resources: {It: {Description: text, Type: T::T::T, Properties: {P: 1}}}",
            json!(1),
        ),
        (
            "Resources: {It: {Type: T::T::T, Properties: {P: {Fn::GetAZs: }}}}",
            json!(["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
        ),
    ] {
        assert_eq!(p(text), expect, "{text}");
    }
}

/// What a resource is left as may be computed of what is known beforehand.
#[test]
fn policies_are_computed() {
    let text = "
Parameters: {Keep: {Type: String, Default: Retain}, Is: {Type: String, Default: a}}
Conditions: {C: !Equals [!Ref Is, a]}
Resources:
  It: {Type: T::T::T, DeletionPolicy: !If [C, Retain, Delete], UpdateReplacePolicy: !Ref Keep}
  Other: {Type: T::T::T}
";
    let template = template::Template::parse(text).unwrap();
    let policies = |given: &[(&str, &str)]| crate::instance(&template, given).policies("It");
    use template::DeletionPolicy::{Delete, Retain};
    let it = policies(&[]);
    assert_eq!(
        (it.deletion, it.update_replace),
        (Some(Retain), Some(Retain))
    );
    let it = policies(&[("Is", "b"), ("Keep", "Delete")]);
    assert_eq!(
        (it.deletion, it.update_replace),
        (Some(Delete), Some(Delete))
    );
    assert_eq!(
        crate::instance(&template, &[]).policies("Other"),
        Default::default()
    );
    assert_eq!(
        error(text, &[("Keep", "Perhaps")]),
        "Template format error: Unrecognized UpdateReplacePolicy Perhaps (line 5, column 85)"
    );
    assert_eq!(
        error(
            "Resources: {It: {Type: T::T::T, DeletionPolicy: !Ref Other}, Other: {Type: T::T::T}}",
            &[]
        ),
        "Template error: Other cannot be referenced here (line 1, column 49)"
    );
}
