//! AWS::ElasticLoadBalancingV2::ListenerCertificate: further certificates of a listener. `Ref` is an id of its own,
//! which begins with the listener's ARN.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability};
use serde_json::Value as Json;
use shapes::elbv2::{AddListenerCertificatesInput, Certificate, RemoveListenerCertificatesInput};

use super::gone_is_fine;
use super::listener::stability;
use super::properties::CERTIFICATE;
use crate::record;

pub struct ListenerCertificateType;

/// Between the listener's ARN and what is the resource's own.
const SEPARATOR: char = '|';

fn listener_of(id: &str) -> String {
    id.split(SEPARATOR).next().unwrap_or_default().to_owned()
}

fn certificates(properties: &Json) -> Vec<Certificate> {
    let all = properties["Certificates"].as_array().into_iter().flatten();
    let arns = all.filter_map(|it| it["CertificateArn"].as_str());
    arns.map(|arn| Certificate {
        certificate_arn: Some(arn.to_owned()),
        is_default: None,
    })
    .collect()
}

async fn add(cx: &Cx, listener_arn: String, new: Vec<Certificate>) -> Result<(), ResourceError> {
    let input = AddListenerCertificatesInput {
        listener_arn,
        certificates: new,
    };
    cx.call(input).await?;
    Ok(())
}

async fn remove(cx: &Cx, listener_arn: String, old: Vec<Certificate>) -> Result<(), ResourceError> {
    let input = RemoveListenerCertificatesInput {
        listener_arn,
        certificates: old,
    };
    gone_is_fine(cx.call(input).await)
}

#[async_trait]
impl ResourceType for ListenerCertificateType {
    fn name(&self) -> &'static str {
        "AWS::ElasticLoadBalancingV2::ListenerCertificate"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::objects("Certificates")
                    .required()
                    .members(CERTIFICATE),
                Property::text("ListenerArn").required().replaces(),
            ]
        }
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let listener = request.required_text("ListenerArn")?;
        add(cx, listener.clone(), certificates(&request.properties)).await?;
        let own = request.generated_suffix(12);
        Created::of(Some(format!("{listener}{SEPARATOR}{own}")))
    }
    async fn stability(&self, cx: &Cx, id: &str) -> Result<Stability, ResourceError> {
        stability(cx, |tx| record::listener(cx, tx, &listener_of(id)))
    }
    async fn update(
        &self,
        cx: &Cx,
        id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let (mut old, new) = (certificates(old), certificates(&request.properties));
        old.retain(|it| !new.contains(it));
        add(cx, listener_of(id), new).await?;
        if old.is_empty() {
            return Ok(());
        }
        remove(cx, listener_of(id), old).await
    }
    async fn delete(&self, cx: &Cx, id: &str, properties: &Json) -> Result<(), ResourceError> {
        remove(cx, listener_of(id), certificates(properties)).await
    }
}
