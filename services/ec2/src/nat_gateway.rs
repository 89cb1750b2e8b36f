//! NAT gateways: a way out for interfaces without a public address.
//!
//! A NAT gateway is an interface of its subnet with an Elastic IP address. What routes to it goes out
//! only while the gateway itself has a way out: its own subnet's route table must lead to an internet
//! gateway. A NAT gateway in a private subnet is a black hole here as it is on AWS.

use std::net::Ipv4Addr;

use cloud::{Cx, Error, Record, Records};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    self, ConnectivityType, CreateNatGatewayInput, CreateNatGatewayOutput, DeleteNatGatewayInput,
    DeleteNatGatewayOutput, DescribeNatGatewaysInput, DescribeNatGatewaysOutput, NatGatewayAddress,
    NatGatewayAddressStatus, NatGatewayState, ResourceType,
};
use wire::Timestamp;

use crate::elastic_address::{self, Association};
use crate::errors::{MissingParameter, NatGatewayNotFound, ResourceAlreadyAssociated, unsupported};
use crate::filters::{Filtered, page, select};
use crate::gateway::InternetGateway;
use crate::interface::{self, Interface};
use crate::route::RouteTable;
use crate::tags::{self, Tags};
use crate::{subnet, vpc};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NatGateway {
    pub id: String,
    pub region: String,
    pub vpc: String,
    pub subnet: String,
    pub interface: String,
    pub allocation: String,
    pub public: Ipv4Addr,
    /// None for one that failed.
    pub private: Option<Ipv4Addr>,
    pub created_ms: i64,
    pub deleted_ms: Option<i64>,
    /// The network has been told of it, or, of one that is deleted, that it is gone.
    pub is_applied: bool,
    pub failure: Option<String>,
    pub tags: Tags,
}

impl Record for NatGateway {
    const KIND: &'static str = "ec2.nat-gateway";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// How long a deleted one is described (VPC User Guide, "Delete a NAT gateway": about an hour).
const DELETED_SHOWN_MS: i64 = 60 * 60 * 1000;

impl NatGateway {
    pub fn state(&self) -> NatGatewayState {
        match self {
            Self {
                deleted_ms: Some(_),
                is_applied: false,
                ..
            } => NatGatewayState::Deleting,
            Self {
                deleted_ms: Some(_),
                ..
            } => NatGatewayState::Deleted,
            Self {
                failure: Some(_), ..
            } => NatGatewayState::Failed,
            Self {
                is_applied: false, ..
            } => NatGatewayState::Pending,
            _ => NatGatewayState::Available,
        }
    }

    /// Whether it is there and works, or will in a moment.
    pub fn lives(&self) -> bool {
        self.deleted_ms.is_none() && self.failure.is_none()
    }
}

pub fn get(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<NatGateway, Error> {
    tx.get(&cx.key(id))?
        .ok_or_else(|| NatGatewayNotFound.because(format!("The Nat Gateway {id} was not found")))
}

pub async fn create_nat_gateway(
    cx: Cx,
    input: CreateNatGatewayInput,
) -> Result<CreateNatGatewayOutput, Error> {
    if input.connectivity_type == Some(ConnectivityType::Private) {
        return Err(unsupported("ConnectivityType private"));
    }
    let missing = |name: &str| {
        MissingParameter.because(format!("The request must contain the parameter {name}"))
    };
    let allocation_id = (input.allocation_id.clone()).ok_or_else(|| missing("AllocationId"))?;
    let subnet_id = (input.subnet_id.clone()).ok_or_else(|| missing("SubnetId"))?;
    let tags = tags::specified(input.tag_specifications.as_ref(), ResourceType::Natgateway)?;
    // A client's own token serves as well as one that the caller of this daemon set.
    let named = input.client_token.as_ref().filter(|_| cx.token.is_none());
    let naming = named.map_or_else(|| cx.clone(), |it| cx.with_token(it.as_str()));
    cx.write(|tx| {
        let id = naming.new_id("nat-", 17);
        let gateway = match tx.get::<NatGateway>(&cx.key(&id))? {
            Some(existing) => existing,
            None => {
                let wanted = Wanted {
                    id,
                    allocation_id: &allocation_id,
                    subnet_id: &subnet_id,
                    private: input.private_ip_address.as_deref(),
                    tags: &tags,
                };
                make(&naming, tx, &wanted)?
            }
        };
        Ok(CreateNatGatewayOutput {
            client_token: input.client_token.clone(),
            nat_gateway: Some(shown(&gateway)),
        })
    })
}

struct Wanted<'a> {
    id: String,
    allocation_id: &'a str,
    subnet_id: &'a str,
    private: Option<&'a str>,
    tags: &'a Tags,
}

fn make(cx: &Cx, tx: &Records<'_>, wanted: &Wanted<'_>) -> Result<NatGateway, Error> {
    let subnet = subnet::get(cx, tx, wanted.subnet_id)?;
    let mut address = elastic_address::get(cx, tx, wanted.allocation_id)?;
    if let Some(held) = &address.association {
        return Err(ResourceAlreadyAssociated.because(format!(
            "Elastic IP address [{}] is already associated with {}",
            address.id, held.interface
        )));
    }
    let mut gateway = NatGateway {
        id: wanted.id.clone(),
        region: cx.region.clone(),
        vpc: subnet.vpc.clone(),
        subnet: subnet.id.clone(),
        interface: cx.new_id("eni-", 17),
        allocation: address.id.clone(),
        public: address.public,
        private: None,
        created_ms: cx.clock().now_ms(),
        deleted_ms: None,
        is_applied: false,
        failure: None,
        tags: wanted.tags.clone(),
    };
    let gateways: Vec<InternetGateway> = tx.list(&cx.key(""))?;
    if !gateways
        .iter()
        .any(|it| it.vpc.as_ref() == Some(&subnet.vpc))
    {
        gateway.failure = Some(format!(
            "Network {} has no Internet gateway attached",
            subnet.vpc
        ));
        tx.put(&gateway)?;
        return Ok(gateway);
    }
    let interface = interface::make_for_nat(cx, tx, &gateway, &subnet, wanted.private)?;
    gateway.private = Some(interface.address);
    address.association = Some(Association {
        id: cx.new_id("eipassoc-", 17),
        interface: interface.id.clone(),
        nat_gateway: Some(gateway.id.clone()),
    });
    tx.put(&address)?;
    tx.put(&gateway)?;
    vpc::touch(cx, tx, &gateway.vpc)?;
    Ok(gateway)
}

pub async fn delete_nat_gateway(
    cx: Cx,
    input: DeleteNatGatewayInput,
) -> Result<DeleteNatGatewayOutput, Error> {
    cx.write(|tx| {
        let mut gateway = get(&cx, tx, &input.nat_gateway_id)?;
        if gateway.deleted_ms.is_none() {
            if let Some(mut interface) = tx.get::<Interface>(&cx.key(&gateway.interface))? {
                interface.deleting = true;
                tx.put(&interface)?;
            }
            if let Ok(mut address) = elastic_address::get(&cx, tx, &gateway.allocation) {
                let is_own = |it: &mut Association| it.nat_gateway.as_ref() == Some(&gateway.id);
                address.association.take_if(is_own);
                tx.put(&address)?;
            }
            gateway.deleted_ms = Some(cx.clock().now_ms());
            // The network was never told of one that failed.
            gateway.is_applied = gateway.failure.is_some();
            tx.put(&gateway)?;
            vpc::touch(&cx, tx, &gateway.vpc)?;
        }
        Ok(DeleteNatGatewayOutput {
            nat_gateway_id: Some(gateway.id),
        })
    })
}

/// The gateway that holds an interface, if one does.
pub fn holder(cx: &Cx, tx: &Records<'_>, interface: &str) -> Result<Option<String>, Error> {
    let gateways: Vec<NatGateway> = tx.list(&cx.key(""))?;
    let held = (gateways.into_iter()).find(|it| it.lives() && it.interface == interface);
    Ok(held.map(|it| it.id))
}

/// Whether what is routed to the gateway gets out: its own subnet must lead to an internet gateway.
pub fn has_way_out(
    gateway: &NatGateway,
    destination: &Ipv4Net,
    tables: &[RouteTable],
    is_attached: &dyn Fn(&str) -> bool,
) -> bool {
    let own = tables
        .iter()
        .find(|it| it.associations.values().any(|it| *it == gateway.subnet))
        .or_else(|| tables.iter().find(|it| it.main));
    gateway.lives()
        && own.is_some_and(|table| {
            (table.routes.iter())
                .any(|(range, target)| range.contains(destination) && is_attached(target))
        })
}

impl Filtered for NatGateway {
    const FILTERS: &'static [&'static str] = &["nat-gateway-id", "state", "subnet-id", "vpc-id"];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "nat-gateway-id" => self.id.clone(),
            "state" => self.state().to_string(),
            "subnet-id" => self.subnet.clone(),
            "vpc-id" => self.vpc.clone(),
            _ => return vec![],
        }]
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

fn shown(gateway: &NatGateway) -> ec2::NatGateway {
    let time = |ms: i64| Timestamp(ms as f64 / 1000.0);
    let address = NatGatewayAddress {
        allocation_id: Some(gateway.allocation.clone()),
        network_interface_id: gateway.private.map(|_| gateway.interface.clone()),
        private_ip: gateway.private.map(|it| it.to_string()),
        public_ip: Some(gateway.public.to_string()),
        is_primary: Some(true),
        status: Some(match gateway.failure {
            Some(_) => NatGatewayAddressStatus::Failed,
            None => NatGatewayAddressStatus::Succeeded,
        }),
        ..Default::default()
    };
    ec2::NatGateway {
        create_time: Some(time(gateway.created_ms)),
        delete_time: gateway.deleted_ms.map(time),
        failure_code: gateway
            .failure
            .as_ref()
            .map(|_| "Gateway.NotAttached".into()),
        failure_message: gateway.failure.clone(),
        nat_gateway_addresses: Some(vec![address]),
        nat_gateway_id: Some(gateway.id.clone()),
        state: Some(gateway.state()),
        subnet_id: Some(gateway.subnet.clone()),
        vpc_id: Some(gateway.vpc.clone()),
        tags: tags::shown(&gateway.tags),
        connectivity_type: Some(ConnectivityType::Public),
        ..Default::default()
    }
}

pub async fn describe_nat_gateways(
    cx: Cx,
    input: DescribeNatGatewaysInput,
) -> Result<DescribeNatGatewaysOutput, Error> {
    let now_ms = cx.clock().now_ms();
    let found = cx.read(|tx| match &input.nat_gateway_ids {
        Some(ids) => ids.iter().map(|id| get(&cx, tx, id)).collect(),
        None => tx.list::<NatGateway>(&cx.key("")),
    })?;
    let is_shown = |it: &NatGateway| {
        (it.deleted_ms).is_none_or(|deleted_ms| now_ms - deleted_ms < DELETED_SHOWN_MS)
    };
    let found = found.into_iter().filter(is_shown).collect();
    let found = select(&cx, found, input.filter.as_ref())?;
    let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
    Ok(DescribeNatGatewaysOutput {
        nat_gateways: Some(found.iter().map(shown).collect()),
        next_token,
    })
}

/// The network knows the VPC's gateways as they were when it was described: they are available, or
/// gone. What was deleted long ago is forgotten.
pub fn applied(cx: &Cx, described: &[NatGateway]) -> Result<(), Error> {
    let now_ms = cx.clock().now_ms();
    cx.write(|tx| {
        for mut it in tx.list::<NatGateway>(&cx.key(""))? {
            let is_known =
                |known: &NatGateway| known.id == it.id && known.deleted_ms == it.deleted_ms;
            let is_old = (it.deleted_ms).is_some_and(|ms| now_ms - ms >= DELETED_SHOWN_MS);
            if is_old {
                tx.delete::<NatGateway>(&it.key())?;
            } else if !it.is_applied && described.iter().any(is_known) {
                it.is_applied = true;
                tx.put(&it)?;
            }
        }
        Ok(())
    })
}
