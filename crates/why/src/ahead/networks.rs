//! How packets will leave a task: from the resources that a file asks for.

use serde_json::Value as Json;

use super::declared::{Declared, DeclaredResource, flag, is_known, number, short, text};
use crate::acl::{AclDirection, AclEntryFacts, AclFacts};
use crate::endpoint::EndpointFacts;
use crate::facts::{
    EVERYWHERE, GroupFacts, GroupRuleFacts, NatFacts, NetworkFacts, RouteFacts, Via,
};

/// Addresses of every subnet that AWS keeps for itself (VPC User Guide, "Subnet CIDR blocks").
const KEPT_ADDRESSES: u32 = 5;

/// The network of what is put into a subnet; None when the file does not make the subnet.
pub fn of_subnet(declared: &Declared, subnet: &Json) -> Option<NetworkFacts> {
    let (id, resource) = declared.find(subnet)?;
    let vpc = resource.get("VpcId");
    let table = table_of(declared, id);
    let routes = match &table {
        Some((table, _)) => routes(declared, table),
        None => Vec::new(),
    };
    let way_out = routes
        .iter()
        .find(|it| it.destination == EVERYWHERE)
        .cloned();
    Some(NetworkFacts {
        vpc: declared.shown(vpc),
        is_without_names: (declared.find(vpc))
            .is_some_and(|(_, it)| flag(it.get("EnableDnsSupport")) == Some(false)),
        endpoints: endpoints(declared, vpc),
        subnet: short(id).to_owned(),
        zone: resource.text("AvailabilityZone").filter(|it| is_known(it)),
        free_addresses: resource.text("CidrBlock").and_then(|it| free(&it)),
        interface: None,
        route_table: match &table {
            Some((table, _)) => short(table).to_owned(),
            None => "main".to_owned(),
        },
        is_main_table: false,
        nat: way_out.as_ref().and_then(|it| nat(declared, it)),
        internet_gateway_attached: way_out.is_some_and(|it| is_attached(declared, vpc, &it.target)),
        routes,
        has_public_address: None,
        groups: Vec::new(),
        acl: acl(declared, id),
        place: None,
        table_place: table.and_then(|it| it.1.place.clone()),
    })
}

fn free(range: &str) -> Option<u32> {
    let prefix: u32 = range
        .split_once('/')?
        .1
        .parse()
        .ok()
        .filter(|it| (16..=28).contains(it))?;
    Some((1 << (32 - prefix)) - KEPT_ADDRESSES)
}

/// The route table that a subnet is associated with. The main one, which no template describes, leads nowhere.
fn table_of<'a>(declared: &'a Declared, subnet: &str) -> Option<(String, &'a DeclaredResource)> {
    let associations = declared.of_kind("AWS::EC2::SubnetRouteTableAssociation");
    let own = |it: &&DeclaredResource| {
        declared
            .find(it.get("SubnetId"))
            .is_some_and(|(id, _)| id == subnet)
    };
    let found = associations.map(|it| it.1).find(own)?;
    let (id, table) = declared.find(found.get("RouteTableId"))?;
    Some((id.to_owned(), table))
}

fn routes(declared: &Declared, table: &str) -> Vec<RouteFacts> {
    const TARGETS: [&str; 7] = [
        "NatGatewayId",
        "GatewayId",
        "InstanceId",
        "NetworkInterfaceId",
        "TransitGatewayId",
        "VpcPeeringConnectionId",
        "VpcEndpointId",
    ];
    let own = declared.of_kind("AWS::EC2::Route").filter(|(_, it)| {
        let of = declared.find(it.get("RouteTableId"));
        of.is_some_and(|(id, _)| id == table)
    });
    own.filter_map(|(_, it)| {
        let target = TARGETS
            .iter()
            .map(|name| it.get(name))
            .find(|it| !it.is_null())?;
        let via = match declared.find(target) {
            Some((_, found)) => match found.kind.as_str() {
                "AWS::EC2::NatGateway" => Via::Nat,
                "AWS::EC2::InternetGateway" => Via::InternetGateway,
                _ => Via::Other,
            },
            // What is there already is named by its id.
            None => Via::of(target.as_str().unwrap_or_default()),
        };
        Some(RouteFacts {
            destination: it.text("DestinationCidrBlock").unwrap_or_default(),
            target: declared.shown(target),
            via,
            is_active: true,
            place: it.place.clone(),
        })
    })
    .collect()
}

/// The network ACL that the file puts at a subnet. The one that a network begins with lets everything pass.
fn acl(declared: &Declared, subnet: &str) -> Option<AclFacts> {
    let mut associations = declared.of_kind("AWS::EC2::SubnetNetworkAclAssociation");
    let (_, own) = associations.find(|(_, it)| {
        let of = declared.find(it.get("SubnetId"));
        of.is_some_and(|(id, _)| id == subnet)
    })?;
    let (acl, resource) = declared.find(own.get("NetworkAclId"))?;
    let entries = declared
        .of_kind("AWS::EC2::NetworkAclEntry")
        .filter(|(_, it)| {
            let of = declared.find(it.get("NetworkAclId"));
            of.is_some_and(|(id, _)| id == acl)
        });
    // What an entry that is not known yet says may be anything, so nothing is said of such a list.
    let entries: Option<Vec<AclEntryFacts>> = entries.map(|(_, it)| acl_entry(it)).collect();
    Some(AclFacts {
        id: short(acl).to_owned(),
        entries: entries?,
        place: resource.place.clone(),
    })
}

fn acl_entry(it: &DeclaredResource) -> Option<AclEntryFacts> {
    let port = |name: &str, other: i32| match it.get(name) {
        Json::Null => Some(other),
        given => number(given).and_then(|it| i32::try_from(it).ok()),
    };
    Some(AclEntryFacts {
        number: number(it.get("RuleNumber"))?,
        direction: match flag(it.get("Egress")) {
            Some(true) => AclDirection::Out,
            _ => AclDirection::In,
        },
        allows: it.text("RuleAction").filter(|it| is_known(it))? == "allow",
        protocol: it.text("Protocol").filter(|it| is_known(it))?,
        from_port: port("PortRange.From", 0)?,
        to_port: port("PortRange.To", i32::from(u16::MAX))?,
        range: match (it.text("CidrBlock"), it.text("Ipv6CidrBlock")) {
            (Some(range), _) => Some(range).filter(|it| is_known(it))?,
            (None, six) => six?,
        },
    })
}

/// A gateway that the same file makes, and the way out of its own subnet.
fn nat(declared: &Declared, route: &RouteFacts) -> Option<NatFacts> {
    if route.via != Via::Nat {
        return None;
    }
    let mut gateways = declared.of_kind("AWS::EC2::NatGateway");
    let Some((_, gateway)) = gateways.find(|(id, _)| short(id) == route.target) else {
        // One that is there already: nothing is known against it.
        return Some(NatFacts {
            id: route.target.clone(),
            state: "available".to_owned(),
            subnets_default_route: Some(RouteFacts {
                via: Via::InternetGateway,
                ..RouteFacts::default()
            }),
            ..NatFacts::default()
        });
    };
    let subnet = gateway.get("SubnetId");
    let own = declared
        .find(subnet)
        .and_then(|(id, _)| table_of(declared, id));
    let way_out = own.and_then(|(table, _)| {
        let mut routes = routes(declared, &table).into_iter();
        routes.find(|it| it.destination == EVERYWHERE)
    });
    let is_elsewhere = declared.find(subnet).is_none();
    Some(NatFacts {
        id: route.target.clone(),
        state: "available".to_owned(),
        subnet: declared.shown(subnet),
        subnets_default_route: match is_elsewhere {
            true => Some(RouteFacts {
                via: Via::InternetGateway,
                ..RouteFacts::default()
            }),
            false => way_out,
        },
        place: gateway.place_of("SubnetId"),
    })
}

fn is_attached(declared: &Declared, vpc: &Json, gateway: &str) -> bool {
    let made = declared
        .of_kind("AWS::EC2::InternetGateway")
        .any(|(id, _)| short(id) == gateway);
    let attached = declared
        .of_kind("AWS::EC2::VPCGatewayAttachment")
        .any(|(_, it)| {
            declared.shown(it.get("InternetGatewayId")) == gateway && it.get("VpcId") == vpc
        });
    // One that is there already is nobody's business here.
    attached || !made
}

/// What the network has endpoints for, in the words of their services.
fn endpoints(declared: &Declared, vpc: &Json) -> Vec<EndpointFacts> {
    let own = declared
        .of_kind("AWS::EC2::VPCEndpoint")
        .filter(|(_, it)| it.get("VpcId") == vpc);
    own.filter_map(|(_, it)| endpoint(declared, it)).collect()
}

fn endpoint(declared: &Declared, it: &DeclaredResource) -> Option<EndpointFacts> {
    let name = it.text("ServiceName")?;
    let service: Vec<&str> = name.split('.').skip(3).collect();
    let tables = it.list("RouteTableIds").iter().map(|it| {
        let found = declared.find(it);
        found.map(|(id, _)| short(id).to_owned())
    });
    Some(EndpointFacts {
        service: service.join("."),
        // CloudFormation's default.
        is_gateway: it.text("VpcEndpointType").is_none_or(|it| it == "Gateway"),
        tables: tables.collect(),
        groups: groups(declared, it.list("SecurityGroupIds")),
        has_private_names: flag(it.get("PrivateDnsEnabled")) == Some(true),
        place: it.place.clone(),
    })
}

/// The groups of a list that the file makes; None when there is one that it does not.
pub fn groups(declared: &Declared, ids: &[Json]) -> Option<Vec<GroupFacts>> {
    ids.iter().map(|it| group(declared, it)).collect()
}

fn group(declared: &Declared, value: &Json) -> Option<GroupFacts> {
    let (id, resource) = declared.find(value)?;
    if resource.kind != "AWS::EC2::SecurityGroup" {
        return None;
    }
    let rules = |inline: &str, kind: &str| -> Vec<GroupRuleFacts> {
        let own = resource.list(inline).iter().map(|it| rule(declared, it));
        let of_its_own = declared.of_kind(kind).filter(|(_, it)| {
            let of = declared.find(it.get("GroupId"));
            of.is_some_and(|(of, _)| of == id)
        });
        own.chain(of_its_own.map(|(_, it)| rule(declared, &it.properties)))
            .collect()
    };
    let mut egress = rules("SecurityGroupEgress", "AWS::EC2::SecurityGroupEgress");
    // Who says nothing of it gets the rule that lets everything out.
    if resource.get("SecurityGroupEgress").is_null() {
        egress.push(GroupRuleFacts {
            protocol: "-1".to_owned(),
            to_port: i32::from(u16::MAX),
            ranges: vec![EVERYWHERE.to_owned()],
            ..GroupRuleFacts::default()
        });
    }
    let vpc = declared.shown(resource.get("VpcId"));
    Some(GroupFacts {
        id: short(id).to_owned(),
        name: resource
            .text("GroupName")
            .filter(|it| is_known(it))
            .unwrap_or_default(),
        vpc: Some(vpc).filter(|it| !it.is_empty()),
        ingress: rules("SecurityGroupIngress", "AWS::EC2::SecurityGroupIngress"),
        egress,
        place: resource.place.clone(),
    })
}

fn rule(declared: &Declared, it: &Json) -> GroupRuleFacts {
    let port = |name: &str, other: i32| {
        let given = number(&it[name]).and_then(|it| i32::try_from(it).ok());
        match given {
            Some(given) => given,
            // A port that is not known yet may be any.
            None => other,
        }
    };
    let ranges = ["CidrIp", "SourcePrefixListId", "DestinationPrefixListId"];
    let peers = [
        "SourceSecurityGroupId",
        "DestinationSecurityGroupId",
        "SourceSecurityGroupName",
    ];
    let texts = |names: &[&str]| -> Vec<String> {
        let given = names
            .iter()
            .map(|name| &it[*name])
            .filter(|it| !it.is_null());
        given.map(|it| declared.shown(it)).collect()
    };
    GroupRuleFacts {
        protocol: text(&it["IpProtocol"]).unwrap_or_default(),
        from_port: port("FromPort", 0),
        to_port: port("ToPort", i32::from(u16::MAX)),
        ranges: texts(&ranges),
        groups: texts(&peers),
    }
}
