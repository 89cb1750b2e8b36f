//! What operations touch: the repository's record, by its name or its ARN.

use cloud::permission::on;
use cloud::{ConditionKey, Cx, Permission, Touched};
use shapes::codecommit::{BatchGetRepositoriesInput, CreateRepositoryInput};

use crate::repository::RepositoryRecord;
use crate::tags;

/// The key of the references that a call changes.
const REFERENCES: &[&str] = &["codecommit:References"];

/// On the repository of this name.
pub fn on_repository<I: 'static>(name: fn(&I) -> &String) -> Permission<I> {
    on("repository", move |cx, it| touched(cx, name(it)))
}

/// On the repository of this name; on all when there is none, which is refused.
pub fn on_named<I: 'static>(name: fn(&I) -> Option<&String>) -> Permission<I> {
    on("repository", move |cx, it| match name(it) {
        Some(name) => touched(cx, name),
        None => any(cx),
    })
}

/// On the repository of this name, a branch of which changes.
pub fn on_branch<I: 'static>(name: fn(&I) -> &String, branch: fn(&I) -> &String) -> Permission<I> {
    on_repository(name).supplying(REFERENCES, move |_, it| {
        let reference = format!("refs/heads/{}", branch(it));
        vec![ConditionKey::new(REFERENCES[0], Some(reference))]
    })
}

/// On what a tag operation names by its ARN.
pub fn on_arn<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    on("repository", move |cx, it| {
        match tags::name_in(cx, arn(it)) {
            Some(name) => touched(cx, name),
            None => Touched::absent(arn(it)),
        }
    })
}

/// On each repository that is named.
pub fn on_several() -> Permission<BatchGetRepositoriesInput> {
    on("repository", |cx, it: &BatchGetRepositoriesInput| {
        let names = it.repository_names.iter();
        let named: Vec<Touched> = names.map(|it| touched(cx, it)).collect();
        match named.is_empty() {
            true => vec![any(cx)],
            false => named,
        }
    })
}

/// On a repository to be made. Its tags need the permission to tag.
pub fn on_new_repository() -> Permission<CreateRepositoryInput> {
    on_repository(|it: &CreateRepositoryInput| &it.repository_name).and(
        "codecommit:TagResource",
        "repository",
        |cx, it| {
            let tagged = it.tags.as_ref().is_some_and(|it| !it.is_empty());
            tagged.then(|| touched(cx, &it.repository_name))
        },
    )
}

fn any(cx: &Cx) -> Touched {
    Touched::any(cx.arn("codecommit", "*"))
}

pub fn touched(cx: &Cx, name: &str) -> Touched {
    match cx.read(|tx| tx.get::<RepositoryRecord>(&cx.key(name))) {
        Ok(Some(found)) => Touched::named(found.arn()).tagged(found.tags),
        Ok(None) => Touched::absent(cx.arn("codecommit", name)),
        // Nothing is known of its tags.
        Err(_) => Touched::named(cx.arn("codecommit", name)),
    }
}
