//! VPC, Subnet, InternetGateway, VPCGatewayAttachment.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability};
use serde_json::{Value as Json, json};
use shapes::ec2::{
    self, AttachInternetGatewayInput, AttributeBooleanValue, CreateInternetGatewayInput,
    CreateSubnetInput, CreateVpcInput, DeleteInternetGatewayInput, DeleteSubnetInput,
    DeleteVpcInput, DescribeSubnetsInput, DescribeVpcsInput, DetachInternetGatewayInput,
    ModifySubnetAttributeInput, ModifyVpcAttributeInput,
};

use super::{acl, gone_is_fine, tag_specifications, text, update_tags};
use crate::group::SecurityGroup;
use crate::vpc::Vpc;

fn id(made: Option<String>) -> Result<Created, ResourceError> {
    made.map(|physical_id| Created { physical_id })
        .ok_or_else(|| ResourceError::new("the service answered no id"))
}

pub struct VpcType;

async fn set_vpc_attributes(
    cx: &Cx,
    vpc: &str,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let value = |name| {
        request
            .flag(name)
            .map(|it| AttributeBooleanValue { value: Some(it) })
    };
    let input = ModifyVpcAttributeInput {
        vpc_id: vpc.to_owned(),
        enable_dns_hostnames: value("EnableDnsHostnames"),
        enable_dns_support: value("EnableDnsSupport"),
        ..Default::default()
    };
    cx.call(input).await?;
    Ok(())
}

#[async_trait]
impl ResourceType for VpcType {
    fn name(&self) -> &'static str {
        "AWS::EC2::VPC"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("CidrBlock").required().replaces(),
                Property::flag("EnableDnsHostnames"),
                Property::flag("EnableDnsSupport"),
                Property::text("InstanceTenancy").replaces(),
                Property::TAGS,
            ]
        }
    }
    fn attributes(&self) -> &'static [&'static str] {
        &[
            "VpcId",
            "CidrBlock",
            "DefaultSecurityGroup",
            "DefaultNetworkAcl",
            "CidrBlockAssociations",
            "Ipv6CidrBlocks",
        ]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let cx = cx.with_token(&*request.token);
        let tenancy = request
            .text("InstanceTenancy")
            .map(|it| it.parse())
            .transpose();
        let input = CreateVpcInput {
            cidr_block: Some(request.required_text("CidrBlock")?),
            instance_tenancy: tenancy
                .map_err(|_| ResourceError::new("InstanceTenancy is not valid"))?,
            tag_specifications: tag_specifications(request, ec2::ResourceType::Vpc),
            ..Default::default()
        };
        let made = id(cx.call(input).await?.vpc.and_then(|it| it.vpc_id))?;
        request.made.note(&made.physical_id);
        set_vpc_attributes(&cx, &made.physical_id, request).await?;
        Ok(made)
    }
    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        set_vpc_attributes(cx, id, request).await?;
        update_tags(cx, id, old, request).await
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        gone_is_fine(
            cx.call(DeleteVpcInput {
                vpc_id: id.into(),
                ..Default::default()
            })
            .await,
        )
    }
    /// Gone once the machine has let go of it.
    async fn deleted(&self, cx: &Cx, id: &str) -> Result<Stability, ResourceError> {
        let left = cx.read(|tx| tx.get::<Vpc>(&cx.key(id)))?;
        Ok(match left {
            Some(_) => Stability::Waiting("the network is being removed".into()),
            None => Stability::Stable,
        })
    }
    async fn attribute(&self, cx: &Cx, id: &str, name: &str) -> Result<Json, ResourceError> {
        let input = DescribeVpcsInput {
            vpc_ids: Some(vec![id.into()]),
            ..Default::default()
        };
        let vpc = cx
            .call(input)
            .await?
            .vpcs
            .unwrap_or_default()
            .into_iter()
            .next()
            .unwrap_or_default();
        let groups = cx.read(|tx| tx.list::<SecurityGroup>(&cx.key("")))?;
        Ok(match name {
            "VpcId" => json!(id),
            "CidrBlock" => json!(vpc.cidr_block),
            "CidrBlockAssociations" => {
                let associations = vpc.cidr_block_association_set.unwrap_or_default();
                json!(
                    associations
                        .into_iter()
                        .filter_map(|it| it.association_id)
                        .collect::<Vec<_>>()
                )
            }
            // Networks here have no IPv6.
            "Ipv6CidrBlocks" => json!([]),
            "DefaultNetworkAcl" => json!(acl::default_of(cx, id).await?),
            "DefaultSecurityGroup" => {
                json!(
                    groups
                        .iter()
                        .find(|it| it.vpc == id && it.name == "default")
                        .map(|it| it.id.clone())
                )
            }
            _ => return Err(ResourceError::unknown_attribute(name)),
        })
    }
}

pub struct SubnetType;

async fn set_subnet_attributes(
    cx: &Cx,
    subnet: &str,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    let input = ModifySubnetAttributeInput {
        subnet_id: subnet.to_owned(),
        map_public_ip_on_launch: Some(AttributeBooleanValue {
            value: Some(request.flag("MapPublicIpOnLaunch").unwrap_or(false)),
        }),
    };
    cx.call(input).await?;
    Ok(())
}

#[async_trait]
impl ResourceType for SubnetType {
    fn name(&self) -> &'static str {
        "AWS::EC2::Subnet"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("VpcId").required().replaces(),
                Property::text("CidrBlock").replaces(),
                Property::text("AvailabilityZone").replaces(),
                Property::text("AvailabilityZoneId").replaces(),
                Property::flag("MapPublicIpOnLaunch"),
                Property::TAGS,
            ]
        }
    }
    fn attributes(&self) -> &'static [&'static str] {
        &[
            "SubnetId",
            "VpcId",
            "AvailabilityZone",
            "AvailabilityZoneId",
            "CidrBlock",
            "Ipv6CidrBlocks",
            "NetworkAclAssociationId",
        ]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let cx = cx.with_token(&*request.token);
        let input = CreateSubnetInput {
            vpc_id: request.required_text("VpcId")?,
            cidr_block: request.text("CidrBlock"),
            availability_zone: request.text("AvailabilityZone"),
            availability_zone_id: request.text("AvailabilityZoneId"),
            tag_specifications: tag_specifications(request, ec2::ResourceType::Subnet),
            ..Default::default()
        };
        let made = id(cx.call(input).await?.subnet.and_then(|it| it.subnet_id))?;
        request.made.note(&made.physical_id);
        set_subnet_attributes(&cx, &made.physical_id, request).await?;
        Ok(made)
    }
    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        set_subnet_attributes(cx, id, request).await?;
        update_tags(cx, id, old, request).await
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        gone_is_fine(
            cx.call(DeleteSubnetInput {
                subnet_id: id.into(),
                ..Default::default()
            })
            .await,
        )
    }
    async fn attribute(&self, cx: &Cx, id: &str, name: &str) -> Result<Json, ResourceError> {
        let input = DescribeSubnetsInput {
            subnet_ids: Some(vec![id.into()]),
            ..Default::default()
        };
        let subnet = cx
            .call(input)
            .await?
            .subnets
            .unwrap_or_default()
            .into_iter()
            .next()
            .unwrap_or_default();
        Ok(match name {
            "SubnetId" => json!(id),
            "VpcId" => json!(subnet.vpc_id),
            "AvailabilityZone" => json!(subnet.availability_zone),
            "AvailabilityZoneId" => json!(subnet.availability_zone_id),
            "CidrBlock" => json!(subnet.cidr_block),
            "Ipv6CidrBlocks" => json!([]),
            "NetworkAclAssociationId" => {
                json!(acl::association_of(cx, id).await?.map(|it| it.0))
            }
            _ => return Err(ResourceError::unknown_attribute(name)),
        })
    }
}

pub struct InternetGatewayType;

#[async_trait]
impl ResourceType for InternetGatewayType {
    fn name(&self) -> &'static str {
        "AWS::EC2::InternetGateway"
    }
    fn properties(&self) -> &'static [Property] {
        const { &[Property::TAGS] }
    }
    fn attributes(&self) -> &'static [&'static str] {
        &["InternetGatewayId"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateInternetGatewayInput {
            tag_specifications: tag_specifications(request, ec2::ResourceType::InternetGateway),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?;
        id(made.internet_gateway.and_then(|it| it.internet_gateway_id))
    }
    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        update_tags(cx, id, old, request).await
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = DeleteInternetGatewayInput {
            internet_gateway_id: id.into(),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn attribute(&self, _cx: &Cx, id: &str, name: &str) -> Result<Json, ResourceError> {
        if name == "InternetGatewayId" {
            Ok(json!(id))
        } else {
            Err(ResourceError::unknown_attribute(name))
        }
    }
}

pub struct AttachmentType;

#[async_trait]
impl ResourceType for AttachmentType {
    fn name(&self) -> &'static str {
        "AWS::EC2::VPCGatewayAttachment"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("VpcId").required().replaces(),
                Property::text("InternetGatewayId").required().replaces(),
            ]
        }
    }
    fn attributes(&self) -> &'static [&'static str] {
        &["AttachmentType"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = AttachInternetGatewayInput {
            internet_gateway_id: request.required_text("InternetGatewayId")?,
            vpc_id: request.required_text("VpcId")?,
            ..Default::default()
        };
        let physical_id = format!("IGW|{}", input.vpc_id);
        cx.with_token(&*request.token).call(input).await?;
        Ok(Created { physical_id })
    }
    async fn update(
        &self,
        _: &Cx,
        _: &str,
        _: &Json,
        _: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        Ok(())
    }
    async fn delete(&self, cx: &Cx, _id: &str, properties: &Json) -> Result<(), ResourceError> {
        let input = DetachInternetGatewayInput {
            internet_gateway_id: text(properties, "InternetGatewayId").unwrap_or_default(),
            vpc_id: text(properties, "VpcId").unwrap_or_default(),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn attribute(&self, _cx: &Cx, _id: &str, name: &str) -> Result<Json, ResourceError> {
        if name == "AttachmentType" {
            Ok(json!("IGW"))
        } else {
            Err(ResourceError::unknown_attribute(name))
        }
    }
}
