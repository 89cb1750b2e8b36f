//! VPC, Subnet, InternetGateway, VPCGatewayAttachment.

use async_trait::async_trait;
use cloud::{
    Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability, TagChanges,
};
use serde_json::{Value as Json, json};
use shapes::ec2::{
    self, AttachInternetGatewayInput, AttributeBooleanValue, CreateInternetGatewayInput,
    CreateSubnetInput, CreateVpcInput, DeleteInternetGatewayInput, DeleteSubnetInput,
    DeleteVpcInput, DescribeSubnetsInput, DescribeVpcsInput, DetachInternetGatewayInput,
    ModifySubnetAttributeInput, ModifyVpcAttributeInput,
};

use super::{acl, gone_is_fine, retag, tag_specifications, text};
use crate::group::SecurityGroup;
use crate::vpc::Vpc;

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
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["VpcId"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &[
            "CidrBlock",
            "DefaultSecurityGroup",
            "DefaultNetworkAcl",
            "CidrBlockAssociations",
            "Ipv6CidrBlocks",
        ]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let cx = cx.with_token(&*request.token);
        let tenancy = request.parsed("InstanceTenancy");
        let input = CreateVpcInput {
            cidr_block: Some(request.required_text("CidrBlock")?),
            instance_tenancy: tenancy
                .map_err(|_| ResourceError::new("InstanceTenancy is not valid"))?,
            tag_specifications: tag_specifications(request, ec2::ResourceType::Vpc),
            ..Default::default()
        };
        let made = cx.call(input).await?.vpc;
        let made = Created::of(made.and_then(|it| it.vpc_id))?;
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
        retag(cx, id, request.tag_changes(old)).await
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
    async fn read(&self, cx: &Cx, id: &str) -> Result<Json, ResourceError> {
        let input = DescribeVpcsInput {
            vpc_ids: Some(vec![id.into()]),
            ..Default::default()
        };
        let found = cx.call(input).await?.vpcs;
        let vpc = found.into_iter().flatten().next().unwrap_or_default();
        let associations = vpc.cidr_block_association_set.into_iter().flatten();
        let associations = associations.filter_map(|it| it.association_id);
        let groups = cx.read(|tx| tx.list::<SecurityGroup>(&cx.key("")))?;
        let default = (groups.into_iter()).find(|it| it.vpc == id && it.name == "default");
        let mut read = json!({
            "CidrBlock": vpc.cidr_block,
            "CidrBlockAssociations": associations.collect::<Vec<_>>(),
            "DefaultSecurityGroup": default.map(|it| it.id),
            // Networks here have no IPv6.
            "Ipv6CidrBlocks": [],
        });
        // Whoever may not see network ACLs is told the rest all the same.
        if let Ok(acl) = acl::default_of(cx, id).await {
            read["DefaultNetworkAcl"] = json!(acl);
        }
        Ok(read)
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
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["SubnetId"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &[
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
        let made = cx.call(input).await?.subnet;
        let made = Created::of(made.and_then(|it| it.subnet_id))?;
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
        retag(cx, id, request.tag_changes(old)).await
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
    async fn read(&self, cx: &Cx, id: &str) -> Result<Json, ResourceError> {
        let input = DescribeSubnetsInput {
            subnet_ids: Some(vec![id.into()]),
            ..Default::default()
        };
        let found = cx.call(input).await?.subnets;
        let subnet = found.into_iter().flatten().next().unwrap_or_default();
        let mut read = json!({
            "VpcId": subnet.vpc_id,
            "AvailabilityZone": subnet.availability_zone,
            "AvailabilityZoneId": subnet.availability_zone_id,
            "CidrBlock": subnet.cidr_block,
            "Ipv6CidrBlocks": [],
        });
        // Whoever may not see network ACLs is told the rest all the same.
        if let Ok(association) = acl::association_of(cx, id).await {
            read["NetworkAclAssociationId"] = json!(association.map(|it| it.0));
        }
        Ok(read)
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
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["InternetGatewayId"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateInternetGatewayInput {
            tag_specifications: tag_specifications(request, ec2::ResourceType::InternetGateway),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?;
        Created::of(made.internet_gateway.and_then(|it| it.internet_gateway_id))
    }
    async fn retag(&self, cx: &Cx, id: &str, changes: TagChanges) -> Result<(), ResourceError> {
        retag(cx, id, changes).await
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = DeleteInternetGatewayInput {
            internet_gateway_id: id.into(),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
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
    fn readable(&self) -> &'static [&'static str] {
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
    async fn delete(&self, cx: &Cx, _id: &str, properties: &Json) -> Result<(), ResourceError> {
        let input = DetachInternetGatewayInput {
            internet_gateway_id: text(properties, "InternetGatewayId").unwrap_or_default(),
            vpc_id: text(properties, "VpcId").unwrap_or_default(),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn read(&self, _cx: &Cx, _id: &str) -> Result<Json, ResourceError> {
        Ok(json!({"AttachmentType": "IGW"}))
    }
}
