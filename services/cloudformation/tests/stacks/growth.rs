//! What operations cost does not grow with what was before, and grows with a template no faster than it.
//! Costs are counted as the store counts them, since clocks tell of the machine.

use std::time::Duration;

use cloud::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use shapes::cloudformation as api;

use crate::bench::Bench;

/// `count` things, each of which waits for the one before.
fn chain(count: usize) -> String {
    let thing = |number: usize| {
        let after = match number.checked_sub(1) {
            Some(before) => format!("DependsOn: T{before}, "),
            None => String::new(),
        };
        format!(
            "  T{number}: {{Type: Test::Fake::Thing, {after}Properties: {{Name: t{number}}}}}\n"
        )
    };
    format!("Resources:\n{}", (0..count).map(thing).collect::<String>())
}

impl Bench {
    /// Waits until nothing has been called for a while, without a look at any record.
    async fn quiet(&self) {
        let mut calls = self.world.calls();
        loop {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let now = self.world.calls();
            if now == calls {
                return;
            }
            calls = now;
        }
    }

    async fn deleted(&self, name: &str) {
        self.delete(name).await.unwrap();
        self.quiet().await;
    }
}

/// The store's work for making and deleting a stack of `count` things.
async fn work_of(count: usize) -> (u64, u64) {
    let bench = Bench::start();
    let begin = bench.cloud.store.work();
    let id = bench.create("web", &chain(count)).await.unwrap();
    bench.quiet().await;
    let made = bench.cloud.store.work();
    bench.ends(&id, "CREATE_COMPLETE").await;
    let before = bench.cloud.store.work();
    bench.deleted("web").await;
    let deleted = bench.cloud.store.work();
    bench.ends(&id, "DELETE_COMPLETE").await;
    bench.stop().await;
    ((made - begin).total(), (deleted - before).total())
}

#[tokio::test]
async fn a_stack_of_four_times_as_many_resources_costs_four_times_as_much() {
    let (few, many) = (work_of(30).await, work_of(120).await);
    let is_linear = |few: u64, many: u64| many <= few * 5;
    assert!(is_linear(few.0, many.0), "made: {few:?} {many:?}");
    assert!(is_linear(few.1, many.1), "deleted: {few:?} {many:?}");
}

#[tokio::test]
async fn the_fortieth_life_of_a_name_costs_what_the_third_did() {
    let bench = Bench::start();
    let life = async || {
        let before = bench.cloud.store.work();
        bench.create("web", &chain(3)).await.unwrap();
        bench.quiet().await;
        bench.deleted("web").await;
        (bench.cloud.store.work() - before).total()
    };
    life().await;
    life().await;
    let third = life().await;
    for _ in 0..36 {
        let id = bench.create("web", &chain(1)).await.unwrap();
        bench.ends(&id, "CREATE_COMPLETE").await;
        bench.delete("web").await.unwrap();
        bench.ends(&id, "DELETE_COMPLETE").await;
    }
    let fortieth = life().await;
    // A wake-up more or less is a look more or less.
    assert!(fortieth <= third + 6, "{third} {fortieth}");
    bench.stop().await;
}

async fn listed(bench: &Bench, status: Option<api::StackStatus>) -> Vec<String> {
    let (mut names, mut next_token) = (Vec::new(), None);
    loop {
        let input = api::ListStacksInput {
            next_token,
            stack_status_filter: status.map(|it| vec![it]),
        };
        let page = bench.call(input).await.unwrap();
        let page_names = page.stack_summaries.unwrap();
        assert!(page_names.len() <= 100);
        names.extend(page_names.into_iter().map(|it| it.stack_name));
        next_token = page.next_token;
        if next_token.is_none() {
            return names;
        }
    }
}

#[tokio::test]
async fn stacks_are_listed_newest_first_with_those_that_are_deleted() {
    let bench = Bench::start();
    let mut expected = Vec::new();
    for number in 0..105 {
        let name = format!("n{number}");
        let id = bench.create(&name, &chain(1)).await.unwrap();
        bench.ends(&id, "CREATE_COMPLETE").await;
        if number % 3 != 0 {
            bench.delete(&name).await.unwrap();
            bench.ends(&id, "DELETE_COMPLETE").await;
        }
        expected.insert(0, name);
    }
    assert_eq!(listed(&bench, None).await, expected);
    let (deleted, living): (Vec<_>, Vec<_>) = expected
        .into_iter()
        .partition(|it| it[1..].parse::<u32>().unwrap() % 3 != 0);
    let status = api::StackStatus::DeleteComplete;
    assert_eq!(listed(&bench, Some(status)).await, deleted);
    let status = api::StackStatus::CreateComplete;
    assert_eq!(listed(&bench, Some(status)).await, living);
    bench.stop().await;
}

/// Records as they lie in the store.
macro_rules! raw {
    ($name:ident, $kind:literal, $key:expr) => {
        #[derive(Serialize, Deserialize)]
        struct $name(Json);
        impl Record for $name {
            const KIND: &'static str = $kind;
            fn key(&self) -> String {
                let key: fn(&Json) -> String = $key;
                key(&self.0)
            }
        }
    };
}

fn joined(json: &Json, names: &[&str]) -> String {
    let parts: Vec<&str> = names.iter().map(|it| json[it].as_str().unwrap()).collect();
    parts.join("/")
}

raw!(RawStack, "cloudformation.stack", |it| joined(
    it,
    &["region", "name", "uuid"]
));
raw!(RawDeleted, "cloudformation.deleted-stack", |it| joined(
    it,
    &["region", "name", "uuid"]
));
raw!(RawResource, "cloudformation.resource", |it| joined(
    it,
    &["stack", "id"]
));
raw!(RawAge, "cloudformation.deleted-by-age", |it| joined(
    it,
    &["key"]
));
raw!(RawEnd, "cloudformation.deleted-by-end", |it| joined(
    it,
    &["key"]
));
raw!(RawTally, "cloudformation.deleted-tally", |it| joined(
    it,
    &["region"]
));
raw!(RawEvent, "cloudformation.event", |it| format!(
    "{}/{:012}",
    it["stack"].as_str().unwrap(),
    it["number"].as_u64().unwrap()
));

impl Bench {
    fn raw<R: Record>(&self) -> Vec<R> {
        self.cx().read(|tx| tx.list("")).unwrap()
    }
    fn put_raw<R: Record>(&self, record: &R) {
        self.cx().write(|tx| tx.put(record)).unwrap();
    }
    fn drop_raw<R: Record>(&self) {
        let cx = self.cx();
        for key in cx.read(|tx| tx.keys::<R>("")).unwrap() {
            cx.write(|tx| tx.delete::<R>(&key)).unwrap();
        }
    }
}

#[tokio::test]
async fn stacks_of_the_version_before_are_found_shown_updated_and_deleted() {
    let bench = Bench::start();
    let gone = bench.create("web", &chain(2)).await.unwrap();
    bench.ends(&gone, "CREATE_COMPLETE").await;
    bench.delete("web").await.unwrap();
    bench.ends(&gone, "DELETE_COMPLETE").await;
    let id = bench.create("web", &chain(3)).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    let (resources, events) = (bench.resources(&id).await, bench.events(&id).await);
    let gone_resources = bench.resources(&gone).await;

    // As it was kept before: every stack of one kind, with its resources inside.
    let kept: Vec<RawResource> = bench.raw();
    let stacks: Vec<RawStack> = bench.raw();
    let deleted: Vec<RawDeleted> = bench.raw();
    let all = (stacks.into_iter().map(|it| it.0)).chain(deleted.into_iter().map(|it| it.0));
    bench.drop_raw::<RawResource>();
    bench.drop_raw::<RawDeleted>();
    bench.drop_raw::<RawAge>();
    bench.drop_raw::<RawEnd>();
    bench.drop_raw::<RawTally>();
    for mut stack in all {
        let key = joined(&stack, &["region", "name", "uuid"]);
        let own = kept.iter().filter(|it| it.0["stack"] == key.as_str());
        let inside = own.map(|it| {
            (
                it.0["id"].as_str().unwrap().to_owned(),
                it.0["resource"].clone(),
            )
        });
        stack["resources"] = Json::Object(inside.collect());
        stack.as_object_mut().unwrap().remove("saves");
        bench.put_raw(&RawStack(stack));
    }

    let bench = bench.restart().await;
    assert_eq!(bench.resources("web").await, resources);
    assert_eq!(bench.resources(&gone).await, gone_resources);
    assert_eq!(bench.events(&id).await, events);
    assert_eq!(listed(&bench, None).await, ["web", "web"]);
    bench.quiet().await;
    assert_eq!(bench.raw::<RawStack>().len(), 1);
    assert_eq!(bench.raw::<RawResource>().len(), kept.len());
    assert!(bench.raw::<RawStack>()[0].0.get("resources").is_none());
    bench.update("web", &chain(4)).await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    bench.delete("web").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    assert!(bench.world.live().is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn beyond_the_bound_what_was_deleted_first_is_forgotten_with_all_it_had() {
    let bench = Bench::start();
    let mut ids = Vec::new();
    for number in 0..3 {
        let id = bench
            .create(&format!("n{number}"), &chain(2))
            .await
            .unwrap();
        bench.ends(&id, "CREATE_COMPLETE").await;
        ids.push(id);
    }
    for name in ["n1", "n0"] {
        bench.deleted(name).await;
    }
    // As if there were as many as may be.
    let mut tally = bench.raw::<RawTally>().remove(0);
    assert_eq!(tally.0["stacks"], 2);
    tally.0["stacks"] = json!(5_000);
    bench.put_raw(&tally);
    bench.deleted("n2").await;
    assert!(bench.stack(&ids[1]).await.is_err());
    bench.ends(&ids[0], "DELETE_COMPLETE").await;
    bench.ends(&ids[2], "DELETE_COMPLETE").await;
    assert_eq!(listed(&bench, None).await, ["n2", "n0"]);
    let of_the_forgotten = |key: &Json| key.as_str().unwrap().contains("/n1/");
    assert!(
        !bench
            .raw::<RawEvent>()
            .iter()
            .any(|it| of_the_forgotten(&it.0["stack"]))
    );
    assert!(
        !bench
            .raw::<RawResource>()
            .iter()
            .any(|it| of_the_forgotten(&it.0["stack"]))
    );
    assert_eq!(bench.raw::<RawTally>()[0].0["stacks"], 5_000);
    bench.stop().await;
}

#[tokio::test]
async fn a_stack_s_oldest_event_makes_room_for_the_newest() {
    let bench = Bench::start();
    let id = bench.create("web", &chain(1)).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    let count = bench.events(&id).await.len();
    let mut stack = bench.raw::<RawStack>().remove(0);
    stack.0["events"] = json!(10_001);
    bench.put_raw(&stack);
    bench.delete("web").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    // Four are new: the stack's two and the resource's two; numbers 2 to 5 made room for them.
    let numbers: Vec<u64> = (bench.raw::<RawEvent>().iter())
        .map(|it| it.0["number"].as_u64().unwrap())
        .collect();
    assert_eq!(count, 5);
    assert_eq!(numbers, [1, 10_002, 10_003, 10_004, 10_005]);
    bench.stop().await;
}
