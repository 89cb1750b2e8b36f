//! Everything that a template may get wrong, with AWS's sentence and the place.

use crate::error;

fn check(text: &str, expect: &str) {
    assert_eq!(error(text, &[]), expect, "{text}");
}

const REST: &str = "\nResources: {It: {Type: T::T::T}}";

#[test]
fn sections() {
    check(
        "AWSTemplateFormatVersion: 2010-09-09",
        "Template format error: At least one Resources member must be defined. (line 1, column 1)",
    );
    check(
        "Resources: {}",
        "Template format error: At least one Resources member must be defined. (line 1, column 1)",
    );
    check(
        "Resources:",
        "Template format error: [/Resources] 'null' values are not allowed in templates (line 1, column 1)",
    );
    for (section, expect) in [
        (
            "Resorces: {}\nFoo: 1",
            "Invalid template property or properties [Resorces, Foo] (line 1, column 1)",
        ),
        (
            "Transform: AWS::CodeDeployBlueGreen",
            "Template error: the transform AWS::CodeDeployBlueGreen is not supported by neargate (line 1, column 1)",
        ),
        (
            "Transform: [AWS::LanguageExtensions, Mine]",
            "No transform named Mine found. (line 1, column 1)",
        ),
        (
            "Globals: {Function: {Timeout: 3}}",
            "Invalid template property or properties [Globals] (line 1, column 1)",
        ),
        (
            "Parameters: {It: {Type: String}}",
            "Template format error: Duplicate logical name It: it is a parameter and a resource (line 2, column 13)",
        ),
        (
            "Parameters: {P: {Type: String, Default: q, AllowedValues: [a, b]}}",
            "Template format error: Parameter 'P' default value must be one of AllowedValues (line 1, column 14)",
        ),
        (
            "Rules: {R: {Assertions: [{Assert: !RefAll x}]}}",
            "Template error: Fn::RefAll answers a list, which has to be compared (line 1, column 35)",
        ),
        (
            "Rules: {R: {Assertions: [{Assert: !EachMemberIn [!ValueOfAll [A, B], [a]]}]}}",
            "Template error: Fn::ValueOfAll is not supported by neargate (line 1, column 50)",
        ),
        (
            "Outputs: {O: {Value: a, Export: {Name: !Sub 'a-${It}'}}}",
            "Template format error: Output O is malformed. The Name field of Export must not depend on any resources, imported values, or Fn::GetAZs. (line 1, column 40)",
        ),
        (
            "AWSTemplateFormatVersion: 2011-01-01",
            "Template format error: 2011-01-01 is not a supported value for AWSTemplateFormatVersion. (line 1, column 1)",
        ),
        (
            "Description: [a]",
            "Template format error: The Description must be a String (line 1, column 1)",
        ),
        (
            "Parameters: [a]",
            "Template format error: The Parameters section must be an object (line 1, column 1)",
        ),
        (
            "Parameters: {a-b: {Type: String}}",
            "Template format error: Parameter name a-b is non alphanumeric. (line 1, column 14)",
        ),
        (
            "Mappings: {M: {a: b}}",
            "Template format error: Every Mappings member a must be a map (line 1, column 16)",
        ),
        (
            "Mappings: {M: {a: {b: !Ref X}}}",
            "Template format error: Every Mappings attribute must be a String or a List. (line 1, column 20)",
        ),
        (
            "Conditions: {C: true}",
            "Template format error: Every Conditions member must be a condition: one of Fn::And, Fn::Equals, Fn::Not, Fn::Or, Condition (line 1, column 17)",
        ),
        (
            "Conditions: {C: !Condition D}",
            "Template format error: Unresolved condition dependency D in the Conditions block of the template (line 1, column 17)",
        ),
        (
            "Conditions: {C: !Condition D, D: !Not [!Condition C]}",
            "Template error: Circular dependency between conditions: [C, D] (line 1, column 17)",
        ),
        (
            "Conditions: {C: !Equals [!Ref It, a]}",
            "Template format error: Unresolved dependencies [It]. Cannot reference resources in the Conditions block of the template (line 1, column 26)",
        ),
        (
            "Conditions: {C: !Equals [!GetAtt It.X, a]}",
            "Template error: Cannot use Fn::GetAtt in Conditions. (line 1, column 26)",
        ),
        (
            "Outputs: {O: {}}",
            "Template format error: Every Outputs member must contain a Value object (line 1, column 11)",
        ),
        (
            "Outputs: {O: {Value: a, Foo: b}}",
            "Invalid template output property 'Foo' (line 1, column 25)",
        ),
        (
            "Outputs: {O: {Value: !Ref X}}",
            "Unresolved resource dependencies [X] in the Outputs block of the template (line 1, column 22)",
        ),
        (
            "Outputs: {O: {Value: }}",
            "[/Outputs/O/Value] 'null' values are not allowed in templates (line 1, column 15)",
        ),
        (
            "Outputs: {O: {Value: [a]}}",
            "Template format error: The Value field of every Outputs member must evaluate to a String. (line 1, column 22)",
        ),
        (
            "Outputs: {O: {Value: a, Export: b}}",
            "Template format error: Every Export must be an object with a Name (line 1, column 25)",
        ),
        (
            "Outputs: {O: {Value: a, Condition: C}}",
            "Template format error: Unresolved condition dependency C in the Outputs block of the template (line 1, column 36)",
        ),
    ] {
        check(&format!("{section}{REST}"), expect);
    }
}

#[test]
fn resources() {
    for (resource, expect) in [
        (
            "A: x",
            "Template format error: Any Resources member must be an object. (line 2, column 3)",
        ),
        (
            "A: {Properties: {}}",
            "Template format error: [/Resources/A] Every Resources object must contain a Type member. (line 2, column 3)",
        ),
        (
            "A-B: {Type: T::T::T}",
            "Template format error: Resource name A-B is non alphanumeric. (line 2, column 3)",
        ),
        (
            "A: {Type: T::T::T, Propertys: {}}",
            "Invalid template resource property 'Propertys' (line 2, column 22)",
        ),
        (
            "A: {Type: T::T::T, Properties: x}",
            "Template format error: [/Resources/A/Properties] Any Properties member must be an object. (line 2, column 22)",
        ),
        (
            "A: {Type: T::T::T, Properties: {P: }}",
            "Template format error: [/Resources/A/Properties/P] 'null' values are not allowed in templates (line 2, column 35)",
        ),
        (
            "A: {Type: T::T::T, Properties: {P: [{Q: null}]}}",
            "Template format error: [/Resources/A/Properties/P/0/Q] 'null' values are not allowed in templates (line 2, column 40)",
        ),
        (
            "A: {Type: T::T::T, DependsOn: B}",
            "Template format error: Unresolved resource dependencies [B] in the Resources block of the template (line 2, column 33)",
        ),
        (
            "A: {Type: T::T::T, DependsOn: {B: C}}",
            "Template format error: [/Resources/A] DependsOn must be a String or a list of Strings. (line 2, column 22)",
        ),
        (
            "A: {Type: T::T::T, Condition: B}",
            "Template format error: Unresolved condition dependency B in the Resources block of the template (line 2, column 33)",
        ),
        (
            "A: {Type: T::T::T, DeletionPolicy: [Retain]}",
            "Template format error: Unrecognized DeletionPolicy  (line 2, column 38)",
        ),
        (
            "A: {Type: T::T::T, DeletionPolicy: !Sub 'Keep'}",
            "Template format error: Unrecognized DeletionPolicy Keep (line 2, column 38)",
        ),
        (
            "A: {Type: T::T::T, Description: [x]}",
            "Invalid template resource property 'Description' (line 2, column 22)",
        ),
        (
            "A: {Type: T::T::T, DeletionPolicy: Keep}",
            "Template format error: Unrecognized DeletionPolicy Keep (line 2, column 38)",
        ),
        (
            "A: {Type: T::T::T, UpdateReplacePolicy: RetainExceptOnCreate}",
            "Template format error: Unrecognized UpdateReplacePolicy RetainExceptOnCreate (line 2, column 43)",
        ),
    ] {
        check(&format!("Resources:\n  {resource}"), expect);
    }
}

#[test]
fn function_arguments() {
    const JOIN: &str = "Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined.";
    const SUB: &str = "Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as first argument, and an optional second argument to specify a mapping of values to replace in the string";
    const SUB_NAMES: &str = "Template error: variable names in Fn::Sub syntax must contain only alphanumeric characters, underscores, periods, and colons";
    const GET_ATT: &str = "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute";
    const SELECT: &str = "Template error: Fn::Select requires a list argument with two elements: an integer index and a list";
    for (value, expect) in [
        (
            "!Ref Missing",
            "Template format error: Unresolved resource dependencies [Missing] in the Resources block of the template",
        ),
        (
            "!Ref AWS::Missing",
            "Template format error: Unresolved resource dependencies [AWS::Missing] in the Resources block of the template",
        ),
        (
            "!Ref [a]",
            "Template format error: All Ref values must be a single non-empty String",
        ),
        (
            "!Ref ",
            "Template format error: All Ref values must be a single non-empty String",
        ),
        (
            "!GetAtt Missing.Arn",
            "Template error: instance of Fn::GetAtt references undefined resource Missing",
        ),
        ("!GetAtt It", GET_ATT),
        ("!GetAtt It.", GET_ATT),
        ("!GetAtt [It]", GET_ATT),
        ("!GetAtt {a: b}", GET_ATT),
        (
            "!Sub '${Missing}'",
            "Template format error: Unresolved resource dependencies [Missing] in the Resources block of the template",
        ),
        (
            "!Sub '${Missing.Arn}'",
            "Template format error: Unresolved resource dependencies [Missing] in the Resources block of the template",
        ),
        (
            "!Sub '${P.Arn}'",
            "Template format error: Unresolved resource dependencies [P] in the Resources block of the template",
        ),
        ("!Sub '${HOME:-x}'", SUB_NAMES),
        ("!Sub '${}'", SUB_NAMES),
        ("!Sub {a: b}", SUB),
        ("!Sub [a, b]", SUB),
        ("!Sub [!Ref P, {}]", SUB),
        ("!Join [a]", JOIN),
        ("!Join [!Ref P, [a]]", JOIN),
        ("!Join ['', a]", JOIN),
        ("!Join abc", JOIN),
        ("!Select [0]", SELECT),
        ("!Select [0, a]", SELECT),
        (
            "!Split ['', a]",
            "Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string to be split or a function that returns a string to be split.",
        ),
        (
            "!FindInMap [M, a]",
            "Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the attribute for return value",
        ),
        (
            "!FindInMap [Q, a, b]",
            "Template error: Mapping named 'Q' is not present in the 'Mappings' section of template.",
        ),
        (
            "!If [C, a]",
            "Template error: Fn::If requires a list argument with the first parameter being a condition",
        ),
        (
            "!If [!Ref P, a, b]",
            "Template error: Fn::If requires a list argument with the first parameter being a condition",
        ),
        (
            "!If [C, a, b]",
            "Template error: unresolved condition dependency C in Fn::If",
        ),
        (
            "!Equals [a, b]",
            "Template error: Fn::Equals can only be used in the Conditions block",
        ),
        (
            "!ImportValue {Fn::Sub: ['${x}', {x: !GetAtt It.A}]}",
            "Template error: the attribute in Fn::ImportValue must not depend on any resources, imported values, or Fn::GetAZs",
        ),
        (
            "!Cidr [a]",
            "Template error: every Fn::Cidr object requires two or three parameters, the block of addresses, the count of blocks and the bits of a block",
        ),
        (
            "!Transform {Name: a}",
            "Template error: Fn::Transform is not supported by neargate",
        ),
        (
            "{'Fn::ForEach::X': []}",
            "Template error: Fn::ForEach is only known to templates with `Transform: AWS::LanguageExtensions`",
        ),
        ("!Foo bar", "Template error: Fn::Foo is not a function"),
        (
            "{Fn::Sub: a, b: c}",
            "Template error: Fn::Sub must stand alone in its object",
        ),
        (
            "'{{resolve:ssm-secure:/a}}'",
            "SSM Secure reference is not supported in the properties of these resources",
        ),
        (
            "!Sub 'x{{resolve:vault:${P}}}'",
            "Template error: the dynamic reference {{resolve:vault:…}} is not supported by neargate",
        ),
    ] {
        let text = format!(
            "Parameters: {{P: {{Type: String, Default: p}}}}\nMappings: {{M: {{a: {{b: c}}}}}}\nResources:\n  Other: {{Type: T::T::T}}\n  It:\n    Type: T::T::T\n    Properties:\n      P: {value}"
        );
        let found = error(&text, &[]);
        let (message, place) = found
            .rsplit_once(" (line 8, column ")
            .unwrap_or_else(|| panic!("{value}: {found}"));
        assert_eq!(message, expect, "{value}");
        assert!(place.ends_with(')'), "{place}");
    }
}

#[test]
fn conditions_take_the_right_arguments() {
    for (value, expect) in [
        (
            "!And [!Condition T]",
            "Template error: every Fn::And object requires a list of at least 2 and at most 10 boolean parameters.",
        ),
        (
            "!Or a",
            "Template error: every Fn::Or object requires a list of at least 2 and at most 10 boolean parameters.",
        ),
        (
            "!Not [a, b]",
            "Template error: every Fn::Not object requires one boolean parameter.",
        ),
        (
            "!Equals [a]",
            "Template error: every Fn::Equals object requires a list of 2 string parameters.",
        ),
    ] {
        let text = format!("Conditions:\n  T: !Equals [a, a]\n  C: {value}{REST}");
        check(&text, &format!("{expect} (line 3, column 6)"));
    }
}

#[test]
fn limits_are_aws_limits() {
    let resources: String = (0..501)
        .map(|n| format!("  R{n}: {{Type: T::T::T}}\n"))
        .collect();
    check(
        &format!("Resources:\n{resources}"),
        "Template format error: Number of resources, 501, is greater than maximum allowed, 500 (line 1, column 1)",
    );
    let outputs: String = (0..201)
        .map(|n| format!("  O{n}: {{Value: a}}\n"))
        .collect();
    check(
        &format!("Outputs:\n{outputs}{REST}"),
        "Template format error: Number of outputs, 201, is greater than maximum allowed, 200 (line 1, column 1)",
    );
    let long = "x".repeat(256);
    check(
        &format!("Resources: {{{long}: {{Type: T::T::T}}}}"),
        &format!(
            "Template format error: Resource name {long} is longer than 255 characters. (line 1, column 13)"
        ),
    );
    check(
        &format!("Description: {}{REST}", "x".repeat(1025)),
        "Template format error: 'Description' length is greater than 1024. (line 1, column 1)",
    );
    check(
        &"#".repeat(1_048_577),
        "Template format error: the template has 1048577 bytes, at most 1048576 are allowed",
    );
}
