//! Instances that stopped and were not told to.

use cloud::{Cx, Error};
use shapes::ec2::{DescribeInstancesInput, Instance, InstanceStateName};

use super::Gathered;

/// What state reasons begin with that are not the user's doing (EC2 API reference, "StateReason").
const NOT_ASKED_FOR: &str = "Server.";

/// All that are not terminated.
pub async fn list(cx: &Cx) -> Result<Vec<Instance>, Error> {
    let mut all = Vec::new();
    let mut next_token = None;
    loop {
        let found = cx.call(DescribeInstancesInput {
            next_token,
            ..Default::default()
        });
        let found = found.await?;
        let reservations = found.reservations.unwrap_or_default().into_iter();
        all.extend(reservations.flat_map(|it| it.instances.unwrap_or_default()));
        next_token = found.next_token;
        if next_token.is_none() {
            break;
        }
    }
    all.retain(|it| state(it) != Some(InstanceStateName::Terminated));
    Ok(all)
}

fn state(it: &Instance) -> Option<InstanceStateName> {
    it.state.as_ref().and_then(|it| it.name)
}

pub fn look(it: &Instance, gathered: &mut Gathered) {
    let thing = format!("instance {}", it.instance_id.as_deref().unwrap_or_default());
    let reason = it.state_reason.clone().unwrap_or_default();
    let code = reason.code.unwrap_or_default();
    if state(it) == Some(InstanceStateName::Stopped) && code.starts_with(NOT_ASKED_FOR) {
        let message = reason.message.unwrap_or_default();
        let symptom = format!("it stopped and nobody asked for it: {code}: {message}");
        gathered.unexplained.push((thing.clone(), symptom));
    }
    gathered.looked_at.push(thing);
}
