//! Listeners.

use cloud::{Cx, Error, Record, Records};
use shapes::elbv2::errors::{
    DuplicateListenerException, InvalidLoadBalancerActionException, ListenerNotFoundException,
    TargetGroupAssociationLimitException,
};
use shapes::elbv2::{
    self, Action, ActionTypeEnum, CreateListenerInput, CreateListenerOutput, DeleteListenerInput,
    DeleteListenerOutput, DescribeListenersInput, DescribeListenersOutput, ForwardActionConfig,
    ModifyListenerInput, ModifyListenerOutput, ProtocolEnum, TargetGroupStickinessConfig,
    TargetGroupTuple,
};

use crate::balancer::unsupported;
use crate::certificates::{self, Wanted};
use crate::names;
use crate::paging::Asked;
use crate::record::{self, Balancer, Listener, forwarded};
use crate::{tags, target_group};

/// Checks that every action can be carried out, and that what it names exists.
pub fn check_actions(
    cx: &Cx,
    tx: &Records<'_>,
    balancer: &Balancer,
    actions: &[Action],
) -> Result<(), Error> {
    let invalid = |text: &str| Err(wire::codes::ValidationError.because(text));
    let [action] = actions else {
        return match actions {
            [] => invalid("A listener or rule needs an action"),
            _ => Err(unsupported("more than one action in a listener or rule")),
        };
    };
    match action.r#type {
        ActionTypeEnum::Forward => {
            let groups = forwarded(action);
            if groups.is_empty() {
                return invalid("You must specify a target group for a forward action");
            }
            for (arn, _) in &groups {
                let group = record::target_group(cx, tx, arn)?;
                if group.shape.vpc_id.as_ref() != Some(&balancer.vpc) {
                    return invalid(
                        "The target group and the load balancer must be in the same VPC",
                    );
                }
                check_alone(cx, tx, balancer, arn)?;
            }
        }
        ActionTypeEnum::Redirect if action.redirect_config.is_none() => {
            return invalid("You must specify a redirect configuration for a redirect action");
        }
        ActionTypeEnum::FixedResponse if action.fixed_response_config.is_none() => {
            return invalid(
                "You must specify a fixed response configuration for a fixed-response action",
            );
        }
        ActionTypeEnum::Redirect => {
            check_redirect_parts(action)?;
            check_redirect(action)?;
        }
        ActionTypeEnum::FixedResponse => check_fixed_response(action)?,
        other => return Err(unsupported(&format!("the action type '{other}'"))),
    }
    Ok(())
}

/// A target group belongs to one load balancer (ELBv2 API reference, "TargetGroupAssociationLimit").
fn check_alone(cx: &Cx, tx: &Records<'_>, balancer: &Balancer, arn: &str) -> Result<(), Error> {
    let own = balancer.arn(cx);
    let others = target_group::balancers_of(cx, tx, arn)?;
    if others.iter().all(|it| *it == own) {
        return Ok(());
    }
    Err(TargetGroupAssociationLimitException.because(format!(
        "The following target groups cannot be associated with more than one load balancer: {arn}"
    )))
}

/// Of a fixed answer (ELBv2 API reference, "FixedResponseActionConfig").
const CONTENT_TYPES: [&str; 5] = [
    "text/plain",
    "text/css",
    "text/html",
    "application/javascript",
    "application/json",
];

/// What the model does not say of a redirect.
fn check_redirect_parts(action: &Action) -> Result<(), Error> {
    let Some(config) = &action.redirect_config else {
        return Ok(());
    };
    let invalid = |text: String| Err(wire::codes::ValidationError.because(text));
    if let Some(port) = &config.port
        && port != "#{port}"
        && !port.parse().is_ok_and(|port: u16| port > 0)
    {
        return invalid(format!(
            "The redirect's port '{port}' must be between 1 and 65535, or '#{{port}}'"
        ));
    }
    if let Some(path) = &config.path
        && !path.starts_with('/')
    {
        return invalid(format!("The redirect's path '{path}' must begin with '/'"));
    }
    Ok(())
}

fn check_fixed_response(action: &Action) -> Result<(), Error> {
    let config = action.fixed_response_config.as_ref();
    let content_type = config.and_then(|it| it.content_type.as_deref());
    match content_type {
        Some(found) if !CONTENT_TYPES.contains(&found) => Err(wire::codes::ValidationError
            .because(format!(
                "The content type '{found}' must be one of: {}",
                CONTENT_TYPES.join(", ")
            ))),
        _ => Ok(()),
    }
}

/// Something of the request has to change, or it would come back for ever.
fn check_redirect(action: &Action) -> Result<(), Error> {
    let Some(config) = &action.redirect_config else {
        return Ok(());
    };
    let kept = [
        (&config.protocol, "#{protocol}"),
        (&config.host, "#{host}"),
        (&config.port, "#{port}"),
        (&config.path, "/#{path}"),
    ];
    if kept
        .iter()
        .any(|(value, same)| value.as_deref().is_some_and(|it| it != *same))
    {
        return Ok(());
    }
    Err(InvalidLoadBalancerActionException.because(
        "You must modify at least one of the following components to avoid a redirect loop: protocol, port, host, or path",
    ))
}

fn port_of(port: Option<i32>) -> Result<u16, Error> {
    let port = port
        .ok_or_else(|| wire::codes::ValidationError.because("A listener port must be specified"))?;
    u16::try_from(port)
        .ok()
        .filter(|it| *it != 0)
        .ok_or_else(|| {
            wire::codes::ValidationError.because(format!("Port '{port}' is out of range"))
        })
}

pub async fn create_listener(
    cx: Cx,
    input: CreateListenerInput,
) -> Result<CreateListenerOutput, Error> {
    if input.protocol.is_none() {
        return Err(wire::codes::ValidationError.because("A listener protocol must be specified"));
    }
    let wanted = Wanted {
        protocol: input.protocol,
        certificates: input.certificates.as_ref(),
        policy: input.ssl_policy.as_ref(),
    };
    let port = port_of(input.port)?;
    let tags = tags::given(input.tags.as_ref())?;
    cx.write(|tx| {
        let balancer = record::balancer(&cx, tx, &input.load_balancer_arn)?;
        let tls = wanted.settings(&cx, tx, None)?;
        check_actions(&cx, tx, &balancer, &input.default_actions)?;
        let id = cx.new_id("", 16);
        let others = tx.list::<Listener>(&format!("{}/", balancer.key()))?;
        if let Some(other) = others.iter().find(|it| it.port == port) {
            // The same once more is the same listener, but not for a stack, which would delete it with
            // what it has made.
            let same = || {
                other.tls == tls && forms(&other.default_actions) == forms(&input.default_actions)
            };
            if other.id == id || (cx.token.is_none() && same()) {
                return Ok(CreateListenerOutput {
                    listeners: Some(vec![shown(&cx, other)]),
                });
            }
            return Err(DuplicateListenerException.because(format!(
                "A listener already exists on this port for this load balancer '{}'",
                input.load_balancer_arn
            )));
        }
        let listener = Listener {
            region: cx.region.clone(),
            balancer: balancer.full_name(),
            id,
            port,
            default_actions: input.default_actions.clone(),
            rules: vec![],
            tags: tags.clone(),
            attributes: Default::default(),
            tls,
            generation: record::touch(tx)?,
        };
        tx.put(&listener)?;
        Ok(CreateListenerOutput {
            listeners: Some(vec![shown(&cx, &listener)]),
        })
    })
}

pub fn shown(cx: &Cx, listener: &Listener) -> elbv2::Listener {
    elbv2::Listener {
        listener_arn: Some(listener.arn(cx)),
        load_balancer_arn: Some(cx.arn(
            "elasticloadbalancing",
            &format!("loadbalancer/{}", listener.balancer),
        )),
        port: Some(i32::from(listener.port)),
        protocol: Some(match listener.tls {
            None => ProtocolEnum::Http,
            Some(_) => ProtocolEnum::Https,
        }),
        certificates: listener.tls.as_ref().map(certificates::shown),
        ssl_policy: listener.tls.as_ref().map(|it| it.policy.clone()),
        default_actions: Some(shown_actions(&listener.default_actions)),
        ..Default::default()
    }
}

/// Actions in one of their forms, to be compared.
fn forms(actions: &[Action]) -> Vec<Action> {
    let mut shown = shown_actions(actions);
    shown.iter_mut().for_each(|it| it.order = None);
    shown
}

/// Forward actions are answered in both forms, the short one and the one with weights.
pub fn shown_actions(actions: &[Action]) -> Vec<Action> {
    let mut shown = actions.to_vec();
    for action in shown
        .iter_mut()
        .filter(|it| it.r#type == ActionTypeEnum::Forward)
    {
        let groups = forwarded(action);
        if let [(arn, _)] = &groups[..] {
            action.target_group_arn = Some(arn.clone());
        }
        let tuples = groups.into_iter().map(|(arn, weight)| TargetGroupTuple {
            target_group_arn: Some(arn),
            weight: i32::try_from(weight).ok(),
        });
        let stickiness = action
            .forward_config
            .take()
            .and_then(|it| it.target_group_stickiness_config);
        action.forward_config = Some(ForwardActionConfig {
            target_groups: Some(tuples.collect()),
            target_group_stickiness_config: Some(stickiness.unwrap_or(
                TargetGroupStickinessConfig {
                    enabled: Some(false),
                    duration_seconds: None,
                },
            )),
        });
    }
    shown
}

pub async fn describe_listeners(
    cx: Cx,
    input: DescribeListenersInput,
) -> Result<DescribeListenersOutput, Error> {
    let arns = names::asked(input.listener_arns.as_ref());
    let find = |tx: &Records<'_>, arn| {
        let found = record::listener(&cx, tx, arn);
        record::among(found, ListenerNotFoundException, "listeners")
    };
    let found: Vec<Listener> = cx.read(|tx| match (arns, &input.load_balancer_arn) {
        (Some(_), Some(_)) => Err(wire::codes::ValidationError
            .because("You cannot specify both listener ARNs and a load balancer ARN")),
        (Some(arns), None) => arns.iter().map(|arn| find(tx, arn)).collect(),
        (None, Some(balancer)) => {
            let balancer = record::balancer(&cx, tx, balancer)?;
            tx.list(&format!("{}/", balancer.key()))
        }
        (None, None) => Err(wire::codes::ValidationError
            .because("You must specify either listener ARNs or a load balancer ARN")),
    })?;
    let asked = Asked {
        of: "listeners",
        size: input.page_size,
        marker: input.marker.as_ref(),
    };
    let (page, next_marker) = asked.page_of(found, Listener::key)?;
    let listeners = page.iter().map(|it| shown(&cx, it)).collect();
    Ok(DescribeListenersOutput {
        listeners: Some(listeners),
        next_marker,
    })
}

pub async fn modify_listener(
    cx: Cx,
    input: ModifyListenerInput,
) -> Result<ModifyListenerOutput, Error> {
    let wanted = Wanted {
        protocol: input.protocol,
        certificates: input.certificates.as_ref(),
        policy: input.ssl_policy.as_ref(),
    };
    cx.write(|tx| {
        let mut listener = record::listener(&cx, tx, &input.listener_arn)?;
        let balancer: Balancer = tx.get(&cx.key(&listener.balancer))?.ok_or_else(|| {
            ListenerNotFoundException
                .because(format!("Listener '{}' not found", input.listener_arn))
        })?;
        listener.tls = wanted.settings(&cx, tx, listener.tls.as_ref())?;
        if let Some(actions) = &input.default_actions {
            check_actions(&cx, tx, &balancer, actions)?;
            listener.default_actions.clone_from(actions);
        }
        if input.port.is_some() {
            listener.port = port_of(input.port)?;
            let others = tx.list::<Listener>(&format!("{}/", balancer.key()))?;
            if others
                .iter()
                .any(|it| it.id != listener.id && it.port == listener.port)
            {
                return Err(DuplicateListenerException
                    .because("A listener already exists on this port for this load balancer"));
            }
        }
        listener.generation = record::touch(tx)?;
        tx.put(&listener)?;
        Ok(ModifyListenerOutput {
            listeners: Some(vec![shown(&cx, &listener)]),
        })
    })
}

pub async fn delete_listener(
    cx: Cx,
    input: DeleteListenerInput,
) -> Result<DeleteListenerOutput, Error> {
    cx.write(|tx| {
        let listener = record::listener(&cx, tx, &input.listener_arn)?;
        tx.delete::<Listener>(&listener.key())?;
        record::touch(tx)?;
        Ok(DeleteListenerOutput {})
    })
}
