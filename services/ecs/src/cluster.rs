//! Clusters: names under which services and tasks are kept.

use cloud::{Cx, Error, Records};
use shapes::ecs::errors::{
    ClusterContainsContainerInstancesException, ClusterContainsServicesException,
    ClusterContainsTasksException, InvalidParameterException,
};
use shapes::ecs::*;

use crate::instance_record::ContainerInstance;
use crate::linked_role;
use crate::names::{cluster_arn, cluster_name, find_cluster, is_name};
use crate::record::{self, ServiceStatus};
use crate::refuse::unsupported;
use crate::task_record::{self, Phase};

/// Providers that every account has.
pub const FARGATE_PROVIDERS: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];
/// `ListClusters`, `ListServices`, …: at most so many in one answer.
pub const PAGE_MAX: usize = 100;

pub async fn create_cluster(
    cx: Cx,
    input: CreateClusterInput,
) -> Result<CreateClusterOutput, Error> {
    let name = cluster_name(&cx, input.cluster_name.as_deref())?;
    if !is_name(&name) {
        return Err(InvalidParameterException
            .because("Cluster name must be up to 255 letters, digits, hyphens and underscores."));
    }
    check_configuration(input.configuration.as_ref())?;
    let providers = input.capacity_providers.unwrap_or_default();
    let strategy = input.default_capacity_provider_strategy.unwrap_or_default();
    check_providers(&providers, &strategy)?;
    linked_role::ensure(&cx).await?;
    cx.write(|tx| {
        // As on AWS, creating a cluster that is there answers with it as it is.
        if let Some(existing) = tx
            .get::<record::Cluster>(&cx.key(&name))?
            .filter(|it| it.active)
        {
            return describe(&cx, tx, &existing, &ALL_FIELDS);
        }
        let cluster = record::Cluster {
            region: cx.region.clone(),
            name: name.clone(),
            active: true,
            settings: with_defaults(input.settings.unwrap_or_default()),
            configuration: input.configuration,
            capacity_providers: providers,
            default_strategy: strategy,
            tags: input.tags.unwrap_or_default(),
        };
        tx.put(&cluster)?;
        describe(&cx, tx, &cluster, &ALL_FIELDS)
    })
    .map(|cluster| CreateClusterOutput {
        cluster: Some(cluster),
    })
}

fn with_defaults(settings: Vec<ClusterSetting>) -> Vec<ClusterSetting> {
    if !settings.is_empty() {
        return settings;
    }
    let (name, value) = (ClusterSettingName::ContainerInsights, "disabled".to_owned());
    vec![ClusterSetting {
        name: Some(name),
        value: Some(value),
    }]
}

/// `OVERRIDE` says where the output of commands goes to in place of the containers' logs.
fn check_configuration(given: Option<&ClusterConfiguration>) -> Result<(), Error> {
    let exec = given.and_then(|it| it.execute_command_configuration.as_ref());
    match exec.and_then(|it| it.logging) {
        Some(ExecuteCommandLogging::Override) => Err(unsupported(
            "configuration.executeCommandConfiguration.logging OVERRIDE",
        )),
        _ => Ok(()),
    }
}

fn check_providers(
    providers: &[String],
    strategy: &[CapacityProviderStrategyItem],
) -> Result<(), Error> {
    for provider in providers {
        if !FARGATE_PROVIDERS.contains(&provider.as_str()) {
            return Err(InvalidParameterException.because(format!(
                "The specified capacity provider '{provider}' was not found. Specify a valid name or \
                 ARN and try again. (neargate has FARGATE and FARGATE_SPOT.)"
            )));
        }
    }
    for item in strategy {
        if !providers.contains(&item.capacity_provider) {
            return Err(InvalidParameterException.because(
                "The default capacity provider strategy cannot contain a capacity provider that is \
                 not associated with the cluster. Associate the capacity provider with the cluster \
                 and try again.",
            ));
        }
    }
    Ok(())
}

pub async fn describe_clusters(
    cx: Cx,
    input: DescribeClustersInput,
) -> Result<DescribeClustersOutput, Error> {
    let asked = input
        .clusters
        .filter(|it| !it.is_empty())
        .unwrap_or_else(|| vec![String::new()]);
    let include = input.include.unwrap_or_default();
    cx.read(|tx| {
        let (mut clusters, mut failures) = (Vec::new(), Vec::new());
        for given in &asked {
            let name = cluster_name(&cx, Some(given))?;
            match tx.get::<record::Cluster>(&cx.key(&name))? {
                Some(cluster) => clusters.push(describe(&cx, tx, &cluster, &include)?),
                None => failures.push(missing(cluster_arn(&cx, &name))),
            }
        }
        Ok(DescribeClustersOutput {
            clusters: Some(clusters),
            failures: Some(failures),
        })
    })
}

pub fn missing(arn: String) -> Failure {
    Failure {
        arn: Some(arn),
        reason: Some("MISSING".into()),
        detail: None,
    }
}

pub async fn list_clusters(cx: Cx, input: ListClustersInput) -> Result<ListClustersOutput, Error> {
    let all = cx.read(|tx| tx.list::<record::Cluster>(&cx.key("")))?;
    let arns = all
        .iter()
        .filter(|it| it.active)
        .map(|it| cluster_arn(&cx, &it.name))
        .collect();
    let (arns, next_token) = page(arns, input.max_results, input.next_token.as_deref())?;
    Ok(ListClustersOutput {
        cluster_arns: Some(arns),
        next_token,
    })
}

/// A page of sorted texts; the token is the last text of the page before.
pub fn page(
    all: Vec<String>,
    max_results: Option<i32>,
    token: Option<&str>,
) -> Result<(Vec<String>, Option<String>), Error> {
    let size = match max_results {
        None => PAGE_MAX,
        Some(count @ 1..=100) => count as usize,
        Some(_) => {
            return Err(InvalidParameterException.because("maxResults must be between 1 and 100."));
        }
    };
    let start = match token.filter(|it| !it.is_empty()) {
        None => 0,
        Some(token) => match all.iter().position(|it| it == token) {
            Some(index) => index + 1,
            None => return Err(InvalidParameterException.because("Invalid token.")),
        },
    };
    let more = all.len() > start + size;
    let shown: Vec<String> = all.into_iter().skip(start).take(size).collect();
    let next = more.then(|| shown.last().cloned()).flatten();
    Ok((shown, next))
}

pub async fn delete_cluster(
    cx: Cx,
    input: DeleteClusterInput,
) -> Result<DeleteClusterOutput, Error> {
    cx.write(|tx| {
        let mut cluster = find_cluster(&cx, tx, Some(&input.cluster))?;
        let inside = cx.key(&format!("{}/", cluster.name));
        let services = tx.list::<record::Service>(&inside)?;
        if services
            .iter()
            .any(|it| it.status != ServiceStatus::Inactive)
        {
            return Err(ClusterContainsServicesException
                .because("The Cluster cannot be deleted while Services are active."));
        }
        if !tx.keys::<ContainerInstance>(&inside)?.is_empty() {
            return Err(ClusterContainsContainerInstancesException.because(
                "The Cluster cannot be deleted while Container Instances are active or draining.",
            ));
        }
        if !tx.keys::<task_record::Task>(&inside)?.is_empty() {
            return Err(ClusterContainsTasksException
                .because("The Cluster cannot be deleted while Tasks are active."));
        }
        cluster.active = false;
        tx.put(&cluster)?;
        describe(&cx, tx, &cluster, &ALL_FIELDS)
    })
    .map(|cluster| DeleteClusterOutput {
        cluster: Some(cluster),
    })
}

pub async fn update_cluster(
    cx: Cx,
    input: UpdateClusterInput,
) -> Result<UpdateClusterOutput, Error> {
    check_configuration(input.configuration.as_ref())?;
    cx.write(|tx| {
        let mut cluster = find_cluster(&cx, tx, Some(&input.cluster))?;
        if let Some(settings) = input.settings {
            cluster.settings = with_defaults(settings);
        }
        if input.configuration.is_some() {
            cluster.configuration = input.configuration;
        }
        tx.put(&cluster)?;
        describe(&cx, tx, &cluster, &ALL_FIELDS)
    })
    .map(|cluster| UpdateClusterOutput {
        cluster: Some(cluster),
    })
}

pub async fn update_cluster_settings(
    cx: Cx,
    input: UpdateClusterSettingsInput,
) -> Result<UpdateClusterSettingsOutput, Error> {
    cx.write(|tx| {
        let mut cluster = find_cluster(&cx, tx, Some(&input.cluster))?;
        cluster.settings = with_defaults(input.settings);
        tx.put(&cluster)?;
        describe(&cx, tx, &cluster, &ALL_FIELDS)
    })
    .map(|cluster| UpdateClusterSettingsOutput {
        cluster: Some(cluster),
    })
}

pub async fn put_cluster_capacity_providers(
    cx: Cx,
    input: PutClusterCapacityProvidersInput,
) -> Result<PutClusterCapacityProvidersOutput, Error> {
    check_providers(
        &input.capacity_providers,
        &input.default_capacity_provider_strategy,
    )?;
    cx.write(|tx| {
        let mut cluster = find_cluster(&cx, tx, Some(&input.cluster))?;
        cluster.capacity_providers = input.capacity_providers;
        cluster.default_strategy = input.default_capacity_provider_strategy;
        tx.put(&cluster)?;
        describe(&cx, tx, &cluster, &ALL_FIELDS)
    })
    .map(|cluster| PutClusterCapacityProvidersOutput {
        cluster: Some(cluster),
    })
}

pub async fn describe_capacity_providers(
    cx: Cx,
    input: DescribeCapacityProvidersInput,
) -> Result<DescribeCapacityProvidersOutput, Error> {
    let asked = input.capacity_providers.filter(|it| !it.is_empty());
    let asked = asked.unwrap_or_else(|| FARGATE_PROVIDERS.map(str::to_owned).to_vec());
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in asked {
        let short = name.rsplit('/').next().unwrap_or_default().to_owned();
        let arn = cx.arn("ecs", &format!("capacity-provider/{short}"));
        if FARGATE_PROVIDERS.contains(&short.as_str()) {
            found.push(CapacityProvider {
                capacity_provider_arn: Some(arn),
                name: Some(short),
                status: Some(CapacityProviderStatus::Active),
                tags: Some(Vec::new()),
                ..Default::default()
            });
        } else {
            failures.push(missing(arn));
        }
    }
    Ok(DescribeCapacityProvidersOutput {
        capacity_providers: Some(found),
        failures: Some(failures),
        next_token: None,
    })
}

/// What answers to a change show.
const ALL_FIELDS: [ClusterField; 3] = [
    ClusterField::Configurations,
    ClusterField::Settings,
    ClusterField::Tags,
];

fn describe(
    cx: &Cx,
    tx: &Records<'_>,
    cluster: &record::Cluster,
    include: &[ClusterField],
) -> Result<Cluster, Error> {
    let inside = cx.key(&format!("{}/", cluster.name));
    let tasks = tx.list::<task_record::Task>(&inside)?;
    let services = tx.list::<record::Service>(&inside)?;
    let instances = tx.keys::<ContainerInstance>(&inside)?.len();
    let count = |wanted: &dyn Fn(Phase) -> bool| {
        Some(i32::try_from(tasks.iter().filter(|it| wanted(it.phase)).count()).unwrap_or(i32::MAX))
    };
    let active = services
        .iter()
        .filter(|it| it.status == ServiceStatus::Active)
        .count();
    let shown = |field: ClusterField| include.contains(&field);
    Ok(Cluster {
        cluster_arn: Some(cluster_arn(cx, &cluster.name)),
        cluster_name: Some(cluster.name.clone()),
        status: Some(if cluster.active { "ACTIVE" } else { "INACTIVE" }.into()),
        registered_container_instances_count: Some(i32::try_from(instances).unwrap_or(i32::MAX)),
        running_tasks_count: count(&|phase| phase == Phase::Running),
        pending_tasks_count: count(&|phase| phase < Phase::Running),
        active_services_count: Some(i32::try_from(active).unwrap_or(i32::MAX)),
        statistics: Some(Vec::new()),
        tags: Some(if shown(ClusterField::Tags) {
            cluster.tags.clone()
        } else {
            Vec::new()
        }),
        settings: Some(if shown(ClusterField::Settings) {
            cluster.settings.clone()
        } else {
            Vec::new()
        }),
        configuration: cluster
            .configuration
            .clone()
            .filter(|_| shown(ClusterField::Configurations)),
        capacity_providers: Some(cluster.capacity_providers.clone()),
        default_capacity_provider_strategy: Some(cluster.default_strategy.clone()),
        ..Default::default()
    })
}
