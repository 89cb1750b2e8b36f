use template::Template;

use crate::{error, instance};

fn check(text: &str, given: &[(&str, &str)], expect: &[(&str, &[&str])]) {
    let template = Template::parse(text).unwrap();
    let found = instance(&template, given).dependencies();
    let found: Vec<(&str, Vec<&str>)> = found
        .iter()
        .map(|(id, needs)| (id.as_str(), needs.iter().map(String::as_str).collect()))
        .collect();
    let expect: Vec<(&str, Vec<&str>)> = expect
        .iter()
        .map(|(id, needs)| (*id, needs.to_vec()))
        .collect();
    assert_eq!(found, expect);
}

const TEXT: &str = "
Parameters: {Public: {Type: String}}
Conditions: {IsPublic: !Equals [!Ref Public, 'yes']}
Resources:
  Vpc: {Type: T::T::T}
  Gateway: {Type: T::T::T, Condition: IsPublic}
  Subnet: {Type: T::T::T, Properties: {Vpc: !Ref Vpc, Tag: !Sub '${AWS::StackName} ${!Role}'}}
  Role: {Type: T::T::T}
  Service:
    Type: T::T::T
    DependsOn: [Subnet, Gateway]
    Metadata: {Of: !GetAtt Role.Arn}
    Properties:
      Net: !If [IsPublic, !Ref Gateway, !Sub '${Vpc.Cidr}']
";

#[test]
fn needs_come_from_references_and_from_the_branches_that_are_chosen() {
    check(
        TEXT,
        &[("Public", "yes")],
        &[
            ("Gateway", &[]),
            ("Role", &[]),
            ("Service", &["Gateway", "Role", "Subnet"]),
            ("Subnet", &["Vpc"]),
            ("Vpc", &[]),
        ],
    );
    check(
        TEXT,
        &[("Public", "no")],
        &[
            ("Role", &[]),
            ("Service", &["Role", "Subnet", "Vpc"]),
            ("Subnet", &["Vpc"]),
            ("Vpc", &[]),
        ],
    );
}

#[test]
fn what_is_left_out_cannot_be_referenced() {
    let text = "
Conditions: {No: !Equals [a, b]}
Resources:
  Gone: {Type: T::T::T, Condition: No}
  It: {Type: T::T::T, Properties: {P: !Ref Gone}}";
    assert_eq!(
        error(text, &[]),
        "Template format error: Unresolved resource dependencies [Gone] in the Resources block of the template (line 5, column 39)"
    );
    let outputs = "
Conditions: {No: !Equals [a, b]}
Resources:
  Gone: {Type: T::T::T, Condition: No}
  It: {Type: T::T::T}
Outputs: {O: {Value: !GetAtt Gone.Arn}, Left: {Condition: No, Value: !Ref Gone}}";
    assert_eq!(
        error(outputs, &[]),
        "Unresolved resource dependencies [Gone] in the Outputs block of the template (line 6, column 22)"
    );
}

#[test]
fn circles_are_named_and_only_the_branches_that_meet_count() {
    let circle = "Resources:
  A: {Type: T::T::T, DependsOn: B}
  B: {Type: T::T::T, Properties: {P: !Ref C}}
  C: {Type: T::T::T, Properties: {P: !GetAtt A.Arn}}
  D: {Type: T::T::T, DependsOn: A}";
    assert_eq!(
        error(circle, &[]),
        "Circular dependency between resources: [A, B, C] (line 2, column 3)"
    );
    let own = "Resources:\n  A: {Type: T::T::T, Properties: {P: !Ref A}}";
    assert_eq!(
        error(own, &[]),
        "Circular dependency between resources: [A] (line 2, column 3)"
    );
    let branches = |first: &str| {
        format!(
            "Conditions: {{C: !Equals [a, {first}]}}
Resources:
  A: {{Type: T::T::T, Properties: {{P: !If [C, !Ref B, x]}}}}
  B: {{Type: T::T::T, Properties: {{P: !If [C, x, !Ref A]}}}}"
        )
    };
    check(&branches("a"), &[], &[("A", &["B"]), ("B", &[])]);
    check(&branches("b"), &[], &[("A", &[]), ("B", &["A"])]);
    let both = "Conditions: {C: !Equals [a, a]}
Resources:
  A: {Type: T::T::T, Properties: {P: !If [C, !Ref B, x]}}
  B: {Type: T::T::T, Properties: {P: !If [C, !Ref A, x]}}";
    assert_eq!(
        error(both, &[]),
        "Circular dependency between resources: [A, B] (line 3, column 3)"
    );
}
