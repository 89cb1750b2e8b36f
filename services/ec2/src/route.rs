//! Route tables, their routes and their associations with subnets.

use std::collections::BTreeMap;

use cloud::{Cx, Error, Record, Records};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    self, AssociateRouteTableInput, AssociateRouteTableOutput, CreateRouteInput, CreateRouteOutput,
    CreateRouteTableInput, CreateRouteTableOutput, DeleteRouteInput, DeleteRouteOutput,
    DeleteRouteTableInput, DeleteRouteTableOutput, DescribeRouteTablesInput,
    DescribeRouteTablesOutput, DisassociateRouteTableInput, DisassociateRouteTableOutput,
    ReplaceRouteInput, ReplaceRouteOutput, ReplaceRouteTableAssociationInput,
    ReplaceRouteTableAssociationOutput, ResourceType, RouteOrigin, RouteState,
    RouteTableAssociation, RouteTableAssociationState, RouteTableAssociationStateCode,
};

use crate::errors::{
    DependencyViolation, InvalidAssociationIdNotFound, InvalidParameterCombination,
    InvalidParameterValue, InvalidRouteNotFound, InvalidRouteTableIdNotFound, MissingParameter,
    ResourceAlreadyAssociated, RouteAlreadyExists, not_found, unsupported,
};
use crate::filters::{Filtered, page, select};
use crate::tags::{self, Tags};
use crate::vpc::{self, Vpc, parse_range};
use crate::{default_vpc, gateway, nat_gateway, subnet};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteTable {
    pub id: String,
    pub region: String,
    pub vpc: String,
    pub main: bool,
    /// Destination to gateway. The local route is implied.
    pub routes: BTreeMap<Ipv4Net, String>,
    /// Association id to subnet id.
    pub associations: BTreeMap<String, String>,
    pub tags: Tags,
}

impl Record for RouteTable {
    const KIND: &'static str = "ec2.route-table";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

impl RouteTable {
    pub fn new(cx: &Cx, vpc: &str, main: bool) -> Self {
        Self {
            id: cx.new_id("rtb-", 17),
            region: cx.region.clone(),
            vpc: vpc.to_owned(),
            main,
            routes: BTreeMap::new(),
            associations: BTreeMap::new(),
            tags: Tags::new(),
        }
    }

    fn main_association(&self) -> String {
        self.id.replace("rtb-", "rtbassoc-")
    }
}

fn get(cx: &Cx, tx: &Records<'_>, id: &str) -> Result<RouteTable, Error> {
    tx.get(&cx.key(id))?
        .ok_or_else(|| not_found(InvalidRouteTableIdNotFound, "routeTable", id))
}

fn associated() -> RouteTableAssociationState {
    RouteTableAssociationState {
        state: Some(RouteTableAssociationStateCode::Associated),
        status_message: None,
    }
}

fn shown(cx: &Cx, tx: &Records<'_>, table: &RouteTable) -> Result<ec2::RouteTable, Error> {
    let local = tx.get::<Vpc>(&cx.key(&table.vpc))?.map(|vpc| ec2::Route {
        destination_cidr_block: Some(vpc.range.to_string()),
        gateway_id: Some("local".into()),
        origin: Some(RouteOrigin::CreateRouteTable),
        state: Some(RouteState::Active),
        ..Default::default()
    });
    let mut routes: Vec<ec2::Route> = local.into_iter().collect();
    for (destination, gateway) in &table.routes {
        let is_nat = gateway.starts_with(NAT);
        let attached = match is_nat {
            true => nat_gateway::get(cx, tx, gateway).is_ok_and(|it| it.lives()),
            false => {
                gateway::get(cx, tx, gateway).is_ok_and(|it| it.vpc.as_ref() == Some(&table.vpc))
            }
        };
        routes.push(ec2::Route {
            destination_cidr_block: Some(destination.to_string()),
            gateway_id: Some(gateway.clone()).filter(|_| !is_nat),
            nat_gateway_id: Some(gateway.clone()).filter(|_| is_nat),
            origin: Some(RouteOrigin::CreateRoute),
            state: Some(if attached {
                RouteState::Active
            } else {
                RouteState::Blackhole
            }),
            ..Default::default()
        });
    }
    let association = |id: &str, subnet: Option<&String>| RouteTableAssociation {
        main: Some(subnet.is_none()),
        route_table_association_id: Some(id.to_owned()),
        route_table_id: Some(table.id.clone()),
        subnet_id: subnet.cloned(),
        association_state: Some(associated()),
        ..Default::default()
    };
    let main = table
        .main
        .then(|| association(&table.main_association(), None));
    let explicit = table
        .associations
        .iter()
        .map(|(id, subnet)| association(id, Some(subnet)));
    Ok(ec2::RouteTable {
        associations: Some(main.into_iter().chain(explicit).collect()),
        propagating_vgws: Some(vec![]),
        route_table_id: Some(table.id.clone()),
        routes: Some(routes),
        tags: tags::shown(&table.tags),
        vpc_id: Some(table.vpc.clone()),
        owner_id: Some(cx.account().to_owned()),
    })
}

pub async fn create_route_table(
    cx: Cx,
    input: CreateRouteTableInput,
) -> Result<CreateRouteTableOutput, Error> {
    let tags = tags::specified(input.tag_specifications.as_ref(), ResourceType::RouteTable)?;
    // A client's own token serves as well as one that a caller inside set.
    let named = input.client_token.as_ref().filter(|_| cx.token.is_none());
    let naming = named.map_or_else(|| cx.clone(), |it| cx.with_token(it.as_str()));
    cx.write(|tx| {
        vpc::get(&cx, tx, &input.vpc_id)?;
        let mut table = RouteTable::new(&naming, &input.vpc_id, false);
        match tx.get::<RouteTable>(&table.key())? {
            Some(existing) => table = existing,
            None => {
                table.tags.clone_from(&tags);
                tx.put(&table)?;
                vpc::touch(&cx, tx, &table.vpc)?;
            }
        }
        let client_token = input.client_token.clone();
        Ok(CreateRouteTableOutput {
            route_table: Some(shown(&cx, tx, &table)?),
            client_token,
        })
    })
}

impl Filtered for RouteTable {
    const FILTERS: &'static [&'static str] = &[
        "route-table-id",
        "association.route-table-id",
        "vpc-id",
        "association.main",
        "association.subnet-id",
        "association.route-table-association-id",
        "route.destination-cidr-block",
        "route.gateway-id",
        "route.nat-gateway-id",
        "owner-id",
        "association.gateway-id",
        "route.destination-ipv6-cidr-block",
        "route.destination-prefix-list-id",
        "route.egress-only-internet-gateway-id",
        "route.instance-id",
        "route.transit-gateway-id",
        "route.vpc-peering-connection-id",
    ];
    fn unique(&self) -> &str {
        &self.id
    }
    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "route-table-id" | "association.route-table-id" => vec![self.id.clone()],
            "vpc-id" => vec![self.vpc.clone()],
            "association.main" => {
                let mut values: Vec<String> =
                    self.associations.values().map(|_| "false".into()).collect();
                if self.main {
                    values.push("true".into());
                }
                values
            }
            "association.subnet-id" => self.associations.values().cloned().collect(),
            "association.route-table-association-id" => {
                let main = self.main.then(|| self.main_association());
                self.associations.keys().cloned().chain(main).collect()
            }
            "route.destination-cidr-block" => self.routes.keys().map(ToString::to_string).collect(),
            "route.gateway-id" => self
                .routes
                .values()
                .filter(|it| !it.starts_with(NAT))
                .cloned()
                .chain(["local".to_owned()])
                .collect(),
            "route.nat-gateway-id" => (self.routes.values())
                .filter(|it| it.starts_with(NAT))
                .cloned()
                .collect(),
            _ => vec![],
        }
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

pub async fn describe_route_tables(
    cx: Cx,
    input: DescribeRouteTablesInput,
) -> Result<DescribeRouteTablesOutput, Error> {
    default_vpc::before_listing(&cx, input.route_table_ids.as_ref(), input.filters.as_ref())?;
    cx.read(|tx| {
        let found = match &input.route_table_ids {
            Some(ids) => ids
                .iter()
                .map(|id| get(&cx, tx, id))
                .collect::<Result<_, _>>()?,
            None => tx.list::<RouteTable>(&cx.key(""))?,
        };
        let found = select(&cx, found, input.filters.as_ref())?;
        let (found, next_token) = page(found, input.max_results, input.next_token.as_ref())?;
        let tables = found
            .iter()
            .map(|it| shown(&cx, tx, it))
            .collect::<Result<_, _>>()?;
        Ok(DescribeRouteTablesOutput {
            route_tables: Some(tables),
            next_token,
        })
    })
}

pub async fn delete_route_table(
    cx: Cx,
    input: DeleteRouteTableInput,
) -> Result<DeleteRouteTableOutput, Error> {
    cx.write(|tx| {
        let table = get(&cx, tx, &input.route_table_id)?;
        if table.main || !table.associations.is_empty() {
            return Err(DependencyViolation.because(format!(
                "The routeTable '{}' has dependencies and cannot be deleted.",
                table.id
            )));
        }
        tx.delete::<RouteTable>(&table.key())?;
        vpc::touch(&cx, tx, &table.vpc)?;
        Ok(DeleteRouteTableOutput {})
    })
}

/// How the ids of NAT gateways begin.
const NAT: &str = "nat-";

/// The gateway that a route leads to, checked.
fn target(
    cx: &Cx,
    tx: &Records<'_>,
    table: &RouteTable,
    (gateway_id, nat_gateway_id): (Option<&String>, Option<&String>),
) -> Result<String, Error> {
    if let (Some(id), None) = (nat_gateway_id, gateway_id) {
        let gateway = nat_gateway::get(cx, tx, id)?;
        if gateway.vpc != table.vpc {
            return Err(InvalidParameterValue.because(format!(
                "route table {} and network gateway {id} belong to different networks",
                table.id
            )));
        }
        return Ok(id.clone());
    }
    if nat_gateway_id.is_some() {
        return Err(InvalidParameterCombination
            .because("A route has one target: GatewayId or NatGatewayId"));
    }
    let id = gateway_id.ok_or_else(|| {
        MissingParameter.because("The request must contain the parameter GatewayId")
    })?;
    if !id.starts_with("igw-") {
        return Err(unsupported(&format!("a route to '{id}'")));
    }
    let gateway = gateway::get(cx, tx, id)?;
    if gateway.vpc.as_ref() != Some(&table.vpc) {
        return Err(InvalidParameterValue.because(format!(
            "route table {} and network gateway {id} belong to different networks",
            table.id
        )));
    }
    Ok(id.clone())
}

fn destination(text: Option<&String>) -> Result<Ipv4Net, Error> {
    let text = text.ok_or_else(|| {
        MissingParameter.because("The request must contain the parameter DestinationCidrBlock")
    })?;
    parse_range(text, "destinationCidrBlock")
}

pub async fn create_route(cx: Cx, input: CreateRouteInput) -> Result<CreateRouteOutput, Error> {
    let destination = destination(input.destination_cidr_block.as_ref())?;
    cx.write(|tx| {
        let mut table = get(&cx, tx, &input.route_table_id)?;
        let local = vpc::get(&cx, tx, &table.vpc)?.range;
        if local.contains(&destination) {
            return Err(InvalidParameterValue.because(format!(
                "The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance."
            )));
        }
        let named = (input.gateway_id.as_ref(), input.nat_gateway_id.as_ref());
        let gateway = target(&cx, tx, &table, named)?;
        let repeated = cx.token.is_some() && table.routes.get(&destination) == Some(&gateway);
        if !repeated && table.routes.contains_key(&destination) {
            return Err(RouteAlreadyExists.because(format!(
                "The route identified by {destination} already exists."
            )));
        }
        table.routes.insert(destination, gateway);
        tx.put(&table)?;
        vpc::touch(&cx, tx, &table.vpc)?;
        Ok(CreateRouteOutput {
            r#return: Some(true),
        })
    })
}

pub async fn replace_route(cx: Cx, input: ReplaceRouteInput) -> Result<ReplaceRouteOutput, Error> {
    let destination = destination(input.destination_cidr_block.as_ref())?;
    cx.write(|tx| {
        let mut table = get(&cx, tx, &input.route_table_id)?;
        let named = (input.gateway_id.as_ref(), input.nat_gateway_id.as_ref());
        let gateway = target(&cx, tx, &table, named)?;
        if table.routes.insert(destination, gateway).is_none() {
            return Err(no_route(&table, destination));
        }
        tx.put(&table)?;
        vpc::touch(&cx, tx, &table.vpc)?;
        Ok(ReplaceRouteOutput {})
    })
}

fn no_route(table: &RouteTable, destination: Ipv4Net) -> Error {
    InvalidRouteNotFound.because(format!(
        "no route with destination-cidr-block {destination} in route table {}",
        table.id
    ))
}

pub async fn delete_route(cx: Cx, input: DeleteRouteInput) -> Result<DeleteRouteOutput, Error> {
    let destination = destination(input.destination_cidr_block.as_ref())?;
    cx.write(|tx| {
        let mut table = get(&cx, tx, &input.route_table_id)?;
        if vpc::get(&cx, tx, &table.vpc)?.range == destination {
            return Err(InvalidParameterValue.because(format!(
                "cannot remove local route {destination} in route table {}",
                table.id
            )));
        }
        if table.routes.remove(&destination).is_none() {
            return Err(no_route(&table, destination));
        }
        tx.put(&table)?;
        vpc::touch(&cx, tx, &table.vpc)?;
        Ok(DeleteRouteOutput {})
    })
}

pub async fn associate_route_table(
    cx: Cx,
    input: AssociateRouteTableInput,
) -> Result<AssociateRouteTableOutput, Error> {
    let subnet_id = input.subnet_id.as_deref().ok_or_else(|| {
        MissingParameter.because("Either 'subnetId' or 'gatewayId' should be provided.")
    })?;
    cx.write(|tx| {
        let mut table = get(&cx, tx, &input.route_table_id)?;
        let subnet = subnet::get(&cx, tx, subnet_id)?;
        if subnet.vpc != table.vpc {
            return Err(InvalidParameterValue.because(format!(
                "Route table {} and subnet {subnet_id} belong to different networks",
                table.id
            )));
        }
        let id = cx.new_id("rtbassoc-", 17);
        if !table.associations.contains_key(&id) {
            let tables = tx.list::<RouteTable>(&cx.key(""))?;
            if tables.iter().any(|it| it.associations.values().any(|it| it == subnet_id)) {
                return Err(ResourceAlreadyAssociated.because(format!(
                    "the specified association for route table {} conflicts with an existing association",
                    table.id
                )));
            }
            table.associations.insert(id.clone(), subnet_id.to_owned());
            tx.put(&table)?;
            vpc::touch(&cx, tx, &table.vpc)?;
        }
        Ok(AssociateRouteTableOutput { association_id: Some(id), association_state: Some(associated()) })
    })
}

/// The table that holds an association.
pub fn holder(cx: &Cx, tx: &Records<'_>, association: &str) -> Result<RouteTable, Error> {
    let tables = tx.list::<RouteTable>(&cx.key(""))?;
    (tables.into_iter().find(|it| {
        it.associations.contains_key(association)
            || (it.main && it.main_association() == association)
    }))
    .ok_or_else(|| {
        InvalidAssociationIdNotFound
            .because(format!("The association ID '{association}' does not exist"))
    })
}

pub async fn disassociate_route_table(
    cx: Cx,
    input: DisassociateRouteTableInput,
) -> Result<DisassociateRouteTableOutput, Error> {
    cx.write(|tx| {
        let mut table = holder(&cx, tx, &input.association_id)?;
        if table.associations.remove(&input.association_id).is_none() {
            return Err(InvalidParameterValue.because(format!(
                "cannot disassociate the main route table association {}",
                input.association_id
            )));
        }
        tx.put(&table)?;
        vpc::touch(&cx, tx, &table.vpc)?;
        Ok(DisassociateRouteTableOutput {})
    })
}

pub async fn replace_route_table_association(
    cx: Cx,
    input: ReplaceRouteTableAssociationInput,
) -> Result<ReplaceRouteTableAssociationOutput, Error> {
    cx.write(|tx| {
        let mut old = holder(&cx, tx, &input.association_id)?;
        if get(&cx, tx, &input.route_table_id)?.vpc != old.vpc {
            return Err(InvalidParameterValue.because(format!(
                "Route table {} and route table {} belong to different networks",
                input.route_table_id, old.id
            )));
        }
        let subnet = old.associations.remove(&input.association_id);
        old.main &= subnet.is_some();
        tx.put(&old)?;
        let mut new = get(&cx, tx, &input.route_table_id)?;
        let id = match subnet {
            Some(subnet) => {
                let id = cx.new_id("rtbassoc-", 17);
                new.associations.insert(id.clone(), subnet);
                id
            }
            // The table that subnets without an association follow.
            None => {
                new.main = true;
                let mut vpc = vpc::get(&cx, tx, &new.vpc)?;
                vpc.main_route_table.clone_from(&new.id);
                tx.put(&vpc)?;
                new.main_association()
            }
        };
        tx.put(&new)?;
        vpc::touch(&cx, tx, &new.vpc)?;
        Ok(ReplaceRouteTableAssociationOutput {
            new_association_id: Some(id),
            association_state: Some(associated()),
        })
    })
}
