//! RouteTable, Route, SubnetRouteTableAssociation.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::ec2::{
    self, AssociateRouteTableInput, CreateRouteInput, CreateRouteTableInput, DeleteRouteInput,
    DeleteRouteTableInput, DisassociateRouteTableInput, ReplaceRouteInput,
};

use super::{gone_is_fine, tag_specifications, update_tags};

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
    fn attributes(&self) -> &'static [&'static str] {
        &["RouteTableId"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateRouteTableInput {
            vpc_id: request.required_text("VpcId")?,
            tag_specifications: tag_specifications(request, ec2::ResourceType::RouteTable),
            ..Default::default()
        };
        let made = cx
            .with_token(&*request.token)
            .call(input)
            .await?
            .route_table
            .unwrap_or_default();
        Ok(Created {
            physical_id: made.route_table_id.unwrap_or_default(),
        })
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
        let input = DeleteRouteTableInput {
            route_table_id: id.into(),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn attribute(&self, _cx: &Cx, id: &str, name: &str) -> Result<Json, ResourceError> {
        if name == "RouteTableId" {
            Ok(json!(id))
        } else {
            Err(ResourceError::unknown_attribute(name))
        }
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
    fn attributes(&self) -> &'static [&'static str] {
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
    async fn attribute(&self, _cx: &Cx, id: &str, name: &str) -> Result<Json, ResourceError> {
        match name {
            "CidrBlock" => Ok(json!(id.split_once('|').map_or("", |it| it.1))),
            _ => Err(ResourceError::unknown_attribute(name)),
        }
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
    fn attributes(&self) -> &'static [&'static str] {
        &["Id"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = AssociateRouteTableInput {
            route_table_id: request.required_text("RouteTableId")?,
            subnet_id: request.text("SubnetId"),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?;
        Ok(Created {
            physical_id: made.association_id.unwrap_or_default(),
        })
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
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = DisassociateRouteTableInput {
            association_id: id.into(),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn attribute(&self, _cx: &Cx, id: &str, name: &str) -> Result<Json, ResourceError> {
        if name == "Id" {
            Ok(json!(id))
        } else {
            Err(ResourceError::unknown_attribute(name))
        }
    }
}
