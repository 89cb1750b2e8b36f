//! The pipelines, stages and webhooks that calls touch, for the table's permissions.

use cloud::{Cx, Touched};
use shapes::codepipeline::{PipelineDeclaration, Tag};

use crate::pipeline::arn;
use crate::record::{Pipeline, Webhook};

/// CodePipeline's service principal, to which the roles of pipelines and their actions are passed.
pub const PRINCIPAL: &str = "codepipeline.amazonaws.com";

fn pairs(tags: Vec<Tag>) -> impl Iterator<Item = (String, String)> {
    tags.into_iter().map(|it| (it.key, it.value))
}

/// A part of a pipeline has the pipeline's tags.
fn part_touched(cx: &Cx, name: &str, resource: &str) -> Touched {
    let found = cx.read(|tx| tx.get::<Pipeline>(&Pipeline::key_of(&cx.region, name)));
    let tags = found.ok().flatten().map(|it| it.tags).unwrap_or_default();
    Touched::named(arn(cx, resource)).tagged(pairs(tags))
}

pub fn pipeline_touched(cx: &Cx, name: &str) -> Touched {
    part_touched(cx, name, name)
}

pub fn stage_touched(cx: &Cx, name: &str, stage: &str) -> Touched {
    part_touched(cx, name, &format!("{name}/{stage}"))
}

pub fn action_touched(cx: &Cx, name: &str, stage: &str, action: &str) -> Touched {
    part_touched(cx, name, &format!("{name}/{stage}/{action}"))
}

pub fn webhook_touched(cx: &Cx, name: &str) -> Touched {
    let found = cx.read(|tx| tx.get::<Webhook>(&cx.key(name)));
    let tags = found.ok().flatten().map(|it| it.tags).unwrap_or_default();
    Touched::named(arn(cx, &format!("webhook:{name}"))).tagged(pairs(tags))
}

pub fn any_webhook(cx: &Cx) -> Touched {
    Touched::any(arn(cx, "webhook:*"))
}

/// What tags are about: a pipeline or a webhook, by its ARN.
pub fn pipeline_of_arn(cx: &Cx, given: &str) -> Option<Touched> {
    let name = given.strip_prefix(&arn(cx, ""))?;
    let is_pipeline = !name.starts_with("webhook:");
    is_pipeline.then(|| pipeline_touched(cx, name))
}

pub fn webhook_of_arn(cx: &Cx, given: &str) -> Option<Touched> {
    let name = given.strip_prefix(&arn(cx, "webhook:"))?;
    Some(webhook_touched(cx, name))
}

/// The pipeline's own role, and those that its actions have in place of it.
pub fn roles(it: &PipelineDeclaration) -> Vec<String> {
    let actions = it.stages.iter().flat_map(|stage| &stage.actions);
    let of_actions = actions.filter_map(|it| it.role_arn.clone());
    [it.role_arn.clone()]
        .into_iter()
        .chain(of_actions)
        .collect()
}
