//! S4: the user that the container is to run as is not in the image.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::Mend;

pub const RULE: Rule = Rule {
    id: "S4",
    name: "user-missing",
    layer: Layer::Start,
    needs: &[Fact::Program],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    let reason = situation.stopped_reason();
    let is_said = reason.contains("unable to find user") || reason.contains("unable to find group");
    let container = match situation.is_ahead {
        true => {
            let mut all = situation.containers.iter();
            all.find(|it| it.image.lacks_user.is_some())?
        }
        false => situation.failed_container().filter(|_| is_said)?,
    };
    let user = match &container.image.lacks_user {
        Some(user) => user,
        None => &container.user,
    };
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
            format!("its /etc/passwd or /etc/group has no `{user}`"),
        )
        .with_what_the_task_says(situation)
        .at(&container.place)
        .mend(Mend::template(
            "make the user in the Dockerfile (`RUN adduser …`), or name it by its number",
        )),
    )
}
