//! A cloud with EC2 alone, and the shortest way to ask it something: inputs and outputs are JSON.

use std::ops::Deref;
use std::sync::atomic::Ordering;

use cloud::{Caller, Cx, Record};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shapes::ec2::*;
use testkit::JsonWorld;

pub use testkit::{ask, text, texts, until};

pub struct World(JsonWorld);

impl Deref for World {
    type Target = JsonWorld;
    fn deref(&self) -> &JsonWorld {
        &self.0
    }
}

/// What says that a region has had its default VPC.
#[derive(Serialize, Deserialize)]
struct DefaultVpcMade {
    region: String,
}

impl Record for DefaultVpcMade {
    const KIND: &'static str = "ec2.default-vpc-made";
    fn key(&self) -> String {
        format!("{}/", self.region)
    }
}

impl World {
    pub fn new() -> Self {
        let mut world = Self::unmoving();
        world.0.0.run();
        world
    }

    /// Nothing is made real here.
    pub fn unmoving() -> Self {
        let world = Self::untouched();
        let gone = DefaultVpcMade {
            region: "us-east-1".into(),
        };
        world.cx.write(|tx| tx.put(&gone)).unwrap();
        world
    }

    /// An account that nobody has looked into: it has its default VPC, which those above have deleted.
    pub fn untouched() -> Self {
        Self(JsonWorld(testkit::world([ec2::service()]).at_rest()))
    }

    pub async fn vpc(&self, range: &str) -> String {
        let made = self.ok::<CreateVpcInput>(json!({"CidrBlock": range})).await;
        text(&made["vpc"]["vpcId"])
    }

    pub async fn subnet(&self, vpc: &str, range: &str) -> String {
        let made = self
            .ok::<CreateSubnetInput>(json!({"VpcId": vpc, "CidrBlock": range}))
            .await;
        text(&made["subnet"]["subnetId"])
    }

    pub async fn group(&self, vpc: &str, name: &str) -> String {
        let input = json!({"VpcId": vpc, "GroupName": name, "Description": "for a test"});
        text(&self.ok::<CreateSecurityGroupInput>(input).await["groupId"])
    }

    pub async fn gateway(&self) -> String {
        let made = self.ok::<CreateInternetGatewayInput>(json!({})).await;
        text(&made["internetGateway"]["internetGatewayId"])
    }

    pub async fn table(&self, vpc: &str) -> String {
        let made = self
            .ok::<CreateRouteTableInput>(json!({"VpcId": vpc}))
            .await;
        text(&made["routeTable"]["routeTableId"])
    }

    pub async fn interface(&self, subnet: &str, groups: &[&str]) -> String {
        let input = json!({"SubnetId": subnet, "Groups": groups});
        let made = self.ok::<CreateNetworkInterfaceInput>(input).await;
        text(&made["networkInterface"]["networkInterfaceId"])
    }

    /// The context of somebody who is no service.
    pub fn client(&self) -> Cx {
        self.0.client(Caller::Daemon, testkit::from_outside())
    }

    /// The VPC's own group.
    pub async fn default_group(&self, vpc: &str) -> String {
        let input = json!({"Filters": [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]});
        let found = self.ok::<DescribeSecurityGroupsInput>(input).await;
        text(&found["securityGroupInfo"][0]["groupId"])
    }

    pub fn in_engine(&self, vpc: &str) -> Option<engine::VpcSpec> {
        self.sim.network.vpcs.lock().unwrap().get(vpc).cloned()
    }

    pub fn attached(&self, interface: &str) -> Option<engine::InterfaceSpec> {
        let interfaces = self.sim.network.interfaces.lock().unwrap();
        interfaces.get(interface).cloned()
    }

    pub fn hold_on(&self, on: bool) {
        self.sim.network.holds_on.store(on, Ordering::SeqCst);
    }
}
