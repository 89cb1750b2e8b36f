//! What operations touch: the record's ARN, however a request names the group.
//!
//! Where a group is touched, AWS authorizes on `…:log-group:NAME:log-stream:`, which is why policies
//! have to name a group as `…:log-group:NAME:*`. The operations that tag by ARN are the exception:
//! they are on `…:log-group:NAME` (CloudWatch Logs User Guide, "CloudWatch Logs resources").

use cloud::permission::on;
use cloud::{Cx, Permission, Touched};
use shapes::logs::{CreateLogGroupInput, StartQueryInput};

use crate::group::Group;
use crate::names::{group_arn, group_name};

/// On the group of this name.
pub fn on_group<I: 'static>(name: fn(&I) -> &String) -> Permission<I> {
    on("log-group", move |cx, it| stream(cx, name(it), ""))
}

/// On the stream of this name, in the group of this name.
pub fn on_stream<I: 'static>(names: fn(&I) -> (&String, &String)) -> Permission<I> {
    on("log-stream", move |cx, it| {
        let (group, name) = names(it);
        stream(cx, group, name)
    })
}

/// Name and identifier of a group, of which one is given.
type Either<'a> = (Option<&'a String>, Option<&'a String>);

/// On the group that one of two members names.
pub fn on_either<I: 'static>(group: fn(&I) -> Either<'_>) -> Permission<I> {
    on("log-group", move |cx, it| either(cx, group(it), ""))
}

/// On a stream of the group that one of two members names.
pub fn on_either_stream<I: 'static>(
    group: fn(&I) -> Either<'_>,
    name: fn(&I) -> &String,
) -> Permission<I> {
    on("log-stream", move |cx, it| either(cx, group(it), name(it)))
}

/// On the groups that are to be asked.
pub fn on_query() -> Permission<StartQueryInput> {
    on("log-group", |cx, it: &StartQueryInput| {
        let names = it.log_group_names.iter().flatten();
        let ids = it.log_group_identifiers.iter().flatten();
        let names = names.map(|it| either(cx, (Some(it), None), ""));
        let ids = ids.map(|it| either(cx, (None, Some(it)), ""));
        let alone = it.log_group_name.iter();
        let alone = alone.map(|it| either(cx, (Some(it), None), ""));
        let all: Vec<Touched> = alone.chain(names).chain(ids).flatten().collect();
        match all.is_empty() {
            true => either(cx, (None, None), ""),
            false => all,
        }
    })
}

/// On the groups that a query asked.
pub fn on_groups_of<I: 'static>(query: fn(&I) -> &String) -> Permission<I> {
    on("log-group", move |cx, it| {
        let groups = crate::insights::groups_of(cx, query(it));
        match groups.is_empty() {
            true => vec![Touched::any(group_arn(cx, "*"))],
            false => groups.iter().map(|it| stream(cx, it, "")).collect(),
        }
    })
}

/// On what a tag operation names by its ARN.
pub fn on_arn<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    on("log-group", move |cx, it| by_arn(cx, arn(it)))
}

/// On a group to be made. Its tags need the permission to tag.
pub fn on_new_group() -> Permission<CreateLogGroupInput> {
    on_group(|it: &CreateLogGroupInput| &it.log_group_name).and(
        "logs:TagResource",
        "log-group",
        |cx, it| {
            let tagged = it.tags.as_ref().is_some_and(|it| !it.is_empty());
            tagged.then(|| of(cx, &it.log_group_name, ""))
        },
    )
}

/// Where both members are given, which is refused, both are touched; where none is, any.
fn either(cx: &Cx, (name, identifier): Either<'_>, of_it: &str) -> Vec<Touched> {
    let by_name = name.map(|it| stream(cx, it, of_it));
    let by_identifier = identifier.map(|it| match group_name(cx, it) {
        Ok(name) => stream(cx, &name, of_it),
        Err(_) => Touched::absent(it),
    });
    let named: Vec<Touched> = by_name.into_iter().chain(by_identifier).collect();
    match named.is_empty() {
        true => vec![Touched::any(group_arn(cx, "*"))],
        false => named,
    }
}

/// The group of this name, lent to services that deliver to its streams.
pub fn group(cx: &Cx, name: &str) -> Touched {
    of(cx, name, "")
}

fn by_arn(cx: &Cx, arn: &str) -> Touched {
    match group_name(cx, arn) {
        Ok(name) => of(cx, &name, ""),
        Err(_) => Touched::absent(arn),
    }
}

/// A stream, which has the tags of its group; without a name the group itself.
fn stream(cx: &Cx, group: &str, stream: &str) -> Touched {
    of(cx, group, &format!(":log-stream:{stream}"))
}

fn of(cx: &Cx, name: &str, part: &str) -> Touched {
    let touched = Touched::named(format!("{}{part}", group_arn(cx, name)));
    match cx.read(|tx| tx.get::<Group>(&cx.key(name))) {
        Ok(found) => touched.tagged(found.map(|it| it.tags).unwrap_or_default()),
        // Nothing is known of its tags.
        Err(_) => touched,
    }
}
