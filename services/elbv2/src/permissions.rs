//! What operations touch: records by their ARNs. Whatever stands before the last part of an ARN that a
//! request gives, it is the record's own ARN that counts. What is to be made has no id yet: `…/*`.

use cloud::permission::on;
use cloud::{ConditionKey, Cx, Permission, TagMap, Touched};
use shapes::elbv2::{
    AddTagsInput, CreateListenerInput, CreateLoadBalancerInput, CreateRuleInput,
    CreateTargetGroupInput, LoadBalancerSchemeEnum, ModifyListenerInput, ProtocolEnum,
    SetRulePrioritiesInput, SetSecurityGroupsInput, SetSubnetsInput, SubnetMapping, Tag,
};

use crate::record::{self, Kind};

/// The reference's names of the types: Application Load Balancers are all there are.
const BALANCER: &str = "loadbalancer/app/";
const GROUP: &str = "targetgroup";
const LISTENER: &str = "listener/app";
const RULE: &str = "listener-rule/app";

const ADD_TAGS: &str = "elasticloadbalancing:AddTags";
const CREATE_ACTION: &str = "elasticloadbalancing:CreateAction";
/// What is made with tags has it; whoever tags something that is there already creates nothing.
const OF_TAGGING: &[&str] = &[CREATE_ACTION];
const SCHEME: &str = "elasticloadbalancing:Scheme";
const SECURITY_GROUP: &str = "elasticloadbalancing:SecurityGroup";
const SUBNET: &str = "elasticloadbalancing:Subnet";
const PROTOCOL: &str = "elasticloadbalancing:ListenerProtocol";
const SECURITY_POLICY: &str = "elasticloadbalancing:SecurityPolicy";

/// On the load balancer with this ARN.
pub fn on_balancer<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    on(BALANCER, move |cx, it| balancer(cx, arn(it)))
}

/// On the target group with this ARN.
pub fn on_group<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    on(GROUP, move |cx, it| group(cx, arn(it)))
}

/// On the listener with this ARN.
pub fn on_listener<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    on(LISTENER, move |cx, it| listener(cx, arn(it)))
}

/// On the rule with this ARN.
pub fn on_rule<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    on(RULE, move |cx, it| rule(cx, arn(it)))
}

pub fn on_rules() -> Permission<SetRulePrioritiesInput> {
    on(RULE, |cx, it: &SetRulePrioritiesInput| {
        let arns = it.rule_priorities.iter().map(|it| it.rule_arn.as_deref());
        arns.map(|it| rule(cx, it.unwrap_or_default()))
            .collect::<Vec<_>>()
    })
}

/// On a balancer that gets other security groups.
pub fn on_regrouped() -> Permission<SetSecurityGroupsInput> {
    on_balancer(|it: &SetSecurityGroupsInput| &it.load_balancer_arn).supplying(
        &[SECURITY_GROUP],
        |_, it| {
            let groups = it.security_groups.clone();
            vec![ConditionKey::of_many(SECURITY_GROUP, groups)]
        },
    )
}

/// On a balancer that moves to other subnets.
pub fn on_moved() -> Permission<SetSubnetsInput> {
    on_balancer(|it: &SetSubnetsInput| &it.load_balancer_arn).supplying(&[SUBNET], |_, it| {
        let subnets = subnets_of(it.subnets.as_ref(), it.subnet_mappings.as_ref());
        vec![ConditionKey::of_many(SUBNET, subnets)]
    })
}

fn subnets_of(subnets: Option<&Vec<String>>, mappings: Option<&Vec<SubnetMapping>>) -> Vec<String> {
    let mapped = mappings.into_iter().flatten();
    let mapped = mapped.filter_map(|it| it.subnet_id.clone());
    subnets
        .into_iter()
        .flatten()
        .cloned()
        .chain(mapped)
        .collect()
}

/// On what has these ARNs, of whatever types.
pub fn on_arns<I: 'static>(arns: fn(&I) -> &Vec<String>) -> Permission<I> {
    let of = move |kind: Kind| {
        move |cx: &Cx, it: &I| -> Vec<Touched> {
            let of_kind = arns(it).iter().filter(|arn| record::kind_of(arn) == kind);
            of_kind.map(|arn| by_kind(cx, kind, arn)).collect()
        }
    };
    on(BALANCER, of(Kind::Balancer))
        .also(GROUP, of(Kind::TargetGroup))
        .also(LISTENER, of(Kind::Listener))
        .also(RULE, of(Kind::Rule))
}

pub fn on_tagged() -> Permission<AddTagsInput> {
    on_arns(|it: &AddTagsInput| &it.resource_arns).lacking(OF_TAGGING)
}

pub fn on_new_balancer() -> Permission<CreateLoadBalancerInput> {
    const KEYS: &[&str] = &[SCHEME, SECURITY_GROUP, SUBNET];
    let new = |cx: &Cx, it: &CreateLoadBalancerInput| {
        let resource = format!("loadbalancer/app/{}/*", it.name);
        Touched::absent(cx.arn("elasticloadbalancing", &resource))
    };
    on(BALANCER, new)
        .and(ADD_TAGS, BALANCER, move |cx, it| {
            tagged(it.tags.as_ref(), new(cx, it), "CreateLoadBalancer")
        })
        .supplying(KEYS, |_, it| {
            let subnets = subnets_of(it.subnets.as_ref(), it.subnet_mappings.as_ref());
            let scheme = it.scheme.unwrap_or(LoadBalancerSchemeEnum::InternetFacing);
            vec![
                ConditionKey::new(SCHEME, Some(scheme)),
                ConditionKey::of_many(
                    SECURITY_GROUP,
                    it.security_groups.clone().unwrap_or_default(),
                ),
                ConditionKey::of_many(SUBNET, subnets),
            ]
        })
        .lacking(OF_TAGGING)
}

pub fn on_new_group() -> Permission<CreateTargetGroupInput> {
    let new = |cx: &Cx, it: &CreateTargetGroupInput| {
        let resource = format!("targetgroup/{}/*", it.name);
        Touched::absent(cx.arn("elasticloadbalancing", &resource))
    };
    on(GROUP, new)
        .and(ADD_TAGS, GROUP, move |cx, it| {
            tagged(it.tags.as_ref(), new(cx, it), "CreateTargetGroup")
        })
        .lacking(OF_TAGGING)
}

/// A listener is made on its load balancer; its tags are its own.
pub fn on_new_listener() -> Permission<CreateListenerInput> {
    on_balancer(|it: &CreateListenerInput| &it.load_balancer_arn)
        .and(ADD_TAGS, LISTENER, |cx, it| {
            let of = balancer(cx, &it.load_balancer_arn);
            let new = within(&of, ":loadbalancer/", ":listener/");
            tagged(it.tags.as_ref(), new, "CreateListener")
        })
        .supplying(&[PROTOCOL, SECURITY_POLICY], |_, it| {
            protocol(it.protocol, it.ssl_policy.as_ref())
        })
        .lacking(OF_TAGGING)
}

pub fn on_changed_listener() -> Permission<ModifyListenerInput> {
    on_listener(|it: &ModifyListenerInput| &it.listener_arn)
        .supplying(&[PROTOCOL, SECURITY_POLICY], |_, it| {
            protocol(it.protocol, it.ssl_policy.as_ref())
        })
}

/// A rule is made on its listener; its tags are its own.
pub fn on_new_rule() -> Permission<CreateRuleInput> {
    on_listener(|it: &CreateRuleInput| &it.listener_arn)
        .and(ADD_TAGS, RULE, |cx, it| {
            let of = listener(cx, &it.listener_arn);
            let new = within(&of, ":listener/", ":listener-rule/");
            tagged(it.tags.as_ref(), new, "CreateRule")
        })
        .lacking(OF_TAGGING)
}

fn protocol(protocol: Option<ProtocolEnum>, policy: Option<&String>) -> Vec<ConditionKey> {
    vec![
        ConditionKey::new(PROTOCOL, protocol),
        ConditionKey::new(SECURITY_POLICY, policy),
    ]
}

/// Something to be made within another thing, whose ARN goes on.
fn within(of: &Touched, kind: &str, new_kind: &str) -> Touched {
    Touched::absent(format!("{}/*", of.arn.replacen(kind, new_kind, 1)))
}

/// What is made with tags needs the permission to tag.
fn tagged(tags: Option<&Vec<Tag>>, new: Touched, action: &str) -> Option<Touched> {
    let given = tags.is_some_and(|it| !it.is_empty());
    given.then(|| new.with_key(CREATE_ACTION, Some(action)))
}

fn by_kind(cx: &Cx, kind: Kind, arn: &str) -> Touched {
    match kind {
        Kind::Balancer => balancer(cx, arn),
        Kind::TargetGroup => group(cx, arn),
        Kind::Listener => listener(cx, arn),
        Kind::Rule => rule(cx, arn),
    }
}

/// A record's ARN and tags; what is not there has the ARN that was asked for.
fn touched(found: Result<(String, TagMap), cloud::Error>, asked: &str) -> Touched {
    match found {
        Ok((arn, tags)) => Touched::named(arn).tagged(tags),
        Err(_) => Touched::absent(asked),
    }
}

fn balancer(cx: &Cx, arn: &str) -> Touched {
    let found = cx.read(|tx| record::balancer(cx, tx, arn));
    touched(found.map(|it| (it.arn(cx), it.tags)), arn)
}

fn group(cx: &Cx, arn: &str) -> Touched {
    let found = cx.read(|tx| record::target_group(cx, tx, arn));
    touched(found.map(|it| (it.arn(cx), it.tags)), arn)
}

fn listener(cx: &Cx, arn: &str) -> Touched {
    let found = cx.read(|tx| record::listener(cx, tx, arn));
    touched(found.map(|it| (it.arn(cx), it.tags)), arn)
}

/// A listener's default rule has no tags.
fn rule(cx: &Cx, arn: &str) -> Touched {
    let found = cx.read(|tx| record::rule(cx, tx, arn));
    let found = found.map(|(listener, id)| {
        let arn = listener.rule_arn(cx, &id);
        let rule = listener.rules.into_iter().find(|it| it.id == id);
        (arn, rule.map(|it| it.tags).unwrap_or_default())
    });
    touched(found, arn)
}
