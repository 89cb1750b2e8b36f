//! What each operation needs permission for.

use serde_json::{Value as Json, json};
use shapes::elbv2::*;
use testkit::{Recorder, key_of};

use crate::world::{World, fixed};

const ELB: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:";

/// A balancer with a listener and a rule, and a target group, all of the team `a`.
struct Looked {
    world: World,
    recorder: Recorder,
    balancer: String,
    listener: String,
    rule: String,
    group: String,
}

impl Looked {
    async fn new() -> Self {
        let world = World::new().await;
        let balancer = world.balancer("web").await;
        let listener = world.listener(&balancer, 80).await;
        let rule = world.rule(&listener, 1).await;
        let group = world.target_group("web").await;
        let all = json!([balancer, listener, rule, group]);
        let tags = json!({"ResourceArns": all, "Tags": [{"Key": "team", "Value": "a"}]});
        world.ok::<AddTagsInput>(tags).await;
        Self {
            recorder: Recorder::watch(&world.cloud),
            world,
            balancer,
            listener,
            rule,
            group,
        }
    }

    async fn needs<I: wire::Operation>(&self, input: Json) -> cloud::Needs {
        let input = testkit::input::<I>(input);
        self.recorder.needs(&self.world.cx, input).await
    }

    /// `expected` are ARNs, or actions and ARNs, with tags behind.
    async fn check<I: wire::Operation + Default + Send + 'static>(
        &self,
        input: Json,
        expected: &[&str],
    ) {
        let needs = self.needs::<I>(input.clone()).await;
        let told: Vec<String> = needs.all.iter().map(testkit::told).collect();
        let expected: Vec<String> = (expected.iter())
            .map(|it| match it.starts_with("AddTags ") {
                true => format!("elasticloadbalancing:{it}"),
                false => format!("elasticloadbalancing:{} {it}", I::NAME),
            })
            .collect();
        assert_eq!(told, expected, "{} {input}", I::NAME);
    }
}

#[tokio::test]
async fn operations_are_on_the_record_whose_arn_they_are_given() {
    let it = Looked::new().await;
    let tagged = |arn: &str| format!("{arn} {{team=a}}");
    let balancer = &tagged(&it.balancer);
    let (listener, rule, group) = (&tagged(&it.listener), &tagged(&it.rule), &tagged(&it.group));
    macro_rules! check {
        ($($input:ident $more:tt => [$($expected:expr),*];)*) => {
            $(it.check::<$input>(json!($more), &[$($expected),*]).await;)*
        };
    }
    check! {
        DeleteLoadBalancerInput {"LoadBalancerArn": it.balancer} => [balancer];
        SetSecurityGroupsInput {"LoadBalancerArn": it.balancer, "SecurityGroups": ["sg-1"]} => [balancer];
        SetSubnetsInput {"LoadBalancerArn": it.balancer, "Subnets": ["subnet-1"]} => [balancer];
        SetIpAddressTypeInput {"LoadBalancerArn": it.balancer, "IpAddressType": "ipv4"} => [balancer];
        ModifyLoadBalancerAttributesInput {"LoadBalancerArn": it.balancer, "Attributes": []} => [balancer];
        ModifyTargetGroupAttributesInput {"TargetGroupArn": it.group, "Attributes": []} => [group];
        ModifyTargetGroupInput {"TargetGroupArn": it.group} => [group];
        DeleteTargetGroupInput {"TargetGroupArn": it.group} => [group];
        RegisterTargetsInput {"TargetGroupArn": it.group, "Targets": []} => [group];
        DeregisterTargetsInput {"TargetGroupArn": it.group, "Targets": []} => [group];
        CreateListenerInput {"LoadBalancerArn": it.balancer, "DefaultActions": []} => [balancer];
        ModifyListenerInput {"ListenerArn": it.listener} => [listener];
        DeleteListenerInput {"ListenerArn": it.listener} => [listener];
        CreateRuleInput {"ListenerArn": it.listener, "Priority": 2, "Conditions": [], "Actions": []} => [listener];
        ModifyRuleInput {"RuleArn": it.rule} => [rule];
        DeleteRuleInput {"RuleArn": it.rule} => [rule];
        SetRulePrioritiesInput {"RulePriorities": [{"RuleArn": it.rule, "Priority": 3}]} => [rule];
        AddTagsInput {"ResourceArns": [it.group, it.rule, it.listener, it.balancer], "Tags": [{"Key": "k"}]}
            => [balancer, group, listener, rule];
        RemoveTagsInput {"ResourceArns": [it.group, it.rule], "TagKeys": ["team"]} => [group, rule];
        DescribeLoadBalancersInput {"LoadBalancerArns": [it.balancer]} => ["*"];
        DescribeTargetGroupsInput {} => ["*"];
        DescribeTagsInput {"ResourceArns": [it.balancer]} => ["*"];
    }
}

#[tokio::test]
async fn what_stands_before_the_name_in_an_arn_does_not_choose_another_resource() {
    let it = Looked::new().await;
    // The record is found by the ARN's last part, so it is the record's ARN that is authorized.
    let tagged = format!("{} {{team=a}}", it.balancer);
    for other in ["eu-west-1:000000000000", "us-east-1:111111111111"] {
        let spelled = it.balancer.replace("us-east-1:000000000000", other);
        let input = json!({"LoadBalancerArn": spelled});
        it.check::<DeleteLoadBalancerInput>(input, &[&tagged]).await;
    }
    let gone = format!("{ELB}loadbalancer/app/gone/0000000000000000");
    it.check::<DeleteLoadBalancerInput>(json!({"LoadBalancerArn": gone}), &[&gone])
        .await;
}

#[tokio::test]
async fn what_is_new_is_named_and_its_tags_need_the_permission_to_tag() {
    let it = Looked::new().await;
    let tags = json!([{"Key": "team", "Value": "b"}]);
    let new = format!("{ELB}loadbalancer/app/new/*");
    let tagging = format!("AddTags {new}");
    let input =
        json!({"Name": "new", "Subnets": it.world.subnets, "SecurityGroups": [it.world.group]});
    it.check::<CreateLoadBalancerInput>(input.clone(), &[&new])
        .await;
    let mut input = input;
    input["Tags"] = tags.clone();
    it.check::<CreateLoadBalancerInput>(input.clone(), &[&new, &tagging])
        .await;
    let needs = it.needs::<CreateLoadBalancerInput>(input).await;
    let key = |name: &str| key_of(&needs.all[0], &format!("elasticloadbalancing:{name}"));
    assert_eq!(key("Scheme").unwrap(), ["internet-facing"]);
    assert_eq!(key("Subnet").unwrap(), it.world.subnets);
    assert_eq!(key("SecurityGroup").unwrap(), [it.world.group.as_str()]);
    let action = key_of(&needs.all[1], "elasticloadbalancing:CreateAction");
    assert_eq!(action.unwrap(), ["CreateLoadBalancer"]);

    let new = format!("{ELB}targetgroup/new/*");
    let input = json!({"Name": "new", "Tags": tags});
    it.check::<CreateTargetGroupInput>(input, &[&new, &format!("AddTags {new}")])
        .await;
    let new = it.balancer.replace(":loadbalancer/", ":listener/");
    let input = json!({"LoadBalancerArn": it.balancer, "Protocol": "HTTP", "DefaultActions": [fixed("200")], "Tags": tags});
    let on = [
        &*format!("{} {{team=a}}", it.balancer),
        &*format!("AddTags {new}/*"),
    ];
    it.check::<CreateListenerInput>(input.clone(), &on).await;
    let needs = it.needs::<CreateListenerInput>(input).await;
    let protocol = key_of(&needs.all[0], "elasticloadbalancing:ListenerProtocol");
    assert_eq!(protocol.unwrap(), ["HTTP"]);
    let new = it.listener.replace(":listener/", ":listener-rule/");
    let input = json!({"ListenerArn": it.listener, "Priority": 2, "Conditions": [], "Actions": [], "Tags": tags});
    let on = [
        &*format!("{} {{team=a}}", it.listener),
        &*format!("AddTags {new}/*"),
    ];
    it.check::<CreateRuleInput>(input, &on).await;
}
