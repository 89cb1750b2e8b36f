//! Amazon EC2's networking: VPCs, subnets, gateways, route tables, network ACLs, security groups, interfaces.
//!
//! Handlers check and record. Two reconcilers make the records real: a VPC with everything in it
//! but interfaces is handed to the engine as one description ([`network::VpcReconciler`]), and each
//! interface is attached to its VPC ([`network::InterfaceReconciler`]). A change to any part of a
//! VPC counts its `revision` up in the same transaction, which is what wakes the first one.
//! Deleting marks the record; it goes when the machine has let go.

mod account;
mod acl_entry;
mod addresses;
mod cfn;
mod default_vpc;
mod dhcp_options;
mod elastic_address;
mod errors;
mod filters;
mod gateway;
mod group;
mod group_rules;
mod instance;
mod interface;
mod keys;
mod launch_template;
mod nat_gateway;
mod network;
mod network_acl;
mod permissions;
mod route;
mod subnet;
mod tags;
mod vpc;
mod zones;

use cloud::{Service, Watch};
use permissions::{
    describing, on_associated_address, on_association, on_attached, on_changed_interface,
    on_detached, on_disassociated_address, on_ids, on_moved_acl, on_new, on_new_interface, on_one,
    on_released, on_replaced_association, on_rules_of, on_some, on_tagged, region, touched,
    with_attributes,
};
use shapes::ec2::*;

use dhcp_options::DhcpOptions;
use elastic_address::ElasticAddress;
use gateway::InternetGateway;
use group::SecurityGroup;
use instance::permission::{
    on_associated_profile, on_changed_instance, on_changed_metadata, on_created_key,
    on_imported_key, on_instance, on_instances, on_key, on_new_profile, on_run,
};
use instance::{change, describe, image, key_pair, options, profile, reconciler, run, status};
use interface::Interface;
use launch_template::{TemplateRecord, on_changed_template, on_template};
use nat_gateway::NatGateway;
use network_acl::NetworkAcl;
use route::RouteTable;
use subnet::Subnet;
use tags::Tagged;
use vpc::Vpc;

pub use instance::{
    CONTAINER as INSTANCE_CONTAINER, InstancePlace, MetadataAnswer, MetadataRequest, MetadataTold,
    instance_credentials, instance_place, metadata::metadata,
};
pub use interface::vpc_of;
pub use zones::names as zones_of;

pub fn service() -> Service {
    let service = Service::new(&shapes::ec2::MODEL)
        .dry_run(errors::DryRunOperation)
        .on(
            vpc::create_vpc,
            on_new::<Vpc, CreateVpcInput>(|it| it.tag_specifications.as_ref())
                .supplying(keys::OF_NEW_VPC, region),
        )
        .on(vpc::describe_vpcs, describing())
        .on(default_vpc::create_default_vpc, describing())
        .on(default_vpc::create_default_subnet, describing())
        .on(
            vpc::delete_vpc,
            on_one::<Vpc, DeleteVpcInput>(|it| &it.vpc_id).supplying(keys::OF_VPC, region),
        )
        .on(
            vpc::modify_vpc_attribute,
            on_one::<Vpc, ModifyVpcAttributeInput>(|it| &it.vpc_id)
                .supplying(keys::OF_CHANGED_VPC, with_attributes("VpcId")),
        )
        .on(
            vpc::describe_vpc_attribute,
            on_one::<Vpc, DescribeVpcAttributeInput>(|it| &it.vpc_id)
                .supplying(keys::OF_VPC, region),
        )
        .on(
            subnet::create_subnet,
            on_new::<Subnet, CreateSubnetInput>(|it| it.tag_specifications.as_ref())
                .also(Vpc::TYPE.as_str(), |cx, it| touched::<Vpc>(cx, &it.vpc_id))
                .supplying(keys::OF_NEW_SUBNET, region),
        )
        .on(
            dhcp_options::create_dhcp_options,
            on_new::<DhcpOptions, CreateDhcpOptionsInput>(|it| it.tag_specifications.as_ref())
                .supplying(keys::OF_DHCP, region),
        )
        .on(dhcp_options::describe_dhcp_options, describing())
        .on(
            dhcp_options::delete_dhcp_options,
            on_one::<DhcpOptions, DeleteDhcpOptionsInput>(|it| &it.dhcp_options_id)
                .supplying(keys::OF_DHCP, region),
        )
        .on(
            dhcp_options::associate_dhcp_options,
            on_one::<DhcpOptions, AssociateDhcpOptionsInput>(|it| &it.dhcp_options_id)
                .also(Vpc::TYPE.as_str(), |cx, it| touched::<Vpc>(cx, &it.vpc_id))
                .supplying(keys::OF_ASSOCIATED_DHCP, region),
        )
        .on(subnet::describe_subnets, describing())
        .on(
            subnet::delete_subnet,
            on_one::<Subnet, DeleteSubnetInput>(|it| &it.subnet_id)
                .supplying(keys::OF_SUBNET, region),
        )
        .on(
            subnet::modify_subnet_attribute,
            on_one::<Subnet, ModifySubnetAttributeInput>(|it| &it.subnet_id)
                .supplying(keys::OF_CHANGED_SUBNET, with_attributes("SubnetId")),
        )
        .on(
            gateway::create_internet_gateway,
            on_new::<InternetGateway, CreateInternetGatewayInput>(|it| {
                it.tag_specifications.as_ref()
            })
            .supplying(keys::OF_GATEWAY, region),
        )
        .on(gateway::describe_internet_gateways, describing())
        .on(gateway::attach_internet_gateway, on_attached())
        .on(gateway::detach_internet_gateway, on_detached())
        .on(
            gateway::delete_internet_gateway,
            on_one::<InternetGateway, DeleteInternetGatewayInput>(|it| &it.internet_gateway_id)
                .supplying(keys::OF_GATEWAY, region),
        )
        .on(
            route::create_route_table,
            on_new::<RouteTable, CreateRouteTableInput>(|it| it.tag_specifications.as_ref())
                .also(Vpc::TYPE.as_str(), |cx, it| touched::<Vpc>(cx, &it.vpc_id))
                .supplying(keys::OF_NEW_TABLE, region),
        )
        .on(route::describe_route_tables, describing())
        .on(
            route::delete_route_table,
            on_one::<RouteTable, DeleteRouteTableInput>(|it| &it.route_table_id)
                .supplying(keys::OF_TABLE, region),
        )
        .on(
            route::create_route,
            on_one::<RouteTable, CreateRouteInput>(|it| &it.route_table_id)
                .supplying(keys::OF_TABLE, region),
        )
        .on(
            route::replace_route,
            on_one::<RouteTable, ReplaceRouteInput>(|it| &it.route_table_id)
                .supplying(keys::OF_TABLE, region),
        )
        .on(
            route::delete_route,
            on_one::<RouteTable, DeleteRouteInput>(|it| &it.route_table_id)
                .supplying(keys::OF_TABLE, region),
        )
        .on(
            route::associate_route_table,
            on_one::<RouteTable, AssociateRouteTableInput>(|it| &it.route_table_id)
                .also(Subnet::TYPE.as_str(), |cx, it| {
                    it.subnet_id.as_ref().map(|it| touched::<Subnet>(cx, it))
                })
                .supplying(keys::OF_ASSOCIATION, region),
        )
        .on(route::disassociate_route_table, on_association())
        .on(
            route::replace_route_table_association,
            on_replaced_association(),
        )
        .on(
            network_acl::create_network_acl,
            on_new::<NetworkAcl, CreateNetworkAclInput>(|it| it.tag_specifications.as_ref())
                .also(Vpc::TYPE.as_str(), |cx, it| touched::<Vpc>(cx, &it.vpc_id))
                .supplying(keys::OF_NEW_ACL, region),
        )
        .on(network_acl::describe_network_acls, describing())
        .on(
            network_acl::delete_network_acl,
            on_one::<NetworkAcl, DeleteNetworkAclInput>(|it| &it.network_acl_id)
                .supplying(keys::OF_ACL, region),
        )
        .on(network_acl::replace_network_acl_association, on_moved_acl())
        .on(
            acl_entry::create_network_acl_entry,
            on_one::<NetworkAcl, CreateNetworkAclEntryInput>(|it| &it.network_acl_id)
                .supplying(keys::OF_ACL, region),
        )
        .on(
            acl_entry::replace_network_acl_entry,
            on_one::<NetworkAcl, ReplaceNetworkAclEntryInput>(|it| &it.network_acl_id)
                .supplying(keys::OF_ACL, region),
        )
        .on(
            acl_entry::delete_network_acl_entry,
            on_one::<NetworkAcl, DeleteNetworkAclEntryInput>(|it| &it.network_acl_id)
                .supplying(keys::OF_ACL, region),
        )
        .on(
            group::create_security_group,
            on_new::<SecurityGroup, CreateSecurityGroupInput>(|it| it.tag_specifications.as_ref())
                .also(Vpc::TYPE.as_str(), |cx, it| {
                    it.vpc_id.as_ref().map(|it| touched::<Vpc>(cx, it))
                })
                .supplying(keys::OF_NEW_GROUP, region),
        )
        .on(group::describe_security_groups, describing())
        .on(
            group::delete_security_group,
            on_some::<SecurityGroup, DeleteSecurityGroupInput>(|it| it.group_id.as_ref())
                .supplying(keys::OF_GROUP, region),
        )
        .on(
            group_rules::authorize_ingress,
            on_rules_of(
                |it| it.group_id.as_ref(),
                |it| it.tag_specifications.as_ref(),
            ),
        )
        .on(
            group_rules::authorize_egress,
            on_rules_of(|it| Some(&it.group_id), |it| it.tag_specifications.as_ref()),
        )
        .on(
            group_rules::revoke_ingress,
            on_some::<SecurityGroup, RevokeSecurityGroupIngressInput>(|it| it.group_id.as_ref())
                .supplying(keys::OF_GROUP, region),
        )
        .on(
            group_rules::revoke_egress,
            on_one::<SecurityGroup, RevokeSecurityGroupEgressInput>(|it| &it.group_id)
                .supplying(keys::OF_GROUP, region),
        )
        .on(
            group_rules::update_descriptions_ingress,
            on_some::<SecurityGroup, UpdateSecurityGroupRuleDescriptionsIngressInput>(|it| {
                it.group_id.as_ref()
            })
            .supplying(keys::OF_GROUP, region),
        )
        .on(
            group_rules::update_descriptions_egress,
            on_some::<SecurityGroup, UpdateSecurityGroupRuleDescriptionsEgressInput>(|it| {
                it.group_id.as_ref()
            })
            .supplying(keys::OF_GROUP, region),
        )
        .on(group_rules::describe_security_group_rules, describing())
        .on(interface::create_network_interface, on_new_interface())
        .on(interface::describe_network_interfaces, describing())
        .on(
            interface::delete_network_interface,
            on_one::<Interface, DeleteNetworkInterfaceInput>(|it| &it.network_interface_id)
                .supplying(keys::OF_INTERFACE, region),
        )
        .on(
            interface::modify_network_interface_attribute,
            on_changed_interface(),
        )
        .on(
            interface::assign_private_ip_addresses,
            on_one::<Interface, AssignPrivateIpAddressesInput>(|it| &it.network_interface_id)
                .supplying(keys::OF_INTERFACE, region),
        )
        .on(
            interface::unassign_private_ip_addresses,
            on_one::<Interface, UnassignPrivateIpAddressesInput>(|it| &it.network_interface_id)
                .supplying(keys::OF_INTERFACE, region),
        )
        .on(
            elastic_address::allocate_address,
            on_new::<ElasticAddress, AllocateAddressInput>(|it| it.tag_specifications.as_ref())
                .supplying(&[keys::REGION], region),
        )
        .on(elastic_address::release_address, on_released())
        .on(elastic_address::associate_address, on_associated_address())
        .on(
            elastic_address::disassociate_address,
            on_disassociated_address(),
        )
        .on(elastic_address::describe_addresses, describing())
        .on(elastic_address::describe_addresses_attribute, describing())
        .on(
            nat_gateway::create_nat_gateway,
            on_new::<NatGateway, CreateNatGatewayInput>(|it| it.tag_specifications.as_ref())
                .also(ElasticAddress::TYPE.as_str(), |cx, it| {
                    it.allocation_id
                        .as_ref()
                        .map(|it| touched::<ElasticAddress>(cx, it))
                })
                .also(Subnet::TYPE.as_str(), |cx, it| {
                    it.subnet_id.as_ref().map(|it| touched::<Subnet>(cx, it))
                })
                .supplying(keys::OF_NEW_NAT_GATEWAY, region),
        )
        .on(
            nat_gateway::delete_nat_gateway,
            on_one::<NatGateway, DeleteNatGatewayInput>(|it| &it.nat_gateway_id)
                .supplying(&[keys::REGION], region),
        )
        .on(nat_gateway::describe_nat_gateways, describing())
        .on(
            launch_template::create_launch_template,
            on_new::<TemplateRecord, CreateLaunchTemplateInput>(|it| {
                it.tag_specifications.as_ref()
            })
            .supplying(&[keys::REGION], region),
        )
        .on(
            launch_template::create_launch_template_version,
            on_template(|it: &CreateLaunchTemplateVersionInput| {
                (
                    it.launch_template_id.as_ref(),
                    it.launch_template_name.as_ref(),
                )
            }),
        )
        .on(launch_template::describe_launch_templates, describing())
        .on(
            launch_template::describe_launch_template_versions,
            describing(),
        )
        .on(
            launch_template::modify_launch_template,
            on_changed_template(),
        )
        .on(
            launch_template::delete_launch_template,
            on_template(|it: &DeleteLaunchTemplateInput| {
                (
                    it.launch_template_id.as_ref(),
                    it.launch_template_name.as_ref(),
                )
            }),
        )
        .on(
            launch_template::delete_launch_template_versions,
            on_template(|it: &DeleteLaunchTemplateVersionsInput| {
                (
                    it.launch_template_id.as_ref(),
                    it.launch_template_name.as_ref(),
                )
            }),
        )
        .on(account::describe_account_attributes, describing())
        .on(account::describe_regions, describing())
        .on(zones::describe_availability_zones, describing())
        .on(tags::create_tags, on_tagged())
        .on(
            tags::delete_tags,
            on_ids(|it: &DeleteTagsInput| &it.resources).supplying(&[keys::REGION], region),
        )
        .on(tags::describe_tags, describing())
        .reconciles(network::VpcReconciler)
        .reconciles(network::InterfaceReconciler);
    cfn::register(with_instances(service))
}

fn with_instances(service: Service) -> Service {
    service
        .on(run::run_instances, on_run())
        .on(describe::describe_instances, describing())
        .on(
            change::start_instances,
            on_instances(|it: &StartInstancesInput| &it.instance_ids)
                .supplying(keys::OF_STARTED, region),
        )
        .on(
            change::stop_instances,
            on_instances(|it: &StopInstancesInput| &it.instance_ids)
                .supplying(keys::OF_STOPPED, region),
        )
        .on(
            change::reboot_instances,
            on_instances(|it: &RebootInstancesInput| &it.instance_ids),
        )
        .on(
            change::terminate_instances,
            on_instances(|it: &TerminateInstancesInput| &it.instance_ids),
        )
        .on(status::describe_instance_status, describing())
        .on(
            options::describe_instance_attribute,
            on_instance(|it: &DescribeInstanceAttributeInput| &it.instance_id),
        )
        .on(options::modify_instance_attribute, on_changed_instance())
        .on(options::modify_metadata_options, on_changed_metadata())
        .on(
            options::get_console_output,
            on_instance(|it: &GetConsoleOutputInput| &it.instance_id),
        )
        .on(
            options::get_uefi_data,
            on_instance(|it: &GetInstanceUefiDataInput| &it.instance_id)
                .supplying(keys::OF_NEW_PROFILE, region),
        )
        .on(describe::describe_volumes, describing())
        .on(describe::describe_credit_specifications, describing())
        .on(image::describe_images, describing())
        .on(image::describe_instance_types, describing())
        .on(image::describe_offerings, describing())
        .on(key_pair::create_key_pair, on_created_key())
        .on(key_pair::import_key_pair, on_imported_key())
        .on(key_pair::describe_key_pairs, describing())
        .on(key_pair::delete_key_pair, on_key())
        .on(profile::associate_profile, on_new_profile())
        .on(profile::disassociate_profile, on_associated_profile())
        .on(profile::describe_profile_associations, describing())
        .reconciles(reconciler::InstanceReconciler)
        .watches(Watch {
            changes: |engine| engine.tasks.changes(),
            keys: reconciler::keys_of_task,
        })
}
