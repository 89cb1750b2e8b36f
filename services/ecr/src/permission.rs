//! What calls of ECR need permission for: repositories, by the record that a name or an ARN finds. A
//! repository's own policy goes with it.

use cloud::permission::Permission;
use cloud::{Cx, Touched, permission};

use crate::repository::RepositoryRecord;

/// Of the reference: the only type of resource.
const REPOSITORY: &str = "repository";

fn arn(cx: &Cx, name: &str) -> String {
    cx.arn("ecr", &format!("repository/{name}"))
}

/// The repository of a name, whether it is there or not.
pub fn repository(cx: &Cx, name: &str) -> Touched {
    let found: Result<Option<RepositoryRecord>, _> = cx.read(|tx| tx.get(&cx.key(name)));
    match found {
        Ok(Some(it)) => Touched::named(it.arn()).tagged(it.tags).bound_by(it.policy),
        Ok(None) => Touched::absent(arn(cx, name)),
        // Its tags and its policy are not known.
        Err(_) => Touched::named(arn(cx, name)),
    }
}

/// The operation's action on one repository.
pub fn on_repository<I: 'static>(name: fn(&I) -> &str) -> Permission<I> {
    permission::on(REPOSITORY, move |cx, it| repository(cx, name(it)))
}

/// On those that are named; without names, on all.
pub fn on_repositories<I: 'static>(names: fn(&I) -> Option<&Vec<String>>) -> Permission<I> {
    permission::on(REPOSITORY, move |cx, it| match names(it) {
        Some(names) => names.iter().map(|name| repository(cx, name)).collect(),
        None => vec![Touched::any(arn(cx, "*"))],
    })
}

/// On the repository that is going to be made, and on tagging it where it gets tags at once.
pub fn on_new_repository<I: 'static>(
    name: fn(&I) -> &str,
    has_tags: fn(&I) -> bool,
) -> Permission<I> {
    permission::on(REPOSITORY, move |cx, it| Touched::absent(arn(cx, name(it)))).and(
        "ecr:TagResource",
        REPOSITORY,
        move |cx, it| has_tags(it).then(|| Touched::absent(arn(cx, name(it)))),
    )
}

/// On the repository of an ARN. One that is no repository's here is taken as it is written: the operation
/// refuses it.
pub fn by_arn<I: 'static>(given: fn(&I) -> &str) -> Permission<I> {
    permission::on(REPOSITORY, move |cx, it| {
        let given = given(it);
        match given.strip_prefix(&arn(cx, "")) {
            Some(name) => repository(cx, name),
            None => Touched::absent(given),
        }
    })
}
