//! Listener rules.

use cloud::{Cx, Error, Records};
use shapes::elbv2::errors::{
    OperationNotPermittedException, PriorityInUseException, RuleNotFoundException,
    TooManyRulesException,
};
use shapes::elbv2::{
    self, CreateRuleInput, CreateRuleOutput, DeleteRuleInput, DeleteRuleOutput, DescribeRulesInput,
    DescribeRulesOutput, ModifyRuleInput, ModifyRuleOutput, RuleCondition, SetRulePrioritiesInput,
    SetRulePrioritiesOutput,
};

use crate::conditions;
use crate::listener::{check_actions, shown_actions};
use crate::names;
use crate::paging::Asked;
use crate::record::{self, Balancer, Listener, Rule};
use crate::tags;

/// AWS's quota per load balancer, the default rule not counted.
const RULES_MAX: usize = 100;
const PRIORITY_MAX: i32 = 50_000;

fn check_priority(priority: i32) -> Result<(), Error> {
    if (1..=PRIORITY_MAX).contains(&priority) {
        return Ok(());
    }
    Err(wire::codes::ValidationError.because(format!(
        "Priority '{priority}' must be between 1 and {PRIORITY_MAX}"
    )))
}

fn holder(cx: &Cx, tx: &Records<'_>, listener: &Listener) -> Result<Balancer, Error> {
    tx.get(&cx.key(&listener.balancer))?.ok_or_else(|| {
        elbv2::errors::ListenerNotFoundException.because("The listener's load balancer is gone")
    })
}

pub async fn create_rule(cx: Cx, input: CreateRuleInput) -> Result<CreateRuleOutput, Error> {
    conditions::check(&input.conditions)?;
    check_priority(input.priority)?;
    let tags = tags::given(input.tags.as_ref())?;
    cx.write(|tx| {
        let mut listener = record::listener(&cx, tx, &input.listener_arn)?;
        check_actions(&cx, tx, &holder(&cx, tx, &listener)?, &input.actions)?;
        let id = cx.new_id("", 16);
        if let Some(other) = listener
            .rules
            .iter()
            .find(|it| it.priority == input.priority)
        {
            if other.id == id {
                return Ok(CreateRuleOutput {
                    rules: Some(vec![shown(&cx, &listener, other)]),
                });
            }
            return Err(PriorityInUseException
                .because(format!("Priority '{}' is currently in use", input.priority)));
        }
        if listener.rules.len() >= RULES_MAX {
            return Err(
                TooManyRulesException.because(format!("A listener has at most {RULES_MAX} rules"))
            );
        }
        let rule = Rule {
            id,
            priority: input.priority,
            conditions: input.conditions.clone(),
            actions: input.actions.clone(),
            tags: tags.clone(),
        };
        listener.rules.push(rule.clone());
        save(tx, &mut listener)?;
        Ok(CreateRuleOutput {
            rules: Some(vec![shown(&cx, &listener, &rule)]),
        })
    })
}

fn save(tx: &Records<'_>, listener: &mut Listener) -> Result<(), Error> {
    listener.rules.sort_by_key(|it| it.priority);
    listener.generation = record::touch(tx)?;
    tx.put(listener)
}

fn shown(cx: &Cx, listener: &Listener, rule: &Rule) -> elbv2::Rule {
    elbv2::Rule {
        rule_arn: Some(listener.rule_arn(cx, &rule.id)),
        priority: Some(rule.priority.to_string()),
        conditions: Some(rule.conditions.iter().map(shown_condition).collect()),
        actions: Some(shown_actions(&rule.actions)),
        is_default: Some(false),
        ..Default::default()
    }
}

/// Path and host conditions are answered in both forms, `Values` and their own configuration.
fn shown_condition(condition: &RuleCondition) -> RuleCondition {
    let mut shown = condition.clone();
    match shown.field.as_deref() {
        Some("path-pattern") => {
            let values = shown
                .values
                .clone()
                .or(shown.path_pattern_config.take().and_then(|it| it.values));
            shown.values.clone_from(&values);
            shown.path_pattern_config = Some(elbv2::PathPatternConditionConfig { values });
        }
        Some("host-header") => {
            let values = shown
                .values
                .clone()
                .or(shown.host_header_config.take().and_then(|it| it.values));
            shown.values.clone_from(&values);
            shown.host_header_config = Some(elbv2::HostHeaderConditionConfig { values });
        }
        _ => {}
    }
    shown
}

fn shown_default(cx: &Cx, listener: &Listener) -> elbv2::Rule {
    elbv2::Rule {
        rule_arn: Some(listener.rule_arn(cx, &listener.default_rule())),
        priority: Some("default".into()),
        conditions: Some(vec![]),
        actions: Some(shown_actions(&listener.default_actions)),
        is_default: Some(true),
        ..Default::default()
    }
}

fn all(cx: &Cx, listener: &Listener) -> Vec<elbv2::Rule> {
    let rules = listener.rules.iter().map(|it| shown(cx, listener, it));
    rules.chain([shown_default(cx, listener)]).collect()
}

pub async fn describe_rules(
    cx: Cx,
    input: DescribeRulesInput,
) -> Result<DescribeRulesOutput, Error> {
    let arns = names::asked(input.rule_arns.as_ref());
    let rules = cx.read(|tx| match (arns, &input.listener_arn) {
        (Some(_), Some(_)) => Err(wire::codes::ValidationError
            .because("You cannot specify both listener rule ARNs and a listener ARN")),
        (Some(arns), None) => arns.iter().map(|arn| one(&cx, tx, arn)).collect(),
        (None, Some(arn)) => Ok(all(&cx, &record::listener(&cx, tx, arn)?)),
        (None, None) => Err(wire::codes::ValidationError
            .because("You must specify either listener rule ARNs or a listener ARN")),
    })?;
    let asked = Asked {
        of: "rules",
        size: input.page_size,
        marker: input.marker.as_ref(),
    };
    let (page, next_marker) = asked.page_of(rules, order)?;
    Ok(DescribeRulesOutput {
        rules: Some(page),
        next_marker,
    })
}

/// The rule with this ARN.
fn one(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<elbv2::Rule, Error> {
    let found = record::rule(cx, tx, arn);
    let (listener, id) = record::among(found, RuleNotFoundException, "rules")?;
    let rule = listener.rules.iter().find(|it| it.id == id);
    Ok(match rule {
        Some(rule) => shown(cx, &listener, rule),
        None => shown_default(cx, &listener),
    })
}

/// By which rules are ordered: their priorities, and the default rule last.
fn order(rule: &elbv2::Rule) -> String {
    format!(
        "{:0>5}/{}",
        rule.priority.as_deref().unwrap_or_default(),
        rule.rule_arn.as_deref().unwrap_or_default()
    )
}

pub async fn modify_rule(cx: Cx, input: ModifyRuleInput) -> Result<ModifyRuleOutput, Error> {
    if let Some(conditions) = &input.conditions {
        conditions::check(conditions)?;
    }
    cx.write(|tx| {
        let (mut listener, id) = record::rule(&cx, tx, &input.rule_arn)?;
        if let Some(actions) = &input.actions {
            check_actions(&cx, tx, &holder(&cx, tx, &listener)?, actions)?;
        }
        let Some(rule) = listener.rules.iter_mut().find(|it| it.id == id) else {
            return Err(OperationNotPermittedException.because(format!(
                "Default rule '{}' cannot be modified",
                input.rule_arn
            )));
        };
        if let Some(conditions) = &input.conditions {
            rule.conditions.clone_from(conditions);
        }
        if let Some(actions) = &input.actions {
            rule.actions.clone_from(actions);
        }
        let rule = rule.clone();
        save(tx, &mut listener)?;
        Ok(ModifyRuleOutput {
            rules: Some(vec![shown(&cx, &listener, &rule)]),
        })
    })
}

pub async fn delete_rule(cx: Cx, input: DeleteRuleInput) -> Result<DeleteRuleOutput, Error> {
    cx.write(|tx| {
        let (mut listener, id) = record::rule(&cx, tx, &input.rule_arn)?;
        if id == listener.default_rule() {
            return Err(OperationNotPermittedException.because(format!(
                "Default rule '{}' cannot be deleted",
                input.rule_arn
            )));
        }
        listener.rules.retain(|it| it.id != id);
        save(tx, &mut listener)?;
        Ok(DeleteRuleOutput {})
    })
}

pub async fn set_rule_priorities(
    cx: Cx,
    input: SetRulePrioritiesInput,
) -> Result<SetRulePrioritiesOutput, Error> {
    cx.write(|tx| {
        let mut changed = Vec::new();
        for pair in &input.rule_priorities {
            let arn = pair.rule_arn.as_deref().unwrap_or_default();
            let priority = pair.priority.unwrap_or(0);
            check_priority(priority)?;
            let (mut listener, id) = record::rule(&cx, tx, arn)?;
            let Some(rule) = listener.rules.iter_mut().find(|it| it.id == id) else {
                return Err(OperationNotPermittedException
                    .because(format!("Default rule '{arn}' cannot have a priority")));
            };
            rule.priority = priority;
            let rule = rule.clone();
            save(tx, &mut listener)?;
            changed.push((listener, rule));
        }
        // Only the end state must be free of clashes: two rules may swap their priorities.
        for (listener, rule) in &changed {
            let listener: Option<Listener> = tx.get(&cloud::Record::key(listener))?;
            let clash = |it: &Rule| it.id != rule.id && it.priority == rule.priority;
            if listener.is_some_and(|it| it.rules.iter().any(clash)) {
                return Err(PriorityInUseException
                    .because(format!("Priority '{}' is currently in use", rule.priority)));
            }
        }
        let rules = changed
            .iter()
            .map(|(listener, rule)| shown(&cx, listener, rule))
            .collect();
        Ok(SetRulePrioritiesOutput { rules: Some(rules) })
    })
}
