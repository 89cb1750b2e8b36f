//! Making networks real: records of a VPC and its parts become one description for the engine.

use async_trait::async_trait;
use cloud::{Cloud, Cx, Next, Reconciler, Record, Records, StoreError, all_keys};
use engine::{
    Fault, GroupRule, GroupSpec, GuardEntry, GuardSpec, InterfaceSpec, Passage, Peer, Protocol,
    ResolverSpec, RouteSpec, RouteTableSpec, RouteTarget, SubnetSpec, VpcSpec,
};

use crate::acl_entry::{self, Entry};
use crate::addresses::{self, mac, private_domain};
use crate::default_vpc;
use crate::dhcp_options;
use crate::gateway::InternetGateway;
use crate::group::SecurityGroup;
use crate::group_rules::{Rule, Source};
use crate::interface::{self, Interface};
use crate::nat_gateway::{self, NatGateway, has_way_out};
use crate::network_acl::{self, NetworkAcl};
use crate::route::RouteTable;
use crate::subnet::Subnet;
use crate::vpc::Vpc;

pub struct VpcReconciler;

#[async_trait]
impl Reconciler for VpcReconciler {
    fn kind(&self) -> &'static str {
        <Vpc as cloud::Record>::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<Vpc>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some(vpc) = cx.read(|tx| tx.get::<Vpc>(key))? else {
            return Ok(Next::Idle);
        };
        if vpc.deleting {
            cx.engine().network.remove_vpc(&vpc.id).await?;
            cx.write(|tx| tx.delete::<Vpc>(key))?;
        } else {
            network_acl::ensure_default(&cx, &vpc)?;
            if default_vpc::is_unused(&cx, &vpc).await? {
                return Ok(Next::Idle);
            }
            let gateways = cx.read(|tx| tx.readable::<NatGateway>(&cx.key("")))?;
            let known = gateways.into_iter().filter(|it| it.vpc == vpc.id);
            let known: Vec<NatGateway> = known.collect();
            cx.engine()
                .network
                .apply_vpc(description(&cx, &vpc)?)
                .await?;
            if !known.is_empty() {
                nat_gateway::applied(&cx, &known)?;
            }
        }
        Ok(Next::Idle)
    }
}

pub struct InterfaceReconciler;

#[async_trait]
impl Reconciler for InterfaceReconciler {
    fn kind(&self) -> &'static str {
        <Interface as cloud::Record>::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<Interface>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some(interface) = cx.read(|tx| tx.get::<Interface>(key))? else {
            return Ok(Next::Idle);
        };
        let network = &cx.engine().network;
        if interface.deleting {
            network.detach(&interface.id).await?;
            cx.write(|tx| interface::forget(&cx, tx, &interface))?;
            return Ok(Next::Idle);
        }
        let spec = InterfaceSpec {
            id: interface.id.clone(),
            vpc: interface.vpc.clone(),
            subnet: interface.subnet.clone(),
            address: interface.address,
            mac: mac(interface.address),
            groups: interface.groups.clone(),
            public: interface.public_address.is_some(),
            names: vec![],
            aliases: Default::default(),
            namespace: None,
            published: vec![],
        };
        match network.attach(spec.clone()).await {
            // The VPC's own reconciler has not been there yet: it was made in this same moment, or
            // a group or subnet of it was.
            Err(error) if matches!(error.fault, Fault::NotFound | Fault::Invalid) => {
                let vpc = cx.read(|tx| tx.get::<Vpc>(&cx.key(&interface.vpc)))?;
                if let Some(vpc) = vpc.filter(|it| !it.deleting) {
                    network.apply_vpc(description(&cx, &vpc)?).await?;
                }
                network.attach(spec).await?;
            }
            outcome => outcome?,
        }
        Ok(Next::Idle)
    }
}

fn description(cx: &Cx, vpc: &Vpc) -> Result<VpcSpec, cloud::Error> {
    let all = cx.key("");
    cx.read(|tx| {
        // Whose a part is that cannot be read, the network itself knows: it has it, or had it never.
        let mut unknown = Vec::new();
        let mut tables = known::<RouteTable>(tx, &all, &mut unknown)?;
        tables.retain(|it| it.vpc == vpc.id);
        let mut subnets = known::<Subnet>(tx, &all, &mut unknown)?;
        subnets.retain(|it| it.vpc == vpc.id);
        let mut groups = known::<SecurityGroup>(tx, &all, &mut unknown)?;
        groups.retain(|it| it.vpc == vpc.id);
        let mut acls = known::<NetworkAcl>(tx, &all, &mut unknown)?;
        acls.retain(|it| it.vpc == vpc.id);
        let mut unknown_gateways = Vec::new();
        let gateways = known::<InternetGateway>(tx, &all, &mut unknown_gateways)?;
        let nat_gateways = known::<NatGateway>(tx, &all, &mut unknown_gateways)?;
        // Where a route leads through such a gateway, it goes on leading.
        let leads_there =
            |it: &RouteTable| it.routes.values().any(|it| unknown_gateways.contains(it));
        let stays = tables.iter().filter(|it| leads_there(it));
        unknown.extend(stays.map(|it| it.id.clone()));
        let applied = tables.iter().filter(|it| !leads_there(it));
        let attached = |id: &str| {
            gateways
                .iter()
                .any(|it| it.id == id && it.vpc.as_ref() == Some(&vpc.id))
        };
        let search = dhcp_options::search(cx, tx, vpc)?;
        let resolver = search.filter(|_| vpc.dns_support);
        let resolver = resolver.map(|search| resolver_of(cx, vpc, search));
        let subnets: Vec<SubnetSpec> = subnets.iter().map(|it| subnet(it, &tables, vpc)).collect();
        let passages = passages(&subnets, &tables, &nat_gateways);
        let guards = acls.iter().map(|it| guard(it, &passages));
        Ok(VpcSpec {
            id: vpc.id.clone(),
            ranges: vec![vpc.range],
            guards: guards.filter(|it| !lets_everything_pass(it)).collect(),
            subnets,
            route_tables: applied
                .map(|it| {
                    route_table(it, &|destination, target| {
                        if attached(target) {
                            return RouteTarget::InternetGateway;
                        }
                        let nat = nat_gateways.iter().find(|it| it.id == target);
                        match nat {
                            Some(it) if has_way_out(it, destination, &tables, &attached) => {
                                RouteTarget::NatGateway
                            }
                            _ => RouteTarget::Blackhole,
                        }
                    })
                })
                .collect(),
            groups: groups.iter().map(group).collect(),
            resolver,
            machine: None,
            behind: None,
            unknown,
        })
    })
}

/// The records of a region that can be read; the ids of the others are added to `unknown`.
fn known<R: Record>(
    tx: &Records<'_>,
    region: &str,
    unknown: &mut Vec<String>,
) -> Result<Vec<R>, cloud::Error> {
    let (found, others) = tx.readable_and_others::<R>(region)?;
    unknown.extend(others.iter().map(|it| it[region.len()..].to_owned()));
    Ok(found)
}

/// What answers names at the VPC's `.2`.
fn resolver_of(cx: &Cx, vpc: &Vpc, search: Vec<String>) -> ResolverSpec {
    ResolverSpec {
        at: Some(addresses::resolver(vpc.range)),
        search,
        address_domain: Some(private_domain(&cx.region)),
        ..ResolverSpec::default()
    }
}

fn subnet(subnet: &Subnet, tables: &[RouteTable], vpc: &Vpc) -> SubnetSpec {
    let explicit = tables
        .iter()
        .find(|it| it.associations.values().any(|it| *it == subnet.id));
    SubnetSpec {
        id: subnet.id.clone(),
        range: subnet.range,
        route_table: explicit.map_or_else(|| vpc.main_route_table.clone(), |it| it.id.clone()),
    }
}

fn route_table(
    table: &RouteTable,
    target: &dyn Fn(&ipnet::Ipv4Net, &str) -> RouteTarget,
) -> RouteTableSpec {
    let routes = table.routes.iter().map(|(destination, gateway)| RouteSpec {
        destination: *destination,
        target: target(destination, gateway),
    });
    RouteTableSpec {
        id: table.id.clone(),
        routes: routes.collect(),
    }
}

/// What goes through a NAT gateway, with the subnet that this is in, where that is another one.
fn passages(
    subnets: &[SubnetSpec],
    tables: &[RouteTable],
    gateways: &[NatGateway],
) -> Vec<(String, Passage)> {
    let mut passages = Vec::new();
    for subnet in subnets {
        let table = tables.iter().find(|it| it.id == subnet.route_table);
        let routes = || table.into_iter().flat_map(|it| &it.routes);
        for (destination, target) in routes() {
            let gateway = gateways.iter().find(|it| it.id == *target && it.lives());
            let Some(gateway) = gateway.filter(|it| it.subnet != subnet.id) else {
                continue;
            };
            let smaller = routes().map(|it| it.0);
            let smaller = smaller.filter(|it| destination.contains(*it) && *it != destination);
            let passage = Passage {
                from: subnet.id.clone(),
                to: *destination,
                but: smaller.copied().collect(),
            };
            passages.push((gateway.subnet.clone(), passage));
        }
    }
    passages
}

fn guard(acl: &NetworkAcl, passages: &[(String, Passage)]) -> GuardSpec {
    let entries = |egress: bool| -> Vec<GuardEntry> {
        let sorted = acl.sorted().into_iter();
        let own = sorted.filter(|it| it.egress == egress);
        own.filter_map(Entry::for_engine).collect()
    };
    let subnets: Vec<String> = acl.associations.values().cloned().collect();
    let through = passages.iter().filter(|it| subnets.contains(&it.0));
    GuardSpec {
        id: acl.id.clone(),
        passages: through.map(|it| it.1.clone()).collect(),
        ingress: entries(false),
        egress: entries(true),
        subnets,
    }
}

/// Such a one need not stand there.
fn lets_everything_pass(guard: &GuardSpec) -> bool {
    let is_open = |it: &[GuardEntry]| it.first().is_some_and(GuardEntry::is_open);
    guard.subnets.is_empty() || is_open(&guard.ingress) && is_open(&guard.egress)
}

fn group(group: &SecurityGroup) -> GroupSpec {
    let rules = |egress: bool| -> Vec<GroupRule> {
        group
            .rules
            .iter()
            .filter(|it| it.egress == egress)
            .filter_map(rule)
            .collect()
    };
    GroupSpec {
        id: group.id.clone(),
        ingress: rules(false),
        egress: rules(true),
    }
}

/// None for what cannot match here: IPv6.
fn rule(rule: &Rule) -> Option<GroupRule> {
    let peer = match &rule.source {
        Source::Range(range) => Peer::Range(*range),
        Source::Group(id) => Peer::Group(id.clone()),
        Source::Range6(_) => return None,
    };
    let port = |value: Option<i32>, absent: u16| {
        value
            .and_then(|it| u16::try_from(it).ok())
            .unwrap_or(absent)
    };
    let (from, to) = (port(rule.from, 0), port(rule.to, u16::MAX));
    let protocol = match rule.protocol.as_str() {
        "-1" => Protocol::All,
        "tcp" => Protocol::Tcp { from, to },
        "udp" => Protocol::Udp { from, to },
        "icmp" => acl_entry::icmp(rule.from.zip(rule.to.or(Some(-1)))),
        number => Protocol::Other(number.parse().ok()?),
    };
    Some(GroupRule { protocol, peer })
}
