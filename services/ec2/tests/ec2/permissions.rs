//! What each operation needs permission for.

use serde_json::{Value as Json, json};
use shapes::ec2::*;
use testkit::{Recorder, key_of};

use crate::world::{World, text};

const EC2: &str = "arn:aws:ec2:us-east-1:000000000000:";

/// A network whose parts are all of the team `a`, and the authority that tells what calls need.
struct Looked {
    world: World,
    recorder: Recorder,
    vpc: String,
    subnet: String,
    group: String,
    default_group: String,
    gateway: String,
    table: String,
    association: String,
    interface: String,
    allocation: String,
    public: String,
    acl: String,
    acl_association: String,
}

impl Looked {
    async fn new() -> Self {
        let world = World::unmoving();
        let vpc = world.vpc("10.0.0.0/16").await;
        let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
        let group = world.group(&vpc, "web").await;
        let default_group = world.default_group(&vpc).await;
        let gateway = world.gateway().await;
        let table = world.table(&vpc).await;
        let interface = world.interface(&subnet, &[&group]).await;
        let both = json!({"RouteTableId": table, "SubnetId": subnet});
        let association = world.ok::<AssociateRouteTableInput>(both).await;
        let address = world.ok::<AllocateAddressInput>(json!({})).await;
        let allocation = text(&address["allocationId"]);
        let acls = world.ok::<DescribeNetworkAclsInput>(json!({})).await;
        let acl = text(&acls["networkAclSet"][0]["networkAclId"]);
        let held = &acls["networkAclSet"][0]["associationSet"][0];
        let acl_association = text(&held["networkAclAssociationId"]);
        let all = [
            &vpc,
            &subnet,
            &group,
            &gateway,
            &table,
            &interface,
            &allocation,
            &acl,
        ];
        let tags = json!({"Resources": all, "Tags": [{"Key": "team", "Value": "a"}]});
        world.ok::<CreateTagsInput>(tags).await;
        Self {
            recorder: Recorder::watch(&world.cloud),
            association: text(&association["associationId"]),
            public: text(&address["publicIp"]),
            acl,
            acl_association,
            world,
            vpc,
            subnet,
            group,
            default_group,
            gateway,
            table,
            interface,
            allocation,
        }
    }

    async fn needs<I: wire::Operation>(&self, input: Json) -> cloud::Needs {
        let input = testkit::input::<I>(input);
        self.recorder.needs(&self.world.cx, input).await
    }

    /// `expected` are types and ids; `a:` before one that has the team's tag, and an action where it
    /// is not the operation's own.
    async fn check<I: wire::Operation + Default + Send + 'static>(
        &self,
        input: Json,
        expected: &[&str],
    ) {
        let needs = self.needs::<I>(input.clone()).await;
        let told: Vec<String> = needs.all.iter().map(testkit::told).collect();
        let expected: Vec<String> = (expected.iter())
            .map(|it| {
                let (action, it) = it.split_once(' ').unwrap_or((I::NAME, it));
                let (tagged, it) = match it.strip_prefix("a:") {
                    Some(it) => (" {team=a}", it),
                    None => ("", it),
                };
                match it {
                    "*" => format!("ec2:{action} *"),
                    _ => format!("ec2:{action} {EC2}{it}{tagged}"),
                }
            })
            .collect();
        assert_eq!(told, expected, "{} {input}", I::NAME);
    }
}

/// `a:vpc/vpc-1`
fn a(kind: &str, id: &str) -> String {
    format!("a:{kind}/{id}")
}

#[tokio::test]
async fn operations_are_on_the_records_that_they_name() {
    let it = Looked::new().await;
    let (vpc, subnet) = (&a("vpc", &it.vpc), &a("subnet", &it.subnet));
    let (group, gateway) = (
        &a("security-group", &it.group),
        &a("internet-gateway", &it.gateway),
    );
    let (table, interface) = (
        &a("route-table", &it.table),
        &a("network-interface", &it.interface),
    );
    let address = &a("elastic-ip", &it.allocation);
    let acl = &a("network-acl", &it.acl);
    macro_rules! check {
        ($($input:ident $more:tt => [$($expected:expr),*];)*) => {
            $(it.check::<$input>(json!($more), &[$($expected),*]).await;)*
        };
    }
    check! {
        DeleteVpcInput {"VpcId": it.vpc} => [vpc];
        ModifyVpcAttributeInput {"VpcId": it.vpc} => [vpc];
        DescribeVpcAttributeInput {"VpcId": it.vpc, "Attribute": "enableDnsSupport"} => [vpc];
        CreateSubnetInput {"VpcId": it.vpc} => ["subnet/*", vpc];
        DeleteSubnetInput {"SubnetId": it.subnet} => [subnet];
        ModifySubnetAttributeInput {"SubnetId": it.subnet} => [subnet];
        AttachInternetGatewayInput {"InternetGatewayId": it.gateway, "VpcId": it.vpc} => [gateway, vpc];
        DetachInternetGatewayInput {"InternetGatewayId": it.gateway, "VpcId": it.vpc} => [gateway, vpc];
        DeleteInternetGatewayInput {"InternetGatewayId": it.gateway} => [gateway];
        CreateRouteTableInput {"VpcId": it.vpc} => ["route-table/*", vpc];
        DeleteRouteTableInput {"RouteTableId": it.table} => [table];
        CreateRouteInput {"RouteTableId": it.table} => [table];
        ReplaceRouteInput {"RouteTableId": it.table} => [table];
        DeleteRouteInput {"RouteTableId": it.table} => [table];
        AssociateRouteTableInput {"RouteTableId": it.table, "SubnetId": it.subnet} => [table, subnet];
        DisassociateRouteTableInput {"AssociationId": it.association} => [table, subnet];
        ReplaceRouteTableAssociationInput {"AssociationId": it.association, "RouteTableId": "rtb-1"}
            => ["route-table/rtb-1", table, subnet];
        CreateNetworkAclInput {"VpcId": it.vpc} => ["network-acl/*", vpc];
        DeleteNetworkAclInput {"NetworkAclId": it.acl} => [acl];
        CreateNetworkAclEntryInput {"NetworkAclId": it.acl, "RuleNumber": 1, "Protocol": "-1", "RuleAction": "allow", "Egress": true} => [acl];
        ReplaceNetworkAclEntryInput {"NetworkAclId": it.acl, "RuleNumber": 1, "Protocol": "-1", "RuleAction": "allow", "Egress": true} => [acl];
        DeleteNetworkAclEntryInput {"NetworkAclId": it.acl, "RuleNumber": 1, "Egress": true} => [acl];
        ReplaceNetworkAclAssociationInput {"AssociationId": it.acl_association, "NetworkAclId": "acl-1"}
            => ["network-acl/acl-1", acl, subnet];
        CreateSecurityGroupInput {"VpcId": it.vpc, "GroupName": "g", "Description": "d"} => ["security-group/*", vpc];
        DeleteSecurityGroupInput {"GroupId": it.group} => [group];
        AuthorizeSecurityGroupIngressInput {"GroupId": it.group} => [group];
        AuthorizeSecurityGroupEgressInput {"GroupId": it.group} => [group];
        RevokeSecurityGroupIngressInput {"GroupId": it.group} => [group];
        RevokeSecurityGroupEgressInput {"GroupId": it.group} => [group];
        CreateNetworkInterfaceInput {"SubnetId": it.subnet, "Groups": [it.group]} => ["network-interface/*", subnet, group];
        DeleteNetworkInterfaceInput {"NetworkInterfaceId": it.interface} => [interface];
        ModifyNetworkInterfaceAttributeInput {"NetworkInterfaceId": it.interface, "Groups": [it.group]} => [interface, group];
        ReleaseAddressInput {"AllocationId": it.allocation} => [address];
        ReleaseAddressInput {"PublicIp": it.public} => [address];
        AssociateAddressInput {"PublicIp": it.public, "NetworkInterfaceId": it.interface} => [address, interface];
        CreateNatGatewayInput {"SubnetId": it.subnet, "AllocationId": it.allocation} => ["natgateway/*", address, subnet];
        DeleteNatGatewayInput {"NatGatewayId": "nat-1"} => ["natgateway/nat-1"];
        CreateVpcInput {} => ["vpc/*"];
        CreateInternetGatewayInput {} => ["internet-gateway/*"];
        AllocateAddressInput {} => ["elastic-ip/*"];
        DescribeVpcsInput {"VpcIds": [it.vpc]} => ["*"];
        DescribeSecurityGroupsInput {} => ["*"];
        DescribeTagsInput {} => ["*"];
    }
}

#[tokio::test]
async fn what_is_not_named_but_used_counts() {
    let it = Looked::new().await;
    let default = format!("security-group/{}", it.default_group);
    let expected = ["network-interface/*", &a("subnet", &it.subnet), &default];
    let input = json!({"SubnetId": it.subnet});
    it.check::<CreateNetworkInterfaceInput>(input, &expected)
        .await;
    // No group is named: any might be meant.
    let needs = it.needs::<DeleteSecurityGroupInput>(json!({})).await;
    let any = format!("ec2:DeleteSecurityGroup any {EC2}security-group/* {{?}}");
    assert_eq!(testkit::told(&needs.all[0]), any);
    let needs = it.needs::<DisassociateAddressInput>(json!({})).await;
    let any = format!("ec2:DisassociateAddress any {EC2}elastic-ip/* {{?}}");
    assert_eq!(testkit::told(&needs.all[0]), any);
}

#[tokio::test]
async fn an_associated_address_is_found_by_its_association_and_by_itself() {
    let it = Looked::new().await;
    // The owner is not asked.
    let both = json!({"AllocationId": it.allocation, "NetworkInterfaceId": it.interface});
    let made = it.world.ok::<AssociateAddressInput>(both).await;
    let expected = [
        &*a("elastic-ip", &it.allocation),
        &*a("network-interface", &it.interface),
    ];
    for input in [
        json!({"AssociationId": made["associationId"]}),
        json!({"PublicIp": it.public}),
        // The association is what counts, as it is for the operation.
        json!({"AssociationId": made["associationId"], "PublicIp": "198.51.100.254"}),
    ] {
        it.check::<DisassociateAddressInput>(input, &expected).await;
    }
}

#[tokio::test]
async fn tags_are_changed_on_each_resource_that_is_named() {
    let it = Looked::new().await;
    let ids = json!([it.subnet, it.vpc, "sg-0", it.interface]);
    let expected = [
        &*a("vpc", &it.vpc),
        &*a("subnet", &it.subnet),
        "security-group/sg-0",
        &*a("network-interface", &it.interface),
    ];
    let input = json!({"Resources": ids, "Tags": [{"Key": "team", "Value": "b"}]});
    it.check::<CreateTagsInput>(input.clone(), &expected).await;
    it.check::<DeleteTagsInput>(input, &expected).await;
}

#[tokio::test]
async fn tags_of_something_new_need_the_permission_to_tag_it() {
    let it = Looked::new().await;
    let tagged =
        |kind: &str| json!([{"ResourceType": kind, "Tags": [{"Key": "team", "Value": "b"}]}]);
    let input = json!({"VpcId": it.vpc, "TagSpecifications": tagged("subnet")});
    let expected = ["subnet/*", "CreateTags subnet/*", &a("vpc", &it.vpc)];
    it.check::<CreateSubnetInput>(input.clone(), &expected)
        .await;
    let needs = it.needs::<CreateSubnetInput>(input).await;
    let action = |at: usize| key_of(&needs.all[at], "ec2:CreateAction");
    assert_eq!(action(0), Some(&[][..]));
    assert_eq!(action(1).unwrap(), ["CreateSubnet"]);
    assert_eq!(needs.request_tags["team"], "b");
    let input = json!({"GroupId": it.group, "TagSpecifications": tagged("security-group-rule")});
    let expected = [
        &*a("security-group", &it.group),
        "security-group-rule/*",
        "CreateTags security-group-rule/*",
    ];
    it.check::<AuthorizeSecurityGroupIngressInput>(input, &expected)
        .await;
    // What is there already is not being created.
    let input = json!({"Resources": [it.vpc], "Tags": []});
    let needs = it.needs::<CreateTagsInput>(input).await;
    let none: &[String] = &[];
    assert_eq!(key_of(&needs.all[0], "ec2:CreateAction"), Some(none));
}

#[tokio::test]
async fn condition_keys_are_those_of_each_resource() {
    let it = Looked::new().await;
    let none: Option<&[String]> = Some(&[]);
    let vpc_arn = [format!("{EC2}vpc/{}", it.vpc)];
    let input = json!({"VpcId": it.vpc});
    let needs = it.needs::<CreateSubnetInput>(input).await;
    let [subnet, vpc] = &needs.all[..] else {
        panic!("{needs:?}")
    };
    assert_eq!(key_of(subnet, "ec2:VpcID"), none);
    assert_eq!(key_of(vpc, "ec2:VpcID").unwrap(), [it.vpc.as_str()]);
    assert_eq!(key_of(vpc, "ec2:Tenancy").unwrap(), ["default"]);
    for need in [subnet, vpc] {
        assert_eq!(key_of(need, "ec2:Region").unwrap(), ["us-east-1"]);
    }
    let input = json!({"SubnetId": it.subnet});
    let needs = it.needs::<DeleteSubnetInput>(input.clone()).await;
    assert_eq!(key_of(&needs.all[0], "ec2:Vpc").unwrap(), vpc_arn);
    assert_eq!(
        key_of(&needs.all[0], "ec2:AvailabilityZone").unwrap(),
        ["us-east-1a"]
    );
    // Which attributes are changed, and to what.
    let input = json!({"VpcId": it.vpc, "EnableDnsSupport": {"Value": true}});
    let needs = it.needs::<ModifyVpcAttributeInput>(input).await;
    let changed = |name: &str| key_of(&needs.all[0], name);
    assert_eq!(changed("ec2:Attribute").unwrap(), ["EnableDnsSupport"]);
    let of_it = changed("ec2:Attribute/EnableDnsSupport");
    assert_eq!(of_it.unwrap(), ["true"]);
    assert_eq!(changed("ec2:Attribute/EnableDnsHostnames"), None);
    // A network has no keys of an instance.
    let input = json!({"Resources": [it.vpc], "Tags": []});
    let needs = it.needs::<CreateTagsInput>(input).await;
    assert_eq!(key_of(&needs.all[0], "ec2:InstanceType"), none);
    assert_eq!(
        key_of(&needs.all[0], "ec2:VpcID").unwrap(),
        [it.vpc.as_str()]
    );
    let input = json!({"SubnetId": it.subnet});
    // The interface to be made is in the VPC of its subnet.
    let needs = it.needs::<CreateNetworkInterfaceInput>(input).await;
    assert_eq!(key_of(&needs.all[0], "ec2:Vpc").unwrap(), vpc_arn);
    assert_eq!(key_of(&needs.all[0], "ec2:SubnetID"), none);
    let input = json!({"GroupId": it.group});
    let needs = it.needs::<DeleteSecurityGroupInput>(input).await;
    assert_eq!(key_of(&needs.all[0], "ec2:Vpc").unwrap(), vpc_arn);
}
