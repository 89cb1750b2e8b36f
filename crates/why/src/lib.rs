//! `neargate why`: what is wrong with a thing, or with whatever is red, and what mends it.
//!
//! A question names a thing; [`subject`] finds what is meant. [`gather`] looks at it and at all that
//! surrounds it, through operations and the engine's looks, and makes [`facts`] of what it sees. The
//! [`rules`] are the catalogue: each is pure, looks at the facts and knows no other. What fails first is
//! the cause, what fails further out follows from it. The answer is a [`report`], which the command line,
//! scripts and the console show alike.
//!
//! What has no rule is not well: it is answered as unexplained, with what was seen. What was not looked at
//! is named.

mod explain;
mod gather;
mod nearest;
mod report;
mod rules;
#[cfg(test)]
mod rules_tests;
mod subject;
mod texts;
mod way;

pub mod acl;
pub mod ahead;
pub mod elf;
pub mod endpoint;
pub mod facts;
pub mod rows;

use cloud::{Cx, Error};
use serde::Deserialize;

pub use gather::{list, pipelines::names as pipeline_names};
pub use report::{
    Basis, Evidence, Finding, Hop, Mend, MendPlace, Outcome, Place, Report, Severity, Unexplained,
};
pub use rules::listens_on_loopback::loopback;
pub use way::{Way, WayQuestion, way};

use gather::Gathered;
use subject::Subject;

/// What is asked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// A name, an ARN, an id or its beginning. None: whatever is red.
    pub thing: Option<String>,
    /// With a thing: whether that reaches this one, as `web:8080` or `10.0.1.7:5432`.
    pub to: Option<String>,
}

/// Longer names are no names: the longest ARN has 2,048 characters.
const THING_CHARS_MAX: usize = 2048;

/// Answers a question of the account's owner: what is read is read in the owner's name.
pub async fn answer(cx: &Cx, question: &Question) -> Result<Report, Error> {
    let cx = &looking(cx);
    let Some(thing) = question
        .thing
        .as_deref()
        .map(str::trim)
        .filter(|it| !it.is_empty())
    else {
        let gathered = gather::all(cx).await?;
        return Ok(told("everything in this region", gathered));
    };
    let to = question.to.as_deref().map(str::trim);
    let names = [Some(thing), to];
    if names
        .iter()
        .flatten()
        .any(|it| it.chars().count() > THING_CHARS_MAX)
    {
        return Err(wire::codes::ValidationError.because("that is longer than any name"));
    }
    if let Some(to) = to {
        let gathered = gather::reach::look(cx, thing, to).await?;
        return Ok(told(&format!("{thing} to {to}"), gathered));
    }
    if let Some(asked) = gather::addresses::read(thing) {
        let gathered = gather::addresses::look(cx, &asked).await?;
        return Ok(told(thing, gathered));
    }
    let (mut shown, mut gathered) = (Vec::new(), Gathered::default());
    for subject in subject::find(cx, thing).await? {
        let own = subject.shown();
        // A stack leads to its services, and a balancer to its target groups.
        if !gathered.looked_at.contains(&own) {
            gathered.add(look(cx, subject).await?);
            shown.push(own);
        }
    }
    Ok(told(&shown.join(", "), gathered))
}

async fn look(cx: &Cx, subject: Subject) -> Result<Gathered, Error> {
    match subject {
        Subject::Stack(name) => gather::stack(cx, &name).await,
        Subject::Cluster(name) => gather::cluster(cx, &name).await,
        Subject::Service { cluster, name } => gather::service(cx, &cluster, &name).await,
        Subject::Task { cluster, id } => gather::task(cx, &cluster, &id).await,
        Subject::Instance(id) => gather::instance(cx, &id).await,
        Subject::TargetGroup { name, arn } => gather::target_group(cx, &name, &arn).await,
        Subject::LoadBalancer { name, arn } => gather::balancer(cx, &name, &arn).await,
        Subject::Pipeline(name) => gather::pipeline(cx, &name).await,
        Subject::Execution { pipeline, id } => gather::execution(cx, &pipeline, &id).await,
        Subject::Project(name) => gather::project(cx, &name).await,
    }
}

/// Nothing is decided by it, so what cannot be read does not stand in the way of the rest.
fn looking(cx: &Cx) -> Cx {
    let mut cx = cx.clone();
    cx.looks = true;
    cx
}

fn told(thing: &str, gathered: Gathered) -> Report {
    let (findings, mut unexplained) = explain::explain(gathered.situations, gathered.findings);
    let more = gathered.unexplained.into_iter();
    unexplained.extend(more.map(|(thing, symptom)| Unexplained { thing, symptom }));
    let outcome = match (findings.is_empty(), unexplained.is_empty()) {
        (false, _) => Outcome::CauseFound,
        (true, false) => Outcome::Unknown,
        (true, true) => Outcome::NothingWrong,
    };
    Report {
        outcome,
        thing: thing.to_owned(),
        findings,
        unexplained,
        path: gathered.path,
        looked_at: gathered.looked_at,
        not_looked_at: gathered.not_looked_at,
    }
}
