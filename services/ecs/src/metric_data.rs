//! Samples of tasks as CloudWatch's data. Pure, but for what is read of clusters.

use std::collections::BTreeMap;

use cloud::Cx;
use shapes::cloudwatch::{Dimension, MetricDatum, StandardUnit};
use wire::Timestamp;

use crate::record::{Cluster, Service};

/// Samples of one datum (the API reference of `PutMetricData`).
const VALUES_MAX: usize = 150;

/// By region, cluster and service: a sample of each of its tasks.
pub type Samples = BTreeMap<(String, String, String), Vec<Sample>>;

pub struct Sample {
    /// In units, once it is known.
    pub cpu: Option<f64>,
    pub cpu_reserved: f64,
    pub memory_mib: f64,
    pub memory_reserved_mib: f64,
}

pub type ByRegion = BTreeMap<String, Vec<MetricDatum>>;

fn dimensions(cluster: &str, service: Option<&str>) -> Vec<Dimension> {
    let of_service = service.map(|it| ("ServiceName", it));
    let all = [("ClusterName", cluster)].into_iter().chain(of_service);
    all.map(|(name, value)| Dimension {
        name: name.into(),
        value: value.into(),
    })
    .collect()
}

/// A metric's values, in as many data as they need.
fn metric(
    name: &str,
    unit: StandardUnit,
    dimensions: &[Dimension],
    at: Timestamp,
    values: &[f64],
) -> Vec<MetricDatum> {
    let data = values.chunks(VALUES_MAX).map(|values| MetricDatum {
        metric_name: name.into(),
        dimensions: Some(dimensions.to_vec()),
        timestamp: Some(at),
        values: Some(values.to_vec()),
        unit: Some(unit),
        ..Default::default()
    });
    data.collect()
}

/// `AWS/ECS`: percentages of what is reserved.
pub fn utilization(samples: &Samples, at: Timestamp) -> ByRegion {
    let mut by_region = ByRegion::new();
    for ((region, cluster, service), tasks) in samples {
        let data = by_region.entry(region.clone()).or_default();
        let cpu = |it: &Sample| Some(it.cpu? / it.cpu_reserved * 100.0);
        let cpu: Vec<f64> = tasks.iter().filter_map(cpu).collect();
        let memory = |it: &Sample| it.memory_mib / it.memory_reserved_mib * 100.0;
        let memory: Vec<f64> = tasks.iter().map(memory).collect();
        let places = dimensions(cluster, Some(service));
        let percent = StandardUnit::Percent;
        data.extend(metric("CPUUtilization", percent, &places, at, &cpu));
        data.extend(metric("MemoryUtilization", percent, &places, at, &memory));
    }
    by_region
}

/// `ECS/ContainerInsights`, for clusters that want it: the same in units and MiB, and how many tasks
/// there are (CloudWatch User Guide, "Amazon ECS Container Insights metrics").
pub fn insights(cx: &Cx, samples: &Samples, at: Timestamp) -> Result<ByRegion, cloud::Error> {
    let clusters = cx.read(|tx| tx.readable::<Cluster>(""))?;
    let wanted = |cluster: &&Cluster| {
        let mut settings = (cluster.settings.iter()).filter_map(|it| it.value.as_deref());
        cluster.active && settings.any(|it| it == "enabled" || it == "enhanced")
    };
    let mut by_region = ByRegion::new();
    for cluster in clusters.iter().filter(wanted) {
        let own = |(region, name, _): &(String, String, String)| {
            *region == cluster.region && *name == cluster.name
        };
        let data = by_region.entry(cluster.region.clone()).or_default();
        for ((_, _, service), tasks) in samples.iter().filter(|(key, _)| own(key)) {
            let of_service = dimensions(&cluster.name, Some(service));
            for places in [&dimensions(&cluster.name, None), &of_service] {
                let mut tell = |name, unit, of: fn(&Sample) -> Option<f64>| {
                    let values: Vec<f64> = tasks.iter().filter_map(of).collect();
                    data.extend(metric(name, unit, places, at, &values));
                };
                let (none, mb) = (StandardUnit::None, StandardUnit::Megabytes);
                tell("CpuUtilized", none, |it| it.cpu);
                tell("CpuReserved", none, |it| Some(it.cpu_reserved));
                tell("MemoryUtilized", mb, |it| Some(it.memory_mib));
                tell("MemoryReserved", mb, |it| Some(it.memory_reserved_mib));
            }
            let key = Service::key_of(&cluster.region, &cluster.name, service);
            let desired = cx.read(|tx| tx.get::<Service>(&key))?.map(|it| it.desired);
            for (name, count) in [
                ("RunningTaskCount", Some(tasks.len() as f64)),
                ("DesiredTaskCount", desired.map(f64::from)),
            ] {
                let unit = StandardUnit::Count;
                data.extend(metric(name, unit, &of_service, at, count.as_slice()));
            }
        }
    }
    Ok(by_region)
}
