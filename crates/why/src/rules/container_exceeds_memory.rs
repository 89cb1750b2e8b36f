//! R3: the kernel ended a container that needed more memory than it has.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "R3",
    name: "oom",
    layer: Layer::Running,
    needs: &[Fact::Exit],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let container = (situation.containers.iter()).find(|it| {
        it.reason
            .as_deref()
            .is_some_and(|it| it.contains("OutOfMemory"))
    })?;
    let task = situation.task.as_ref()?;
    let limit = match task.memory_mib {
        Some(mib) => format!("the task has {mib} MiB"),
        None => "its task has a limit".to_owned(),
    };
    let more = task
        .memory_mib
        .map_or("more".to_owned(), |it| format!("{} MiB", it * 2));
    Some(
        Clue::observed(
            format!("container `{}` needed more memory than it has and was killed by the kernel", container.name),
            "OutOfMemoryError: Container killed due to memory usage",
        )
        .because(format!("container {}", container.name), format!("was killed for its memory; {limit}"))
        .mend(Mend::template(format!("give the task {more}, within the sizes of Fargate")))
        .mend(Mend::template("or let the program know its limit (Java: -XX:MaxRAMPercentage, Node: --max-old-space-size)")),
    )
}
