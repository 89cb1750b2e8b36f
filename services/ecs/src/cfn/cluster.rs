//! `AWS::ECS::Cluster`: `Ref` is its name.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType};
use serde_json::{Value as Json, json};
use shapes::ecs::*;

use super::{retag, tag_list};
use crate::names::cluster_arn;

pub struct Cluster;

const NAME_LENGTH_MAX: usize = 255;

const STRATEGY: &[Property] = &[
    Property::number("Base"),
    Property::text("CapacityProvider"),
    Property::number("Weight"),
];

const PROPERTIES: &[Property] = &[
    Property::texts("CapacityProviders"),
    Property::text("ClusterName").names(),
    Property::objects("ClusterSettings")
        .members(&[Property::text("Name"), Property::text("Value")]),
    Property::object("Configuration").members(&[
        Property::object("ExecuteCommandConfiguration").members(&[Property::text("Logging")])
    ]),
    Property::objects("DefaultCapacityProviderStrategy").members(STRATEGY),
    Property::objects("Tags"),
];

/// `ClusterSettings` is called `settings` by the API; tags go their own way.
fn renamed(properties: &Json) -> Json {
    let mut properties = properties.clone();
    if let Some(members) = properties.as_object_mut()
        && let Some(settings) = members.remove("ClusterSettings")
    {
        members.insert("Settings".into(), settings);
    }
    properties
}

#[async_trait]
impl ResourceType for Cluster {
    fn name(&self) -> &'static str {
        "AWS::ECS::Cluster"
    }
    fn properties(&self) -> &'static [Property] {
        PROPERTIES
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Arn"]
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let mut call: CreateClusterInput =
            cloud::read_properties(&renamed(&request.properties), &["Tags"])?;
        let name = call.cluster_name.clone();
        let name = name.unwrap_or_else(|| request.generated_name(NAME_LENGTH_MAX));
        call.cluster_name = Some(name.clone());
        call.tags = Some(tag_list(request.all_tags()));
        cx.with_token(&request.token).call(call).await?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let without = [
            "Tags",
            "ClusterName",
            "CapacityProviders",
            "DefaultCapacityProviderStrategy",
        ];
        let mut update: UpdateClusterInput =
            cloud::read_properties(&renamed(&request.properties), &without)?;
        update.cluster = physical_id.to_owned();
        cx.call(update).await?;
        let without = ["Tags", "ClusterName", "ClusterSettings", "Configuration"];
        let mut providers: PutClusterCapacityProvidersInput =
            cloud::read_properties(&request.properties, &without)?;
        providers.cluster = physical_id.to_owned();
        cx.call(providers).await?;
        let changes = request.tag_changes(old);
        retag(cx, &cluster_arn(cx, physical_id), changes).await
    }

    async fn delete(&self, cx: &Cx, physical_id: &str, _: &Json) -> Result<(), ResourceError> {
        let input = DeleteClusterInput {
            cluster: physical_id.to_owned(),
        };
        // Tasks that were run by hand, or are just stopping, are waited for as AWS does.
        let gone = &[errors::ClusterNotFoundException.code];
        let in_use = &[errors::ClusterContainsTasksException.code];
        cloud::deletion(cx.call(input).await, gone, in_use)
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        Ok(json!({ "Arn": cluster_arn(cx, physical_id) }))
    }
}
