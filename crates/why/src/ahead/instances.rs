//! Instances that a file launches to run tasks of ECS: one situation for each group of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

use super::declared::{Declared, DeclaredResource, flag, is_known, short};
use super::networks;
use crate::facts::{InstanceFacts, NetworkFacts, Situation};
use crate::rules::{self, Layer};

const GROUP: &str = "AWS::AutoScaling::AutoScalingGroup";
const INSTANCE: &str = "AWS::EC2::Instance";
const PROVIDER: &str = "AWS::ECS::CapacityProvider";
const SERVICE: &str = "AWS::ECS::Service";
/// What user data says that lets an instance join a cluster.
const JOINS: &str = "ECS_CLUSTER";

pub fn situations(declared: &Declared) -> Vec<Situation> {
    let groups = declared.of_kind(GROUP).filter_map(|(id, group)| {
        let template = declared.find(group.get("LaunchTemplate.LaunchTemplateId"));
        let data = template.map_or(&Json::Null, |(_, it)| it.get("LaunchTemplateData"));
        let subnets = group.list("VPCZoneIdentifier");
        let thing = format!("instances of {}", short(id));
        runs_tasks(declared, id, data)
            .then(|| situation(declared, thing, group, "VPCZoneIdentifier", subnets, data))
    });
    let single = declared.of_kind(INSTANCE).filter_map(|(id, it)| {
        let subnets = std::slice::from_ref(it.get("SubnetId"));
        let thing = format!("instance {}", short(id));
        runs_tasks(declared, id, &it.properties)
            .then(|| situation(declared, thing, it, "SubnetId", subnets, &it.properties))
    });
    groups.chain(single).collect()
}

/// Whether it is for ECS. Instances for something else may well be without a way out.
fn runs_tasks(declared: &Declared, id: &str, data: &Json) -> bool {
    let is_of_provider = declared.of_kind(PROVIDER).any(|(_, it)| {
        let group = it.get("AutoScalingGroupProvider.AutoScalingGroupArn");
        declared.find(group).is_some_and(|(of, _)| of == id)
    });
    if is_of_provider {
        return true;
    }
    match data["UserData"].as_str().filter(|it| is_known(it)) {
        Some(text) => {
            let decoded = BASE64.decode(text.trim()).unwrap_or_default();
            text.contains(JOINS) || String::from_utf8_lossy(&decoded).contains(JOINS)
        }
        // What it says is known later: services that run on instances have no others.
        None => declared
            .of_kind(SERVICE)
            .any(|(_, it)| it.text("LaunchType").as_deref() == Some("EC2")),
    }
}

/// Of several subnets, the one that something is wrong with counts.
fn situation(
    declared: &Declared,
    thing: String,
    launched: &DeclaredResource,
    path: &str,
    subnets: &[Json],
    data: &Json,
) -> Situation {
    let place = launched.place_of(path);
    let interface = &data["NetworkInterfaces"][0];
    let groups = ["SecurityGroupIds", "Groups", "GroupSet"];
    let groups = (groups.iter().flat_map(|it| [&data[*it], &interface[*it]]))
        .find_map(|it| it.as_array().filter(|it| !it.is_empty()));
    let groups = groups.and_then(|it| networks::groups(declared, it));
    let mut situation = Situation {
        thing,
        region: declared.region.clone(),
        account: declared.account.clone(),
        instance: Some(InstanceFacts::default()),
        is_ahead: true,
        place: launched.place.clone(),
        ..Situation::default()
    };
    let mut first = None;
    for subnet in subnets {
        let Some(network) = networks::of_subnet(declared, subnet) else {
            continue;
        };
        let asked = flag(&interface["AssociatePublicIpAddress"]);
        let own = declared
            .find(subnet)
            .map(|it| it.1.get("MapPublicIpOnLaunch"));
        let is_public = asked.or_else(|| match own {
            Some(Json::Null) => Some(false),
            Some(given) => flag(given),
            None => None,
        });
        situation.network = Some(NetworkFacts {
            has_public_address: is_public,
            groups: groups.clone().unwrap_or_default(),
            place: place.clone(),
            ..network
        });
        let is_network = |id: &str| rules::layer_of(id) == Some(Layer::Network);
        if rules::find_ahead(&situation)
            .iter()
            .any(|it| is_network(&it.id))
        {
            return situation;
        }
        first = first.or(situation.network.take());
    }
    situation.network = first;
    situation
}
