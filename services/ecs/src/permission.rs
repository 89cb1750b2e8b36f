//! What calls of ECS need permission for: the records that names, ARNs and their defaults find.

use cloud::permission::{self, ConditionKey, Permission};
use cloud::{Cx, TagMap, Touched};
use shapes::ecs::*;

use crate::instance_record::ContainerInstance as ContainerInstanceRecord;
use crate::names::{
    cluster_arn, cluster_name, container_instance_arn, container_instance_id, definition_name,
    find_definition, service_arn, service_name, task_arn, task_id,
};
use crate::record;
use crate::run_task::find_task;

const CLUSTER: &str = "cluster";
const SERVICE: &str = "service";
const TASK: &str = "task";
const INSTANCE: &str = "container-instance";
const DEFINITION: &str = "task-definition";

/// Who gets the roles of tasks.
const TASKS: &str = "ecs-tasks.amazonaws.com";
/// Who gets the roles that work for services.
const ECS: &str = "ecs.amazonaws.com";

type Text = Option<String>;

fn tag_map(tags: Vec<Tag>) -> TagMap {
    tags.into_iter()
        .filter_map(|it| Some((it.key?, it.value.unwrap_or_default())))
        .collect()
}

/// A record that was looked for: what is not there has no tags, and what cannot be read has unknown ones.
fn looked_for<T>(
    found: Result<Option<T>, cloud::Error>,
    arn: String,
    tags: impl FnOnce(T) -> Vec<Tag>,
) -> Touched {
    match found {
        Ok(Some(it)) => Touched::named(arn).tagged(tag_map(tags(it))),
        Ok(None) => Touched::absent(arn),
        Err(_) => Touched::named(arn),
    }
}

fn cluster(cx: &Cx, given: Option<&str>) -> Touched {
    let Ok(name) = cluster_name(cx, given) else {
        return Touched::absent(given.unwrap_or_default());
    };
    let found = cx.read(|tx| tx.get::<record::Cluster>(&cx.key(&name)));
    looked_for(found, cluster_arn(cx, &name), |it| it.tags)
}

fn clusters(cx: &Cx, given: Option<&Vec<String>>) -> Vec<Touched> {
    match given.filter(|it| !it.is_empty()) {
        Some(given) => given.iter().map(|it| cluster(cx, Some(it))).collect(),
        None => vec![cluster(cx, None)],
    }
}

fn service(cx: &Cx, of: Option<&str>, given: &str) -> Touched {
    let (Ok(of), Ok(name)) = (cluster_name(cx, of), service_name(cx, given)) else {
        return Touched::absent(given);
    };
    let key = record::Service::key_of(&cx.region, &of, &name);
    let found = cx.read(|tx| tx.get::<record::Service>(&key));
    looked_for(found, service_arn(cx, &of, &name), |it| it.tags)
}

fn instance(cx: &Cx, of: Option<&str>, given: &str) -> Touched {
    let (Ok(of), Ok(id)) = (cluster_name(cx, of), container_instance_id(cx, given)) else {
        return Touched::absent(given);
    };
    let key = ContainerInstanceRecord::key_of(&cx.region, &of, &id);
    let found = cx.read(|tx| tx.get::<ContainerInstanceRecord>(&key));
    looked_for(found, container_instance_arn(cx, &of, &id), |it| it.tags)
}

/// Whom attributes are put on.
pub fn targets(attributes: &[Attribute]) -> Vec<&String> {
    let all = attributes.iter();
    all.filter_map(|it| it.target_id.as_ref()).collect()
}

/// Instances of a cluster.
pub fn on_instances<I: 'static>(given: fn(&I) -> (&Text, Vec<&String>)) -> Permission<I> {
    permission::on(INSTANCE, move |cx, it| {
        let (of, names) = given(it);
        let names = names.into_iter();
        names
            .map(|name| instance(cx, of.as_deref(), name))
            .collect::<Vec<_>>()
    })
    .supplying(&["ecs:cluster"], move |cx, it| {
        vec![of_cluster(cx, given(it).0)]
    })
}

pub fn register_instance() -> Permission<RegisterContainerInstanceInput> {
    on_cluster(|it: &RegisterContainerInstanceInput| it.cluster.as_ref())
        .and(
            "ecs:TagResource",
            INSTANCE,
            |cx, it: &RegisterContainerInstanceInput| {
                let of = cluster_name(cx, it.cluster.as_deref()).ok()?;
                let instances = Touched {
                    is_any: true,
                    ..Touched::absent(container_instance_arn(cx, &of, "*"))
                };
                tagged_at_once(cx, &it.tags, "RegisterContainerInstance", instances)
            },
        )
        .lacking(CREATE_ACTION)
}

/// The roles of the definition are passed as much as those that take their place.
pub fn start() -> Permission<StartTaskInput> {
    permission::on(DEFINITION, |cx, it: &StartTaskInput| {
        definition(cx, &it.task_definition)
    })
    .and("ecs:TagResource", TASK, |cx, it: &StartTaskInput| {
        let of = cluster_name(cx, it.cluster.as_deref()).ok()?;
        let tasks = Touched {
            is_any: true,
            ..Touched::absent(task_arn(cx, &of, "*"))
        };
        tagged_at_once(cx, &it.tags, "StartTask", tasks)
    })
    .passing_found(TASKS, |cx, it| {
        roles_of(cx, &it.task_definition, it.overrides.as_ref())
    })
    .supplying(
        &[
            "ecs:cluster",
            "ecs:container-instances",
            "ecs:enable-ebs-volumes",
            "ecs:enable-execute-command",
        ],
        |cx, it| {
            let names = it.container_instances.iter();
            let arns = names.map(|name| instance(cx, it.cluster.as_deref(), name).arn);
            vec![
                of_cluster(cx, &it.cluster),
                ConditionKey::of_many("ecs:container-instances", arns.collect()),
                ConditionKey::new("ecs:enable-ebs-volumes", Some(false)),
                exec_key(it.enable_execute_command),
            ]
        },
    )
    .lacking(CREATE_ACTION)
}

/// The roles that a task of this definition gets.
fn roles_of(cx: &Cx, given: &str, overrides: Option<&TaskOverride>) -> Vec<String> {
    let own = cx.read(|tx| find_definition(cx, tx, given));
    let own = own.ok().flatten().map(|it| it.shape).unwrap_or_default();
    let overrides = overrides.cloned().unwrap_or_default();
    let task = overrides.task_role_arn.or(own.task_role_arn);
    let execution = overrides.execution_role_arn.or(own.execution_role_arn);
    task.into_iter().chain(execution).collect()
}

/// A task of another cluster than is named is not found by the operations either.
fn task(cx: &Cx, of: Option<&str>, given: &str) -> Touched {
    let (Ok(of), Ok(id)) = (cluster_name(cx, of), task_id(cx, given)) else {
        return Touched::absent(given);
    };
    let found = cx.read(|tx| Ok(find_task(tx, &id)?.filter(|it| it.cluster == of)));
    looked_for(found, task_arn(cx, &of, &id), |it| it.tags)
}

/// The revision that is named, or that a family's name stands for.
fn definition(cx: &Cx, given: &str) -> Touched {
    match cx.read(|tx| find_definition(cx, tx, given)) {
        Ok(Some(found)) => {
            let touched = Touched::named(found.arn()).tagged(tag_map(found.tags));
            // How many revisions there are is not told to who names the family.
            match definition_name(cx, given) {
                Ok((family, None)) => touched.asked_as(new_definition(cx, family).arn),
                _ => touched,
            }
        }
        Ok(None) => match definition_name(cx, given) {
            Ok((family, Some(revision))) => {
                Touched::absent(cx.arn("ecs", &format!("task-definition/{family}:{revision}")))
            }
            Ok((family, None)) => new_definition(cx, family),
            Err(_) => Touched::absent(given),
        },
        Err(error) if error.status < 500 => Touched::absent(given),
        Err(_) => Touched::any(cx.arn("ecs", "task-definition/*")),
    }
}

/// A revision whose number is not known yet.
fn new_definition(cx: &Cx, family: &str) -> Touched {
    Touched {
        is_any: true,
        ..Touched::absent(cx.arn("ecs", &format!("task-definition/{family}:*")))
    }
}

/// What is made with tags has it; whoever tags something that is there already creates nothing.
pub const CREATE_ACTION: &[&str] = &["ecs:CreateAction"];

/// Tags at once need permission of their own where the account says so.
fn tagged_at_once(cx: &Cx, tags: &Option<Vec<Tag>>, action: &str, it: Touched) -> Option<Touched> {
    let asked = tags.as_ref().is_some_and(|it| !it.is_empty())
        && crate::settings::is_on(cx, SettingName::TagResourceAuthorization);
    asked.then(|| it.with_key(CREATE_ACTION[0], Some(action)))
}

pub fn on_cluster<I: 'static>(given: fn(&I) -> Option<&String>) -> Permission<I> {
    permission::on(CLUSTER, move |cx, it| {
        cluster(cx, given(it).map(String::as_str))
    })
}

pub fn on_clusters() -> Permission<DescribeClustersInput> {
    permission::on(CLUSTER, |cx, it: &DescribeClustersInput| {
        clusters(cx, it.clusters.as_ref())
    })
}

pub fn create_cluster() -> Permission<CreateClusterInput> {
    let name = |it: &CreateClusterInput| it.cluster_name.clone();
    permission::on(CLUSTER, move |cx, it| cluster(cx, name(it).as_deref()))
        .and("ecs:TagResource", CLUSTER, move |cx, it| {
            let touched = cluster(cx, name(it).as_deref());
            tagged_at_once(cx, &it.tags, "CreateCluster", touched)
        })
        .supplying(
            &[
                "ecs:capacity-provider",
                "ecs:fargate-ephemeral-storage-kms-key",
            ],
            |cx, it| vec![providers(cx, it.capacity_providers.iter().flatten())],
        )
        .lacking(CREATE_ACTION)
}

pub fn update_cluster() -> Permission<UpdateClusterInput> {
    on_cluster(|it: &UpdateClusterInput| Some(&it.cluster))
        .supplying(&["ecs:fargate-ephemeral-storage-kms-key"], |_, _| {
            Vec::new()
        })
}

pub fn put_providers() -> Permission<PutClusterCapacityProvidersInput> {
    on_cluster(|it: &PutClusterCapacityProvidersInput| Some(&it.cluster))
        .supplying(&["ecs:capacity-provider"], |cx, it| {
            vec![providers(cx, it.capacity_providers.iter())]
        })
}

pub fn describe_providers() -> Permission<DescribeCapacityProvidersInput> {
    permission::on(
        "capacity-provider",
        |cx, it: &DescribeCapacityProvidersInput| {
            let arn = |name: &str| cx.arn("ecs", &format!("capacity-provider/{name}"));
            match it.capacity_providers.as_ref().filter(|it| !it.is_empty()) {
                Some(names) => names
                    .iter()
                    .map(|it| match it.starts_with("arn:") {
                        true => Touched::absent(it),
                        false => Touched::absent(arn(it)),
                    })
                    .collect(),
                None => vec![Touched::any(arn("*"))],
            }
        },
    )
}

/// Names of capacity providers, as the ARNs that policies hold them against.
fn providers<'a>(cx: &Cx, names: impl Iterator<Item = &'a String>) -> ConditionKey {
    let arns = names.map(|it| match it.starts_with("arn:") {
        true => it.clone(),
        false => cx.arn("ecs", &format!("capacity-provider/{it}")),
    });
    ConditionKey::of_many("ecs:capacity-provider", arns.collect())
}

fn strategy(cx: &Cx, items: &Option<Vec<CapacityProviderStrategyItem>>) -> ConditionKey {
    let names = items.iter().flatten().map(|it| &it.capacity_provider);
    providers(cx, names)
}

pub fn register() -> Permission<RegisterTaskDefinitionInput> {
    permission::on(DEFINITION, |cx, it: &RegisterTaskDefinitionInput| {
        new_definition(cx, &it.family)
    })
    .and(
        "ecs:TagResource",
        DEFINITION,
        |cx, it: &RegisterTaskDefinitionInput| {
            let touched = new_definition(cx, &it.family);
            tagged_at_once(cx, &it.tags, "RegisterTaskDefinition", touched)
        },
    )
    .passing(TASKS, |it| {
        let roles = [&it.task_role_arn, &it.execution_role_arn];
        roles.into_iter().flatten().cloned().collect()
    })
    .supplying(
        &[
            "ecs:compute-compatibility",
            "ecs:privileged",
            "ecs:task-cpu",
            "ecs:task-memory",
        ],
        |_, it| {
            let compatibilities = it.requires_compatibilities.iter().flatten();
            let names = compatibilities.map(|it| it.as_str().to_owned());
            let privileged =
                (it.container_definitions.iter()).any(|it| it.privileged == Some(true));
            vec![
                ConditionKey::of_many("ecs:compute-compatibility", names.collect()),
                ConditionKey::new("ecs:privileged", Some(privileged)),
                ConditionKey::new("ecs:task-cpu", it.cpu.as_ref()),
                ConditionKey::new("ecs:task-memory", it.memory.as_ref()),
            ]
        },
    )
    .lacking(CREATE_ACTION)
}

pub fn on_definitions() -> Permission<DeleteTaskDefinitionsInput> {
    permission::on(DEFINITION, |cx, it: &DeleteTaskDefinitionsInput| {
        let names = it.task_definitions.iter();
        names.map(|it| definition(cx, it)).collect::<Vec<_>>()
    })
}

/// Those that a service's tasks get by a call: none, where it names no definition.
fn roles_of_named(cx: &Cx, given: &Text) -> Vec<String> {
    let roles = given.as_ref().map(|it| roles_of(cx, it, None));
    roles.unwrap_or_default()
}

/// The roles of the definition are passed as much as those that take their place.
pub fn run() -> Permission<RunTaskInput> {
    permission::on(DEFINITION, |cx, it: &RunTaskInput| {
        definition(cx, &it.task_definition)
    })
    .and("ecs:TagResource", TASK, |cx, it: &RunTaskInput| {
        let of = cluster_name(cx, it.cluster.as_deref()).ok()?;
        let tasks = Touched {
            is_any: true,
            ..Touched::absent(task_arn(cx, &of, "*"))
        };
        tagged_at_once(cx, &it.tags, "RunTask", tasks)
    })
    .passing_found(TASKS, |cx, it| {
        roles_of(cx, &it.task_definition, it.overrides.as_ref())
    })
    .supplying(
        &[
            "ecs:capacity-provider",
            "ecs:cluster",
            "ecs:enable-ebs-volumes",
            "ecs:enable-execute-command",
        ],
        |cx, it| {
            vec![
                strategy(cx, &it.capacity_provider_strategy),
                of_cluster(cx, &it.cluster),
                ConditionKey::new("ecs:enable-ebs-volumes", Some(false)),
                exec_key(it.enable_execute_command),
            ]
        },
    )
    .lacking(CREATE_ACTION)
}

fn exec_key(asked: Option<bool>) -> ConditionKey {
    ConditionKey::new("ecs:enable-execute-command", Some(asked == Some(true)))
}

fn of_cluster(cx: &Cx, given: &Text) -> ConditionKey {
    ConditionKey::new("ecs:cluster", Some(cluster(cx, given.as_deref()).arn))
}

/// On the task, and on its cluster.
pub fn execute_command() -> Permission<ExecuteCommandInput> {
    permission::on(CLUSTER, |cx, it: &ExecuteCommandInput| {
        cluster(cx, it.cluster.as_deref())
    })
    .also(TASK, |cx, it: &ExecuteCommandInput| {
        task(cx, it.cluster.as_deref(), &it.task)
    })
    .supplying(
        &["ecs:cluster", "ecs:container-name", "ecs:task"],
        |cx, it| {
            let touched = task(cx, it.cluster.as_deref(), &it.task);
            vec![
                of_cluster(cx, &it.cluster),
                ConditionKey::new("ecs:container-name", named_container(cx, it)),
                ConditionKey::new("ecs:task", Some(touched.arn)),
            ]
        },
    )
}

/// The container that is named, or that is the only one.
fn named_container(cx: &Cx, it: &ExecuteCommandInput) -> Option<String> {
    if it.container.is_some() {
        return it.container.clone();
    }
    let id = task_id(cx, &it.task).ok()?;
    let found = cx.read(|tx| find_task(tx, &id)).ok()??;
    match &found.containers[..] {
        [only] => Some(only.name.clone()),
        _ => None,
    }
}

pub fn stop_task() -> Permission<StopTaskInput> {
    permission::on(TASK, |cx, it: &StopTaskInput| {
        task(cx, it.cluster.as_deref(), &it.task)
    })
    .supplying(&["ecs:cluster"], |cx, it| vec![of_cluster(cx, &it.cluster)])
}

pub fn describe_tasks() -> Permission<DescribeTasksInput> {
    permission::on(TASK, |cx, it: &DescribeTasksInput| {
        let tasks = it.tasks.iter();
        tasks
            .map(|id| task(cx, it.cluster.as_deref(), id))
            .collect::<Vec<_>>()
    })
    .supplying(&["ecs:cluster"], |cx, it| vec![of_cluster(cx, &it.cluster)])
}

/// Its resource is the container instance that is asked about, if one is.
pub fn list_tasks() -> Permission<ListTasksInput> {
    permission::on(INSTANCE, |cx, it: &ListTasksInput| {
        let given = it.container_instance.iter();
        given
            .map(|given| instance(cx, it.cluster.as_deref(), given))
            .collect::<Vec<_>>()
    })
    .supplying(&["ecs:cluster"], |cx, it| vec![of_cluster(cx, &it.cluster)])
}

pub fn list_services() -> Permission<ListServicesInput> {
    permission::everywhere().supplying(&["ecs:cluster"], |cx, it: &ListServicesInput| {
        vec![of_cluster(cx, &it.cluster)]
    })
}

/// One service, by its name and its cluster's.
pub fn on_service<I: 'static>(place: fn(&I) -> (&Text, &str)) -> Permission<I> {
    permission::on(SERVICE, move |cx, it| {
        let (of, name) = place(it);
        service(cx, of.as_deref(), name)
    })
    .supplying(&["ecs:cluster"], move |cx, it| {
        vec![of_cluster(cx, place(it).0)]
    })
}

pub fn describe_services() -> Permission<DescribeServicesInput> {
    permission::on(SERVICE, |cx, it: &DescribeServicesInput| {
        let names = it.services.iter();
        names
            .map(|name| service(cx, it.cluster.as_deref(), name))
            .collect::<Vec<_>>()
    })
    .supplying(&["ecs:cluster"], |cx, it| vec![of_cluster(cx, &it.cluster)])
}

/// The keys of making and changing a service.
const OF_SERVICE: &[&str] = &[
    "ecs:auto-assign-public-ip",
    "ecs:capacity-provider",
    "ecs:cluster",
    "ecs:enable-ebs-volumes",
    "ecs:enable-ecs-managed-tags",
    "ecs:enable-execute-command",
    "ecs:enable-service-connect",
    "ecs:enable-vpc-lattice",
    "ecs:namespace",
    "ecs:propagate-tags",
    "ecs:subnet",
    "ecs:task-cpu",
    "ecs:task-definition",
    "ecs:task-memory",
];

/// What both requests have in common.
struct Wanted<'a> {
    cluster: &'a Text,
    network: &'a Option<NetworkConfiguration>,
    strategy: &'a Option<Vec<CapacityProviderStrategyItem>>,
    definition: &'a Text,
    managed_tags: Option<bool>,
    propagate_tags: Option<PropagateTags>,
    with_exec: Option<bool>,
}

impl Wanted<'_> {
    fn keys(&self, cx: &Cx) -> Vec<ConditionKey> {
        let flag = |name: &str, it: bool| ConditionKey::new(name, Some(it));
        let place = self.network.as_ref();
        let place = place.and_then(|it| it.awsvpc_configuration.as_ref());
        let is_public = place.map(|it| it.assign_public_ip == Some(AssignPublicIp::Enabled));
        let subnets = place.map(|it| it.subnets.clone()).unwrap_or_default();
        let found = self.definition.as_ref();
        let found = found.and_then(|it| cx.read(|tx| find_definition(cx, tx, it)).ok().flatten());
        let shape = found.map(|it| it.shape).unwrap_or_default();
        vec![
            ConditionKey::new("ecs:auto-assign-public-ip", is_public),
            strategy(cx, self.strategy),
            of_cluster(cx, self.cluster),
            exec_key(self.with_exec),
            // Nothing of these is built: who asks for it is refused.
            flag("ecs:enable-ebs-volumes", false),
            flag("ecs:enable-service-connect", false),
            flag("ecs:enable-vpc-lattice", false),
            flag(
                "ecs:enable-ecs-managed-tags",
                self.managed_tags == Some(true),
            ),
            ConditionKey::new("ecs:propagate-tags", self.propagate_tags.as_ref()),
            ConditionKey::of_many("ecs:subnet", subnets),
            ConditionKey::new("ecs:task-cpu", shape.cpu.as_ref()),
            ConditionKey::new("ecs:task-definition", shape.task_definition_arn.as_ref()),
            ConditionKey::new("ecs:task-memory", shape.memory.as_ref()),
        ]
    }
}

pub fn create_service() -> Permission<CreateServiceInput> {
    permission::on(SERVICE, |cx, it: &CreateServiceInput| {
        service(cx, it.cluster.as_deref(), &it.service_name)
    })
    .and("ecs:TagResource", SERVICE, |cx, it: &CreateServiceInput| {
        let touched = service(cx, it.cluster.as_deref(), &it.service_name);
        tagged_at_once(cx, &it.tags, "CreateService", touched)
    })
    .passing(ECS, |it| it.role.iter().cloned().collect())
    .passing_found(TASKS, |cx, it| roles_of_named(cx, &it.task_definition))
    .supplying(OF_SERVICE, |cx, it| {
        let wanted = Wanted {
            cluster: &it.cluster,
            network: &it.network_configuration,
            strategy: &it.capacity_provider_strategy,
            definition: &it.task_definition,
            managed_tags: it.enable_ecs_managed_tags,
            propagate_tags: it.propagate_tags,
            with_exec: it.enable_execute_command,
        };
        wanted.keys(cx)
    })
    .lacking(CREATE_ACTION)
}

/// Who names a definition passes its roles; who changes only how many tasks there are passes none.
pub fn update_service() -> Permission<UpdateServiceInput> {
    permission::on(SERVICE, |cx, it: &UpdateServiceInput| {
        service(cx, it.cluster.as_deref(), &it.service)
    })
    .passing_found(TASKS, |cx, it| roles_of_named(cx, &it.task_definition))
    .supplying(OF_SERVICE, |cx, it| {
        let wanted = Wanted {
            cluster: &it.cluster,
            network: &it.network_configuration,
            strategy: &it.capacity_provider_strategy,
            definition: &it.task_definition,
            managed_tags: it.enable_ecs_managed_tags,
            propagate_tags: it.propagate_tags,
            with_exec: it.enable_execute_command,
        };
        wanted.keys(cx)
    })
}

/// Things of a service's that have ARNs of their own, `…:KIND/cluster/service/number`, and their service.
fn parts(cx: &Cx, kind: &str, arns: &[String]) -> (Vec<Touched>, Vec<Touched>) {
    let start = cx.arn("ecs", &format!("{kind}/"));
    let (mut services, mut own) = (Vec::new(), Vec::new());
    for arn in arns {
        let path = arn.strip_prefix(&start).unwrap_or_default();
        match path.split('/').collect::<Vec<_>>()[..] {
            [of, name, _] => {
                let it = service(cx, Some(of), name);
                own.push(
                    Touched::absent(arn)
                        .with_key("ecs:service", Some(&it.arn))
                        .with_key("ecs:cluster", Some(cluster_arn(cx, of))),
                );
                services.push(
                    it.clone()
                        .with_key("ecs:service", Some(&it.arn))
                        .with_key("ecs:cluster", Some(cluster_arn(cx, of))),
                );
            }
            _ => own.push(Touched::absent(arn)),
        }
    }
    (services, own)
}

pub fn on_parts<I: 'static>(kind: &'static str, arns: fn(&I) -> &[String]) -> Permission<I> {
    permission::on(SERVICE, move |cx, it| parts(cx, kind, arns(it)).0)
        .also(kind, move |cx, it| parts(cx, kind, arns(it)).1)
        .supplying(&["ecs:cluster", "ecs:service"], |_, _| Vec::new())
}

pub fn on_setting<I: 'static>(value: fn(&I) -> Option<&str>) -> Permission<I> {
    permission::everywhere().supplying(&["ecs:account-setting"], move |_, it| {
        vec![ConditionKey::new("ecs:account-setting", value(it))]
    })
}

/// Whatever of ECS's an ARN is of.
pub fn by_arn<I: 'static>(arn: fn(&I) -> &str) -> Permission<I> {
    let of_kind = move |kind: &'static str| {
        move |cx: &Cx, it: &I| {
            let arn = arn(it);
            let path = arn.strip_prefix(&cx.arn("ecs", ""))?;
            match path.split('/').collect::<Vec<_>>()[..] {
                [of, name] if of == kind && kind == CLUSTER => Some(cluster(cx, Some(name))),
                [of, in_it, name] if of == kind && kind == SERVICE => {
                    Some(service(cx, Some(in_it), name))
                }
                [of, in_it, id] if of == kind && kind == TASK => Some(task(cx, Some(in_it), id)),
                [of, in_it, id] if of == kind && kind == INSTANCE => {
                    Some(instance(cx, Some(in_it), id))
                }
                [of, name] if of == kind && kind == DEFINITION => Some(definition(cx, name)),
                _ => None,
            }
        }
    };
    permission::on(CLUSTER, of_kind(CLUSTER))
        .also(SERVICE, of_kind(SERVICE))
        .also(TASK, of_kind(TASK))
        .also(INSTANCE, of_kind(INSTANCE))
        .also(DEFINITION, of_kind(DEFINITION))
}
