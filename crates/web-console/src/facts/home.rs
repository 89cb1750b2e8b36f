//! What is up: a card for each stack that has services or failed, and for each service of no stack.

use std::collections::HashMap;

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::cloudformation::{DescribeStackResourcesInput, Stack};
use why::{Question, list};

use super::fetched::{self, Fetched};
use super::traffic::{self, Traffic};
use super::{ServiceSummary, State, ms, now_ms, services, summary};
use crate::Sources;

/// The tag of what `neargate up` put online.
const APPLICATION: &str = "neargate:application";
/// More cards are no overview.
pub const CARDS_MAX: usize = 100;
/// Causes that are looked for at once: each looks at all that surrounds a thing. Others are a link away.
const CAUSES_MAX: usize = 4;

#[derive(Debug, Clone, Serialize)]
pub struct HomeFacts {
    pub cards: Vec<Card>,
    pub left_off: usize,
    pub now_ms: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Card {
    pub name: String,
    /// `application`, `stack` or `service`.
    pub kind: &'static str,
    pub state: State,
    /// Where it is served.
    pub urls: Vec<String>,
    pub services: Vec<ServiceSummary>,
    pub stack: Option<StackState>,
    /// What to ask `why` about.
    pub thing: String,
    /// The first that `why` has found.
    pub cause: Option<String>,
    pub log_group: Option<String>,
    /// What its balancers tell of the last minutes.
    pub traffic: Option<Traffic>,
    /// What its page answered.
    pub fetched: Option<Fetched>,
}

#[derive(Debug, Clone, Serialize)]
pub struct StackState {
    pub name: String,
    pub status: String,
    pub reason: Option<String>,
    pub changed_ms: Option<i64>,
}

impl Card {
    pub fn is_red(&self) -> bool {
        self.state == State::Failed
    }
}

pub async fn gather(sources: &Sources, cx: &Cx) -> Result<HomeFacts, Error> {
    let (described, _) = services::all(cx).await?;
    let mut rest: HashMap<String, ServiceSummary> = HashMap::new();
    for service in &described {
        let it = summary(cx, service).await?;
        rest.insert(it.arn.clone(), it);
    }
    let stacks = list::stacks(cx).await?;
    let mut own: HashMap<String, Vec<ServiceSummary>> = HashMap::new();
    for stack in &stacks {
        let root = stack.root_id.as_ref().or(stack.stack_id.as_ref());
        let root = root.cloned().unwrap_or_default();
        let services = made_by(cx, stack).await?;
        let services = services.iter().filter_map(|arn| rest.remove(arn));
        own.entry(root).or_default().extend(services);
    }
    let mut cards: Vec<Card> = stacks
        .iter()
        .filter(|it| it.root_id.is_none())
        .filter_map(|it| {
            let id = it.stack_id.clone().unwrap_or_default();
            of_stack(it, own.remove(&id).unwrap_or_default())
        })
        .collect();
    cards.extend(rest.into_values().map(of_service));
    cards.sort_by(|one, other| (one.state, &one.name).cmp(&(other.state, &other.name)));
    let left_off = cards.len().saturating_sub(CARDS_MAX);
    cards.truncate(CARDS_MAX);
    fetched::add(cx, &*sources.lent, &sources.fetches, &mut cards).await;
    cards.sort_by(|one, other| (one.state, &one.name).cmp(&(other.state, &other.name)));
    let red = cards.iter_mut().filter(|it| it.is_red());
    for card in red.take(CAUSES_MAX) {
        card.cause = cause(cx, &card.thing).await;
    }
    traffic::add(cx, &described, &mut cards).await?;
    Ok(HomeFacts {
        cards,
        left_off,
        now_ms: now_ms(cx),
    })
}

async fn made_by(cx: &Cx, stack: &Stack) -> Result<Vec<String>, Error> {
    let found = cx.call(DescribeStackResourcesInput {
        stack_name: stack.stack_id.clone(),
        ..Default::default()
    });
    let found = match found.await {
        Ok(found) => found.stack_resources.unwrap_or_default(),
        // It was deleted meanwhile.
        Err(error) if error.status < 500 => Vec::new(),
        Err(error) => return Err(error),
    };
    let services = found
        .into_iter()
        .filter(|it| it.resource_type == "AWS::ECS::Service");
    Ok(services.filter_map(|it| it.physical_resource_id).collect())
}

/// None: a stack without services that is as it should be is no application.
fn of_stack(stack: &Stack, services: Vec<ServiceSummary>) -> Option<Card> {
    let status = stack.stack_status.as_str();
    let own = State::of_words(status);
    let tags = stack.tags.iter().flatten();
    let application = tags.into_iter().find(|it| it.key == APPLICATION);
    if services.is_empty() && own == State::Well && application.is_none() {
        return None;
    }
    let output = |name: &str| {
        let mut outputs = stack.outputs.iter().flatten();
        let found = outputs.find(|it| it.output_key.as_deref() == Some(name));
        found.and_then(|it| it.output_value.clone())
    };
    // A stack that went well says nothing of what runs.
    let worst = services.iter().map(|it| it.state).min();
    Some(Card {
        name: application.map_or_else(|| stack.stack_name.clone(), |it| it.value.clone()),
        kind: if application.is_some() {
            "application"
        } else {
            "stack"
        },
        state: worst.map_or(own, |it| match own {
            State::Well => it,
            other => other.min(it),
        }),
        urls: output("Url").into_iter().collect(),
        services,
        stack: Some(StackState {
            name: stack.stack_name.clone(),
            status: status.to_owned(),
            reason: stack.stack_status_reason.clone(),
            changed_ms: ms(stack.last_updated_time.or(Some(stack.creation_time))),
        }),
        thing: stack.stack_name.clone(),
        cause: None,
        log_group: output("LogGroup"),
        traffic: None,
        fetched: None,
    })
}

fn of_service(service: ServiceSummary) -> Card {
    Card {
        name: service.name.clone(),
        kind: "service",
        state: service.state,
        urls: Vec::new(),
        thing: format!("{}/{}", service.cluster, service.name),
        services: vec![service],
        stack: None,
        cause: None,
        log_group: None,
        traffic: None,
        fetched: None,
    }
}

/// What cannot be found out at the moment is a link away.
async fn cause(cx: &Cx, thing: &str) -> Option<String> {
    let question = Question {
        thing: Some(thing.to_owned()),
        to: None,
    };
    let report = why::answer(cx, &question).await.ok()?;
    let found = report.findings.into_iter().next().map(|it| it.cause);
    found.or_else(|| report.unexplained.into_iter().next().map(|it| it.symptom))
}

#[cfg(test)]
mod tests {
    use shapes::cloudformation::{StackStatus, Tag};

    use super::*;

    fn card(
        status: StackStatus,
        services: &[State],
        is_application: bool,
    ) -> Option<(State, &'static str)> {
        let stack = Stack {
            stack_name: "web".into(),
            stack_status: status,
            tags: is_application.then(|| {
                vec![Tag {
                    key: APPLICATION.into(),
                    value: "web".into(),
                }]
            }),
            ..Default::default()
        };
        let services = services.iter().map(|state| ServiceSummary {
            cluster: "c".into(),
            name: "web".into(),
            arn: "arn".into(),
            state: *state,
            desired: 1,
            running: 1,
            pending: 0,
            targets: None,
            deployment: None,
        });
        of_stack(&stack, services.collect()).map(|it| (it.state, it.kind))
    }

    #[test]
    fn a_card_is_as_its_worst_part() {
        use StackStatus::{CreateComplete, UpdateInProgress, UpdateRollbackComplete};
        let table = [
            (
                card(CreateComplete, &[State::Well], true),
                Some((State::Well, "application")),
            ),
            (
                card(CreateComplete, &[State::Well, State::Failed], false),
                Some((State::Failed, "stack")),
            ),
            (
                card(CreateComplete, &[State::Idle], false),
                Some((State::Idle, "stack")),
            ),
            (
                card(UpdateInProgress, &[State::Well], false),
                Some((State::Changing, "stack")),
            ),
            // What was asked for is not what runs, although it runs well.
            (
                card(UpdateRollbackComplete, &[State::Well], true),
                Some((State::Failed, "application")),
            ),
            (card(CreateComplete, &[], false), None),
        ];
        for (at, (found, expect)) in table.into_iter().enumerate() {
            assert_eq!(found, expect, "row {at}");
        }
    }
}
