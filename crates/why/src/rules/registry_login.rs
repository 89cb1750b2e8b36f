//! B6: a build pushes without having logged in.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "B6",
    name: "ecr-login",
    layer: Layer::Start,
    needs: &[Fact::Build],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    const SAYS: [&str; 3] = [
        "no basic auth credentials",
        "authorization token has expired",
        "denied: User",
    ];
    let build = situation.build.as_ref()?;
    let line = (build.printed.iter()).find(|line| SAYS.iter().any(|it| line.contains(it)))?;
    Some(
        Clue::observed(
            format!("the build of project {} is not logged in to the registry, or its role may not use it", build.project),
            "no basic auth credentials, or: denied",
        )
        .because(format!("build {}", build.id), line.trim_end())
        .mend(Mend::template("log in before: `aws ecr get-login-password | docker login --username AWS --password-stdin REGISTRY`"))
        .mend(Mend::template("and allow the project's role the actions of AmazonEC2ContainerRegistryPowerUser")),
    )
}
