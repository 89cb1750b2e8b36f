//! N14: a subnet has fewer addresses than a rollout has tasks.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N14",
    name: "subnet-full",
    layer: Layer::Network,
    needs: &[Fact::Network, Fact::Service],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    const SAYS: &str = "InsufficientFreeAddressesInSubnet";
    let network = situation.network.as_ref()?;
    let service = situation.service.as_ref()?;
    let is_said = service.events.first().is_some_and(|it| it.contains(SAYS))
        || situation.stopped_reason().contains(SAYS);
    let free = network.free_addresses.filter(|_| situation.is_ahead);
    let most = i64::from(service.desired) * i64::from(service.maximum_percent.max(100)) / 100;
    let is_small = free.is_some_and(|it| most > i64::from(it));
    if !is_said && !is_small {
        return None;
    }
    let room = match free {
        Some(free) => format!("has {free} addresses for tasks"),
        None => "has no free address".to_owned(),
    };
    let clue = Clue::observed(
        format!(
            "the subnet {} of service `{}` is too small for it",
            network.subnet, service.name
        ),
        "Unexpected EC2 error while attempting to Create Network Interface … InsufficientFreeAddressesInSubnet",
    )
    .because(format!("subnet {}", network.subnet), room)
    .because(
        format!("service {}", service.name),
        format!("may have {most} tasks at a time, each with an address of its own"),
    )
    .with_what_the_task_says(situation)
    .at(&network.place)
    .mend(Mend::template("give the service larger subnets, or more of them, or lower `maximumPercent`"));
    Some(clue.warns())
}
