//! `AWS::AutoScaling::LaunchConfiguration`: `Ref` is its name. No property can be changed.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::Value as Json;
use shapes::autoscaling::{
    CreateLaunchConfigurationInput, DeleteLaunchConfigurationInput, InstanceMonitoring,
};

use super::gone_is_fine;

pub struct LaunchConfigurationType;

const NAME: &str = "LaunchConfigurationName";
const NAME_MAX: usize = 255;
const MONITORING: &str = "InstanceMonitoring";

const EBS: &[Property] = &[
    Property::flag("DeleteOnTermination"),
    Property::flag("Encrypted"),
    Property::number("Iops"),
    Property::number("Throughput"),
    Property::number("VolumeSize"),
    Property::text("VolumeType"),
];
const DEVICE: &[Property] = &[
    Property::text("DeviceName").required(),
    Property::object("Ebs").members(EBS),
];
const METADATA: &[Property] = &[
    Property::text("HttpEndpoint"),
    Property::number("HttpPutResponseHopLimit"),
    Property::text("HttpTokens"),
];

fn input(properties: &Json) -> Result<CreateLaunchConfigurationInput, ResourceError> {
    Ok(cloud::read_properties(properties, &[NAME, MONITORING])?)
}

#[async_trait]
impl ResourceType for LaunchConfigurationType {
    fn name(&self) -> &'static str {
        "AWS::AutoScaling::LaunchConfiguration"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::flag("AssociatePublicIpAddress").replaces(),
                Property::objects("BlockDeviceMappings")
                    .members(DEVICE)
                    .replaces(),
                Property::flag("EbsOptimized").replaces(),
                Property::text("IamInstanceProfile").replaces(),
                Property::text("ImageId").required().replaces(),
                Property::flag(MONITORING).replaces(),
                Property::text("InstanceType").required().replaces(),
                Property::text("KeyName").replaces(),
                Property::text(NAME).names(),
                Property::object("MetadataOptions")
                    .members(METADATA)
                    .replaces(),
                Property::text("PlacementTenancy").replaces(),
                Property::texts("SecurityGroups").replaces(),
                Property::text("UserData").replaces(),
            ]
        }
    }
    fn refuse(&self, properties: &Json) -> Result<(), String> {
        let known = cloud::known_part(properties);
        cloud::read_known::<CreateLaunchConfigurationInput>(&known, &[NAME, MONITORING]).map(drop)
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let mut input = input(&request.properties)?;
        input.launch_configuration_name = request.name(NAME, NAME_MAX);
        input.instance_monitoring =
            (request.flag(MONITORING)).map(|it| InstanceMonitoring { enabled: Some(it) });
        let physical_id = input.launch_configuration_name.clone();
        cx.with_token(&*request.token).call(input).await?;
        Ok(Created { physical_id })
    }
    async fn delete(&self, cx: &Cx, id: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeleteLaunchConfigurationInput {
            launch_configuration_name: id.to_owned(),
        };
        gone_is_fine(cx.call(input).await)
    }
}
