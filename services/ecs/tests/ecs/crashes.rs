//! The daemon is lost at every millisecond of what it does; the next one ends where the first would
//! have ended, and nothing is left over.

use std::time::Duration;

use shapes::ecs::*;
use testkit::SimMachine;

use crate::support::*;

/// Runs `first` for so long, loses the daemon, and runs `second` in the next one.
fn crash<A, B>(machine: &SimMachine, after: Duration, first: A, second: B)
where
    A: AsyncFnOnce(&World),
    B: AsyncFnOnce(&World),
{
    testkit::lose_daemon(after, async || World::on(machine).await, first, second);
}

async fn assert_whole(world: &World, count: usize) {
    assert_eq!(world.sim.tasks.running().len(), count);
    assert_eq!(world.sim.network.interfaces.lock().unwrap().len(), count);
    assert_eq!(world.targets().len(), count);
}

/// Slow enough that every call of another service can be the last one.
const CRASHES: std::ops::Range<u64> = 0..40;

#[test]
fn a_service_that_is_being_created_comes_up() {
    for after in CRASHES {
        let machine = machine();
        crash(
            &machine,
            Duration::from_millis(after),
            async |world| {
                world.register(IMAGE).await;
                world.call(balanced("web", "web", 2)).await;
            },
            async |world| {
                let asked = DescribeServicesInput {
                    services: vec!["web".into()],
                    ..Default::default()
                };
                if world.call(asked).await.services.unwrap().is_empty() {
                    // It was lost before the request was answered: the client asks again.
                    world.register(IMAGE).await;
                    world.call(balanced("web", "web", 2)).await;
                }
                world.service_until("web", is_steady).await;
                assert_whole(world, 2).await;
            },
        );
    }
}

#[test]
fn a_deployment_under_way_is_completed() {
    for after in CRASHES {
        let machine = machine();
        let up = async |world: &World| {
            world.register(IMAGE).await;
            world.call(balanced("web", "web", 2)).await;
            world.service_until("web", is_steady).await;
        };
        let change = async |world: &World| {
            world.register(IMAGE).await;
            let input = UpdateServiceInput {
                service: "web".into(),
                task_definition: Some("web:2".into()),
                ..Default::default()
            };
            world.call(input).await;
        };
        crash(&machine, Duration::from_secs(60), up, async |_| ());
        crash(
            &machine,
            Duration::from_millis(after),
            change,
            async |world| {
                if world.service("web").await.deployments.unwrap().len() == 1 {
                    change(world).await;
                }
                let service = world.service_until("web", is_steady).await;
                assert!(!service.task_definition.unwrap().ends_with("web:1"));
                assert_whole(world, 2).await;
            },
        );
    }
}

#[test]
fn a_service_that_is_being_deleted_goes_away() {
    for after in CRASHES {
        let machine = machine();
        let up = async |world: &World| {
            world.register(IMAGE).await;
            world.call(balanced("web", "web", 2)).await;
            world.service_until("web", is_steady).await;
        };
        let delete = async |world: &World| {
            let service = "web".to_owned();
            world
                .call(DeleteServiceInput {
                    service,
                    force: Some(true),
                    ..Default::default()
                })
                .await;
        };
        crash(&machine, Duration::from_secs(60), up, async |_| ());
        crash(
            &machine,
            Duration::from_millis(after),
            delete,
            async |world| {
                if world.service("web").await.status.as_deref() == Some("ACTIVE") {
                    delete(world).await;
                }
                world
                    .service_until("web", |it| it.status.as_deref() == Some("INACTIVE"))
                    .await;
                world.assert_clean();
                assert!(world.targets().is_empty());
            },
        );
    }
}

#[test]
fn a_task_that_is_stopped_while_it_starts_leaves_no_interface() {
    for after in CRASHES {
        let machine = machine();
        crash(
            &machine,
            Duration::from_millis(after),
            async |world| {
                world.register(IMAGE).await;
                world.call(run("web")).await;
            },
            async |world| {
                let all = world
                    .call(ListTasksInput::default())
                    .await
                    .task_arns
                    .unwrap();
                for arn in all {
                    world
                        .call(StopTaskInput {
                            task: arn.clone(),
                            ..Default::default()
                        })
                        .await;
                    world.task_until(&arn, "STOPPED").await;
                }
                world.assert_clean();
            },
        );
    }
}
