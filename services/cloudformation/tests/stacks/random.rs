//! Random templates, failures and crashes: whatever happens, a stack that rests tells the truth, and
//! nothing exists that no stack knows of.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Crash};

/// A small generator of numbers: the seed is the whole story of a run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

const RESOURCES_MAX: u64 = 6;

/// Resources need only ones with a smaller number, so there is never a circle.
fn template(dice: &mut Dice) -> (String, BTreeSet<String>) {
    let mut text = "Resources:\n".to_owned();
    let mut ids = BTreeSet::new();
    for n in 0..RESOURCES_MAX {
        if dice.roll(4) == 0 && !(n + 1 == RESOURCES_MAX && ids.is_empty()) {
            continue;
        }
        let (version, size) = (dice.roll(2), dice.roll(3));
        let of = match ids.iter().nth(dice.roll(4) as usize) {
            Some(other) => format!(", Of: !Ref {other}"),
            None => String::new(),
        };
        text += &format!(
            "  R{n}: {{Type: Test::Fake::Thing, Properties: {{Name: r{n}v{version}, Size: {size}{of}}}}}\n"
        );
        ids.insert(format!("R{n}"));
    }
    (text, ids)
}

/// Lets something go wrong, or nothing; sometimes the daemon dies on top.
fn misfortune(bench: &Bench, dice: &mut Dice) {
    if dice.roll(2) == 0 {
        let name = format!("r{}v{}", dice.roll(RESOURCES_MAX), dice.roll(2));
        let what = ["create", "update", "delete", "stability"][dice.roll(4) as usize];
        bench.world.break_thing(&name, what);
    }
    if dice.roll(2) == 0 {
        let call = bench.world.calls() + 1 + dice.roll(20) as u32;
        bench.world.crash(Crash {
            call,
            after: dice.roll(2) == 0,
        });
    }
}

/// Waits until the stack rests; a daemon that dies is started again.
async fn rest(mut bench: Bench, id: &str) -> (Bench, String) {
    let begin = Instant::now();
    loop {
        if bench.world.has_crashed() {
            bench = bench.restart().await;
        }
        let status = bench.stack(id).await.unwrap().stack_status.to_string();
        if !status.ends_with("_IN_PROGRESS") {
            bench.world.repair();
            return (bench, status);
        }
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{status} {:#?}",
            bench.events(id).await
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn story(seed: u64) {
    let mut dice = Dice(seed);
    let mut bench = Bench::start();
    let mut status;
    let (text, mut ids) = template(&mut dice);
    misfortune(&bench, &mut dice);
    let id = bench.create("web", &text).await.unwrap();
    (bench, status) = rest(bench, &id).await;
    for _ in 0..3 {
        check(&bench, &id, &status, &ids, seed).await;
        if !matches!(
            status.as_str(),
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE"
        ) {
            break;
        }
        let (text, next) = template(&mut dice);
        misfortune(&bench, &mut dice);
        if bench.update("web", &text).await.is_err() {
            bench.world.repair();
            break;
        }
        (bench, status) = rest(bench, &id).await;
        if status == "UPDATE_COMPLETE" {
            ids = next;
        }
    }
    bench.world.repair();
    bench.delete("web").await.unwrap();
    (bench, status) = rest(bench, &id).await;
    assert_eq!(
        status,
        "DELETE_COMPLETE",
        "seed {seed} {:#?}",
        bench.events(&id).await
    );
    assert!(
        bench.world.live().is_empty(),
        "seed {seed}: {:?} {:#?}",
        bench.world.live(),
        bench.events(&id).await
    );
    bench.stop().await;
}

async fn check(bench: &Bench, id: &str, status: &str, ids: &BTreeSet<String>, seed: u64) {
    let resources = bench.resources(id).await;
    let live = bench.world.live();
    let told = || format!("seed {seed} {status} {resources:?} {live:?}");
    match status {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE" => {
            for id in ids {
                let (physical_id, _) = resources
                    .get(id)
                    .unwrap_or_else(|| panic!("{id}: {}", told()));
                let made = live
                    .get(physical_id)
                    .unwrap_or_else(|| panic!("{id}: {}", told()));
                // What it refers to exists.
                let of = made["Of"].as_str();
                assert!(
                    of.is_none_or(|of| live.contains_key(of)),
                    "{id}: {}",
                    told()
                );
            }
        }
        "ROLLBACK_COMPLETE" => assert!(live.is_empty(), "{}", told()),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stacks_tell_the_truth_and_leak_nothing() {
    // 110: a restore that failed, and a deletion that forgot what the resource had needed before.
    for seed in (0..40).chain([110]) {
        story(seed).await;
    }
}

/// A nested template: random, but with one thing that an output and a parameter lead through.
fn part(dice: &mut Dice, name: &str) -> String {
    let (text, _) = template(dice);
    let version = dice.roll(2);
    let text = text.replace("Name: r", &format!("Name: {name}r"));
    format!(
        "Parameters: {{In: {{Type: String}}}}\n{text}  Out: {{Type: Test::Fake::Thing, Properties: {{Name: {name}out{version}, Role: !Ref In}}}}\nOutputs: {{Out: {{Value: !Ref Out}}}}\n"
    )
}

const TREE: &str = "
Resources:
  A: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: 'https://s3.amazonaws.com/parts/a.yaml', Parameters: {In: none}}}
  B: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: 'https://s3.amazonaws.com/parts/b.yaml', Parameters: {In: !GetAtt A.Outputs.Out}}}
  Last: {Type: Test::Fake::Thing, Properties: {Name: last, Role: !GetAtt B.Outputs.Out}}
";

/// Puts new nested templates, and perhaps lets something in them go wrong.
fn shuffle(bench: &Bench, dice: &mut Dice) {
    for name in ["a", "b"] {
        let text = part(dice, name);
        bench.put(&format!("parts/{name}.yaml"), &text);
    }
    misfortune(bench, dice);
    if dice.roll(2) == 0 {
        let name = ["aout0", "aout1", "bout0", "bout1", "last"][dice.roll(5) as usize];
        let what = ["create", "update", "stability"][dice.roll(3) as usize];
        bench.world.break_thing(name, what);
    }
}

async fn story_of_a_tree(seed: u64, seen: &mut BTreeSet<String>) {
    let mut dice = Dice(seed);
    let mut bench = Bench::start();
    let mut status;
    shuffle(&bench, &mut dice);
    let capabilities = Some(vec![shapes::cloudformation::Capability::CapabilityIam]);
    let input = shapes::cloudformation::CreateStackInput {
        capabilities: capabilities.clone(),
        ..crate::bench::create("web", TREE)
    };
    let id = bench.call(input).await.unwrap().stack_id.unwrap();
    (bench, status) = rest(bench, &id).await;
    for _ in 0..3 {
        check_tree(&bench, &id, &status, seed).await;
        seen.insert(status.clone());
        if !matches!(
            status.as_str(),
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE"
        ) {
            break;
        }
        let before = bench.world.live();
        shuffle(&bench, &mut dice);
        let input = shapes::cloudformation::UpdateStackInput {
            capabilities: capabilities.clone(),
            ..crate::bench::update("web", TREE)
        };
        bench.call(input).await.unwrap();
        (bench, status) = rest(bench, &id).await;
        if status == "UPDATE_ROLLBACK_COMPLETE" {
            let after = bench.world.live();
            let ids = |it: &std::collections::BTreeMap<String, _>| -> BTreeSet<String> {
                it.keys().cloned().collect()
            };
            // Everything that was there is there again, and it is the same.
            assert!(
                ids(&after).is_superset(&ids(&before)),
                "seed {seed}: {before:#?} {after:#?} {:#?}",
                bench.events(&id).await
            );
        }
    }
    bench.world.repair();
    bench.delete("web").await.unwrap();
    (bench, status) = rest(bench, &id).await;
    let events = bench.events(&id).await;
    assert_eq!(status, "DELETE_COMPLETE", "seed {seed} {events:#?}");
    let live = bench.world.live();
    assert!(live.is_empty(), "seed {seed}: {live:?} {events:#?}");
    bench.stop().await;
}

async fn check_tree(bench: &Bench, id: &str, status: &str, seed: u64) {
    let live = bench.world.live();
    let told = || format!("seed {seed} {status} {live:?}");
    if !status.ends_with("_COMPLETE") {
        return;
    }
    if status == "ROLLBACK_COMPLETE" {
        assert!(live.is_empty(), "{}", told());
        return;
    }
    let mut known = BTreeSet::new();
    for (_, (physical_id, _)) in bench.resources(id).await {
        if physical_id.starts_with("arn:") {
            let nested = bench.stack(&physical_id).await.unwrap();
            let nested_status = nested.stack_status.as_str();
            assert!(
                nested_status.ends_with("_COMPLETE"),
                "{nested_status} {}",
                told()
            );
            let inner = bench.resources(&physical_id).await;
            known.extend(inner.into_values().map(|it| it.0));
        } else {
            known.insert(physical_id);
        }
    }
    for id in &known {
        assert!(live.contains_key(id), "{id} is gone: {}", told());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_tell_the_truth_and_leak_nothing() {
    let mut seen = BTreeSet::new();
    for seed in 0..25 {
        story_of_a_tree(seed, &mut seen).await;
    }
    for status in [
        "CREATE_COMPLETE",
        "ROLLBACK_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
    ] {
        assert!(seen.contains(status), "no story came to {status}: {seen:?}");
    }
}
