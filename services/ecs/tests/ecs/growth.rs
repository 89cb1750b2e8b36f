//! What operations cost does not grow with tasks that run or are over, nor with revisions that are not
//! active any more; and what is over is forgotten in its time. Costs are counted by the store.

use std::time::Duration;

use cloud::Record;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::support::*;
use shapes::ecs::*;

impl World {
    async fn run_to_its_start(&self) -> String {
        let task = self.call(run("web")).await.tasks.unwrap().remove(0);
        let arn = task.task_arn.unwrap();
        // Without a look at any record.
        tokio::time::sleep(Duration::from_secs(5)).await;
        arn
    }

    async fn stop_to_its_end(&self, arn: &str) {
        let stop = StopTaskInput {
            task: arn.into(),
            ..Default::default()
        };
        self.call(stop).await;
        self.task_until(arn, "STOPPED").await;
    }

    async fn listed(&self, status: DesiredStatus) -> Vec<String> {
        let input = ListTasksInput {
            desired_status: Some(status),
            ..Default::default()
        };
        self.call(input).await.task_arns.unwrap()
    }

    async fn work_of<T>(&self, work: impl Future<Output = T>) -> u64 {
        let before = self.cloud.store.work();
        work.await;
        (self.cloud.store.work() - before).total()
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_costs_the_same_however_many_run_or_have_run() {
    let world = World::new().await;
    world.register(IMAGE).await;
    world.run_to_its_start().await;
    let alone = world.work_of(world.run_to_its_start()).await;
    for number in 0..40 {
        let arn = world.run_to_its_start().await;
        if number % 2 == 0 {
            world.stop_to_its_end(&arn).await;
        }
    }
    let among_many = world.work_of(world.run_to_its_start()).await;
    assert!(among_many <= alone + 6, "{alone} {among_many}");
}

#[tokio::test(start_paused = true)]
async fn a_family_costs_the_same_however_many_revisions_are_inactive() {
    let world = World::new().await;
    let cost = async || {
        let with_token = world.cx.with_token("up");
        let register = async {
            let made = with_token.call(definition(IMAGE)).await.unwrap();
            let arn = made.task_definition.unwrap().task_definition_arn.unwrap();
            // The same request again finds what the first one made.
            let again = with_token.call(definition(IMAGE)).await.unwrap();
            let again = again.task_definition.unwrap().task_definition_arn.unwrap();
            assert_eq!(arn, again);
            arn
        };
        let made = world.work_of(register).await;
        let describe = DescribeTaskDefinitionInput {
            task_definition: "web".into(),
            ..Default::default()
        };
        let shown = world.call(describe).await.task_definition.unwrap();
        let deregister = DeregisterTaskDefinitionInput {
            task_definition: shown.task_definition_arn.unwrap(),
        };
        made + world.work_of(world.call(deregister)).await
    };
    let first = cost().await;
    for _ in 0..30 {
        cost().await;
    }
    assert_eq!(cost().await, first);
    let list = |status| ListTaskDefinitionsInput {
        status: Some(status),
        ..Default::default()
    };
    let inactive = world.call(list(TaskDefinitionStatus::Inactive)).await;
    let inactive = inactive.task_definition_arns.unwrap();
    assert_eq!(inactive.len(), 32);
    assert!(inactive[9].ends_with("web:10"), "{inactive:?}");
    let active = world.call(list(TaskDefinitionStatus::Active)).await;
    assert_eq!(active.task_definition_arns.unwrap().len(), 0);
    let families = ListTaskDefinitionFamiliesInput {
        status: Some(TaskDefinitionFamilyStatus::Inactive),
        ..Default::default()
    };
    assert_eq!(world.call(families).await.families.unwrap(), ["web"]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_task_is_shown_for_two_hours() {
    let world = World::new().await;
    world.register(IMAGE).await;
    let early = world.run_to_its_start().await;
    world.stop_to_its_end(&early).await;
    tokio::time::sleep(Duration::from_secs(80 * 60)).await;
    let late = world.run_to_its_start().await;
    world.stop_to_its_end(&late).await;
    tokio::time::sleep(Duration::from_secs(39 * 60)).await;
    let mut both = vec![early.clone(), late.clone()];
    both.sort();
    assert_eq!(world.listed(DesiredStatus::Stopped).await, both);
    tokio::time::sleep(Duration::from_secs(2 * 60)).await;
    assert_eq!(world.listed(DesiredStatus::Stopped).await, [late]);
    let describe = DescribeTasksInput {
        tasks: vec![early],
        ..Default::default()
    };
    let failures = world.call(describe).await.failures.unwrap();
    assert_eq!(failures[0].reason.as_deref(), Some("MISSING"));
    tokio::time::sleep(Duration::from_secs(80 * 60)).await;
    assert_eq!(world.listed(DesiredStatus::Stopped).await, [""; 0]);
    let left = world.cx.read(|tx| tx.keys::<RawPlace>("")).unwrap();
    assert_eq!(left, [""; 0]);
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

fn revision_key(json: &Json) -> String {
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    let revision = json["revision"].as_i64().unwrap();
    format!("{}/{}:{revision:010}", text("region"), text("family"))
}

raw!(RawPlace, "ecs.task-place", |it| it["id"].to_string());
raw!(RawDefinition, "ecs.task-definition", revision_key);
raw!(RawPast, "ecs.past-task-definition", revision_key);
raw!(RawOrder, "ecs.stopped-order", |it| it["id"].to_string());
raw!(RawMoved, "ecs.history-moved", |_| "all".into());

#[tokio::test(start_paused = true)]
async fn the_history_of_the_version_before_is_moved_and_forgotten_in_its_time() {
    let machine = machine();
    let world = World::on(&machine).await;
    for _ in 0..3 {
        world.register(IMAGE).await;
    }
    let task = world.run_to_its_start().await;
    world.stop_to_its_end(&task).await;
    let deregister = DeregisterTaskDefinitionInput {
        task_definition: "web:3".into(),
    };
    world.call(deregister).await;

    // As it was kept before: all revisions of one kind, and no order among stopped tasks.
    let drop_all = |tx: &cloud::Records<'_>| {
        for past in tx.list::<RawPast>("")? {
            tx.delete::<RawPast>(&past.key())?;
            tx.put(&RawDefinition(past.0))?;
        }
        for key in tx.keys::<RawOrder>("")? {
            tx.delete::<RawOrder>(&key)?;
        }
        tx.delete::<RawMoved>("all")
    };
    assert!(world.cx.write(drop_all).unwrap());
    world.cloud.converge.stop();
    drop(world);
    tokio::time::sleep(Duration::from_secs(1)).await;

    let world = World::on(&machine).await;
    let describe = DescribeTaskDefinitionInput {
        task_definition: "web".into(),
        ..Default::default()
    };
    let shown = world.call(describe).await.task_definition.unwrap();
    assert_eq!(shown.revision, Some(2));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let kept =
        |tx: &cloud::Records<'_>| Ok((tx.count::<RawDefinition>("")?, tx.count::<RawPast>("")?));
    assert_eq!(world.cx.read(kept).unwrap(), (2, 1));
    assert_eq!(world.listed(DesiredStatus::Stopped).await, [task]);
    tokio::time::sleep(Duration::from_secs(121 * 60)).await;
    assert_eq!(world.listed(DesiredStatus::Stopped).await, [""; 0]);
}
