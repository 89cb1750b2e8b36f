//! AWS::ElasticLoadBalancingV2::Listener and ListenerRule.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, Stability};
use serde_json::{Value as Json, json};
use shapes::elbv2::{
    CreateListenerInput, CreateRuleInput, DeleteListenerInput, DeleteRuleInput,
    DescribeListenersInput, ModifyListenerInput, ModifyRuleInput, RulePriorityPair,
    SetRulePrioritiesInput,
};

use super::properties::{ACTION, CERTIFICATE, CONDITION};
use super::{gone_is_fine, refuse_others};
use crate::record::{self, EDGE_KEY, EdgeApplied, Listener};

/// Real once the edge serves the generation that it came with; failed when its port is not to be had.
pub fn stability(
    cx: &Cx,
    find: impl FnOnce(&cloud::Records<'_>) -> Result<Listener, cloud::Error>,
) -> Result<Stability, ResourceError> {
    let (listener, applied) = cx.read(|tx| {
        Ok((
            find(tx)?,
            tx.get::<EdgeApplied>(EDGE_KEY)?.unwrap_or_default(),
        ))
    })?;
    let balancer = format!("{}/{}", listener.region, listener.balancer);
    Ok(match applied.problem_of(listener.port) {
        _ if applied.generation < listener.generation => {
            Stability::Waiting("the edge has not taken it yet".into())
        }
        _ if applied.waiting.contains(&balancer) => {
            Stability::Waiting("the load balancer's interfaces are not there yet".into())
        }
        Some(problem) => Stability::Failed(problem.clone()),
        None => Stability::Stable,
    })
}

pub struct ListenerType;

#[async_trait]
impl ResourceType for ListenerType {
    fn name(&self) -> &'static str {
        "AWS::ElasticLoadBalancingV2::Listener"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::objects("Certificates").members(CERTIFICATE),
                Property::objects("DefaultActions")
                    .required()
                    .members(ACTION),
                Property::text("LoadBalancerArn").required().replaces(),
                Property::number("Port"),
                Property::text("Protocol"),
                Property::text("SslPolicy"),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["ListenerArn"]
    }
    fn refuse(&self, properties: &Json) -> Result<(), String> {
        refuse_others(properties, "Protocol", &["HTTP", "HTTPS"])
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateListenerInput {
            load_balancer_arn: request.shape("LoadBalancerArn")?.unwrap_or_default(),
            protocol: request.shape("Protocol")?,
            port: request.shape("Port")?,
            certificates: request.shape("Certificates")?,
            ssl_policy: request.text("SslPolicy"),
            default_actions: request.shape("DefaultActions")?.unwrap_or_default(),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?.listeners;
        let made = made.into_iter().flatten().next();
        Created::of(made.and_then(|it| it.listener_arn))
    }
    async fn stability(&self, cx: &Cx, arn: &str) -> Result<Stability, ResourceError> {
        stability(cx, |tx| record::listener(cx, tx, arn))
    }
    async fn actual(
        &self,
        cx: &Cx,
        arn: &str,
        _expected: &Json,
    ) -> Result<Option<Json>, ResourceError> {
        let input = DescribeListenersInput {
            listener_arns: Some(vec![arn.into()]),
            ..Default::default()
        };
        let listeners = match cx.call(input).await {
            Err(error) if error.code.contains("NotFound") => None,
            other => other?.listeners,
        };
        let listener = listeners.unwrap_or_default().into_iter().next();
        Ok(Some(match listener {
            Some(listener) => cloud::as_properties(&listener),
            None => Json::Null,
        }))
    }
    async fn update(
        &self,
        cx: &Cx,
        arn: &str,
        _old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let input = ModifyListenerInput {
            listener_arn: arn.into(),
            port: request.shape("Port")?,
            protocol: request.shape("Protocol")?,
            certificates: request.shape("Certificates")?,
            ssl_policy: request.text("SslPolicy"),
            default_actions: request.shape("DefaultActions")?,
        };
        cx.call(input).await?;
        Ok(())
    }
    async fn delete(&self, cx: &Cx, arn: &str, _properties: &Json) -> Result<(), ResourceError> {
        gone_is_fine(
            cx.call(DeleteListenerInput {
                listener_arn: arn.into(),
            })
            .await,
        )
    }
}

pub struct RuleType;

#[async_trait]
impl ResourceType for RuleType {
    fn name(&self) -> &'static str {
        "AWS::ElasticLoadBalancingV2::ListenerRule"
    }
    fn properties(&self) -> &'static [Property] {
        const {
            &[
                Property::objects("Actions").required().members(ACTION),
                Property::objects("Conditions")
                    .required()
                    .members(CONDITION),
                Property::text("ListenerArn").required().replaces(),
                Property::number("Priority").required(),
            ]
        }
    }
    fn same_as_ref(&self) -> &'static [&'static str] {
        &["RuleArn"]
    }
    fn readable(&self) -> &'static [&'static str] {
        &["IsDefault"]
    }
    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let input = CreateRuleInput {
            listener_arn: request.shape("ListenerArn")?.unwrap_or_default(),
            conditions: request.shape("Conditions")?.unwrap_or_default(),
            priority: request.shape("Priority")?.unwrap_or_default(),
            actions: request.shape("Actions")?.unwrap_or_default(),
            ..Default::default()
        };
        let made = cx.with_token(&*request.token).call(input).await?.rules;
        let made = made.into_iter().flatten().next();
        Created::of(made.and_then(|it| it.rule_arn))
    }
    async fn stability(&self, cx: &Cx, arn: &str) -> Result<Stability, ResourceError> {
        stability(cx, |tx| record::rule(cx, tx, arn).map(|it| it.0))
    }
    async fn update(
        &self,
        cx: &Cx,
        arn: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let input = ModifyRuleInput {
            rule_arn: arn.into(),
            conditions: request.shape("Conditions")?,
            actions: request.shape("Actions")?,
        };
        cx.call(input).await?;
        if old.get("Priority") != request.get("Priority") {
            let pair = RulePriorityPair {
                rule_arn: Some(arn.into()),
                priority: request.shape("Priority")?,
            };
            cx.call(SetRulePrioritiesInput {
                rule_priorities: vec![pair],
            })
            .await?;
        }
        Ok(())
    }
    async fn delete(&self, cx: &Cx, arn: &str, _properties: &Json) -> Result<(), ResourceError> {
        gone_is_fine(
            cx.call(DeleteRuleInput {
                rule_arn: arn.into(),
            })
            .await,
        )
    }
    async fn read(&self, _cx: &Cx, _arn: &str) -> Result<Json, ResourceError> {
        Ok(json!({"IsDefault": false}))
    }
}
