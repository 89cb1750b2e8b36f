use serde_json::{Value as Json, json};
use template::KNOWN_AFTER_APPLY;

use crate::{error, properties};

/// What `value` computes to inside a template with something of everything; `null` if it is left out.
fn check(value: &str, expect: Json) {
    let text = format!(
        "
Parameters:
  Text: {{Type: String, Default: hello}}
  Port: {{Type: Number, Default: 080}}
  Zones: {{Type: CommaDelimitedList, Default: 'x, y,z'}}
  Nothing: {{Type: String, Default: 'AWS::NoValue'}}
Mappings:
  Sizes:
    eu-west-1: {{cpu: 256, names: [a, b], account: 000400}}
Conditions:
  Yes: !Equals [!Ref Text, hello]
  No: !Not [!Condition Yes]
Resources:
  Other: {{Type: T::T::T}}
  It:
    Type: T::T::T
    Properties:
      P: {value}
"
    );
    let found = properties(&text, &[]);
    assert_eq!(
        found.get("P").cloned().unwrap_or(Json::Null),
        expect,
        "{value}"
    );
}

#[test]
fn every_function_computes() {
    for (value, expect) in [
        ("plain", json!("plain")),
        ("256", json!(256)),
        ("000400", json!("000400")),
        ("2012-10-17", json!("2012-10-17")),
        ("012345678901", json!("012345678901")),
        ("'256'", json!("256")),
        ("true", json!(true)),
        ("!Ref Text", json!("hello")),
        ("{Ref: Text}", json!("hello")),
        ("!Ref Port", json!("080")),
        ("!Ref Zones", json!(["x", "y", "z"])),
        ("!Ref Other", json!("other-id")),
        ("!Ref AWS::Region", json!("eu-west-1")),
        ("!Ref AWS::AccountId", json!("000000000000")),
        ("!Ref AWS::Partition", json!("aws")),
        ("!Ref AWS::URLSuffix", json!("amazonaws.com")),
        ("!Ref AWS::StackName", json!("web")),
        ("!Ref AWS::NotificationARNs", json!(["arn:topic"])),
        ("!Ref AWS::NoValue", Json::Null),
        ("!Ref Nothing", Json::Null),
        (
            "!Cidr [10.1.0.0/16, 2]",
            json!(["10.1.0.0/24", "10.1.1.0/24"]),
        ),
        (
            "!Cidr [192.168.0.0/24, 6, 5]",
            json!([
                "192.168.0.0/27",
                "192.168.0.32/27",
                "192.168.0.64/27",
                "192.168.0.96/27",
                "192.168.0.128/27",
                "192.168.0.160/27"
            ]),
        ),
        (
            "!Cidr [10.0.0.0/16, '{{changeSet:KNOWN_AFTER_APPLY}}', 8]",
            json!(KNOWN_AFTER_APPLY),
        ),
        (
            "!Cidr [10.0.0.0/16, 2, '{{changeSet:KNOWN_AFTER_APPLY}}']",
            json!([KNOWN_AFTER_APPLY, KNOWN_AFTER_APPLY]),
        ),
        (
            "[1, !Ref AWS::NoValue, {a: !Ref AWS::NoValue}]",
            json!([1, {}]),
        ),
        ("!GetAtt Other.Arn", json!("other/Arn")),
        ("!GetAtt Other.Outputs.Vpc", json!("other/Outputs.Vpc")),
        ("!GetAtt [Other, Outputs.Vpc]", json!("other/Outputs.Vpc")),
        ("{Fn::GetAtt: [Other, Arn]}", json!("other/Arn")),
        ("{Fn::GetAtt: [Other, !Ref Text]}", json!("other/hello")),
        (
            "!Sub 'a ${Text} ${Other} ${Other.Arn} ${AWS::Region} ${!Text} $x ${'",
            json!("a hello other-id other/Arn eu-west-1 ${Text} $x ${"),
        ),
        (
            "!Sub ['${v}-${Text}-${w.x}', {v: !Ref Port, w.x: 1, Text: mine}]",
            json!("080-mine-1"),
        ),
        ("{Fn::Sub: '${Text}!'}", json!("hello!")),
        (
            "!Join ['-', [a, !Ref Text, 1, !Ref AWS::NoValue]]",
            json!("a-hello-1"),
        ),
        ("!Join ['', !Ref Zones]", json!("xyz")),
        ("!Join [',', !GetAtt Other.List]", json!("one,two")),
        ("!Select [1, !Ref Zones]", json!("y")),
        ("!Select ['0', [a, b]]", json!("a")),
        ("!Select [2, !GetAZs '']", json!("eu-west-1c")),
        ("!Select [0, !GetAZs ]", json!("eu-west-1a")),
        ("!Select [0, !Split [',', 'a,b']]", json!("a")),
        (
            "{Fn::GetAZs: !Ref AWS::Region}",
            json!(["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
        ),
        (
            "{'Fn::GetAZs': ''}",
            json!(["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
        ),
        ("!Split ['|', 'a||b']", json!(["a", "", "b"])),
        ("!FindInMap [Sizes, !Ref AWS::Region, cpu]", json!("256")),
        ("!FindInMap [Sizes, eu-west-1, names]", json!(["a", "b"])),
        ("!FindInMap [Sizes, eu-west-1, account]", json!("000400")),
        (
            "{Fn::ImportValue: !Sub '${AWS::StackName}-vpc'}",
            json!("vpc-1"),
        ),
        ("!If [Yes, 1, 2]", json!(1)),
        ("!If [No, 1, !Ref AWS::NoValue]", Json::Null),
        ("!If [No, !GetAtt Other.Arn, {a: [b]}]", json!({"a": ["b"]})),
        ("!Base64 hello", json!("aGVsbG8=")),
        ("{Fn::Base64: !Sub '${Text}'}", json!("aGVsbG8=")),
        (
            "!Cidr [10.0.0.0/16, 2, 8]",
            json!(["10.0.0.0/24", "10.0.1.0/24"]),
        ),
        (
            "!Select [1, !Cidr [10.0.0.0/16, '2', '8']]",
            json!("10.0.1.0/24"),
        ),
        // A policy's `Condition` is a key like any other outside of the Conditions section.
        (
            "{Condition: {StringEquals: {a: b}}}",
            json!({"Condition": {"StringEquals": {"a": "b"}}}),
        ),
        ("{Ref: Text, Other: 1}", json!({"Ref": "Text", "Other": 1})),
    ] {
        check(value, expect);
    }
}

#[test]
fn block_lists_and_nested_short_forms_are_read() {
    let text = "
Resources:
  Other: {Type: T::T::T}
  It:
    Type: T::T::T
    Properties:
      A: !GetAtt
        - Other
        - Arn
      B:
        Fn::Join:
          - ':'
          - - !Ref Other
            - Fn::Sub: ${Other.Name}
      C: !Select
        - 0
        - !GetAZs
";
    assert_eq!(
        properties(text, &[]),
        json!({"A": "other/Arn", "B": "other-id:other/Name", "C": "eu-west-1a"})
    );
}

#[test]
fn conditions_decide() {
    for (condition, expect) in [
        ("!Equals [a, a]", true),
        ("!Equals [80, '80']", true),
        ("!Equals [true, 'true']", true),
        ("!Equals [!Ref P, b]", false),
        ("!Not [!Equals [!Ref P, b]]", true),
        ("!And [!Condition T, !Equals [a, a]]", true),
        ("!And [!Condition T, !Equals [a, b], {Condition: T}]", false),
        ("!Or [!Equals [a, b], !Condition T]", true),
        ("!Or [!Equals [a, b], !Not [!Condition T]]", false),
        ("!Equals [!FindInMap [M, x, y], z]", true),
        ("!Equals [!Join ['', [a, !Ref P]], aa]", true),
        ("!Equals [!Select [0, !Split ['-', 'a-b']], !Ref P]", true),
        ("!Equals [!Sub '${AWS::Region}', eu-west-1]", true),
        ("{Fn::Equals: [{Ref: L}, [p, q]]}", true),
    ] {
        let text = format!(
            "
Parameters:
  P: {{Type: String, Default: a}}
  L: {{Type: CommaDelimitedList, Default: 'p,q'}}
Mappings: {{M: {{x: {{y: z}}}}}}
Conditions:
  C: {condition}
  T: !Equals ['', '']
Resources: {{It: {{Type: T::T::T, Properties: {{P: !If [C, true, false]}}}}}}
"
        );
        assert_eq!(properties(&text, &[]), json!({"P": expect}), "{condition}");
    }
}

#[test]
fn computing_fails_in_aws_words_and_with_the_place() {
    for (value, expect) in [
        (
            "!Select [3, [a]]",
            "Template error: Fn::Select cannot select nonexistent value at index 3 (line 8, column 10)",
        ),
        (
            "!Select [x, [a]]",
            "Template error: Fn::Select requires a list argument with two elements: an integer index and a list (line 8, column 10)",
        ),
        (
            "!FindInMap [M, x, q]",
            "Template error: Unable to get mapping for M::x::q (line 8, column 10)",
        ),
        (
            "!FindInMap [!Ref P, x, y]",
            "Template error: Mapping named 'p' is not present in the 'Mappings' section of template. (line 8, column 10)",
        ),
        (
            "!ImportValue nothing",
            "No export named nothing found (line 8, column 10)",
        ),
        (
            "!Sub '${L}'",
            "Template error: Fn::Sub needs values that are strings (line 8, column 10)",
        ),
        (
            "!Join [',', [!Ref L]]",
            "Template error: Fn::Join needs values that are strings (line 8, column 10)",
        ),
        (
            "!Join [',', !Ref P]",
            "Template error: Fn::Join needs a list of values (line 8, column 22)",
        ),
        (
            "!Cidr [10.0.0.0/24, 2, 9]",
            "Template error: Fn::Cidr cannot make blocks of 9 bits out of 10.0.0.0/24 (line 8, column 10)",
        ),
        (
            "!Base64 {a: b}",
            "Template error: Fn::Base64 needs values that are strings (line 8, column 10)",
        ),
    ] {
        let text = format!(
            "Parameters:
  P: {{Type: String, Default: p}}
  L: {{Type: CommaDelimitedList, Default: p}}
Mappings: {{M: {{x: {{y: z}}}}}}
Resources: {{It: {{
    Type: T::T::T,
    Properties: {{
      P: {value}}}}}}}
"
        );
        let found = error(&text, &[]);
        assert_eq!(found, expect, "{value}");
    }
}
