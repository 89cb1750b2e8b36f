//! Amazon EC2's networking: VPCs, subnets, gateways, route tables, security groups, interfaces.
//!
//! Handlers check and record. Two reconcilers make the records real: a VPC with everything in it
//! but interfaces is handed to the engine as one description ([`network::VpcReconciler`]), and each
//! interface is attached to its VPC ([`network::InterfaceReconciler`]). A change to any part of a
//! VPC counts its `revision` up in the same transaction, which is what wakes the first one.
//! Deleting marks the record; it goes when the machine has let go.

mod account;
mod addresses;
mod cfn;
mod elastic_address;
mod errors;
mod filters;
mod gateway;
mod group;
mod group_rules;
mod interface;
mod nat_gateway;
mod network;
mod route;
mod subnet;
mod tags;
mod vpc;
mod zones;

use cloud::Service;

pub use interface::vpc_of;

pub fn service() -> Service {
    let service = Service::new(&shapes::ec2::MODEL)
        .dry_run(errors::DryRunOperation)
        .on_unlisted(vpc::create_vpc)
        .on_unlisted(vpc::describe_vpcs)
        .on_unlisted(vpc::delete_vpc)
        .on_unlisted(vpc::modify_vpc_attribute)
        .on_unlisted(vpc::describe_vpc_attribute)
        .on_unlisted(subnet::create_subnet)
        .on_unlisted(subnet::describe_subnets)
        .on_unlisted(subnet::delete_subnet)
        .on_unlisted(subnet::modify_subnet_attribute)
        .on_unlisted(gateway::create_internet_gateway)
        .on_unlisted(gateway::describe_internet_gateways)
        .on_unlisted(gateway::attach_internet_gateway)
        .on_unlisted(gateway::detach_internet_gateway)
        .on_unlisted(gateway::delete_internet_gateway)
        .on_unlisted(route::create_route_table)
        .on_unlisted(route::describe_route_tables)
        .on_unlisted(route::delete_route_table)
        .on_unlisted(route::create_route)
        .on_unlisted(route::replace_route)
        .on_unlisted(route::delete_route)
        .on_unlisted(route::associate_route_table)
        .on_unlisted(route::disassociate_route_table)
        .on_unlisted(route::replace_route_table_association)
        .on_unlisted(group::create_security_group)
        .on_unlisted(group::describe_security_groups)
        .on_unlisted(group::delete_security_group)
        .on_unlisted(group_rules::authorize_ingress)
        .on_unlisted(group_rules::authorize_egress)
        .on_unlisted(group_rules::revoke_ingress)
        .on_unlisted(group_rules::revoke_egress)
        .on_unlisted(group_rules::describe_security_group_rules)
        .on_unlisted(interface::create_network_interface)
        .on_unlisted(interface::describe_network_interfaces)
        .on_unlisted(interface::delete_network_interface)
        .on_unlisted(interface::modify_network_interface_attribute)
        .on_unlisted(elastic_address::allocate_address)
        .on_unlisted(elastic_address::release_address)
        .on_unlisted(elastic_address::associate_address)
        .on_unlisted(elastic_address::disassociate_address)
        .on_unlisted(elastic_address::describe_addresses)
        .on_unlisted(elastic_address::describe_addresses_attribute)
        .on_unlisted(nat_gateway::create_nat_gateway)
        .on_unlisted(nat_gateway::delete_nat_gateway)
        .on_unlisted(nat_gateway::describe_nat_gateways)
        .on_unlisted(account::describe_account_attributes)
        .on_unlisted(account::describe_regions)
        .on_unlisted(zones::describe_availability_zones)
        .on_unlisted(tags::create_tags)
        .on_unlisted(tags::delete_tags)
        .on_unlisted(tags::describe_tags)
        .reconciles(network::VpcReconciler)
        .reconciles(network::InterfaceReconciler);
    cfn::register(service)
}
