//! AWS::ElasticLoadBalancingV2::TargetGroup.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::elbv2::{
    CreateTargetGroupInput, DeleteTargetGroupInput, DeregisterTargetsInput,
    DescribeTargetGroupAttributesInput, DescribeTargetGroupsInput,
    ModifyTargetGroupAttributesInput, ModifyTargetGroupInput, RegisterTargetsInput,
    TargetDescription, TargetGroupAttribute,
};

use super::properties::KEY_VALUE;
use super::{arn_resource, gone_is_fine, refuse_others, retag, tag_list};

pub struct TargetGroupType;

const MATCHER: &[Property] = &[Property::text("HttpCode")];
const TARGET: &[Property] = &[
    Property::text("AvailabilityZone"),
    Property::text("Id").required(),
    Property::number("Port"),
];

async fn set_attributes(
    cx: &Cx,
    arn: &str,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let Some(attributes) = request.shape::<Vec<TargetGroupAttribute>>("TargetGroupAttributes")?
    else {
        return Ok(());
    };
    cx.call(ModifyTargetGroupAttributesInput {
        target_group_arn: arn.into(),
        attributes,
    })
    .await?;
    Ok(())
}

/// The attributes that a template speaks of, as they are.
fn of_those(asked: &[Json], found: &[TargetGroupAttribute]) -> Json {
    (found.iter())
        .filter(|it| asked.iter().any(|asked| asked["Key"] == json!(it.key)))
        .map(cloud::as_properties)
        .collect()
}

async fn attributes(cx: &Cx, arn: &str) -> Result<Vec<TargetGroupAttribute>, ResourceError> {
    let input = DescribeTargetGroupAttributesInput {
        target_group_arn: arn.into(),
    };
    Ok(cx.call(input).await?.attributes.unwrap_or_default())
}

/// Targets that the template itself names.
async fn set_targets(
    cx: &Cx,
    arn: &str,
    old: &[TargetDescription],
    new: &[TargetDescription],
) -> Result<(), ResourceError> {
    let added: Vec<_> = new.iter().filter(|it| !old.contains(it)).cloned().collect();
    let removed: Vec<_> = old.iter().filter(|it| !new.contains(it)).cloned().collect();
    if !added.is_empty() {
        cx.call(RegisterTargetsInput {
            target_group_arn: arn.into(),
            targets: added,
        })
        .await?;
    }
    if !removed.is_empty() {
        cx.call(DeregisterTargetsInput {
            target_group_arn: arn.into(),
            targets: removed,
        })
        .await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for TargetGroupType {
    fn name(&self) -> &'static str {
        "AWS::ElasticLoadBalancingV2::TargetGroup"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::flag("HealthCheckEnabled"),
                Property::number("HealthCheckIntervalSeconds"),
                Property::text("HealthCheckPath"),
                Property::text("HealthCheckPort"),
                Property::text("HealthCheckProtocol"),
                Property::number("HealthCheckTimeoutSeconds"),
                Property::number("HealthyThresholdCount"),
                Property::text("IpAddressType").replaces(),
                Property::object("Matcher").members(MATCHER),
                Property::text("Name").names(),
                Property::number("Port").replaces(),
                Property::text("Protocol").replaces(),
                Property::text("ProtocolVersion").replaces(),
                Property::TAGS,
                Property::objects("TargetGroupAttributes").members(KEY_VALUE),
                Property::text("TargetType").replaces(),
                Property::objects("Targets").members(TARGET),
                Property::number("UnhealthyThresholdCount"),
                Property::text("VpcId").replaces(),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["TargetGroupArn"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &["LoadBalancerArns", "TargetGroupFullName", "TargetGroupName"]
    }
    async fn actual(
        &self,
        cx: &Cx,
        physical_id: &str,
        expected: &Json,
    ) -> Result<Option<Json>, ResourceError> {
        let input = DescribeTargetGroupsInput {
            target_group_arns: Some(vec![physical_id.into()]),
            ..Default::default()
        };
        let groups = match cx.call(input).await {
            Err(error) if error.code.contains("NotFound") => return Ok(Some(Json::Null)),
            other => other?.target_groups.unwrap_or_default(),
        };
        let Some(group) = groups.first() else {
            return Ok(Some(Json::Null));
        };
        let mut actual = cloud::as_properties(group);
        if let Some(members) = actual.as_object_mut() {
            let name = members.remove("TargetGroupName").unwrap_or_default();
            members.insert("Name".into(), name);
            members.retain(|_, it| !it.is_null());
            if let Some(asked) = expected["TargetGroupAttributes"].as_array() {
                let found = attributes(cx, physical_id).await?;
                members.insert("TargetGroupAttributes".into(), of_those(asked, &found));
            }
        }
        Ok(Some(actual))
    }
    fn refuse(&self, properties: &Json) -> Result<(), String> {
        refuse_others(properties, "Protocol", &["HTTP", "HTTPS"])?;
        refuse_others(properties, "ProtocolVersion", &["", "HTTP1"])?;
        refuse_others(properties, "HealthCheckProtocol", &["HTTP", "HTTPS"])?;
        refuse_others(properties, "TargetType", &["instance", "ip"])
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let cx = &cx.with_token(&*request.token);
        let input = CreateTargetGroupInput {
            name: request.name("Name", 32),
            protocol: request.shape("Protocol")?,
            protocol_version: request.shape("ProtocolVersion")?,
            port: request.shape("Port")?,
            vpc_id: request.shape("VpcId")?,
            health_check_protocol: request.shape("HealthCheckProtocol")?,
            health_check_port: request.shape("HealthCheckPort")?,
            health_check_enabled: request.shape("HealthCheckEnabled")?,
            health_check_path: request.shape("HealthCheckPath")?,
            health_check_interval_seconds: request.shape("HealthCheckIntervalSeconds")?,
            health_check_timeout_seconds: request.shape("HealthCheckTimeoutSeconds")?,
            healthy_threshold_count: request.shape("HealthyThresholdCount")?,
            unhealthy_threshold_count: request.shape("UnhealthyThresholdCount")?,
            matcher: request.shape("Matcher")?,
            target_type: request.shape("TargetType")?,
            tags: tag_list(request),
            ip_address_type: request.shape("IpAddressType")?,
        };
        let made = cx.call(input).await?.target_groups;
        let made = made.into_iter().flatten().next();
        let made = Created::of(made.and_then(|it| it.target_group_arn))?;
        let arn = &made.physical_id;
        request.made.note(arn);
        set_attributes(cx, arn, request).await?;
        let targets: Vec<_> = request.shape("Targets")?.unwrap_or_default();
        set_targets(cx, arn, &[], &targets).await?;
        Ok(made)
    }
    async fn update(
        &self,
        cx: &Cx,
        arn: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let input = ModifyTargetGroupInput {
            target_group_arn: arn.into(),
            health_check_protocol: request.shape("HealthCheckProtocol")?,
            health_check_port: request.shape("HealthCheckPort")?,
            health_check_path: request.shape("HealthCheckPath")?,
            health_check_enabled: request.shape("HealthCheckEnabled")?,
            health_check_interval_seconds: request.shape("HealthCheckIntervalSeconds")?,
            health_check_timeout_seconds: request.shape("HealthCheckTimeoutSeconds")?,
            healthy_threshold_count: request.shape("HealthyThresholdCount")?,
            unhealthy_threshold_count: request.shape("UnhealthyThresholdCount")?,
            matcher: request.shape("Matcher")?,
        };
        cx.call(input).await?;
        set_attributes(cx, arn, request).await?;
        let before = request.with_properties(old);
        let targets =
            |it: &ResourceRequest| it.shape::<Vec<_>>("Targets").map(Option::unwrap_or_default);
        set_targets(cx, arn, &targets(&before)?, &targets(request)?).await?;
        retag(cx, arn, request.tag_changes(old)).await
    }
    async fn delete(&self, cx: &Cx, arn: &str, _properties: &Json) -> Result<(), ResourceError> {
        gone_is_fine(
            cx.call(DeleteTargetGroupInput {
                target_group_arn: arn.into(),
            })
            .await,
        )
    }
    async fn read(&self, cx: &Cx, arn: &str) -> Result<Json, ResourceError> {
        let input = DescribeTargetGroupsInput {
            target_group_arns: Some(vec![arn.into()]),
            ..Default::default()
        };
        let found = cx.call(input).await?.target_groups;
        let group = found.into_iter().flatten().next().unwrap_or_default();
        Ok(json!({
            "LoadBalancerArns": group.load_balancer_arns,
            "TargetGroupFullName": arn_resource(arn),
            "TargetGroupName": group.target_group_name,
        }))
    }
}
