//! N20: an instance's agent was to join a cluster, and is not in it.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::{InstanceFacts, Situation};
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "N20",
    name: "agent-not-joined",
    layer: Layer::Start,
    needs: &[Fact::Agent],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let instance = situation.instance.as_ref()?;
    let said = instance.complaint()?;
    let cluster = &instance.cluster;
    let (why, mend) = reason(instance, said);
    Some(
        Clue::observed(
            format!("the instance has not joined cluster {cluster}: {why}"),
            format!("Unable to register as a container instance with ECS: {said}"),
        )
        .because(
            format!("/etc/ecs/ecs.config of {}", instance.id),
            match instance.is_default {
                true => format!("names no cluster, so it is `{cluster}`"),
                false => format!("ECS_CLUSTER={cluster}"),
            },
        )
        .with_what_the_task_says(situation)
        .mend(mend),
    )
}

fn reason(instance: &InstanceFacts, said: &str) -> (String, Mend) {
    const POLICY: &str = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role";
    let profile = instance.profile.as_deref();
    let profile = profile.and_then(|it| it.rsplit('/').next());
    if said.contains("NoCredentialProviders") {
        let mend = Mend::template(format!(
            "give the instance a profile whose role ec2.amazonaws.com may assume and that has {POLICY}"
        ));
        return (
            match profile {
                Some(name) => format!("its profile {name} has no role"),
                None => "it has no instance profile, so its agent has no credentials".to_owned(),
            },
            mend,
        );
    }
    if said.contains("AccessDenied") || said.contains("not authorized") {
        let mend = Mend::template(format!("attach {POLICY} to the role of its profile"));
        let name = profile.unwrap_or_default();
        return (
            format!("the role of its profile {name} may not register it"),
            mend,
        );
    }
    if said.contains("Cluster not found") || said.contains("ClusterNotFound") {
        let mend = Mend::environment(
            "make the cluster, or correct ECS_CLUSTER in the user data, which writes /etc/ecs/ecs.config",
        )
        .by(format!("aws ecs create-cluster --cluster-name {}", instance.cluster));
        return (format!("there is no cluster `{}`", instance.cluster), mend);
    }
    if instance.is_cut_off() {
        let mend = Mend::template(
            "give its subnet a way out: a route 0.0.0.0/0 to a NAT gateway, or to an internet gateway and a public address",
        );
        return ("its agent does not reach ECS".to_owned(), mend);
    }
    (
        said.to_owned(),
        Mend::environment("mend what its agent says"),
    )
}
