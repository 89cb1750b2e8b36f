//! What CloudWatch is told of services.

use std::time::Duration;

use engine::TaskUsage;
use shapes::cloudwatch::{
    Datapoint, Dimension, GetMetricStatisticsInput, ListMetricsInput, Statistic,
};
use shapes::ecs::*;
use wire::Timestamp;

use crate::support::*;

/// A minute of the fast pace.
const MINUTE: Duration = Duration::from_secs(2);

async fn told(world: &World, namespace: &str, name: &str) -> Option<Datapoint> {
    let dimension = |name: &str, value: &str| Dimension {
        name: name.into(),
        value: value.into(),
    };
    let now = world.cloud.clock.now();
    let input = GetMetricStatisticsInput {
        namespace: namespace.into(),
        metric_name: name.into(),
        dimensions: Some(vec![
            dimension("ServiceName", "web"),
            dimension("ClusterName", "default"),
        ]),
        start_time: Timestamp(now - 2.0 * MINUTE.as_secs_f64()),
        end_time: Timestamp(now),
        period: 5,
        statistics: Some(vec![
            Statistic::SampleCount,
            Statistic::Minimum,
            Statistic::Maximum,
        ]),
        ..Default::default()
    };
    world.call(input).await.datapoints.unwrap().pop()
}

#[tokio::test(start_paused = true)]
async fn tasks_tell_what_they_use_of_what_they_reserve() {
    let world = World::new().await;
    world.register(IMAGE).await;
    tokio::time::sleep(10 * MINUTE).await;
    let metrics = world.call(ListMetricsInput::default()).await.metrics;
    assert_eq!(metrics, Some(vec![]), "nothing runs, nothing is told");

    world.call(create("web", "web", 2)).await;
    world.service_until("web", is_steady).await;
    // Each has a quarter of a core and 512 MiB. One uses a tenth of a core, the other a fifth.
    for minute in 1..10u64 {
        for (task, core_percent) in world.sim.tasks.running().iter().zip([10, 20]) {
            let usage = TaskUsage {
                cpu_ns: minute * core_percent * MINUTE.as_nanos() as u64 / 100,
                memory_bytes: 128 * 1024 * 1024,
                ..Default::default()
            };
            world.sim.tasks.set_usage(task, usage);
        }
        tokio::time::sleep(MINUTE).await;
    }
    let cpu = told(&world, "AWS/ECS", "CPUUtilization")
        .await
        .expect("it is told");
    assert_eq!(cpu.minimum.map(f64::round), Some(40.0), "{cpu:?}");
    assert_eq!(cpu.maximum.map(f64::round), Some(80.0), "{cpu:?}");
    let memory = told(&world, "AWS/ECS", "MemoryUtilization")
        .await
        .expect("it is told");
    assert_eq!((memory.minimum, memory.maximum), (Some(25.0), Some(25.0)));
    assert_eq!(memory.sample_count.map(|it| it % 2.0), Some(0.0));

    // More only where the cluster wants it.
    let insights = "ECS/ContainerInsights";
    assert_eq!(told(&world, insights, "CpuUtilized").await, None);
    let setting = ClusterSetting {
        name: Some(ClusterSettingName::ContainerInsights),
        value: Some("enabled".into()),
    };
    world
        .call(UpdateClusterSettingsInput {
            cluster: "default".into(),
            settings: vec![setting],
        })
        .await;
    tokio::time::sleep(3 * MINUTE).await;
    for (name, value) in [
        ("CpuReserved", 256.0),
        ("MemoryUtilized", 128.0),
        ("RunningTaskCount", 2.0),
        ("DesiredTaskCount", 2.0),
    ] {
        let point = told(&world, insights, name).await.expect(name);
        assert_eq!((point.minimum, point.maximum), (Some(value), Some(value)));
    }

    world
        .call(DeleteServiceInput {
            service: "web".into(),
            force: Some(true),
            ..Default::default()
        })
        .await;
    tokio::time::sleep(20 * MINUTE).await;
    assert_eq!(told(&world, "AWS/ECS", "MemoryUtilization").await, None);
}
