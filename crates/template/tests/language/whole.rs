//! A whole template of the usual kind.

use serde_json::{Value as Json, json};
use template::{KNOWN_AFTER_APPLY, Scope, Template, is_known_after_apply};

use crate::{World, instance};

const TEXT: &str = "
AWSTemplateFormatVersion: 2010-09-09
Description: A website.
Metadata: {AWS::CloudFormation::Interface: {ParameterGroups: []}}
Parameters:
  Image: {Type: String}
  Count: {Type: Number, Default: 2}
Conditions:
  Has: !Not [!Equals [!Ref Count, 0]]
Resources:
  Vpc:
    Type: AWS::EC2::VPC
    DeletionPolicy: Retain
    Properties: {CidrBlock: 10.0.0.0/16}
  SubnetA:
    Type: AWS::EC2::Subnet
    Properties:
      VpcId: !Ref Vpc
      AvailabilityZone: !Select [0, !GetAZs '']
      CidrBlock: !Select [0, !Cidr [!GetAtt Vpc.CidrBlock, 2, 8]]
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Principal: {Service: ecs-tasks.amazonaws.com}, Action: sts:AssumeRole}]
  Service:
    Type: AWS::ECS::Service
    Condition: Has
    Properties: {DesiredCount: !Ref Count, Subnets: [!Ref SubnetA], Role: !GetAtt Role.Arn}
Outputs:
  VpcId: {Description: The network, Value: !Ref Vpc, Export: {Name: !Sub '${AWS::StackName}-vpc'}}
  Service: {Condition: Has, Value: !GetAtt Service.Name}
";

/// A world where only the network exists yet.
struct Ahead;

impl Scope for Ahead {
    fn reference(&self, logical_id: &str) -> Result<Json, String> {
        Ok(if logical_id == "Vpc" {
            "vpc-1"
        } else {
            KNOWN_AFTER_APPLY
        }
        .into())
    }
    fn attribute(&self, _: &str, _: &str) -> Result<Json, String> {
        Ok(KNOWN_AFTER_APPLY.into())
    }
    fn export(&self, name: &str) -> Result<Json, String> {
        World.export(name)
    }
    fn availability_zones(&self, region: &str) -> Result<Vec<String>, String> {
        World.availability_zones(region)
    }
}

#[test]
fn a_website() {
    let template = Template::parse(TEXT).unwrap();
    assert_eq!(template.description.as_deref(), Some("A website."));
    let instance = instance(&template, &[("Image", "web:1")]);
    assert_eq!(
        instance.policies("Vpc").deletion,
        Some(template::DeletionPolicy::Retain)
    );
    let role = instance.properties("Role", &World).unwrap().unwrap().value;
    assert_eq!(role["AssumeRolePolicyDocument"]["Version"], "2012-10-17");
    let outputs = instance.outputs(&World).unwrap();
    let shown: Vec<_> = outputs
        .iter()
        .map(|it| {
            (
                it.name.as_str(),
                it.value.as_str(),
                it.export_name.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("Service", "service/Name", None),
            ("VpcId", "vpc-id", Some("web-vpc"))
        ]
    );
}

#[test]
fn looking_ahead_leaves_what_is_not_known_yet_open() {
    let template = Template::parse(TEXT).unwrap();
    let instance = instance(&template, &[("Image", "web:1")]);
    let subnet = instance
        .properties("SubnetA", &Ahead)
        .unwrap()
        .unwrap()
        .value;
    assert_eq!(
        subnet,
        json!({"VpcId": "vpc-1", "AvailabilityZone": "eu-west-1a", "CidrBlock": KNOWN_AFTER_APPLY})
    );
    assert!(is_known_after_apply(&subnet));
    assert!(!is_known_after_apply(&subnet["VpcId"]));
}
