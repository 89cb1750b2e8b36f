//! I8: the image's program is made for another processor.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "I8",
    name: "arch",
    layer: Layer::Image,
    needs: &[Fact::Program],
    find,
};

const SIGNS: [&str; 3] = [
    "exec format error",
    "does not contain descriptor matching platform",
    "no match for platform in manifest",
];

fn find(situation: &Situation) -> Option<Clue> {
    if let Some(clue) = ahead(situation) {
        return Some(clue);
    }
    let said = |text: &str| {
        let text = text.to_lowercase();
        SIGNS.iter().any(|it| text.contains(it))
    };
    let container = situation.containers.iter().find(|it| {
        it.reason.as_deref().is_some_and(said)
            || it.printed.iter().any(|line| said(line))
            || said(situation.stopped_reason())
    })?;
    let is_script = (container.image.program.as_ref())
        .is_some_and(|it| it.is_there && it.shebang.is_none() && it.path.ends_with(".sh"));
    if is_script {
        // A script without its first line: that is another row.
        return None;
    }
    Some(
        Clue::observed(
            format!("the program of container `{}` is made for another kind of processor than this machine's ({})", container.name, std::env::consts::ARCH),
            "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/…', or exit 255 with: exec format error",
        )
        .because(format!("image {}", container.image.name), "cannot be executed here: exec format error")
        .with_what_the_task_says(situation)
        .mend(Mend::environment("build the image for the processor that it runs on").by("docker build --platform linux/amd64 …")),
    )
}

fn ahead(situation: &Situation) -> Option<Clue> {
    let (container, program, _) =
        situation.not_started(|_, found| found.is_some_and(|it| it.foreign_machine.is_some()))?;
    let found = container.image.program.as_ref()?;
    let machine = found
        .foreign_machine
        .as_deref()
        .filter(|_| found.is_there)?;
    let here = std::env::consts::ARCH;
    Some(
        Clue::observed(
            format!(
                "`{program}` of container `{}` is made for {machine}, and tasks run on {here} here",
                container.name
            ),
            "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/…', or exit 255 with: exec format error",
        )
        .because(format!("`{program}` in image {}", container.image.name), format!("its ELF header says {machine}"))
        .at(&container.image.place)
        .mend(Mend::environment("build the image for the processor that it runs on").by("docker build --platform linux/amd64 …")),
    )
}
