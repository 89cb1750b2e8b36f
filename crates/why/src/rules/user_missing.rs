//! S4: the user that the container is to run as is not in the image.

use super::{Clue, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S4",
    name: "user-missing",
    layer: Layer::Start,
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let reason = situation.stopped_reason();
    if !reason.contains("unable to find user") && !reason.contains("unable to find group") {
        return None;
    }
    let container = situation.failed_container()?;
    Some(
        Clue::observed(
            format!(
                "the user that container `{}` is to run as is not in its image",
                container.name
            ),
            "unable to find user …: no matching entries in passwd file",
        )
        .because(
            format!("image {}", container.image.name),
            format!("its /etc/passwd or /etc/group has no `{}`", container.user),
        )
        .with_what_the_task_says(situation)
        .mend(Mend::template(
            "make the user in the Dockerfile (`RUN adduser …`), or name it by its number",
        )),
    )
}
