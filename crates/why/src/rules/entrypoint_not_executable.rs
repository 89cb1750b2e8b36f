//! S2: the program is in the image and lacks the executable bit.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S2",
    name: "entrypoint-not-executable",
    layer: Layer::Start,
    needs: &[Fact::Program],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let (container, program, _) =
        situation.not_started(|why, _| why.contains("permission denied"))?;
    let seen = match container.image.program.as_ref().filter(|it| it.is_there) {
        Some(it) => format!(
            "`{}` has mode {:04o}: nobody may execute it",
            it.path,
            it.mode & 0o7777
        ),
        None => format!("`{program}` may not be executed there"),
    };
    Some(
        Clue::observed(
            format!("`{program}` in the image of container `{}` is not executable", container.name),
            format!("CannotStartContainerError: … exec: \"{program}\": permission denied"),
        )
        .because(format!("image {}", container.image.name), seen)
        .with_what_the_task_says(situation)
        .at(&container.image.place)
        .mend(Mend::template(format!("add `RUN chmod +x {program}` to the Dockerfile, or COPY it with `--chmod=755`")))
        .mend(Mend::environment("CodePipeline's source archives do not keep the executable bit (its Git-clone output does), so set it in the Dockerfile")),
    )
}
