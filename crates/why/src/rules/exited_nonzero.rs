//! R2: the program ended with an error of its own.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;
use crate::texts::last_lines;

pub const RULE: Rule = Rule {
    id: "R2",
    name: "exit-nonzero",
    layer: Layer::Running,
    needs: &[Fact::Exit],
    find,
};

/// What programs print when they miss something, and what is then to be done.
const KNOWN: [(&str, &str); 8] = [
    (
        "address already in use",
        "two programs of the task want the same port: give one of them another",
    ),
    (
        "connection refused",
        "what it connects to does not listen there: check the address, and whether it was up already (`dependsOn`)",
    ),
    (
        "cannot find module",
        "a module is missing in the image: install dependencies in the Dockerfile, and copy them to the stage that runs",
    ),
    (
        "modulenotfounderror",
        "a Python module is missing in the image: install it in the Dockerfile",
    ),
    (
        "no such file or directory",
        "a file is missing in the image: look at COPY and WORKDIR",
    ),
    (
        "permission denied",
        "a file or port is not the user's: look at USER, modes and ports under 1024",
    ),
    (
        "unable to locate credentials",
        "the definition has no `taskRoleArn`: give the task a role",
    ),
    (
        "name or service not known",
        "a host name is not resolved: check it, and whether the task's network leads there",
    ),
];

fn find(situation: &Situation) -> Option<Clue> {
    let container = situation.failed_container()?;
    let code = container.exit_code.filter(|it| (1..=127).contains(it))?;
    let is_over_memory = container
        .reason
        .as_deref()
        .is_some_and(|it| it.contains("OutOfMemory"));
    if is_over_memory || situation.task.as_ref()?.stop_code != "EssentialContainerExited" {
        return None;
    }
    let printed = match container.printed.is_empty() {
        true => "it printed nothing".to_owned(),
        false => format!("its last lines: {}", last_lines(&container.printed)),
    };
    let said = container.printed.join("\n").to_lowercase();
    let known = KNOWN.iter().find(|it| said.contains(it.0)).map(|it| it.1);
    let means = match code {
        126 => " (the command cannot be executed)",
        127 => " (the command was not found)",
        _ => "",
    };
    Some(
        Clue::observed(
            format!(
                "the program of container `{}` ended with exit code {code}{means}",
                container.name
            ),
            "Essential container in task exited",
        )
        .because(
            format!("container {}", container.name),
            format!("exit code {code}; {printed}"),
        )
        .with_what_the_task_says(situation)
        .mend(Mend::template(
            known.unwrap_or("mend what the program's last lines say"),
        )),
    )
}
