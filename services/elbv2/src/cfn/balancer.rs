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
use super::{arn_resource, gone_is_fine, refuse_others, retag, tag_list};
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
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["LoadBalancerArn"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &[
            "CanonicalHostedZoneID",
            "DNSName",
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
            name: request.name("Name", 32),
            subnets: request.shape("Subnets")?,
            subnet_mappings: request.shape("SubnetMappings")?,
            security_groups: request.shape("SecurityGroups")?,
            scheme: request.shape("Scheme")?,
            tags: tag_list(request),
            r#type: request.shape("Type")?,
            ip_address_type: request.shape("IpAddressType")?,
        };
        let made = cx.call(input).await?.load_balancers;
        let made = made.into_iter().flatten().next();
        let made = Created::of(made.and_then(|it| it.load_balancer_arn))?;
        request.made.note(&made.physical_id);
        set_attributes(cx, &made.physical_id, request).await?;
        Ok(made)
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
        retag(cx, arn, request.tag_changes(old)).await
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
    async fn read(&self, cx: &Cx, arn: &str) -> Result<Json, ResourceError> {
        let balancer = described(cx, arn).await?;
        Ok(json!({
            "CanonicalHostedZoneID": balancer.canonical_hosted_zone_id,
            "DNSName": balancer.dns_name,
            "LoadBalancerFullName": arn_resource(arn).trim_start_matches("loadbalancer/"),
            "LoadBalancerName": balancer.load_balancer_name,
            "SecurityGroups": balancer.security_groups,
        }))
    }
}
