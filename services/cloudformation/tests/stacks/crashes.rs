//! The daemon dies at every call that it makes, before the call and after it, in every kind of
//! operation; the next daemon ends in the same state, with the same events, and nothing is left over.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use crate::bench::{Bench, Crash};
use crate::nested;

const BEFORE: &str = "
Resources:
  Net: {Type: Test::Fake::Thing, Properties: {Name: net, Size: 1}}
  Role: {Type: Test::Fake::Thing, Properties: {Name: role}}
  Web: {Type: Test::Fake::Thing, Properties: {Name: web, Of: !Ref Net, Role: !GetAtt Role.Arn, Size: 1}}
  Old: {Type: Test::Fake::Thing, Properties: {Name: old, Of: !Ref Web}}
Outputs: {Web: {Value: !Ref Web, Export: {Name: web}}}
";
const AFTER: &str = "
Resources:
  Net: {Type: Test::Fake::Thing, Properties: {Name: net2, Size: 1}}
  Role: {Type: Test::Fake::Thing, Properties: {Name: role, Size: 2}}
  Web: {Type: Test::Fake::Thing, Properties: {Name: web, Of: !Ref Net, Role: !GetAtt Role.Arn, Size: 2}}
  New: {Type: Test::Fake::Thing, Properties: {Name: new, Of: !Ref Web}}
Outputs: {Web: {Value: !Ref Web, Export: {Name: web}}}
";

#[derive(Clone, Copy, Debug)]
enum Operation {
    Create,
    Update,
    Delete,
}

#[derive(Debug, PartialEq)]
struct End {
    status: String,
    live: BTreeMap<String, Json>,
    resources: BTreeMap<String, (String, String)>,
    events: Vec<String>,
    outputs: usize,
}

/// Runs one operation to its end. Returns that, and the numbers of the calls that it made.
async fn run(
    operation: Operation,
    broken: Option<(&str, &str)>,
    crash: Option<(u32, bool)>,
) -> (End, std::ops::Range<u32>) {
    let mut bench = Bench::start();
    let create = |bench: &Bench| {
        let cx = bench.cx();
        async move {
            let input = shapes::cloudformation::CreateStackInput {
                capabilities: Some(vec![shapes::cloudformation::Capability::CapabilityIam]),
                ..crate::bench::create("web", BEFORE)
            };
            cx.call(input).await.unwrap().stack_id.unwrap()
        }
    };
    let mut id = String::new();
    if !matches!(operation, Operation::Create) {
        id = create(&bench).await;
        bench.ends(&id, "CREATE_COMPLETE").await;
    }
    if let Some((name, what)) = broken {
        bench.world.break_thing(name, what);
    }
    let first = bench.world.calls();
    if let Some((call, after)) = crash {
        bench.world.crash(Crash {
            call: first + call,
            after,
        });
    }
    match operation {
        Operation::Create => id = create(&bench).await,
        Operation::Update => {
            let input = shapes::cloudformation::UpdateStackInput {
                capabilities: Some(vec![shapes::cloudformation::Capability::CapabilityIam]),
                ..crate::bench::update("web", AFTER)
            };
            bench.call(input).await.unwrap();
        }
        Operation::Delete => bench.delete("web").await.unwrap(),
    }
    if crash.is_some() {
        while !bench.world.has_crashed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench = bench.restart().await;
    }
    let stack = bench.rest(&id).await;
    let end = End {
        status: stack.stack_status.to_string(),
        live: bench.world.live(),
        resources: bench.resources(&id).await,
        events: bench.events(&id).await,
        outputs: stack.outputs.unwrap_or_default().len(),
    };
    let calls = 0..bench.world.calls() - first;
    bench.stop().await;
    (end, calls)
}

async fn check(operation: Operation, broken: Option<(&str, &str)>, status: &str, live: usize) {
    let (mut calm, calls) = run(operation, broken, None).await;
    assert_eq!(
        calm.status, status,
        "{operation:?} {broken:?} {:#?}",
        calm.events
    );
    assert_eq!(
        calm.live.len(),
        live,
        "{operation:?} {broken:?} {:#?}",
        calm.live
    );
    let mut seen = 0;
    if broken.is_none() {
        calm.events.sort();
    }
    for call in calls {
        for after in [false, true] {
            let (mut end, _) = run(operation, broken, Some((call + 1, after))).await;
            // What runs beside each other may end in another order; and what was under way when
            // something failed may have been ended or given up.
            match broken {
                Some(_) => end.events.clone_from(&calm.events),
                None => end.events.sort(),
            }
            let place = if after { "after" } else { "before" };
            assert_eq!(
                end, calm,
                "{operation:?} {broken:?} died {place} call {call}"
            );
            seen += 1;
        }
    }
    assert!(seen >= 8, "{operation:?} {broken:?}: only {seen} crashes");
}

#[tokio::test(flavor = "multi_thread")]
async fn creation() {
    check(Operation::Create, None, "CREATE_COMPLETE", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_creation() {
    check(
        Operation::Create,
        Some(("web", "create")),
        "ROLLBACK_COMPLETE",
        0,
    )
    .await;
    check(
        Operation::Create,
        Some(("old", "stability")),
        "ROLLBACK_COMPLETE",
        0,
    )
    .await;
    check(
        Operation::Create,
        Some(("role", "create")),
        "ROLLBACK_COMPLETE",
        0,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn update() {
    check(Operation::Update, None, "UPDATE_COMPLETE", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_update() {
    check(
        Operation::Update,
        Some(("new", "create")),
        "UPDATE_ROLLBACK_COMPLETE",
        4,
    )
    .await;
    check(
        Operation::Update,
        Some(("net2", "stability")),
        "UPDATE_ROLLBACK_COMPLETE",
        4,
    )
    .await;
    check(
        Operation::Update,
        Some(("web", "update")),
        "UPDATE_ROLLBACK_FAILED",
        5,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion() {
    check(Operation::Delete, None, "DELETE_COMPLETE", 0).await;
    check(
        Operation::Delete,
        Some(("net", "delete")),
        "DELETE_FAILED",
        1,
    )
    .await;
}

/// What a tree of stacks has come to: the status of each stack, what exists, and each resource.
#[derive(Debug, PartialEq)]
struct TreeEnd {
    stacks: Vec<(String, String)>,
    live: Vec<String>,
    resources: Vec<(String, String)>,
}

async fn run_tree(
    operation: Operation,
    broken: Option<(&str, &str)>,
    crash: Option<(u32, bool)>,
) -> (TreeEnd, u32) {
    let mut bench = Bench::start();
    let mut id = String::new();
    if !matches!(operation, Operation::Create) {
        id = nested::tree(&bench).await;
        bench.ends(&id, "CREATE_COMPLETE").await;
    }
    if let Some((name, what)) = broken {
        bench.world.break_thing(name, what);
    }
    let first = bench.world.calls();
    if let Some((call, after)) = crash {
        let call = first + call;
        bench.world.crash(Crash { call, after });
    }
    match operation {
        Operation::Create => id = nested::tree(&bench).await,
        Operation::Update => {
            let net = nested::NET.replace("Name: a,", "Name: a2,");
            let web = nested::WEB.replace("Name: web", "Name: web2");
            nested::put(&bench, &net, &web);
            nested::update_tree(&bench).await.unwrap();
        }
        Operation::Delete => bench.delete("root").await.unwrap(),
    }
    if crash.is_some() {
        while !bench.world.has_crashed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench = bench.restart().await;
    }
    bench.rest(&id).await;
    let input = shapes::cloudformation::ListStacksInput::default();
    let stacks = bench.call(input).await.unwrap().stack_summaries.unwrap();
    let mut end = TreeEnd {
        stacks: Vec::new(),
        live: (bench.world.live().values())
            .map(|it| it["Name"].to_string())
            .collect(),
        resources: Vec::new(),
    };
    for stack in stacks {
        // What differs from run to run is the last part of a generated name.
        let id = stack.stack_id.unwrap();
        let rested = bench.rest(&id).await;
        let name: Vec<&str> = rested.stack_name.split('-').take(2).collect();
        end.stacks
            .push((name.join("-"), rested.stack_status.to_string()));
        end.resources
            .extend((bench.resources(&id).await.into_iter()).map(|(id, (_, status))| (id, status)));
    }
    end.stacks.sort();
    end.live.sort();
    end.resources.sort();
    let calls = bench.world.calls() - first;
    bench.stop().await;
    (end, calls)
}

async fn check_tree(operation: Operation, broken: Option<(&str, &str)>, status: &str, live: usize) {
    let (calm, calls) = run_tree(operation, broken, None).await;
    let root = ("root".to_owned(), status.to_owned());
    assert!(calm.stacks.contains(&root), "{operation:?} {calm:#?}");
    assert_eq!(calm.live.len(), live, "{operation:?} {calm:#?}");
    for call in 0..calls {
        // Before the one, after the next: every step of a tree in half the time.
        let after = call % 2 == 1;
        let (end, _) = run_tree(operation, broken, Some((call + 1, after))).await;
        assert_eq!(end, calm, "{operation:?} {broken:?} died at {call} {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trees() {
    check_tree(Operation::Create, None, "CREATE_COMPLETE", 4).await;
    check_tree(Operation::Update, None, "UPDATE_COMPLETE", 4).await;
    check_tree(Operation::Delete, None, "DELETE_COMPLETE", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_trees() {
    let broken = Some(("web", "create"));
    check_tree(Operation::Create, broken, "ROLLBACK_COMPLETE", 0).await;
    let broken = Some(("web2", "stability"));
    check_tree(Operation::Update, broken, "UPDATE_ROLLBACK_COMPLETE", 4).await;
}
