//! Drives stacks: read, plan, apply, until nothing is left or something has to be waited for.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Property, Reconciler, Record, all_keys};
use shapes::ec2;
use template::{Template, TemplateError};

use crate::apply::{Progress, Run, apply, place};
use crate::finish::Computed;
use crate::plan::{Step, View, is_failing, plan};
use crate::record::{Export, Output, Phase, Stack, Version};
use crate::scope::{StackScope, Surroundings, environment};

pub struct StackReconciler;

#[async_trait]
impl Reconciler for StackReconciler {
    fn kind(&self) -> &'static str {
        Stack::KIND
    }

    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, cloud::StoreError> {
        all_keys::<Stack>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        Ok(drive(cx, key).await?)
    }
}

async fn drive(cx: Cx, key: &str) -> Result<Next, Error> {
    loop {
        let Some(stack) = cx.read(|tx| tx.get::<Stack>(key))? else {
            return Ok(Next::Idle);
        };
        if stack.operation.as_ref().is_none_or(|it| it.is_held) {
            // The stack that it is in waits for this; a wake-up too many does no harm.
            if let Some(nested) = stack.nested {
                cx.cloud.converge.wake(Stack::KIND, nested.parent);
            }
            return Ok(Next::Idle);
        }
        let mut has_moved = false;
        let (run, steps) = look(&cx, key, &stack).await?;
        for step in steps {
            has_moved |= apply(&run, &stack, step).await? == Progress::Moved;
        }
        if !has_moved {
            return Ok(Next::After(interval(&stack, cx.clock().now_ms())));
        }
    }
}

/// How soon to look again: what has just begun is often done at once.
fn interval(stack: &Stack, now_ms: i64) -> Duration {
    let newest = (stack.resources.values())
        .filter_map(|it| Some(it.work.as_ref()?.began_ms))
        .max();
    Duration::from_millis(match now_ms - newest.unwrap_or(now_ms) {
        ..2_000 => 50,
        2_000..20_000 => 200,
        _ => 1_000,
    })
}

/// Plans, and gathers what the steps need.
async fn look(cx: &Cx, key: &str, stack: &Stack) -> Result<(Run, Vec<Step>), Error> {
    let mut run = Run {
        cx: cx.clone(),
        key: key.to_owned(),
        place: place(stack),
        secrets: Mutex::default(),
        outputs: None,
    };
    let Some(operation) = &stack.operation else {
        return Ok((run, Vec::new()));
    };
    let version_key = Version::key_of(key, operation.target);
    let version = cx.read(|tx| tx.get::<Version>(&version_key))?;
    let around = surroundings(cx, version.as_ref()).await?;
    let table = |name: &str| -> &'static [Property] {
        cx.cloud
            .resource_type(name)
            .map_or(&[], |it| it.properties())
    };
    let no_tags = BTreeMap::new();
    let mut view = View {
        target: None,
        tags: version.as_ref().map_or(&no_tags, |it| &it.tags),
        around: &around,
        table: &table,
        is_stack: &|name| cx.cloud.resource_type(name).is_some_and(|it| it.is_stack()),
        now_ms: cx.clock().now_ms(),
    };
    let is_building = matches!(
        operation.phase,
        Phase::Create | Phase::Update | Phase::UpdateCleanup
    );
    let read = |version: &Version| {
        let template = Template::parse(&version.template)?;
        let values = version.values(&template)?;
        Ok((template, values))
    };
    let (template, values) = match version.as_ref().map(read).transpose() {
        Ok(Some(found)) => found,
        Ok(None) => return Ok((run, plan(stack, &view))),
        Err(error) => return Ok((run, without_template(stack, &view, is_building, &error))),
    };
    run.secrets = Mutex::new(values.secrets().map(str::to_owned).collect());
    let instance = match template.instantiate(values, environment(cx.account(), stack)) {
        Ok(instance) => instance,
        Err(error) => return Ok((run, without_template(stack, &view, is_building, &error))),
    };
    view.target = Some(&instance).filter(|_| is_building);
    let steps = plan(stack, &view);
    if steps == [Step::Finish] && !is_failing(stack) {
        run.outputs = outputs(stack, &instance, &around);
    }
    Ok((run, steps))
}

/// The template was read when it was accepted, but a later version of this program may be
/// stricter: what is being built fails, what is being removed goes on.
fn without_template(
    stack: &Stack,
    view: &View<'_>,
    is_building: bool,
    error: &TemplateError,
) -> Vec<Step> {
    if is_building && !is_failing(stack) {
        return vec![Step::Fail {
            reason: error.to_string(),
        }];
    }
    plan(stack, view)
}

fn outputs(stack: &Stack, instance: &template::Instance<'_>, around: &Surroundings) -> Computed {
    let scope = StackScope::new(stack, around);
    // Properties are computed once more for the names of the exports that they use.
    for (id, _) in instance.resources() {
        if let Err(error) = instance.properties(id, &scope) {
            return Some(Err(error.to_string()));
        }
    }
    Some(match instance.outputs(&scope) {
        Err(error) => Err(error.to_string()),
        Ok(outputs) => {
            let outputs = (outputs.into_iter())
                .map(|it| Output {
                    key: it.name,
                    value: it.value,
                    description: it.description,
                    export: it.export_name,
                })
                .collect();
            Ok((outputs, scope.imports.into_inner()))
        }
    })
}

/// Reads what a template may ask for outside of its stack.
pub async fn surroundings(cx: &Cx, version: Option<&Version>) -> Result<Surroundings, Error> {
    let mut around = Surroundings::default();
    let Some(version) = version else {
        return Ok(around);
    };
    if version.template.contains("ImportValue") {
        let exports: Vec<Export> = cx.read(|tx| tx.list(&cx.key("")))?;
        around.exports = exports.into_iter().map(|it| (it.name, it.value)).collect();
    }
    if version.template.contains("GetAZs") {
        let answer = cx
            .call(ec2::DescribeAvailabilityZonesInput::default())
            .await?;
        let zones = answer.availability_zones.into_iter().flatten();
        let mut names: Vec<String> = zones.filter_map(|it| it.zone_name).collect();
        names.sort();
        around.zones.insert(cx.region.clone(), names);
    }
    Ok(around)
}
