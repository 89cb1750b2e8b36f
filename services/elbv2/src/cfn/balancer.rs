//! AWS::ElasticLoadBalancingV2::LoadBalancer.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability};
use serde_json::{Value as Json, json};
use shapes::elbv2::{
    CreateLoadBalancerInput, DeleteLoadBalancerInput, DescribeLoadBalancersInput, LoadBalancer,
    LoadBalancerAttribute, LoadBalancerStateEnum, ModifyLoadBalancerAttributesInput,
    SetIpAddressTypeInput, SetSecurityGroupsInput, SetSubnetsInput,
};

use super::properties::KEY_VALUE;
use super::{arn_resource, gone_is_fine, refuse_others, tag_list, update_tags};
use crate::record;

pub struct LoadBalancerType;

async fn described(cx: &Cx, arn: &str) -> Result<LoadBalancer, ResourceError> {
    let input = DescribeLoadBalancersInput {
        load_balancer_arns: Some(vec![arn.into()]),
        ..Default::default()
    };
    let found = cx.call(input).await?.load_balancers.unwrap_or_default();
    found
        .into_iter()
        .next()
        .ok_or_else(|| ResourceError::new(format!("load balancer {arn} is gone")))
}

async fn set_attributes(
    cx: &Cx,
    arn: &str,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let Some(attributes) = request.shape::<Vec<LoadBalancerAttribute>>("LoadBalancerAttributes")?
    else {
        return Ok(());
    };
    let input = ModifyLoadBalancerAttributesInput {
        load_balancer_arn: arn.into(),
        attributes,
    };
    cx.call(input).await?;
    Ok(())
}

#[async_trait]
impl ResourceType for LoadBalancerType {
    fn name(&self) -> &'static str {
        "AWS::ElasticLoadBalancingV2::LoadBalancer"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("IpAddressType"),
                Property::objects("LoadBalancerAttributes").members(KEY_VALUE),
                Property::text("Name").names(),
                Property::text("Scheme").replaces(),
                Property::texts("SecurityGroups"),
                Property::objects("SubnetMappings")
                    .members(const { &[Property::text("SubnetId").required()] }),
                Property::texts("Subnets"),
                Property::TAGS,
                Property::text("Type").replaces(),
            ]
        }
    }
    fn attributes(&self) -> &'static [&'static str] {
        &[
            "CanonicalHostedZoneID",
            "DNSName",
            "LoadBalancerArn",
            "LoadBalancerFullName",
            "LoadBalancerName",
            "SecurityGroups",
        ]
    }
    fn refuse(&self, properties: &Json) -> Result<(), String> {
        refuse_others(properties, "Type", &["application"])?;
        refuse_others(properties, "IpAddressType", &["ipv4"])
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let cx = &cx.with_token(&*request.token);
        let input = CreateLoadBalancerInput {
            name: request
                .text("Name")
                .unwrap_or_else(|| request.generated_name(32)),
            subnets: request.shape("Subnets")?,
            subnet_mappings: request.shape("SubnetMappings")?,
            security_groups: request.shape("SecurityGroups")?,
            scheme: request.shape("Scheme")?,
            tags: tag_list(request),
            r#type: request.shape("Type")?,
            ip_address_type: request.shape("IpAddressType")?,
        };
        let made = cx
            .call(input)
            .await?
            .load_balancers
            .unwrap_or_default()
            .into_iter()
            .next();
        let arn = made.and_then(|it| it.load_balancer_arn).unwrap_or_default();
        request.made.note(&arn);
        set_attributes(cx, &arn, request).await?;
        Ok(Created { physical_id: arn })
    }
    async fn stability(&self, cx: &Cx, arn: &str) -> Result<Stability, ResourceError> {
        let state = described(cx, arn).await?.state.unwrap_or_default();
        Ok(match state.code {
            Some(LoadBalancerStateEnum::Active | LoadBalancerStateEnum::ActiveImpaired) => {
                Stability::Stable
            }
            Some(LoadBalancerStateEnum::Failed) => {
                Stability::Failed(state.reason.unwrap_or_default())
            }
            _ => Stability::Waiting("the load balancer is provisioning".into()),
        })
    }
    async fn update(
        &self,
        cx: &Cx,
        arn: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        if old.get("SecurityGroups") != request.get("SecurityGroups") {
            let security_groups = request.shape("SecurityGroups")?.unwrap_or_default();
            let input = SetSecurityGroupsInput {
                load_balancer_arn: arn.into(),
                security_groups,
            };
            cx.call(input).await?;
        }
        let moved = |name| old.get(name) != request.get(name);
        if moved("Subnets") || moved("SubnetMappings") {
            let input = SetSubnetsInput {
                load_balancer_arn: arn.into(),
                subnets: request.shape("Subnets")?,
                subnet_mappings: request.shape("SubnetMappings")?,
                ..Default::default()
            };
            cx.call(input).await?;
        }
        if let Some(ip_address_type) = request.shape("IpAddressType")? {
            let input = SetIpAddressTypeInput {
                load_balancer_arn: arn.into(),
                ip_address_type,
            };
            cx.call(input).await?;
        }
        set_attributes(cx, arn, request).await?;
        update_tags(cx, arn, old, request).await
    }
    async fn delete(&self, cx: &Cx, arn: &str, _properties: &Json) -> Result<(), ResourceError> {
        gone_is_fine(
            cx.call(DeleteLoadBalancerInput {
                load_balancer_arn: arn.into(),
            })
            .await,
        )
    }
    /// Gone once its interfaces are: a subnet or group can be deleted then.
    async fn deleted(&self, cx: &Cx, arn: &str) -> Result<Stability, ResourceError> {
        let key = cx.key(arn_resource(arn).trim_start_matches("loadbalancer/"));
        let left = cx.read(|tx| tx.get::<record::Balancer>(&key))?;
        Ok(match left {
            Some(_) => Stability::Waiting("the load balancer is being deleted".into()),
            None => Stability::Stable,
        })
    }
    async fn attribute(&self, cx: &Cx, arn: &str, name: &str) -> Result<Json, ResourceError> {
        let balancer = described(cx, arn).await?;
        Ok(match name {
            "CanonicalHostedZoneID" => json!(balancer.canonical_hosted_zone_id),
            "DNSName" => json!(balancer.dns_name),
            "LoadBalancerArn" => json!(arn),
            "LoadBalancerFullName" => json!(arn_resource(arn).trim_start_matches("loadbalancer/")),
            "LoadBalancerName" => json!(balancer.load_balancer_name),
            "SecurityGroups" => json!(balancer.security_groups),
            _ => return Err(ResourceError::unknown_attribute(name)),
        })
    }
}
