//! The way of a packet from a task to the world, as far as it gets.

use crate::acl::AclFacts;
use crate::facts::{NetworkFacts, RouteFacts, Situation};
use crate::report::Hop;

/// What AWS says of every task that does not get out.
pub const TIMED_OUT: &str = "ResourceInitializationError: unable to pull secrets or registry auth: … \
     There is a connection issue between the task and Amazon ECR. Check your task network configuration. \
     … dial tcp: i/o timeout";

/// What AWS's agent says in its log.
const AGENT_TIMED_OUT: &str = "Unable to register as a container instance with ECS: RequestError: send request failed … net/http: request canceled while waiting for connection";

pub fn timed_out(situation: &Situation) -> &'static str {
    match situation.instance {
        Some(_) => AGENT_TIMED_OUT,
        None => TIMED_OUT,
    }
}

/// The other way, where there is no NAT gateway.
pub fn or_in_public(situation: &Situation) -> &'static str {
    match situation.instance {
        Some(_) => "or launch the instance in a public subnet with a public address",
        None => "or run the task in a public subnet with `assignPublicIp: ENABLED`",
    }
}

/// The groups' rule that lets HTTPS out to everybody.
pub fn egress_rule(network: &NetworkFacts) -> Option<String> {
    const HTTPS: u16 = 443;
    let mut groups = network.groups.iter();
    groups.find_map(|group| {
        let rule = (group.egress.iter()).find(|it| it.covers_tcp(HTTPS) && it.is_everywhere())?;
        Some(format!("{}: {}", group.id, rule.shown()))
    })
}

/// The way to where the route table is asked; a closed group ends it before. Groups that nobody knows any
/// more are left out.
fn to_the_table(network: &NetworkFacts) -> Vec<Hop> {
    let interface = network.interface.clone().unwrap_or("interface".to_owned());
    let mut path = vec![Hop::passes(interface, None)];
    if network.groups.is_empty() {
        return path;
    }
    let groups: Vec<&str> = network.groups.iter().map(|it| it.id.as_str()).collect();
    let groups = format!("security groups {}", groups.join(", "));
    path.push(match egress_rule(network) {
        Some(rule) => Hop::passes(groups, Some(rule)),
        None => Hop::stops(groups, "ENI_SG_RULES_MISMATCH", None),
    });
    path
}

/// The way that is stopped by a route table or by what its default route leads to.
pub fn stopped(
    network: &NetworkFacts,
    component: String,
    code: &str,
    rule: Option<String>,
) -> Vec<Hop> {
    let mut path = to_the_table(network);
    let is_stopped = path.last().is_some_and(|it| !it.passes);
    if !is_stopped {
        if component != network.route_table {
            let route = network
                .default_route()
                .map(|it| format!("{} to {}", it.destination, it.target));
            path.push(Hop::passes(network.route_table.clone(), route));
        }
        path.push(Hop::stops(component, code, rule));
    }
    path
}

/// The way that is stopped by the subnet's network ACL, which is asked after the groups.
pub fn stopped_by_acl(network: &NetworkFacts, acl: &AclFacts, rule: String) -> Vec<Hop> {
    let mut path = to_the_table(network);
    if path.last().is_some_and(|it| it.passes) {
        path.push(Hop::stops(
            acl.id.clone(),
            "SUBNET_ACL_RESTRICTION",
            Some(rule),
        ));
    }
    path
}

/// The way that is stopped by the groups.
pub fn stopped_by_groups(network: &NetworkFacts) -> Vec<Hop> {
    to_the_table(network)
}

/// The network of a task that did not reach something, and its default route. One with endpoints of its own has
/// another way to AWS.
pub fn out_of_reach(situation: &Situation) -> Option<(&NetworkFacts, Option<&RouteFacts>)> {
    let network = situation.network.as_ref()?;
    if !situation.could_not_reach() || !network.endpoints.is_empty() {
        return None;
    }
    Some((network, network.default_route()))
}
