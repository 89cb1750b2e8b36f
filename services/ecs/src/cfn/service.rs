//! `AWS::ECS::Service`: `Ref` is its ARN. It is stable when its deployment is completed and all of
//! its tasks are healthy, and has failed when the circuit breaker says so.

use async_trait::async_trait;
use cloud::{
    Created, Cx, Error, Property, ResourceError, ResourceRequest, ResourceType, Stability,
};
use serde_json::{Value as Json, json};
use shapes::ecs::*;

use super::service_properties::PROPERTIES;
use super::{retag, tag_list};
use crate::names::parse_service_arn;
use crate::plan::Rollout;
use crate::record::{self, ServiceStatus};
use crate::service_create::refuse_of_service;
use crate::task_record::{StoppedTask, Task};

pub struct Service;

const NAME_LENGTH_MAX: usize = 255;
/// What CloudFormation says when the circuit breaker tripped.
const TRIPPED: &str =
    "Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'.";

/// A template calls the strategies otherwise than the operations do.
fn as_asked(properties: &Json) -> Json {
    let mut asked = properties.clone();
    if let Some(members) = asked.as_object_mut()
        && let Some(strategies) = members.remove("PlacementStrategies")
    {
        members.insert("PlacementStrategy".into(), strategies);
    }
    asked
}

fn find(cx: &Cx, arn: &str) -> Result<Option<record::Service>, Error> {
    let Some((cluster, name)) = parse_service_arn(arn) else {
        return Ok(None);
    };
    cx.read(|tx| tx.get(&record::Service::key_of(&cx.region, cluster, name)))
}

/// Why the newest of the service's failed tasks stopped, which it was, and how its containers ended: when the
/// stack goes back, the service goes, and nothing else tells of it.
fn last_failure(cx: &Cx, service: &record::Service) -> Result<Option<String>, Error> {
    let prefix = Task::prefix_of(&service.region, &service.cluster, Some(&service.name));
    let stopped = cx.read(|tx| tx.list::<StoppedTask>(&prefix))?;
    let failed = stopped.into_iter().map(|it| it.0).filter(|it| {
        it.stop
            .as_ref()
            .is_some_and(|stop| stop.failure != crate::task_record::Failure::No)
    });
    let newest = failed.max_by_key(|it| it.stopped_ms);
    Ok(newest.and_then(|it| {
        let mut known = format!("task {}", it.id);
        let exited = it.containers.iter().filter(|it| it.exit_code != Some(0));
        for container in exited {
            let Some(code) = container.exit_code else {
                continue;
            };
            known += &format!("; container {}: exit code {code}", container.name);
            if let Some(reason) = &container.reason {
                known += &format!(": {reason}");
            }
        }
        Some(format!("{} ({known})", it.stop?.reason))
    }))
}

fn tripped(cx: &Cx, service: &record::Service) -> Result<Stability, ResourceError> {
    let why = last_failure(cx, service)?.map(|it| format!(" The last task stopped: {it}"));
    Ok(Stability::Failed(format!(
        "{TRIPPED}{}",
        why.unwrap_or_default()
    )))
}

#[async_trait]
impl ResourceType for Service {
    fn name(&self) -> &'static str {
        "AWS::ECS::Service"
    }
    fn properties(&self) -> &'static [Property] {
        PROPERTIES
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["ServiceArn"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Name"]
    }

    fn refuse(&self, properties: &Json) -> Result<(), String> {
        let known = as_asked(&cloud::known_part(properties));
        let read = cloud::read_known(&known, &["Tags", "ForceNewDeployment"])?;
        // What cannot be read yet is left to the operation.
        let Some(mut asked): Option<CreateServiceInput> = read else {
            return Ok(());
        };
        if known["DeploymentController"] != properties["DeploymentController"] {
            asked.deployment_controller = None;
        }
        refuse_of_service(&asked).map_err(|it| it.message)
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let mut call: CreateServiceInput = cloud::read_properties(
            &as_asked(&request.properties),
            &["Tags", "ForceNewDeployment"],
        )?;
        if call.service_name.is_empty() {
            call.service_name = request.generated_name(NAME_LENGTH_MAX);
        }
        call.tags = Some(tag_list(request.all_tags()));
        let made = cx.with_token(&request.token).call(call).await?.service;
        Created::of(made.and_then(|it| it.service_arn))
    }

    async fn stability(&self, cx: &Cx, physical_id: &str) -> Result<Stability, ResourceError> {
        let Some(service) = find(cx, physical_id)? else {
            return Ok(Stability::Failed("the service is gone".into()));
        };
        let Some(primary) = service.deployments.first() else {
            return Ok(Stability::Failed("the service is being deleted".into()));
        };
        match primary.rollout {
            Rollout::Failed => tripped(cx, &service),
            _ if primary.is_rollback => tripped(cx, &service),
            Rollout::Completed if service.said_steady => Ok(Stability::Stable),
            _ => {
                let said = service.events.first().and_then(|it| it.message.clone());
                Ok(Stability::Waiting(
                    said.unwrap_or_else(|| primary.reason.clone()),
                ))
            }
        }
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let Some((cluster, name)) = parse_service_arn(physical_id) else {
            return Err(ResourceError::new(format!(
                "`{physical_id}` is not a service's ARN"
            )));
        };
        let without = [
            "Tags",
            "ForceNewDeployment",
            "Cluster",
            "LaunchType",
            "Role",
            "SchedulingStrategy",
            "ServiceName",
        ];
        let mut call: UpdateServiceInput =
            cloud::read_properties(&as_asked(&request.properties), &without)?;
        let is_gone = |name: &str| request.get(name).is_none() && old.get(name).is_some();
        if is_gone("PlacementConstraints") {
            call.placement_constraints = Some(Vec::new());
        }
        if is_gone("PlacementStrategies") {
            call.placement_strategy = Some(Vec::new());
        }
        if is_gone("EnableExecuteCommand") {
            call.enable_execute_command = Some(false);
        }
        // What was scaled since stays so: a template that says the same as before asks for nothing.
        if request.get("DesiredCount") == old.get("DesiredCount") {
            call.desired_count = None;
        }
        (call.cluster, call.service) = (Some(cluster.to_owned()), name.to_owned());
        if call.load_balancers.is_none() && old.get("LoadBalancers").is_some() {
            call.load_balancers = Some(Vec::new());
        }
        let forced = request.get("ForceNewDeployment");
        let enabled = forced.is_some_and(|it| it["EnableForceNewDeployment"] == Json::Bool(true));
        call.force_new_deployment = Some(enabled && forced != old.get("ForceNewDeployment"));
        cx.with_token(&request.token).call(call).await?;
        retag(cx, physical_id, request.tag_changes(old)).await
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let Some((cluster, name)) = parse_service_arn(physical_id) else {
            return Ok(());
        };
        let call = DeleteServiceInput {
            cluster: Some(cluster.to_owned()),
            service: name.to_owned(),
            force: Some(true),
        };
        let gone = [
            errors::ServiceNotFoundException.code,
            errors::ClusterNotFoundException.code,
        ];
        cloud::deletion(cx.call(call).await, &gone, &[])
    }

    async fn deleted(&self, cx: &Cx, physical_id: &str) -> Result<Stability, ResourceError> {
        match find(cx, physical_id)? {
            Some(it) if it.status != ServiceStatus::Inactive => {
                Ok(Stability::Waiting("its tasks are stopping".into()))
            }
            _ => Ok(Stability::Stable),
        }
    }

    async fn actual(
        &self,
        cx: &Cx,
        physical_id: &str,
        expected: &Json,
    ) -> Result<Option<Json>, ResourceError> {
        let Some((cluster, name)) = parse_service_arn(physical_id) else {
            return Ok(None);
        };
        let call = DescribeServicesInput {
            cluster: Some(cluster.to_owned()),
            services: vec![name.to_owned()],
            include: None,
        };
        let services = match cx.call(call).await {
            Err(error) if error.is(errors::ClusterNotFoundException) => None,
            other => other?.services,
        };
        let service = services.unwrap_or_default().into_iter().next();
        let Some(service) = service.filter(|it| it.status.as_deref() == Some("ACTIVE")) else {
            return Ok(Some(Json::Null));
        };
        let mut all = cloud::as_properties(&service);
        // A template may name a definition by its family, or by family and revision.
        let written = expected["TaskDefinition"].as_str().unwrap_or_default();
        let arn = all["TaskDefinition"].as_str().unwrap_or_default();
        let path = arn.rsplit('/').next().unwrap_or_default();
        if path == written || path.split(':').next() == Some(written) {
            all["TaskDefinition"] = written.into();
        }
        let names = [
            "DeploymentConfiguration",
            "DesiredCount",
            "EnableExecuteCommand",
            "HealthCheckGracePeriodSeconds",
            "LaunchType",
            "LoadBalancers",
            "NetworkConfiguration",
            "SchedulingStrategy",
            "ServiceName",
            "TaskDefinition",
        ];
        let found = names.map(|it| (it.to_owned(), all[it].clone()));
        let found = found.into_iter().filter(|(_, it)| !it.is_null());
        Ok(Some(Json::Object(found.collect())))
    }

    async fn read(&self, _cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        Ok(match parse_service_arn(physical_id) {
            Some((_, name)) => json!({ "Name": name }),
            None => json!({}),
        })
    }
}
