//! I6: the image is in another account's registry.

use super::{Clue, Fact, Layer, Rule};
use crate::facts::Situation;
use crate::report::{Basis, Mend};

pub const RULE: Rule = Rule {
    id: "I6",
    name: "other-account",
    layer: Layer::Image,
    needs: &[Fact::Image],
    find,
};

fn find(situation: &Situation) -> Option<Clue> {
    if !situation.pull_failed() {
        return None;
    }
    let (container, account) = situation.containers.iter().find_map(|it| {
        let account = it.image.account.as_ref()?;
        (*account != situation.account).then_some((it, account))
    })?;
    Some(
        Clue::observed(
            format!(
                "container `{}` takes its image from the registry of account {account}, and this is account {}",
                container.name, situation.account
            ),
            "CannotPullContainerError: … denied",
        )
        .on(Basis::Derived)
        .because(format!("image {}", container.image.name), format!("belongs to account {account}"))
        .with_what_the_task_says(situation)
        .at(&container.image.place)
        .mend(Mend::template("name the registry of this account, for example by `AWS::AccountId`, and push the image there"))
        .mend(Mend::environment(format!("or run the daemon as that account: `neargate serve --account {account}`"))),
    )
}
