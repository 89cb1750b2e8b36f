//! Pipelines: the first action of the last execution that failed, and what it worked on.

use cloud::{Cx, Error};
use shapes::codepipeline::{
    ActionExecutionStatus, GetPipelineStateInput, ListPipelinesInput, StageExecutionStatus,
    StageState,
};

use super::{Gathered, builds};
use crate::facts::{ActionFacts, Situation};

/// Names of the pipelines.
pub async fn names(cx: &Cx) -> Result<Vec<String>, Error> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let page = cx.call(ListPipelinesInput {
            next_token: next,
            max_results: None,
        });
        let page = page.await?;
        all.extend(
            page.pipelines
                .into_iter()
                .flatten()
                .filter_map(|it| it.name),
        );
        next = page.next_token;
        if next.is_none() {
            return Ok(all);
        }
    }
}

/// Looks at a pipeline as it is now: an action that was repeated with success is well.
pub async fn look(cx: &Cx, name: &str, gathered: &mut Gathered) -> Result<(), Error> {
    gathered.looked_at.push(format!("pipeline {name}"));
    let state = cx.call(GetPipelineStateInput {
        name: name.to_owned(),
    });
    for stage in state.await?.stage_states.unwrap_or_default() {
        let is_red = (stage.latest_execution.as_ref())
            .is_some_and(|it| it.status == StageExecutionStatus::Failed);
        if is_red && look_at_stage(cx, name, &stage, gathered).await? {
            return Ok(());
        }
    }
    Ok(())
}

async fn look_at_stage(
    cx: &Cx,
    pipeline: &str,
    stage: &StageState,
    gathered: &mut Gathered,
) -> Result<bool, Error> {
    let mut actions = stage.action_states.iter().flatten().filter_map(|it| {
        let last = it.latest_execution.as_ref()?;
        (last.status == Some(ActionExecutionStatus::Failed)).then_some((it, last))
    });
    let Some((action, last)) = actions.next() else {
        return Ok(false);
    };
    // What a build failed with tells more than that it did.
    let before = gathered.situations.len();
    if let Some(build) = last
        .external_execution_id
        .as_deref()
        .filter(|it| it.contains(':'))
    {
        builds::look_at_one(cx, build, gathered).await?;
    }
    if gathered.situations.len() > before {
        return Ok(true);
    }
    let error = last.error_details.clone().unwrap_or_default();
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let facts = ActionFacts {
        pipeline: pipeline.to_owned(),
        stage: text(&stage.stage_name),
        name: text(&action.action_name),
        code: text(&error.code),
        message: text(&error.message),
    };
    gathered.situations.push(Situation {
        thing: format!("pipeline {pipeline}, action {}", facts.name),
        region: cx.region.clone(),
        account: cx.account().to_owned(),
        action: Some(facts),
        ..Situation::default()
    });
    Ok(true)
}
