//! R1: the program did its work and ended.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;
use crate::texts::last_lines;

pub const RULE: Rule = Rule {
    id: "R1",
    name: "exited-at-once",
    layer: Layer::Running,
    needs: &[Fact::Program],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if let Some(clue) = ahead(situation) {
        return Some(clue);
    }
    let task = situation.task.as_ref()?;
    let container = situation.failed_container()?;
    if task.stop_code != "EssentialContainerExited" || container.exit_code != Some(0) {
        return None;
    }
    let printed = match container.printed.is_empty() {
        true => "it printed nothing".to_owned(),
        false => format!("its last lines: {}", last_lines(&container.printed)),
    };
    let ran = task
        .ran_seconds
        .map_or(String::new(), |it| format!(" after {it} s"));
    Some(
        Clue::observed(
            format!("the program of container `{}` ended by itself{ran} with exit code 0, as if its work was done", container.name),
            "Essential container in task exited (exit code 0)",
        )
        .because(format!("container {}", container.name), format!("exit code 0; {printed}"))
        .with_what_the_task_says(situation)
        .mend(Mend::template("a service's program stays in the foreground: no daemon mode, no `&`, no shell as CMD"))
        .mend(Mend::template("if it is meant to end, run it as a task of its own, or set `essential: false`")),
    )
}

/// A shell that is given nothing to do, and nobody who types.
fn ahead(situation: &Situation) -> Option<Clue> {
    const SHELLS: [&str; 4] = ["sh", "bash", "ash", "dash"];
    let is_idle = |it: &&crate::facts::ContainerFacts| match &it.command[..] {
        [only] => SHELLS.contains(&only.rsplit('/').next().unwrap_or(only)),
        _ => false,
    };
    let mut containers = situation.containers.iter();
    let container = containers.find(|it| situation.is_ahead && it.is_essential && is_idle(it))?;
    Some(
        Clue::observed(
            format!(
                "container `{}` starts a shell and gives it nothing to do: it ends at once, and its task with it",
                container.name
            ),
            "Essential container in task exited (exit code 0)",
        )
        .because(
            format!("container {}", container.name),
            format!("starts `{}`", container.command.join(" ")),
        )
        .warns()
        .at(&container.place)
        .mend(Mend::template("start the service's program in the foreground, in ENTRYPOINT, CMD or `command`")),
    )
}
