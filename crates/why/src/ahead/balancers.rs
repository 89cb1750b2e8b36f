//! Which target groups a service will register at, who leads to them, and who will probe.

use serde_json::Value as Json;

use super::declared::{Declared, DeclaredResource, flag, is_known, number, short};
use super::networks;
use crate::facts::{BalancerFacts, TargetFacts};

const LISTENER: &str = "AWS::ElasticLoadBalancingV2::Listener";
const RULE: &str = "AWS::ElasticLoadBalancingV2::ListenerRule";

/// The targets that tasks of a service become. Groups that the file does not make are left out.
pub fn targets(declared: &Declared, id: &str, service: &DeclaredResource) -> Vec<TargetFacts> {
    let before = declared.made_before(id);
    (service.list("LoadBalancers").iter().enumerate())
        .filter_map(|(at, it)| {
            let (group_id, group) = declared.find(&it["TargetGroupArn"])?;
            let place = service.place_of(&format!("LoadBalancers.{at}"));
            let leading = leading_to(declared, group_id);
            let balancer = leading.iter().find_map(|it| balancer_of(declared, it.1));
            let port = number(&it["ContainerPort"]).and_then(|it| u16::try_from(it).ok());
            let name = it["ContainerName"].as_str().filter(|it| is_known(it));
            let asked = group.text("HealthCheckPort");
            let is_on = flag(group.get("HealthCheckEnabled")) != Some(false);
            Some(TargetFacts {
                group: short(group_id).to_owned(),
                port: port.unwrap_or_default(),
                check_path: group.text("HealthCheckPath").unwrap_or("/".to_owned()),
                has_listener: !leading.is_empty(),
                may_be_early: !leading.iter().any(|it| before.contains(it.0)),
                // One port that nobody knows lets everything stand.
                balancer: balancer.filter(|_| port.is_some()),
                health_port: asked.filter(|_| is_on).and_then(|it| it.parse().ok()),
                target_type: group.text("TargetType").unwrap_or("instance".to_owned()),
                container: name.map(str::to_owned).zip(port),
                place,
                group_place: group.place.clone(),
                ..TargetFacts::default()
            })
        })
        .collect()
}

/// Listeners and rules with an action that forwards to a group.
fn leading_to<'a>(declared: &'a Declared, group: &str) -> Vec<(&'a String, &'a DeclaredResource)> {
    let forwards = |actions: &[Json]| {
        actions.iter().any(|it| {
            let more = it["ForwardConfig"]["TargetGroups"].as_array();
            let more = more.into_iter().flatten().map(|it| &it["TargetGroupArn"]);
            let mut named = std::iter::once(&it["TargetGroupArn"]).chain(more);
            named.any(|it| declared.find(it).is_some_and(|(id, _)| id == group))
        })
    };
    let listeners = declared
        .of_kind(LISTENER)
        .filter(|(_, it)| forwards(it.list("DefaultActions")));
    let rules = declared
        .of_kind(RULE)
        .filter(|(_, it)| forwards(it.list("Actions")));
    listeners.chain(rules).collect()
}

/// The load balancer of a listener or of a rule of one.
fn balancer_of(declared: &Declared, leads: &DeclaredResource) -> Option<BalancerFacts> {
    let listener = match leads.kind.as_str() {
        RULE => declared.find(leads.get("ListenerArn"))?.1,
        _ => leads,
    };
    let (id, balancer) = declared.find(listener.get("LoadBalancerArn"))?;
    let subnets = balancer.list("Subnets").iter().map(|it| declared.find(it));
    let subnets: Option<Vec<&DeclaredResource>> = subnets.map(|it| Some(it?.1)).collect();
    let subnets = subnets.unwrap_or_default();
    let zones = subnets.iter().map(|it| it.text("AvailabilityZone"));
    let zones: Option<Vec<String>> = zones.map(|it| it.filter(|it| is_known(it))).collect();
    // A range either holds a subnet or does not touch it, as a rule: one address stands for it.
    let addresses = subnets.iter().map(|it| {
        let range = it.text("CidrBlock")?;
        range.split_once('/')?.0.parse().ok()
    });
    let addresses: Option<Vec<_>> = addresses.collect();
    Some(BalancerFacts {
        name: short(id).to_owned(),
        groups: networks::groups(declared, balancer.list("SecurityGroups")).unwrap_or_default(),
        addresses: addresses.unwrap_or_default(),
        zones: zones.unwrap_or_default(),
        place: balancer.place.clone(),
    })
}
