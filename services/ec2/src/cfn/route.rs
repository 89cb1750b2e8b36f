//! RouteTable, Route, SubnetRouteTableAssociation.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, TagChanges};
use serde_json::{Value as Json, json};
use shapes::ec2::{
    self, AssociateRouteTableInput, CreateRouteInput, CreateRouteTableInput, DeleteRouteInput,
    DeleteRouteTableInput, DisassociateRouteTableInput, ReplaceRouteInput,
};

use super::{gone_is_fine, retag, tag_specifications};

pub struct RouteTableType;

#[async_trait]
impl ResourceType for RouteTableType {
    fn name(&self) -> &'static str {
        "AWS::EC2::RouteTable"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("VpcId").required().replaces(),
                Property::TAGS,
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["RouteTableId"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateRouteTableInput {
            vpc_id: request.required_text("VpcId")?,
            tag_specifications: tag_specifications(request, ec2::ResourceType::RouteTable),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?;
        Created::of(made.route_table.and_then(|it| it.route_table_id))
    }
    async fn retag(&self, cx: &Cx, id: &str, changes: TagChanges) -> Result<(), ResourceError> {
        retag(cx, id, changes).await
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = DeleteRouteTableInput {
            route_table_id: id.into(),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
}

pub struct RouteType;

#[async_trait]
impl ResourceType for RouteType {
    fn name(&self) -> &'static str {
        "AWS::EC2::Route"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("RouteTableId").required().replaces(),
                Property::text("DestinationCidrBlock").required().replaces(),
                Property::text("GatewayId"),
                Property::text("NatGatewayId"),
            ]
        }
    }
    fn readable(&self) -> &'static [&'static str] {
        &["CidrBlock"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let (table, destination) = (
            request.required_text("RouteTableId")?,
            request.required_text("DestinationCidrBlock")?,
        );
        let physical_id = format!("{table}|{destination}");
        let input = CreateRouteInput {
            route_table_id: table,
            destination_cidr_block: Some(destination),
            gateway_id: request.text("GatewayId"),
            nat_gateway_id: request.text("NatGatewayId"),
            ..Default::default()
        };
        cx.with_token(&*request.token).call(input).await?;
        Ok(Created { physical_id })
    }
    async fn update(
        &self,
        cx: &Cx,
        _id: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let input = ReplaceRouteInput {
            route_table_id: request.required_text("RouteTableId")?,
            destination_cidr_block: request.text("DestinationCidrBlock"),
            gateway_id: request.text("GatewayId"),
            nat_gateway_id: request.text("NatGatewayId"),
            ..Default::default()
        };
        cx.call(input).await?;
        Ok(())
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let (table, destination) = id.split_once('|').unwrap_or((id, ""));
        let input = DeleteRouteInput {
            route_table_id: table.into(),
            destination_cidr_block: Some(destination.into()),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn read(&self, _cx: &Cx, id: &str) -> Result<Json, ResourceError> {
        Ok(json!({"CidrBlock": id.split_once('|').map_or("", |it| it.1)}))
    }
}

pub struct AssociationType;

#[async_trait]
impl ResourceType for AssociationType {
    fn name(&self) -> &'static str {
        "AWS::EC2::SubnetRouteTableAssociation"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("RouteTableId").required().replaces(),
                Property::text("SubnetId").required().replaces(),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["Id"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = AssociateRouteTableInput {
            route_table_id: request.required_text("RouteTableId")?,
            subnet_id: request.text("SubnetId"),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?;
        Created::of(made.association_id)
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = DisassociateRouteTableInput {
            association_id: id.into(),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
}
