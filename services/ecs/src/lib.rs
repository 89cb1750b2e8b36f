//! Amazon ECS: clusters, task definitions, tasks and services, on Fargate and on container instances.
//!
//! Handlers check and record; two reconcilers act. [`task_reconciler`] carries one task through its
//! life. [`scheduler`] looks at one service: it gathers facts (its deployments, its tasks, the health
//! of its targets), lets [`plan`] decide, and writes down which tasks are to start and to stop. A task
//! that stops leaves its targets first and waits until they have drained, so that a deployment loses
//! no request.
//!
//! | record | key | |
//! |---|---|---|
//! | `ecs.cluster` | region/name | |
//! | `ecs.task-definition` | region/family:revision | active; others are `ecs.past-task-definition` |
//! | `ecs.service` | region/cluster/name | woken by its tasks, and by target health |
//! | `ecs.task` | region/cluster/service/id | not stopped; woken by the engine |
//! | `ecs.stopped-task` | the same | kept for two hours ([`history`]) |
//! | `ecs.container-instance` | region/cluster/id | what is free of it follows from its tasks ([`fleet`]) |
//! | `ecs.waiting-session` | id | of ECS Exec, until its client comes |
//! | `ecs.task-place` | id | the way from the engine's id to the record |

mod agent;
mod agent_config;
mod attributes;
mod bridge;
mod cfn;
mod cluster;
mod container_instance;
mod container_rules;
mod definition;
mod definition_rules;
mod exec;
mod exec_session;
mod execution_role;
mod fargate;
mod fleet;
mod history;
mod inside;
mod instance_record;
mod launch;
mod ledger;
mod linked_role;
mod machine;
mod machines;
mod metric_data;
mod metrics;
mod names;
mod new_task;
mod permission;
mod place;
mod placement;
mod plan;
mod record;
mod refuse;
mod roles;
mod run_task;
mod scheduler;
mod scheduler_steps;
mod secrets;
mod service;
mod service_create;
mod service_deployments;
mod service_rules;
mod service_view;
mod settings;
mod spec;
mod start_task;
mod tags;
mod targets;
mod task;
mod task_reconciler;
mod task_record;
mod task_start;
mod task_view;
mod volumes;

use cloud::permission::everywhere;
use cloud::{Service, Watch};

use shapes::ecs::TagResourceInput;

use permission::{
    CREATE_ACTION, by_arn, on_cluster, on_instances, on_parts, on_service, on_setting, targets,
};

pub use cfn::refusal as refusal_of_definition;
pub use exec_session::{ExecSession, keep_output, open as open_session};
pub use fargate::task_size;
pub use inside::{credentials, interface_of_instance, metadata};

/// Everything that Amazon ECS brings.
pub fn service() -> Service {
    Service::new(&shapes::ecs::MODEL)
        .on(cluster::create_cluster, permission::create_cluster())
        .on(cluster::describe_clusters, permission::on_clusters())
        .on(cluster::list_clusters, everywhere())
        .on(cluster::delete_cluster, on_cluster(|it| Some(&it.cluster)))
        .on(cluster::update_cluster, permission::update_cluster())
        .on(
            cluster::update_cluster_settings,
            on_cluster(|it| Some(&it.cluster)),
        )
        .on(
            cluster::put_cluster_capacity_providers,
            permission::put_providers(),
        )
        .on(
            cluster::describe_capacity_providers,
            permission::describe_providers(),
        )
        .on(definition::register_task_definition, permission::register())
        .on(definition::describe_task_definition, everywhere())
        .on(definition::deregister_task_definition, everywhere())
        .on(
            definition::delete_task_definitions,
            permission::on_definitions(),
        )
        .on(definition::list_task_definitions, everywhere())
        .on(definition::list_task_definition_families, everywhere())
        .on(run_task::run_task, permission::run())
        .on(start_task::start_task, permission::start())
        .on(
            container_instance::register_container_instance,
            permission::register_instance(),
        )
        .on(
            container_instance::deregister_container_instance,
            on_cluster(|it| it.cluster.as_ref()),
        )
        .on(
            container_instance::describe_container_instances,
            on_instances(|it| (&it.cluster, it.container_instances.iter().collect())),
        )
        .on(
            container_instance::list_container_instances,
            on_cluster(|it| it.cluster.as_ref()),
        )
        .on(
            container_instance::update_container_instances_state,
            on_instances(|it| (&it.cluster, it.container_instances.iter().collect())),
        )
        .on(
            container_instance::update_container_agent,
            on_instances(|it| (&it.cluster, vec![&it.container_instance])),
        )
        .on(container_instance::discover_poll_endpoint, everywhere())
        .on(
            attributes::put_attributes,
            on_instances(|it| (&it.cluster, targets(&it.attributes))),
        )
        .on(
            attributes::delete_attributes,
            on_instances(|it| (&it.cluster, targets(&it.attributes))),
        )
        .on(
            attributes::list_attributes,
            on_cluster(|it| it.cluster.as_ref()),
        )
        .on(task::stop_task, permission::stop_task())
        .on(task::describe_tasks, permission::describe_tasks())
        .on(exec::execute_command, permission::execute_command())
        .on(task::list_tasks, permission::list_tasks())
        .on(service_create::create_service, permission::create_service())
        .on(service::update_service, permission::update_service())
        .on(
            service::delete_service,
            on_service(|it| (&it.cluster, &it.service)),
        )
        .on(service::describe_services, permission::describe_services())
        .on(service::list_services, permission::list_services())
        .on(
            service_deployments::list_service_deployments,
            on_service(|it| (&it.cluster, &it.service)),
        )
        .on(
            service_deployments::describe_service_deployments,
            on_parts("service-deployment", |it| &it.service_deployment_arns),
        )
        .on(
            service_deployments::describe_service_revisions,
            on_parts("service-revision", |it| &it.service_revision_arns),
        )
        .on(
            settings::put_account_setting,
            on_setting(|it| Some(it.name.as_str())),
        )
        .on(
            settings::put_account_setting_default,
            on_setting(|it| Some(it.name.as_str())),
        )
        .on(
            settings::delete_account_setting,
            on_setting(|it| Some(it.name.as_str())),
        )
        .on(settings::list_account_settings, everywhere())
        .on(
            tags::tag_resource,
            by_arn(|it: &TagResourceInput| &it.resource_arn).lacking(CREATE_ACTION),
        )
        .on(tags::untag_resource, by_arn(|it| &it.resource_arn))
        .on(tags::list_tags_for_resource, by_arn(|it| &it.resource_arn))
        .resource(cfn::Cluster)
        .resource(cfn::TaskDefinition)
        .resource(cfn::Service)
        .reconciles(task_reconciler::TaskReconciler)
        .reconciles(scheduler::ServiceReconciler)
        .reconciles(metrics::MetricsReconciler::default())
        .reconciles(history::HistoryReconciler)
        .reconciles(machines::MachinesReconciler)
        .reconciles(agent::AgentReconciler::default())
        .follows(machines::CHANGED, agent::KIND, agent::KEY)
        .follows(machines::CHANGED, machines::KIND, machines::KEY)
        .follows("ecs.task", metrics::KIND, metrics::KEY)
        .follows("ecs.stopped-order", history::KIND, history::KEY)
        .watches(Watch {
            changes: |engine| engine.tasks.changes(),
            keys: task_reconciler::keys_of_engine_task,
        })
        .watches(Watch {
            changes: |engine| engine.edge.changes(),
            keys: scheduler::keys_of_edge_change,
        })
}
