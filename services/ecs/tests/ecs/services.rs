//! Services, over a simulated machine.

use std::time::Duration;

use crate::support::*;
use shapes::ecs::*;
use shapes::elbv2::TargetHealthStateEnum;

fn update(name: &str) -> UpdateServiceInput {
    UpdateServiceInput {
        service: name.into(),
        ..Default::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_keeps_its_count_and_is_deleted_without_a_trace() {
    let world = World::new().await;
    world.register(IMAGE).await;
    let made = world.call(create("web", "web", 2)).await.service.unwrap();
    assert_eq!(made.status.as_deref(), Some("ACTIVE"));
    let service = world.service_until("web", is_steady).await;
    assert_eq!(service.running_count, Some(2));
    assert!(said(&service, "has started 2 tasks: (task "));
    assert!(said(&service, "deployment completed."));

    let lost = world.tasks("web", DesiredStatus::Running).await.remove(0);
    world.sim.tasks.lose(lost.rsplit('/').next().unwrap());
    let task = world.task_until(&lost, "STOPPED").await;
    assert_eq!(task.stop_code, Some(TaskStopCode::InfrastructureHealth));
    let service = world.service_until("web", is_steady).await;
    assert_eq!(service.running_count, Some(2));

    let error = world
        .err(DeleteServiceInput {
            service: "web".into(),
            ..Default::default()
        })
        .await;
    assert_eq!(
        error.message,
        "The service cannot be stopped while it is scaled above 0."
    );
    let force = DeleteServiceInput {
        service: "web".into(),
        force: Some(true),
        ..Default::default()
    };
    world.call(force).await;
    world
        .service_until("web", |it| it.status.as_deref() == Some("INACTIVE"))
        .await;
    world.assert_clean();
    world
        .call(DeleteClusterInput {
            cluster: "default".into(),
        })
        .await;
}

/// Tasks say when they started by the machine's clock, which may be set by hours at any time. Who
/// waits for them to have run for some time waits for that long.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_does_not_stop_the_scheduler() {
    const HOUR_MS: i64 = 3_600_000;
    for (name, hours) in [("late", 5), ("early", -5)] {
        let world = World::new().await;
        world.register(IMAGE).await;
        let now_ms = (world.cloud.clock.now() * 1000.0) as i64;
        world.sim.tasks.set_clock(now_ms + hours * HOUR_MS);
        let begun = tokio::time::Instant::now();
        world.call(create(name, "web", 1)).await;
        world.service_until(name, is_steady).await;
        world
            .call(UpdateServiceInput {
                force_new_deployment: Some(true),
                ..update(name)
            })
            .await;
        world
            .service_until(name, |it| {
                is_steady(it) && it.deployments.iter().flatten().count() == 1
            })
            .await;
        let task = world.tasks(name, DesiredStatus::Running).await.remove(0);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(600), "{name}: {took:?}, {task}");
    }
}

#[tokio::test(start_paused = true)]
async fn scaling_starts_and_stops_tasks() {
    let world = World::new().await;
    world.register(IMAGE).await;
    world.call(create("web", "web", 1)).await;
    world.service_until("web", is_steady).await;
    world
        .call(UpdateServiceInput {
            desired_count: Some(3),
            ..update("web")
        })
        .await;
    let service = world
        .service_until("web", |it| it.running_count == Some(3))
        .await;
    assert_eq!(service.deployments.unwrap().len(), 1);
    world
        .call(UpdateServiceInput {
            desired_count: Some(0),
            ..update("web")
        })
        .await;
    world
        .service_until("web", |it| it.running_count == Some(0))
        .await;
    let stopped = world.tasks("web", DesiredStatus::Stopped).await;
    assert_eq!(stopped.len(), 3);
    let task = world.task_until(&stopped[0], "STOPPED").await;
    assert_eq!(
        task.stop_code,
        Some(TaskStopCode::ServiceSchedulerInitiated)
    );
    assert!(
        task.stopped_reason
            .unwrap()
            .starts_with("Scaling activity initiated by (deployment ecs-svc/")
    );
}

/// At every moment of a deployment some target is registered, healthy, and has a running task.
#[tokio::test(start_paused = true)]
async fn a_rolling_deployment_always_has_a_healthy_target() {
    let world = World::new().await;
    world.register(IMAGE).await;
    world.call(balanced("web", "web", 2)).await;
    world.service_until("web", is_steady).await;
    assert_eq!(world.targets().len(), 2);
    let probe = FakeProbe {
        state: TargetHealthStateEnum::Initial,
        slow_drain: true,
    };
    world.cx.write(|tx| tx.put(&probe)).unwrap();
    let old = world.tasks("web", DesiredStatus::Running).await;
    world
        .call(UpdateServiceInput {
            force_new_deployment: Some(true),
            ..update("web")
        })
        .await;

    // New tasks run, but are not healthy yet: nothing is taken away.
    let with_four = |it: &Service| it.running_count == Some(4);
    let service = world.service_until("web", with_four).await;
    assert_eq!(service.deployments.as_ref().unwrap().len(), 2);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        world
            .targets()
            .iter()
            .filter(|it| it.state == TargetHealthStateEnum::Healthy)
            .count(),
        2
    );

    // They become healthy: the old ones leave their targets, and stop when they have drained.
    world
        .cx
        .write(|tx| {
            for mut target in tx.list::<FakeTarget>("")? {
                target.state = TargetHealthStateEnum::Healthy;
                tx.put(&target)?;
            }
            Ok(())
        })
        .unwrap();
    for arn in &old {
        let task = world.task_until(arn, "DEACTIVATING").await;
        assert_eq!(task.desired_status.as_deref(), Some("STOPPED"));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        world.sim.tasks.running().len(),
        4,
        "draining tasks still serve"
    );
    assert_eq!(
        world.task(&old[0]).await.last_status.as_deref(),
        Some("DEACTIVATING")
    );
    world
        .cx
        .write(|tx| {
            for target in tx.list::<FakeTarget>("")? {
                if target.state == TargetHealthStateEnum::Draining {
                    tx.delete::<FakeTarget>(&cloud::Record::key(&target))?;
                }
            }
            Ok(())
        })
        .unwrap();
    let service = world.service_until("web", is_steady).await;
    assert!(said(&service, "has begun draining connections on 2 tasks."));
    assert!(said(&service, "deregistered 1 targets in (target-group "));
    assert_eq!(world.targets().len(), 2);
    assert_eq!(world.sim.tasks.running().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_cannot_start_is_rolled_back() {
    let world = World::new().await;
    world.register(IMAGE).await;
    let mut input = create("web", "web:1", 2);
    input.deployment_configuration = Some(DeploymentConfiguration {
        deployment_circuit_breaker: Some(DeploymentCircuitBreaker {
            enable: true,
            rollback: true,
            ..Default::default()
        }),
        ..Default::default()
    });
    world.call(input).await;
    let before = world.service_until("web", is_steady).await;
    let kept = world.tasks("web", DesiredStatus::Running).await;
    world
        .register("000000000000.dkr.ecr.us-east-1.amazonaws.com/web:nope")
        .await;
    world
        .call(UpdateServiceInput {
            task_definition: Some("web".into()),
            ..update("web")
        })
        .await;
    let rolled = |it: &Service| said(it, "rolling back to deployment") && is_steady(it);
    let service = world.service_until("web", rolled).await;
    assert!(service.task_definition.unwrap().ends_with("web:1"));
    assert_eq!(
        service.deployments.unwrap()[0].id,
        before.deployments.unwrap()[0].id
    );
    assert_eq!(
        world.tasks("web", DesiredStatus::Running).await,
        kept,
        "nobody was disturbed"
    );
    let failed = world.tasks("web", DesiredStatus::Stopped).await;
    assert!((3..=6).contains(&failed.len()), "{}", failed.len());
}

#[tokio::test(start_paused = true)]
async fn a_first_deployment_that_cannot_start_fails_and_is_never_green() {
    let world = World::new().await;
    world
        .register("000000000000.dkr.ecr.us-east-1.amazonaws.com/web:nope")
        .await;
    let mut input = create("web", "web", 1);
    input.deployment_configuration = Some(DeploymentConfiguration {
        deployment_circuit_breaker: Some(DeploymentCircuitBreaker {
            enable: true,
            rollback: true,
            reset_on_healthy_task: None,
            threshold_configuration: Some(ThresholdConfiguration {
                r#type: ThresholdType::Count,
                value: 2,
            }),
        }),
        ..Default::default()
    });
    world.call(input).await;
    let failed = |it: &Service| {
        it.deployments.as_ref().unwrap()[0].rollout_state == Some(DeploymentRolloutState::Failed)
    };
    let service = world.service_until("web", failed).await;
    assert_eq!(service.deployments.unwrap()[0].failed_tasks, Some(2));
    assert_eq!(service.running_count, Some(0));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        world.tasks("web", DesiredStatus::Stopped).await.len(),
        2,
        "it starts no more"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_circuit_breaker_it_is_tried_again_ever_more_slowly() {
    let world = World::new().await;
    world
        .register("000000000000.dkr.ecr.us-east-1.amazonaws.com/web:nope")
        .await;
    world.call(create("web", "web", 1)).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let service = world.service("web").await;
    assert!(said(
        &service,
        "is unable to consistently start tasks successfully."
    ));
    let tries = world.tasks("web", DesiredStatus::Stopped).await.len();
    assert!((8..40).contains(&tries), "{tries}");
    world
        .sim
        .images
        .add("000000000000.dkr.ecr.us-east-1.amazonaws.com/web:nope");
    world.service_until("web", is_steady).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_its_probes_is_replaced() {
    let world = World::new().await;
    world.register(IMAGE).await;
    world.call(balanced("web", "web", 1)).await;
    world.service_until("web", is_steady).await;
    let sick = world.tasks("web", DesiredStatus::Running).await.remove(0);
    let mut target = world.targets().remove(0);
    target.state = TargetHealthStateEnum::Unhealthy;
    world.cx.write(|tx| tx.put(&target)).unwrap();
    // The edge would say so; here a look at the service does.
    world
        .cloud
        .converge
        .wake("ecs.service", "us-east-1/default/web");
    let task = world.task_until(&sick, "STOPPED").await;
    assert_eq!(
        task.stop_code,
        Some(TaskStopCode::ServiceSchedulerInitiated)
    );
    let reason = task.stopped_reason.unwrap();
    assert!(
        reason.starts_with("Task failed ELB health checks in (target-group arn:"),
        "{reason}"
    );
    let service = world.service_until("web", is_steady).await;
    assert!(said(&service, "is unhealthy in (target-group"));
    assert!(said(&service, "due to (reason Request timed out)"));
}

/// Nothing answers while a program starts, and that takes its time however fast AWS's waits pass.
#[tokio::test(start_paused = true)]
async fn a_program_has_time_to_start_before_failed_probes_count() {
    let world = World::new().await;
    world.register(IMAGE).await;
    let probe = FakeProbe {
        state: TargetHealthStateEnum::Unhealthy,
        slow_drain: false,
    };
    world.cx.write(|tx| tx.put(&probe)).unwrap();
    world.call(balanced("web", "web", 1)).await;
    let stopped = |service: &Service| said(service, "is unhealthy in (target-group");
    tokio::time::sleep(Duration::from_secs(9)).await;
    let service = world.service("web").await;
    assert!(!stopped(&service), "{:#?}", service.events);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(stopped(&world.service("web").await));
}

#[tokio::test(start_paused = true)]
async fn services_that_make_no_sense_are_refused() {
    let world = World::new().await;
    world.register(IMAGE).await;
    let mut lonely = balanced("web", "web", 1);
    let arn = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/alone/1";
    lonely.load_balancers.as_mut().unwrap()[0].target_group_arn = Some(arn.into());
    let error = world.err(lonely).await;
    assert_eq!(error.code, "InvalidParameterException");
    assert_eq!(
        error.message,
        format!(
            "The target group with targetGroupArn {arn} does not have an associated load balancer."
        )
    );
    let mut wrong = balanced("web", "web", 1);
    wrong.load_balancers.as_mut().unwrap()[0].container_port = Some(81);
    let error = world.err(wrong).await;
    assert_eq!(
        error.message,
        "The container web did not have a container port 81 defined."
    );
    for (enabled, is_taken) in [(false, true), (true, false)] {
        let mut connect = wire::to_json(&create("web", "web", 1));
        connect["serviceConnectConfiguration"] = serde_json::json!({ "enabled": enabled });
        let read = wire::lenient::<CreateServiceInput>(connect);
        assert_eq!(read.is_ok(), is_taken, "{read:?}");
    }
    world.call(create("web", "web", 0)).await;
    let error = world.err(create("web", "web", 0)).await;
    assert_eq!(error.message, "Creation of service was not idempotent.");
    let error = world
        .err(UpdateServiceInput {
            desired_count: Some(1),
            ..update("nope")
        })
        .await;
    assert_eq!(error.code, "ServiceNotFoundException");
}
