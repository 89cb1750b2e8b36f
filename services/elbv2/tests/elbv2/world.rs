//! A cloud with EC2 and load balancing, a network in it, and the shortest way to ask something:
//! inputs and outputs are JSON.

use std::ops::Deref;

use cloud::{Clock, Pace};
use serde_json::{Value as Json, json};
use shapes::{ec2, elbv2::*};
use testkit::JsonWorld;

pub use testkit::{ask, text, texts, until};

pub struct World {
    world: JsonWorld,
    pub vpc: String,
    /// In two zones.
    pub subnets: [String; 2],
    /// Lets port 80 in.
    pub group: String,
}

impl Deref for World {
    type Target = JsonWorld;
    fn deref(&self) -> &JsonWorld {
        &self.world
    }
}

impl World {
    pub async fn new() -> Self {
        Self::by(Clock::new(Pace::Fast)).await
    }

    pub async fn by(clock: Clock) -> Self {
        let services = [
            ::acm::service(),
            ::ec2::service(),
            ::elbv2::service(),
            ::s3::service(),
        ];
        let mut world = Self {
            world: JsonWorld(testkit::world(services).by(clock).run()),
            vpc: String::new(),
            subnets: [String::new(), String::new()],
            group: String::new(),
        };
        world.vpc = world.vpc("10.0.0.0/16").await;
        world.subnets = [
            world.subnet(&world.vpc, "10.0.1.0/24", "us-east-1a").await,
            world.subnet(&world.vpc, "10.0.2.0/24", "us-east-1b").await,
        ];
        world.group = world.group(&world.vpc, "edge").await;
        let open = json!([{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]);
        let rule = json!({"GroupId": world.group, "IpPermissions": open});
        world
            .ok::<ec2::AuthorizeSecurityGroupIngressInput>(rule)
            .await;
        world
    }

    pub async fn vpc(&self, range: &str) -> String {
        let made = self
            .ok::<ec2::CreateVpcInput>(json!({"CidrBlock": range}))
            .await;
        text(&made["vpc"]["vpcId"])
    }

    pub async fn subnet(&self, vpc: &str, range: &str, zone: &str) -> String {
        let input = json!({"VpcId": vpc, "CidrBlock": range, "AvailabilityZone": zone});
        text(&self.ok::<ec2::CreateSubnetInput>(input).await["subnet"]["subnetId"])
    }

    pub async fn group(&self, vpc: &str, name: &str) -> String {
        let input = json!({"VpcId": vpc, "GroupName": name, "Description": "for a test"});
        text(&self.ok::<ec2::CreateSecurityGroupInput>(input).await["groupId"])
    }

    /// A balancer that serves; its ARN.
    pub async fn balancer(&self, name: &str) -> String {
        let input = json!({"Name": name, "Subnets": self.subnets, "SecurityGroups": [self.group]});
        let made = self.ok::<CreateLoadBalancerInput>(input).await;
        let arn = text(&made["LoadBalancers"][0]["LoadBalancerArn"]);
        self.until_state(&arn, "active").await;
        arn
    }

    pub async fn state(&self, arn: &str) -> Json {
        let input = json!({"LoadBalancerArns": [arn]});
        let found = self.ok::<DescribeLoadBalancersInput>(input).await;
        found["LoadBalancers"][0]["State"].clone()
    }

    pub async fn until_state(&self, arn: &str, code: &str) {
        let come = testkit::wait(async || (self.state(arn).await["Code"] == code).then_some(()));
        assert!(come.await.is_some(), "{arn} does not become {code}");
    }

    pub async fn target_group(&self, name: &str) -> String {
        let input = json!({"Name": name, "Protocol": "HTTP", "Port": 8080, "VpcId": self.vpc, "TargetType": "ip"});
        let made = self.ok::<CreateTargetGroupInput>(input).await;
        text(&made["TargetGroups"][0]["TargetGroupArn"])
    }

    /// A listener that answers by itself.
    pub async fn listener(&self, balancer: &str, port: u16) -> String {
        self.listener_to(balancer, port, fixed("200")).await
    }

    pub async fn listener_to(&self, balancer: &str, port: u16, action: Json) -> String {
        let input = json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": port, "DefaultActions": [action]});
        let made = self.ok::<CreateListenerInput>(input).await;
        text(&made["Listeners"][0]["ListenerArn"])
    }

    pub async fn rule(&self, listener: &str, priority: i32) -> String {
        let input = json!({"ListenerArn": listener, "Priority": priority, "Actions": [fixed("404")],
            "Conditions": [{"Field": "path-pattern", "Values": [format!("/{priority}/*")]}]});
        text(&self.ok::<CreateRuleInput>(input).await["Rules"][0]["RuleArn"])
    }

    /// What the edge serves.
    pub fn snapshot(&self) -> engine::Snapshot {
        self.sim.edge.snapshot.lock().unwrap().clone()
    }

    /// Targets of the first group that the edge knows.
    pub fn targets(&self) -> Vec<engine::Target> {
        let groups = self.snapshot().target_groups;
        groups.into_iter().next().map_or(vec![], |it| it.targets)
    }

    pub fn interfaces(&self) -> usize {
        self.sim.network.interfaces.lock().unwrap().len()
    }
}

pub fn fixed(status: &str) -> Json {
    json!({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": status, "ContentType": "text/plain", "MessageBody": "here"}})
}

pub fn forward(group: &str) -> Json {
    json!({"Type": "forward", "TargetGroupArn": group})
}
