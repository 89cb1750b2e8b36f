use template::{ParameterValue, Template};

use crate::{World, environment, error, parameters};

fn template(parameter: &str) -> String {
    format!(
        "Parameters:\n  P: {{{parameter}}}\nResources: {{It: {{Type: T::T::T, Properties: {{P: !Ref P}}}}}}"
    )
}

/// The error without its place, or nothing.
fn check(parameter: &str, value: &str, expect: Option<&str>) {
    let template = Template::parse(&template(parameter)).unwrap();
    let found = template
        .resolve_parameters(&parameters(&[("P", value)]))
        .err();
    assert_eq!(
        found.as_ref().map(|it| it.message.as_str()),
        expect,
        "{parameter} = {value}"
    );
    if let Some(error) = found {
        assert_eq!(error.span.unwrap().to_string(), "line 2, column 3");
    }
}

#[test]
fn every_constraint_holds() {
    for (parameter, good, bad, expect) in [
        (
            "Type: String, AllowedValues: [a, true, 080]",
            vec!["a", "true", "080"],
            vec!["b", "80", ""],
            "Parameter 'P' must be one of AllowedValues",
        ),
        (
            "Type: String, AllowedPattern: '[a-z]+|x1'",
            vec!["abc", "x1"],
            vec!["aB", "", "abc1", "abc\nd"],
            "Parameter 'P' must match pattern [a-z]+|x1",
        ),
        (
            "Type: String, MinLength: 2",
            vec!["ab", "äö"],
            vec!["a", ""],
            "Parameter 'P' must contain at least 2 characters",
        ),
        (
            "Type: String, MaxLength: '2'",
            vec!["", "äö"],
            vec!["abc"],
            "Parameter 'P' must contain at most 2 characters",
        ),
        (
            "Type: Number, MinValue: 1",
            vec!["1", "1.5", "+7"],
            vec!["0", "-4"],
            "Parameter 'P' must be a number not less than 1",
        ),
        (
            "Type: Number, MaxValue: 1024",
            vec!["1024", "-3"],
            vec!["1025", "1024.5"],
            "Parameter 'P' must be a number not greater than 1024",
        ),
        (
            "Type: Number",
            vec!["1", "-1.5"],
            vec!["one", "", "NaN", "inf"],
            "Parameter 'P' must be a number.",
        ),
        (
            "Type: List<Number>",
            vec!["1,2", "1, 2"],
            vec!["1,x"],
            "Parameter 'P' must be a number.",
        ),
        (
            "Type: CommaDelimitedList, AllowedValues: [a, b]",
            vec!["a,b", "a, b"],
            vec!["a,c"],
            "Parameter 'P' must be one of AllowedValues",
        ),
        (
            "Type: String, AllowedPattern: '[a-z]+', ConstraintDescription: must be small letters.",
            vec!["a"],
            vec!["A"],
            "Parameter P failed to satisfy constraint: must be small letters.",
        ),
    ] {
        good.iter().for_each(|value| check(parameter, value, None));
        bad.iter()
            .for_each(|value| check(parameter, value, Some(expect)));
    }
    let long = "x".repeat(4097);
    check(
        "Type: String",
        &long,
        Some("Parameter 'P' must contain at most 4096 bytes"),
    );
}

#[test]
fn values_have_the_form_of_their_type() {
    for (kind, value, expect) in [
        ("String", "a,b", ParameterValue::Text("a,b".into())),
        ("Number", "080", ParameterValue::Text("080".into())),
        (
            "CommaDelimitedList",
            "a, b,c ",
            ParameterValue::List(vec!["a".into(), "b".into(), "c".into()]),
        ),
        ("CommaDelimitedList", "", ParameterValue::List(vec![])),
        (
            "List<AWS::EC2::Subnet::Id>",
            "subnet-1,subnet-2",
            ParameterValue::List(vec!["subnet-1".into(), "subnet-2".into()]),
        ),
        (
            "AWS::EC2::VPC::Id",
            "vpc-1",
            ParameterValue::Text("vpc-1".into()),
        ),
        ("List<String>", "a", ParameterValue::List(vec!["a".into()])),
    ] {
        let template = Template::parse(&template(&format!("Type: {kind}"))).unwrap();
        let values = template
            .resolve_parameters(&parameters(&[("P", value)]))
            .unwrap();
        assert_eq!(values.get("P").unwrap().value, expect, "{kind}");
        assert_eq!(values.get("P").unwrap().raw, value);
        assert_eq!(template.parameters["P"].parameter_type.to_string(), kind);
    }
}

#[test]
fn missing_and_unknown_parameters_are_named() {
    let text = "Parameters: {A: {Type: String}, B: {Type: String}, C: {Type: String, Default: c}}\nResources: {It: {Type: T::T::T}}";
    assert_eq!(
        error(text, &[]),
        "Parameters: [A, B] must have values (line 1, column 14)"
    );
    assert_eq!(
        error(text, &[("A", "1")]),
        "Parameters: [B] must have values (line 1, column 33)"
    );
    assert_eq!(
        error(text, &[("X", "1"), ("Y", "2")]),
        "Parameters: [X, Y] do not exist in the template"
    );
}

#[test]
fn declarations_are_checked() {
    for (parameter, expect) in [
        (
            "Default: a",
            "Template format error: Every Parameters object must contain a Type member. (line 2, column 3)",
        ),
        (
            "Type: Sting",
            "Template format error: Unrecognized parameter type: Sting (line 2, column 13)",
        ),
        (
            "Type: List<AWS::EC2::KeyPair::KeyName>",
            "Template format error: Unrecognized parameter type: List<AWS::EC2::KeyPair::KeyName> (line 2, column 13)",
        ),
        (
            "Type: AWS::SSM::Parameter::Value<Number>",
            "Template format error: Unrecognized parameter type: AWS::SSM::Parameter::Value<Number> (line 2, column 13)",
        ),
        (
            "Type: String, Defualt: a",
            "Invalid template parameter property 'Defualt' (line 2, column 21)",
        ),
        (
            "Type: String, Default: [a]",
            "Template format error: Parameter 'P': every Default member must be a string. (line 2, column 30)",
        ),
        (
            "Type: String, MinLength: x",
            "Template format error: Parameter 'P': every MinLength member must be a number. (line 2, column 32)",
        ),
        (
            "Type: String, AllowedValues: x",
            "Template format error: Parameter 'P': every AllowedValues member must be a list of strings. (line 2, column 36)",
        ),
        (
            "Type: String, NoEcho: maybe",
            "Template format error: Parameter 'P': every NoEcho member must be a boolean. (line 2, column 29)",
        ),
        (
            "Type: String, AllowedPattern: '(?!a)b'",
            "Parameter 'P' must match pattern (?!a)b (line 2, column 3)",
        ),
    ] {
        assert_eq!(
            error(&template(parameter), &[("P", "a")]),
            expect,
            "{parameter}"
        );
    }
}

#[test]
fn secrets_are_masked_everywhere() {
    let text = "
Parameters: {Word: {Type: String, NoEcho: true, Default: none}, Open: {Type: String, Default: seen}}
Conditions: {HasWord: !Not [!Equals [!Ref Word, none]]}
Resources: {It: {Type: T::T::T, Properties: {A: !Sub '${Word}-${Open}', B: !If [HasWord, x, y]}}}";
    let template = Template::parse(text).unwrap();
    let values = template
        .resolve_parameters(&parameters(&[("Word", "hunter2")]))
        .unwrap();
    assert_eq!(values.secrets().collect::<Vec<_>>(), ["hunter2"]);
    let instance = template.instantiate(values, environment()).unwrap();
    let shown = |it: &template::Instance| it.properties("It", &World).unwrap().unwrap().value;
    assert_eq!(
        shown(&instance),
        serde_json::json!({"A": "hunter2-seen", "B": "x"})
    );
    assert_eq!(
        shown(&instance.masked()),
        serde_json::json!({"A": "****-seen", "B": "x"})
    );
    assert_eq!(
        instance.masked().parameters.get("Word").unwrap().raw,
        "****"
    );
}

#[test]
fn rules_are_asserted_before_anything_is_made() {
    let text = "
Parameters:
  Version: {Type: String, Default: '6'}
  Size: {Type: String, Default: small}
  Zones: {Type: CommaDelimitedList, Default: 'a,b'}
  Vpc: {Type: 'AWS::EC2::VPC::Id', Default: vpc-1}
  Vpcs: {Type: 'List<AWS::EC2::VPC::Id>', Default: 'vpc-1,vpc-1'}
Rules:
  OneNetwork:
    Assertions:
      - Assert: {Fn::EachMemberEquals: [{Fn::RefAll: 'AWS::EC2::VPC::Id'}, vpc-1]}
        AssertDescription: everything is in one network
  Bootstrap:
    Assertions:
      - Assert: {Fn::Not: [{Fn::Contains: [['1', '2', '3'], !Ref Version]}]}
        AssertDescription: version 4 or later is needed
  Big:
    RuleCondition: !Equals [!Ref Size, big]
    Assertions:
      - Assert: !EachMemberIn [!Ref Zones, [a, b, c]]
        AssertDescription: zones are a, b, c
Resources: {X: {Type: T::T::T}}
";
    let template = Template::parse(text).unwrap();
    let check = |given: &[(&str, &str)], expect: Option<&str>| {
        let values = template.resolve_parameters(&parameters(given)).unwrap();
        let found = template.instantiate(values, environment()).err();
        let found = found.map(|it| it.message);
        assert_eq!(found.as_deref(), expect, "{given:?}");
    };
    check(&[], None);
    check(&[("Version", "7")], None);
    check(
        &[("Version", "2")],
        Some(
            "Template error: the assertion of the rule Bootstrap failed: version 4 or later is needed",
        ),
    );
    check(
        &[("Vpcs", "vpc-1,vpc-2")],
        Some(
            "Template error: the assertion of the rule OneNetwork failed: everything is in one network",
        ),
    );
    check(&[("Zones", "x")], None);
    check(&[("Zones", "c,a"), ("Size", "big")], None);
    check(
        &[("Zones", "a,x"), ("Size", "big")],
        Some("Template error: the assertion of the rule Big failed: zones are a, b, c"),
    );
}
