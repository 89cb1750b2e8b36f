//! EIP and NatGateway.

use async_trait::async_trait;
use cloud::{
    Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability, TagChanges,
};
use serde_json::{Value as Json, json};
use shapes::ec2::{
    self, Address, AllocateAddressInput, CreateNatGatewayInput, DeleteNatGatewayInput,
    DescribeAddressesInput, DescribeNatGatewaysInput, DomainType, NatGateway, NatGatewayState,
    ReleaseAddressInput,
};

use super::{gone_is_fine, retag, tag_specifications};

pub struct EipType;

async fn address(cx: &Cx, public: &str) -> Result<Address, ResourceError> {
    let input = DescribeAddressesInput {
        public_ips: Some(vec![public.into()]),
        ..Default::default()
    };
    let found = cx.call(input).await?.addresses.unwrap_or_default();
    (found.into_iter().next())
        .ok_or_else(|| ResourceError::new(format!("Address {public} does not exist")))
}

fn check_domain(request: &ResourceRequest) -> Result<(), ResourceError> {
    match request.text("Domain").as_deref() {
        None | Some("vpc") => Ok(()),
        Some(other) => Err(ResourceError::new(format!(
            "Domain {other} is not supported by neargate: use vpc"
        ))),
    }
}

#[async_trait]
impl ResourceType for EipType {
    fn name(&self) -> &'static str {
        "AWS::EC2::EIP"
    }
    fn properties(&self) -> &'static [Property] {
        const { &[Property::text("Domain"), Property::TAGS] }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["PublicIp"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &["AllocationId"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        check_domain(request)?;
        let input = AllocateAddressInput {
            domain: Some(DomainType::Vpc),
            tag_specifications: tag_specifications(request, ec2::ResourceType::ElasticIp),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?;
        Created::of(made.public_ip)
    }
    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        check_domain(request)?;
        let allocation = address(cx, id).await?.allocation_id.unwrap_or_default();
        retag(cx, &allocation, request.tag_changes(old)).await
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = ReleaseAddressInput {
            public_ip: Some(id.into()),
            ..Default::default()
        };
        cloud::deletion(
            cx.call(input).await,
            &["NotFound"],
            &["InvalidIPAddress.InUse"],
        )
    }
    async fn read(&self, cx: &Cx, id: &str) -> Result<Json, ResourceError> {
        Ok(json!({"AllocationId": address(cx, id).await?.allocation_id}))
    }
}

pub struct NatGatewayType;

async fn gateway(cx: &Cx, id: &str) -> Result<Option<NatGateway>, ResourceError> {
    let input = DescribeNatGatewaysInput {
        nat_gateway_ids: Some(vec![id.into()]),
        ..Default::default()
    };
    match cx.call(input).await {
        Err(error) if error.code == "NatGatewayNotFound" => Ok(None),
        other => Ok(other?.nat_gateways.unwrap_or_default().into_iter().next()),
    }
}

#[async_trait]
impl ResourceType for NatGatewayType {
    fn name(&self) -> &'static str {
        "AWS::EC2::NatGateway"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::text("AllocationId").replaces(),
                Property::text("ConnectivityType").replaces(),
                Property::text("PrivateIpAddress").replaces(),
                Property::text("SubnetId").required().replaces(),
                Property::TAGS,
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["NatGatewayId"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateNatGatewayInput {
            allocation_id: request.text("AllocationId"),
            connectivity_type: request.shape("ConnectivityType")?,
            private_ip_address: request.text("PrivateIpAddress"),
            subnet_id: request.text("SubnetId"),
            tag_specifications: tag_specifications(request, ec2::ResourceType::Natgateway),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?;
        Created::of(made.nat_gateway.and_then(|it| it.nat_gateway_id))
    }
    async fn stability(&self, cx: &Cx, id: &str) -> Result<Stability, ResourceError> {
        let Some(gateway) = gateway(cx, id).await? else {
            return Ok(Stability::Failed("the NAT gateway is gone".into()));
        };
        Ok(match gateway.state {
            Some(NatGatewayState::Available) => Stability::Stable,
            Some(NatGatewayState::Pending) => Stability::Waiting("it is pending".into()),
            state => {
                let reason = gateway.failure_message.unwrap_or_default();
                let state = state.map(|it| it.to_string()).unwrap_or_default();
                Stability::Failed(format!(
                    "NatGateway {id} is in state {state} and hence failed to stabilize. Detailed failure message: {reason}"
                ))
            }
        })
    }
    async fn retag(&self, cx: &Cx, id: &str, changes: TagChanges) -> Result<(), ResourceError> {
        retag(cx, id, changes).await
    }
    async fn delete(&self, cx: &Cx, id: &str, _properties: &Json) -> Result<(), ResourceError> {
        let input = DeleteNatGatewayInput {
            nat_gateway_id: id.into(),
            ..Default::default()
        };
        gone_is_fine(cx.call(input).await)
    }
    async fn deleted(&self, cx: &Cx, id: &str) -> Result<Stability, ResourceError> {
        Ok(match gateway(cx, id).await?.and_then(|it| it.state) {
            None | Some(NatGatewayState::Deleted) => Stability::Stable,
            Some(_) => Stability::Waiting("it is being deleted".into()),
        })
    }
}
