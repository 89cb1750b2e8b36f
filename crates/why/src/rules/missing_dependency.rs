//! S22: a container waits for what never comes.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::{ContainerFacts, Situation};
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S22",
    name: "depends-on",
    layer: Layer::Start,
    needs: &[Fact::Definition],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let all = &situation.containers;
    let (waiting, other, why, mend) = all.iter().find_map(|it| {
        let mut waits = it.waits_for.iter();
        waits.find_map(|(name, until)| {
            let (why, mend) = never(all, it, name, until)?;
            Some((it, name, why, mend))
        })
    })?;
    Some(
        Clue::observed(
            format!("container `{}` waits for `{other}`, {why}", waiting.name),
            "TaskDependencyError, or: ClientException: … dependsOn …",
        )
        .because(
            format!("container {}", waiting.name),
            format!("`dependsOn` names {other}"),
        )
        .at(&waiting.place)
        .mend(Mend::template(mend)),
    )
}

/// Why that will not be.
fn never(
    all: &[ContainerFacts],
    waiting: &ContainerFacts,
    name: &str,
    until: &str,
) -> Option<(&'static str, &'static str)> {
    let Some(other) = all.iter().find(|it| it.name == name) else {
        return Some((
            "which the definition does not have",
            "name a container of the same definition",
        ));
    };
    let waits_back = |it: &ContainerFacts| it.waits_for.iter().any(|(to, _)| *to == waiting.name);
    if waits_back(other) || other.name == waiting.name {
        return Some((
            "which waits for it in its turn",
            "take one of the two dependencies away",
        ));
    }
    let has_check = !other.health_command.is_empty() && other.health_command[0] != "NONE";
    match until {
        "HEALTHY" if !has_check => Some((
            "until it is HEALTHY, and that has no health check",
            "give the other container a `healthCheck`, or wait until it is STARTed",
        )),
        "COMPLETE" | "SUCCESS" if other.is_essential => Some((
            "until it has ended, and with that, which is essential, the whole task ends",
            "set `essential: false` on the container that is to end",
        )),
        _ => None,
    }
}
