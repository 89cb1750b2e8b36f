//! A cloud with EC2 alone, and the shortest way to ask it something: inputs and outputs are JSON.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloud::{Caller, ClientOrigin, Clock, Cloud, CloudParts, Cx, Origin, Pace, Store};
use serde_json::{Value as Json, json};
use shapes::ec2::*;

pub struct World {
    pub cx: Cx,
    pub cloud: Arc<Cloud>,
    pub sim: sim::Sim,
    _directory: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.cloud.converge.stop();
    }
}

/// How long anything here may take to become real.
const PATIENCE: Duration = Duration::from_secs(20);

impl World {
    pub fn new() -> Self {
        let world = Self::unmoving();
        tokio::spawn(world.cloud.clone().run());
        world
    }

    /// Nothing is made real here.
    pub fn unmoving() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sim = sim::Sim::default();
        let cloud = Cloud::new(CloudParts {
            account: "000000000000".into(),
            default_region: "us-east-1".into(),
            store: Store::open(&directory.path().join("store.db")).unwrap(),
            engine: sim.engine(),
            clock: Clock::new(Pace::Fast),
            services: vec![ec2::service()],
        });
        Self {
            cx: cloud.daemon_context("us-east-1"),
            cloud,
            sim,
            _directory: directory,
        }
    }

    /// The answer, or the error's code and message.
    pub async fn ask<I: wire::Operation + Default>(
        &self,
        input: Json,
    ) -> Result<Json, (String, String)> {
        ask::<I>(&self.cx, input).await
    }

    pub async fn ok<I: wire::Operation + Default>(&self, input: Json) -> Json {
        match self.ask::<I>(input.clone()).await {
            Ok(answer) => answer,
            Err((code, message)) => panic!("{} {input}: {code}: {message}", I::NAME),
        }
    }

    pub async fn refused<I: wire::Operation + Default>(
        &self,
        input: Json,
        code: &str,
        message: &str,
    ) {
        match self.ask::<I>(input.clone()).await {
            Ok(answer) => panic!("{} {input}: {answer}", I::NAME),
            Err(found) => assert_eq!(
                found,
                (code.to_owned(), message.to_owned()),
                "{} {input}",
                I::NAME
            ),
        }
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
        let origin = Origin::Client(ClientOrigin {
            address: None,
            user_agent: None,
            is_secure: false,
            inside: None,
        });
        (self.cloud).context("us-east-1", Caller::Daemon, Arc::new(origin))
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

pub async fn ask<I: wire::Operation + Default>(
    cx: &Cx,
    input: Json,
) -> Result<Json, (String, String)> {
    let input = wire::lenient::<I>(input).unwrap_or_else(|error| panic!("{}: {error}", I::NAME));
    match cx.call(input).await {
        Ok(answer) => Ok(wire::to_json(&answer)),
        Err(error) => Err((error.code.to_owned(), error.message)),
    }
}

/// Waits until the machine is as it should be.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what} does not come true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn text(json: &Json) -> String {
    json.as_str()
        .unwrap_or_else(|| panic!("no text: {json}"))
        .to_owned()
}

pub fn texts(list: &Json, member: &str) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().map(|it| text(&it[member])).collect()
}
