//! The `Rules` section: what parameters have to be together, asserted before anything is made.
//!
//! ```text
//! RuleName: { RuleCondition: test, Assertions: [{ Assert: test, AssertDescription: text }] }
//! ```

use serde_json::Value as Json;

use crate::error::{Result, TemplateError};
use crate::evaluate::{Evaluator, NoScope};
use crate::function::name_and_argument;
use crate::instance::Instance;
use crate::node::{Content, Key, Node, Span};
use crate::section::entries;
use crate::validate;
use crate::value::{Branches, Cursor, Place, Value};
use crate::{Environment, ParameterValue, Template};

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    condition: Option<Test>,
    assertions: Vec<(Test, String)>,
}

/// A function that answers true or false.
#[derive(Debug, Clone, PartialEq)]
struct Test {
    span: Span,
    kind: TestKind,
}

#[derive(Debug, Clone, PartialEq)]
enum TestKind {
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    Equals(Compared, Compared),
    /// Whether the list has the text.
    Contains(Compared, Compared),
    /// Whether every member of the list is the text.
    EachMemberEquals(Compared, Compared),
    /// Whether every member of the first list is one of the second.
    EachMemberIn(Compared, Compared),
}

/// What a test compares.
#[derive(Debug, Clone, PartialEq)]
enum Compared {
    Value(Value),
    /// The values of all parameters of a type.
    AllOf(String),
}

impl Compared {
    fn parse(node: &Node, cursor: &mut Cursor) -> Result<Self> {
        let Some((name, argument)) = name_and_argument(node, Place::Condition)? else {
            return Value::parse(node, cursor).map(Self::Value);
        };
        match name.as_str() {
            "Fn::RefAll" => (argument.scalar_text().map(Self::AllOf)).ok_or_else(|| {
                TemplateError::meaning(node.span, "Fn::RefAll needs the type of parameters")
            }),
            "Fn::ValueOf" | "Fn::ValueOfAll" => Err(TemplateError::unsupported(node.span, &name)),
            _ => Value::parse(node, cursor).map(Self::Value),
        }
    }

    /// Everything is a list here: a text is one of one.
    fn items(&self, evaluator: &Evaluator<'_>, instance: &Instance<'_>) -> Result<Vec<String>> {
        let value = match self {
            Self::Value(value) => value,
            Self::AllOf(kind) => return Ok(all_of(kind, instance)),
        };
        Ok(match evaluator.value(value)? {
            Some(Json::Array(items)) => items.iter().map(text).collect(),
            Some(one) => vec![text(&one)],
            None => Vec::new(),
        })
    }
}

/// The values of all parameters of a type, and of lists of it.
fn all_of(kind: &str, instance: &Instance<'_>) -> Vec<String> {
    let of_kind = (instance.template.parameters.iter()).filter(|(_, it)| {
        let declared = &it.parameter_type;
        declared.to_string() == kind || declared.named_kind() == Some(kind)
    });
    of_kind
        .filter_map(|(name, _)| instance.parameters.get(name))
        .flat_map(|it| match &it.value {
            ParameterValue::Text(one) => vec![one.clone()],
            ParameterValue::List(items) => items.clone(),
        })
        .collect()
}

impl Rule {
    pub fn parse(cursor: &mut Cursor, key: &Key, node: &Node) -> Result<Self> {
        cursor.place = Place::Condition;
        let wrong = |span: Span, message: &str| {
            TemplateError::format(span, format!("Rule {}: {message}", key.text))
        };
        let members = entries(node).ok_or_else(|| wrong(key.span, "must be an object"))?;
        let mut rule = Rule {
            condition: None,
            assertions: Vec::new(),
        };
        for (member, node) in members {
            match member.text.as_str() {
                "RuleCondition" => rule.condition = Some(Test::parse(node, cursor)?),
                "Assertions" => {
                    let Content::List(items) = &node.content else {
                        return Err(wrong(member.span, "Assertions must be a list"));
                    };
                    for item in items {
                        rule.assertions.push(assertion(item, cursor)?);
                    }
                }
                other => {
                    return Err(wrong(member.span, &format!("unknown member {other}")));
                }
            }
        }
        match rule.assertions.is_empty() {
            true => Err(wrong(key.span, "Assertions are missing")),
            false => Ok(rule),
        }
    }

    fn tests(&self) -> impl Iterator<Item = &Test> {
        (self.condition.iter()).chain(self.assertions.iter().map(|(test, _)| test))
    }
}

fn assertion(node: &Node, cursor: &mut Cursor) -> Result<(Test, String)> {
    let members = entries(node)
        .ok_or_else(|| TemplateError::format(node.span, "an assertion must be an object"))?;
    let member = |name: &str| members.iter().find(|(key, _)| key.text == name);
    let (_, assert) = member("Assert")
        .ok_or_else(|| TemplateError::format(node.span, "an assertion needs an Assert"))?;
    let description = member("AssertDescription").and_then(|(_, it)| it.scalar_text());
    Ok((
        Test::parse(assert, cursor)?,
        description.unwrap_or_default(),
    ))
}

impl Test {
    fn parse(node: &Node, cursor: &mut Cursor) -> Result<Self> {
        let span = node.span;
        let wrong = |message: String| TemplateError::meaning(span, message);
        let Some((name, argument)) = name_and_argument(node, Place::Condition)? else {
            return Err(wrong("a rule's function was expected here".into()));
        };
        let items: &[Node] = match &argument.content {
            Content::List(items) if argument.tag.is_none() => items,
            _ => std::slice::from_ref(&*argument),
        };
        let mut tests = || {
            items
                .iter()
                .map(|it| Test::parse(it, cursor))
                .collect::<Result<Vec<_>>>()
        };
        let kind = match (name.as_str(), items) {
            ("Fn::And", [_, _, ..]) => TestKind::And(tests()?),
            ("Fn::Or", [_, _, ..]) => TestKind::Or(tests()?),
            ("Fn::Not", [one]) => TestKind::Not(Box::new(Test::parse(one, cursor)?)),
            (
                "Fn::Equals" | "Fn::Contains" | "Fn::EachMemberEquals" | "Fn::EachMemberIn",
                [one, other],
            ) => {
                let (one, other) = (
                    Compared::parse(one, cursor)?,
                    Compared::parse(other, cursor)?,
                );
                match name.as_str() {
                    "Fn::Equals" => TestKind::Equals(one, other),
                    "Fn::Contains" => TestKind::Contains(one, other),
                    "Fn::EachMemberEquals" => TestKind::EachMemberEquals(one, other),
                    _ => TestKind::EachMemberIn(one, other),
                }
            }
            (
                "Fn::And"
                | "Fn::Or"
                | "Fn::Not"
                | "Fn::Equals"
                | "Fn::Contains"
                | "Fn::EachMemberEquals"
                | "Fn::EachMemberIn",
                _,
            ) => return Err(wrong(format!("{name} has the wrong number of parameters"))),
            ("Fn::RefAll", _) => {
                return Err(wrong(
                    "Fn::RefAll answers a list, which has to be compared".into(),
                ));
            }
            ("Fn::ValueOf" | "Fn::ValueOfAll", _) => {
                return Err(TemplateError::unsupported(span, &name));
            }
            _ => return Err(wrong(format!("Cannot use {name} in Rules."))),
        };
        Ok(Self { span, kind })
    }

    fn values(&self, visit: &mut dyn FnMut(&Value)) {
        match &self.kind {
            TestKind::And(all) | TestKind::Or(all) => all.iter().for_each(|it| it.values(visit)),
            TestKind::Not(one) => one.values(visit),
            TestKind::Equals(one, other)
            | TestKind::Contains(one, other)
            | TestKind::EachMemberEquals(one, other)
            | TestKind::EachMemberIn(one, other) => {
                for operand in [one, other] {
                    if let Compared::Value(value) = operand {
                        visit(value);
                    }
                }
            }
        }
    }

    fn holds(&self, evaluator: &Evaluator<'_>, instance: &Instance<'_>) -> Result<bool> {
        let all = |tests: &[Test]| {
            tests
                .iter()
                .map(|it| it.holds(evaluator, instance))
                .collect::<Result<Vec<_>>>()
        };
        let list = |operand: &Compared| operand.items(evaluator, instance);
        Ok(match &self.kind {
            TestKind::And(tests) => all(tests)?.into_iter().all(|it| it),
            TestKind::Or(tests) => all(tests)?.into_iter().any(|it| it),
            TestKind::Not(test) => !test.holds(evaluator, instance)?,
            TestKind::Equals(one, other) => list(one)? == list(other)?,
            TestKind::Contains(items, one) => {
                let items = list(items)?;
                list(one)?.iter().all(|it| items.contains(it))
            }
            TestKind::EachMemberEquals(items, one) => {
                let one = list(one)?;
                list(items)?.iter().all(|it| one.first() == Some(it))
            }
            TestKind::EachMemberIn(items, others) => {
                let others = list(others)?;
                list(items)?.iter().all(|it| others.contains(it))
            }
        })
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Rules speak of parameters only.
pub fn check(template: &Template) -> Result<()> {
    let mut wrong = None;
    for test in template.rules.values().flat_map(Rule::tests) {
        test.values(&mut |value| {
            value.functions(Branches::Both, &mut |function, span| {
                for name in function.names() {
                    let is_known = template.parameters.contains_key(name)
                        || Environment::PSEUDO_PARAMETERS.contains(&name);
                    if !is_known {
                        wrong.get_or_insert(validate::unresolved(name, span, "Rules"));
                    }
                }
            });
        });
    }
    wrong.map_or(Ok(()), Err)
}

/// Checks every assertion whose rule applies.
pub fn enforce(instance: &Instance<'_>) -> Result<()> {
    let evaluator = Evaluator::new(instance, &NoScope);
    for (name, rule) in &instance.template.rules {
        let applies = rule
            .condition
            .as_ref()
            .map(|it| it.holds(&evaluator, instance));
        if !applies.transpose()?.unwrap_or(true) {
            continue;
        }
        for (test, description) in &rule.assertions {
            if !test.holds(&evaluator, instance)? {
                let message = format!(
                    "Template error: the assertion of the rule {name} failed: {description}"
                );
                return Err(TemplateError::new(message).at(test.span));
            }
        }
    }
    Ok(())
}
