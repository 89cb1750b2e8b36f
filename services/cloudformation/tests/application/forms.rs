//! Every resource type of every service, given what no schema allows.

use std::time::Duration;

use cloud::{Made, Property, PropertyForm, ResourceRequest};
use serde_json::{Value as Json, json};
use shapes::cloudformation as api;

fn all() -> testkit::World {
    let world = testkit::world([
        application_autoscaling::service(),
        autoscaling::service(),
        cloudformation::service(),
        cloudwatch::service(),
        cloudwatch_logs::service(),
        codecommit::service(),
        ec2::service(),
        ecr::service(),
        ecs::service(),
        elbv2::service(),
        iam::service(),
        iam::sts_service(),
        secretsmanager::service(),
        ssm::service(),
    ]);
    world.at_rest()
}

/// A value of a property's form.
fn right(property: &Property) -> Json {
    let members = || {
        let required = property.members.iter().filter(|it| it.required);
        Json::Object(required.map(|it| (it.name.into(), right(it))).collect())
    };
    match property.form {
        PropertyForm::Text => "a".into(),
        PropertyForm::Number => 1.into(),
        PropertyForm::Flag => true.into(),
        PropertyForm::Texts => json!(["a"]),
        PropertyForm::Numbers => json!([1]),
        PropertyForm::Object => members(),
        PropertyForm::Objects => json!([members()]),
        PropertyForm::Any => json!({}),
    }
}

fn wrong(property: &Property) -> Option<Json> {
    Some(match property.form {
        PropertyForm::Text => json!({"a": "b"}),
        PropertyForm::Number | PropertyForm::Flag => json!("neither"),
        PropertyForm::Texts | PropertyForm::Numbers | PropertyForm::Object => json!("a"),
        PropertyForm::Objects => json!([1]),
        PropertyForm::Any => return None,
    })
}

fn minimal(table: &[Property]) -> Json {
    let required = table.iter().filter(|it| it.required);
    Json::Object(required.map(|it| (it.name.into(), right(it))).collect())
}

/// No property of no type is taken for what it is not, also further down.
#[tokio::test(flavor = "multi_thread")]
async fn a_property_of_another_form_is_refused_whatever_its_type() {
    let world = all();
    let cloud = &world.cloud;
    let cx = &world.cx;
    let mut checked = 0;
    for resource_type in cloud.resource_types() {
        let table = resource_type.properties();
        // Without a handle it is refused for that.
        let has_handle = resource_type.name() == "AWS::CloudFormation::WaitCondition";
        for property in table {
            let nested = property.members.iter().filter_map(|member| {
                let mut value = right(property);
                let inner = match &mut value {
                    Json::Array(items) => items.first_mut()?,
                    other => other,
                };
                inner[member.name] = wrong(member)?;
                Some(value)
            });
            for value in wrong(property).into_iter().chain(nested) {
                let mut properties = minimal(table);
                if has_handle {
                    properties["Handle"] = "a".into();
                }
                properties[property.name] = value;
                let template = json!({"Resources": {"X": {"Type": resource_type.name(), "Properties": properties}}});
                let input = api::CreateStackInput {
                    stack_name: "web".into(),
                    template_body: Some(template.to_string()),
                    capabilities: Some(vec![api::Capability::CapabilityNamedIam]),
                    ..Default::default()
                };
                let error = cx.call(input).await.expect_err(&template.to_string());
                assert!(
                    error
                        .message
                        .starts_with("Properties validation failed for resource X"),
                    "{template}: {}",
                    error.message
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 250, "{checked}");
}

/// What a type will never make is said before anything of its stack is made; what is not known yet is not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_is_refused_ahead() {
    let world = all();
    let cloud = &world.cloud;
    let later = cloud::KNOWN_LATER;
    let reference = "{{resolve:ssm:a}}";
    let definition = |more: Json| {
        let mut whole =
            json!({"NetworkMode": "awsvpc", "ContainerDefinitions": [{"Name": "a", "Image": "b"}]});
        whole
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        whole
    };
    let balancer = "AWS::ElasticLoadBalancingV2::LoadBalancer";
    let group = "AWS::ElasticLoadBalancingV2::TargetGroup";
    let listener = "AWS::ElasticLoadBalancingV2::Listener";
    let (task, service) = ("AWS::ECS::TaskDefinition", "AWS::ECS::Service");
    let alarms = |enable: bool| json!({"DeploymentConfiguration": {"Alarms": {"AlarmNames": [], "Enable": enable, "Rollback": enable}}});
    let cases = [
        (balancer, json!({"Type": "network"}), Some("Type network")),
        (
            balancer,
            json!({"IpAddressType": "dualstack"}),
            Some("IpAddressType dualstack"),
        ),
        (
            balancer,
            json!({"Type": "application", "IpAddressType": later}),
            None,
        ),
        (group, json!({"Protocol": "TCP"}), Some("Protocol TCP")),
        (
            group,
            json!({"TargetType": "lambda"}),
            Some("TargetType lambda"),
        ),
        (
            group,
            json!({"Protocol": "HTTP", "ProtocolVersion": "GRPC"}),
            Some("ProtocolVersion GRPC"),
        ),
        (group, json!({"Protocol": later}), None),
        (listener, json!({"Protocol": "TLS"}), Some("Protocol TLS")),
        (listener, json!({"Protocol": "HTTP"}), None),
        (
            task,
            definition(json!({"RequiresCompatibilities": ["EXTERNAL"]})),
            Some("requiresCompatibilities EXTERNAL"),
        ),
        (
            task,
            definition(json!({"RequiresCompatibilities": ["EC2", later]})),
            None,
        ),
        (
            task,
            definition(json!({"PidMode": "host"})),
            Some("`PidMode`"),
        ),
        (
            task,
            definition(json!({"Volumes": [{"Name": later, "ConfiguredAtLaunch": true}]})),
            Some("`Volumes[0].ConfiguredAtLaunch` with another value than `false`"),
        ),
        (task, json!({"NetworkMode": later}), None),
        (task, json!({"NetworkMode": reference}), None),
        (
            task,
            json!({"NetworkMode": "host", "RequiresCompatibilities": ["EC2"]}),
            None,
        ),
        (
            "AWS::Logs::LogGroup",
            json!({"LogGroupName": reference}),
            None,
        ),
        (
            "AWS::CloudWatch::Alarm",
            json!({"AlarmActions": [reference], "OKActions": [later]}),
            None,
        ),
        (
            service,
            json!({"DeploymentController": {"Type": "CODE_DEPLOY"}}),
            Some("deploymentController CODE_DEPLOY"),
        ),
        (
            service,
            json!({"DeploymentController": {"Type": later}}),
            None,
        ),
        (
            service,
            json!({"LaunchType": "EXTERNAL"}),
            Some("launchType EXTERNAL"),
        ),
        (
            service,
            json!({"LaunchType": "EC2", "PlacementStrategies": [{"Type": "binpack", "Field": "memory"}]}),
            None,
        ),
        (
            service,
            alarms(true),
            Some("deploymentConfiguration.alarms"),
        ),
        (service, alarms(false), None),
        (
            "AWS::ECR::Repository",
            json!({"EncryptionConfiguration": {"EncryptionType": "KMS"}}),
            Some("encryption type KMS"),
        ),
        (
            "AWS::ECR::Repository",
            json!({"EncryptionConfiguration": {"EncryptionType": "AES256"}}),
            None,
        ),
    ];
    for (name, properties, expect) in cases {
        let answer = cloud.resource_type(name).unwrap().refuse(&properties).err();
        match expect {
            None => assert_eq!(answer, None, "{name} {properties}"),
            Some(what) => {
                let answer = answer.unwrap_or_default();
                let words = format!("{what} is not supported by neargate");
                assert!(answer.contains(&words), "{name} {properties}: {answer}");
            }
        }
    }
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn any(&mut self, depth: usize) -> Json {
        match self.roll(if depth == 0 { 6 } else { 9 }) {
            0 => Json::Null,
            1 => (self.roll(2) == 0).into(),
            2 => (self.roll(100_000) as i64 - 50_000).into(),
            3 => json!(1e300),
            4 => [
                "",
                "a",
                "*",
                "-1",
                "arn:aws:iam::000000000000:role/a",
                "10.0.0.0/8",
                "{}",
            ][self.roll(7)]
            .into(),
            5 => "\u{0}é".repeat(self.roll(300)).into(),
            6 => (0..self.roll(4)).map(|_| self.any(depth - 1)).collect(),
            _ => {
                let names = [
                    "Name",
                    "Key",
                    "Value",
                    "Statement",
                    "Type",
                    "Effect",
                    "Principal",
                ];
                Json::Object(
                    (0..self.roll(4))
                        .map(|_| (names[self.roll(7)].into(), self.any(depth - 1)))
                        .collect(),
                )
            }
        }
    }

    /// Properties of any kind, most of them of the right form.
    fn properties(&mut self, table: &[Property], depth: usize) -> Json {
        let mut made = serde_json::Map::new();
        for property in table {
            if !property.required && self.roll(3) > 0 {
                continue;
            }
            let value = match self.roll(12) {
                0 => self.any(3),
                _ => match property.form {
                    PropertyForm::Object if depth > 0 => {
                        self.properties(property.members, depth - 1)
                    }
                    PropertyForm::Objects if depth > 0 => (0..self.roll(3))
                        .map(|_| self.properties(property.members, depth - 1))
                        .collect(),
                    PropertyForm::Texts => (0..self.roll(3)).map(|_| Json::from("a")).collect(),
                    PropertyForm::Any => self.any(3),
                    _ => right(property),
                },
            };
            made.insert(property.name.into(), value);
        }
        Json::Object(made)
    }
}

/// How often each type is tried.
const ROUNDS: usize = 40;

/// Whatever properties a type is given, it answers: also those that nothing has looked at.
#[tokio::test(flavor = "multi_thread")]
async fn no_properties_make_a_type_panic() {
    let world = all();
    let cloud = &world.cloud;
    let mut dice = Dice(7);
    for resource_type in cloud.resource_types() {
        for round in 0..ROUNDS {
            let table = resource_type.properties();
            let (mut old, mut properties) = (dice.properties(table, 4), dice.properties(table, 4));
            if round % 2 == 0 {
                // As a stack hands them over, as far as that goes.
                for it in [&mut old, &mut properties] {
                    let _ = cloud::conform(table, it, &|_| false);
                }
            }
            let told = properties.to_string();
            let (resource_type, cx) = (resource_type.clone(), cloud.daemon_context(crate::REGION));
            let name = resource_type.name();
            let work = tokio::spawn(async move {
                let request = ResourceRequest {
                    update_policy: Json::Null,
                    stack_name: "web".into(),
                    stack_id: "arn:aws:cloudformation:us-east-1:000000000000:stack/web/1".into(),
                    logical_id: "X".into(),
                    token: format!("t{round}"),
                    properties: properties.clone(),
                    tags: Default::default(),
                    made: Made::default(),
                };
                let _ = resource_type.refuse(&properties);
                let _ = resource_type.capability(&properties);
                let id = match resource_type.create(&cx, &request).await {
                    Ok(created) => created.physical_id,
                    Err(_) => request.made.physical_id().unwrap_or("none".into()),
                };
                let _ = resource_type.update(&cx, &id, &old, &request).await;
                let _ = resource_type.stability(&cx, &id).await;
                let _ = resource_type.attribute_values(&cx, &id).await;
                let _ = resource_type.actual(&cx, &id, &properties).await;
                let _ = resource_type.delete(&cx, &id, &properties).await;
            });
            let outcome = tokio::time::timeout(Duration::from_secs(20), work).await;
            assert!(matches!(outcome, Ok(Ok(()))), "{name}: {told}");
        }
    }
}
