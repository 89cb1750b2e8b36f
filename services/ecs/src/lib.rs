//! Amazon ECS: clusters, task definitions, tasks and services on Fargate.
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
//! | `ecs.task-definition` | region/family:revision | |
//! | `ecs.service` | region/cluster/name | woken by its tasks, and by target health |
//! | `ecs.task` | region/cluster/service/id | not stopped; woken by the engine |
//! | `ecs.stopped-task` | the same | kept for good |
//! | `ecs.task-place` | id | the way from the engine's id to the record |

mod cfn;
mod cluster;
mod container_rules;
mod definition;
mod definition_rules;
mod fargate;
mod inside;
mod launch;
mod ledger;
mod metric_data;
mod metrics;
mod names;
mod new_task;
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
mod tags;
mod targets;
mod task;
mod task_reconciler;
mod task_record;
mod task_start;
mod task_view;

use cloud::{Service, Watch};

pub use inside::{credentials, metadata};

/// Everything that Amazon ECS brings.
pub fn service() -> Service {
    Service::new(&shapes::ecs::MODEL)
        .on_unlisted(cluster::create_cluster)
        .on_unlisted(cluster::describe_clusters)
        .on_unlisted(cluster::list_clusters)
        .on_unlisted(cluster::delete_cluster)
        .on_unlisted(cluster::update_cluster)
        .on_unlisted(cluster::update_cluster_settings)
        .on_unlisted(cluster::put_cluster_capacity_providers)
        .on_unlisted(cluster::describe_capacity_providers)
        .on_unlisted(definition::register_task_definition)
        .on_unlisted(definition::describe_task_definition)
        .on_unlisted(definition::deregister_task_definition)
        .on_unlisted(definition::delete_task_definitions)
        .on_unlisted(definition::list_task_definitions)
        .on_unlisted(definition::list_task_definition_families)
        .on_unlisted(run_task::run_task)
        .on_unlisted(task::stop_task)
        .on_unlisted(task::describe_tasks)
        .on_unlisted(task::list_tasks)
        .on_unlisted(service_create::create_service)
        .on_unlisted(service::update_service)
        .on_unlisted(service::delete_service)
        .on_unlisted(service::describe_services)
        .on_unlisted(service::list_services)
        .on_unlisted(service_deployments::list_service_deployments)
        .on_unlisted(service_deployments::describe_service_deployments)
        .on_unlisted(service_deployments::describe_service_revisions)
        .on_unlisted(settings::put_account_setting)
        .on_unlisted(settings::put_account_setting_default)
        .on_unlisted(settings::delete_account_setting)
        .on_unlisted(settings::list_account_settings)
        .on_unlisted(tags::tag_resource)
        .on_unlisted(tags::untag_resource)
        .on_unlisted(tags::list_tags_for_resource)
        .resource(cfn::Cluster)
        .resource(cfn::TaskDefinition)
        .resource(cfn::Service)
        .reconciles(task_reconciler::TaskReconciler)
        .reconciles(scheduler::ServiceReconciler)
        .reconciles(metrics::MetricsReconciler::default())
        .follows("ecs.task", metrics::KIND, metrics::KEY)
        .watches(Watch {
            changes: |engine| engine.tasks.changes(),
            keys: task_reconciler::keys_of_engine_task,
        })
        .watches(Watch {
            changes: |engine| engine.edge.changes(),
            keys: scheduler::keys_of_edge_change,
        })
}
