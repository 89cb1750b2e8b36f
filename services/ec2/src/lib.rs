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

pub fn service() -> Service {
    let service = Service::new(&shapes::ec2::MODEL)
        .dry_run(errors::DryRunOperation)
        .on(vpc::create_vpc)
        .on(vpc::describe_vpcs)
        .on(vpc::delete_vpc)
        .on(vpc::modify_vpc_attribute)
        .on(vpc::describe_vpc_attribute)
        .on(subnet::create_subnet)
        .on(subnet::describe_subnets)
        .on(subnet::delete_subnet)
        .on(subnet::modify_subnet_attribute)
        .on(gateway::create_internet_gateway)
        .on(gateway::describe_internet_gateways)
        .on(gateway::attach_internet_gateway)
        .on(gateway::detach_internet_gateway)
        .on(gateway::delete_internet_gateway)
        .on(route::create_route_table)
        .on(route::describe_route_tables)
        .on(route::delete_route_table)
        .on(route::create_route)
        .on(route::replace_route)
        .on(route::delete_route)
        .on(route::associate_route_table)
        .on(route::disassociate_route_table)
        .on(route::replace_route_table_association)
        .on(group::create_security_group)
        .on(group::describe_security_groups)
        .on(group::delete_security_group)
        .on(group_rules::authorize_ingress)
        .on(group_rules::authorize_egress)
        .on(group_rules::revoke_ingress)
        .on(group_rules::revoke_egress)
        .on(group_rules::describe_security_group_rules)
        .on(interface::create_network_interface)
        .on(interface::describe_network_interfaces)
        .on(interface::delete_network_interface)
        .on(interface::modify_network_interface_attribute)
        .on(elastic_address::allocate_address)
        .on(elastic_address::release_address)
        .on(elastic_address::associate_address)
        .on(elastic_address::disassociate_address)
        .on(elastic_address::describe_addresses)
        .on(elastic_address::describe_addresses_attribute)
        .on(nat_gateway::create_nat_gateway)
        .on(nat_gateway::delete_nat_gateway)
        .on(nat_gateway::describe_nat_gateways)
        .on(account::describe_account_attributes)
        .on(account::describe_regions)
        .on(zones::describe_availability_zones)
        .on(tags::create_tags)
        .on(tags::delete_tags)
        .on(tags::describe_tags)
        .reconciles(network::VpcReconciler)
        .reconciles(network::InterfaceReconciler);
    cfn::register(service)
}
