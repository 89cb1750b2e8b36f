//! B5: a build uses Docker and is not privileged.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "B5",
    name: "docker-unprivileged",
    layer: Layer::Start,
    needs: &[Fact::Build],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let build = situation.build.as_ref().filter(|it| !it.is_privileged)?;
    let line =
        (build.printed.iter()).find(|it| it.contains("Cannot connect to the Docker daemon"))?;
    Some(
        Clue::observed(
            format!("the build of project {} uses Docker, and its environment is not privileged", build.project),
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        )
        .because(format!("build {}", build.id), line.trim_end())
        .because(format!("project {}", build.project), "`privilegedMode` is false")
        .mend(Mend::template("set `PrivilegedMode: true` in the project's environment")),
    )
}
