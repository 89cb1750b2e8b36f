//! Hostile templates.

use fuzz::{Target, shape_of};
use template::Template;

const YAML: &str = "
AWSTemplateFormatVersion: 2010-09-09
Parameters:
  Name: {Type: String, Default: a, AllowedPattern: '[a-z]+'}
Conditions:
  Big: !Equals [!Ref Name, b]
Mappings:
  M: {us-east-1: {A: '1'}}
Resources:
  Vpc:
    Type: AWS::EC2::VPC
    Condition: Big
    DependsOn: [Group]
    Properties:
      CidrBlock: !If [Big, 10.0.0.0/16, !FindInMap [M, !Ref AWS::Region, A]]
  Group:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: !Sub '/a/${Name}/${AWS::StackName}', Tags: &t [{Key: a, Value: b}]}
  Other: {Type: AWS::Logs::LogGroup, Properties: {Tags: *t}}
Outputs:
  Out: {Value: !Join ['-', [!GetAtt Vpc.VpcId, !Select [0, !Split [',', 'a,b']]]], Export: {Name: x}}
";
const JSON: &str = r#"{"Resources": {"A": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": {"Fn::Cidr": ["10.0.0.0/8", 2, 8]}}}}}"#;

#[test]
fn fuzz_template() {
    Target::new("template", env!("CARGO_MANIFEST_DIR"))
        .seeds([YAML, JSON])
        .words([
            "!Ref ",
            "!Sub ",
            "!If ",
            "!GetAtt ",
            "Fn::",
            "&a ",
            "*a",
            "<<: ",
            "- ",
            ": ",
            "|\n",
            "? ",
            "${",
            "!",
            "DependsOn: ",
            "Condition: ",
            "[",
            "{",
        ])
        .run(
            |input| match Template::parse(&String::from_utf8_lossy(input)) {
                Ok(_) => String::new(),
                Err(error) => shape_of(&error.to_string()),
            },
        );
}
