//! Drives stacks: read, plan, apply, until nothing is left or something has to be waited for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Error, Next, Property, Reconciler, Records, all_keys};
use shapes::ec2;
use template::{Instance, ParameterValues, Template, TemplateError};

use crate::ahead::Ahead;
use crate::apply::{Progress, Run, apply, place};
use crate::finish::Computed;
use crate::kept;
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
        all_keys::<kept::Live>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        Ok(drive(cx, key).await?)
    }
}

async fn drive(cx: Cx, key: &str) -> Result<Next, Error> {
    loop {
        let Some(stack) = cx.read(|tx| kept::whole(tx, key))? else {
            return Ok(Next::Idle);
        };
        let stack = match stack.saves {
            // As an older version kept it.
            0 => cx.write(|tx| keep_anew(tx, key, stack))?,
            _ => stack,
        };
        if stack.operation.as_ref().is_none_or(|it| it.is_held) {
            // The stack that it is in waits for this; a wake-up too many does no harm.
            if let Some(nested) = stack.nested {
                cx.cloud.converge.wake(Stack::KIND, nested.parent);
            }
            return Ok(Next::Idle);
        }
        if let Some(pause) = go_on(&cx, key, stack).await? {
            return Ok(Next::After(pause));
        }
    }
}

/// Keeps a stack of an older version as this one does.
fn keep_anew(tx: &Records<'_>, key: &str, seen: Stack) -> Result<Stack, Error> {
    let fresh = kept::whole(tx, key)?.unwrap_or(seen);
    kept::save(tx, fresh)
}

/// What one phase of a stack's operation works towards.
struct Aim<'a> {
    key: &'a str,
    place: Option<(u64, Phase)>,
    version: Option<&'a Version>,
    /// What the version describes, or why that cannot be told.
    instance: Result<Option<Instance<'a>>, String>,
    is_building: bool,
    secrets: Vec<String>,
}

impl<'a> Aim<'a> {
    /// What is described, whether it is built or not.
    fn described(&self) -> Option<&Instance<'a>> {
        self.instance.as_ref().ok()?.as_ref()
    }
    fn target(&self) -> Option<&Instance<'a>> {
        self.described().filter(|_| self.is_building)
    }
}

type Description = Option<(Template, ParameterValues)>;

fn aim<'a>(
    cx: &Cx,
    key: &'a str,
    stack: &Stack,
    version: Option<&'a Version>,
    description: &'a Result<Description, TemplateError>,
) -> Aim<'a> {
    let (instance, secrets) = match description {
        Ok(None) => (Ok(None), Vec::new()),
        Err(error) => (Err(error.to_string()), Vec::new()),
        Ok(Some((template, values))) => {
            let secrets = values.secrets().map(str::to_owned).collect();
            let instance = template.instantiate(values.clone(), environment(cx.account(), stack));
            (instance.map(Some).map_err(|it| it.to_string()), secrets)
        }
    };
    let place = place(stack);
    let phase = place.map(|it| it.1);
    Aim {
        key,
        place,
        version,
        instance,
        is_building: matches!(
            phase,
            Some(Phase::Create | Phase::Update | Phase::UpdateCleanup)
        ),
        secrets,
    }
}

/// Plans and acts through one phase of the stack's operation, until it is over, somebody else has changed
/// the stack, or something has to be waited for: the answer is how long. The template is read once, and
/// what is known of the stack stays in memory between the plans.
async fn go_on(cx: &Cx, key: &str, mut stack: Stack) -> Result<Option<Duration>, Error> {
    let Some(target) = stack.operation.as_ref().map(|it| it.target) else {
        return Ok(None);
    };
    let version = cx.read(|tx| tx.get::<Version>(&Version::key_of(key, target)))?;
    let description = version.as_ref().map(read).transpose();
    let aim = aim(cx, key, &stack, version.as_ref(), &description);
    let graph = aim.target().map(Instance::dependencies);
    let mut ahead = graph.map(|it| Ahead::of(it, &stack));
    loop {
        let around = surroundings(cx, version.as_ref()).await?;
        let (run, steps) = next(cx, &stack, &aim, ahead.as_ref(), &around);
        let mut has_moved = false;
        for step in steps {
            has_moved |= apply(&run, &stack, step).await? == Progress::Moved;
        }
        if !take_in(&mut stack, ahead.as_mut(), run) {
            return Ok(None);
        }
        if !has_moved {
            return Ok(Some(interval(&stack, cx.clock().now_ms())));
        }
        let now = cx.read(|tx| kept::head(tx, key))?;
        let is_own = now.is_some_and(|it| it.saves == stack.saves);
        if !is_own || place(&stack) != aim.place {
            return Ok(None);
        }
    }
}

/// Plans, and gathers what the steps need.
fn next(
    cx: &Cx,
    stack: &Stack,
    aim: &Aim<'_>,
    ahead: Option<&Ahead>,
    around: &Surroundings,
) -> (Run, Vec<Step>) {
    let no_tags = BTreeMap::new();
    let table = |name: &str| -> &'static [Property] {
        let resource_type = cx.cloud.resource_type(name);
        resource_type.map_or(&[], |it| it.properties())
    };
    let view = View {
        target: aim.target(),
        ahead,
        tags: aim.version.map_or(&no_tags, |it| &it.tags),
        around,
        table: &table,
        is_stack: &|name| cx.cloud.resource_type(name).is_some_and(|it| it.is_stack()),
        now_ms: cx.clock().now_ms(),
    };
    let steps = match &aim.instance {
        Ok(_) => plan(stack, &view),
        Err(error) => without_template(stack, &view, aim.is_building, error),
    };
    let is_end = steps == [Step::Finish] && !is_failing(stack);
    let finished = aim.described().filter(|_| is_end);
    let run = Run {
        cx: cx.clone(),
        key: aim.key.to_owned(),
        place: aim.place,
        secrets: Mutex::new(aim.secrets.clone()),
        kept: Mutex::default(),
        outputs: finished.and_then(|it| outputs(stack, it, around)),
    };
    (run, steps)
}

/// Takes in what a plan's steps have kept. False when somebody else has changed the stack between them.
fn take_in(stack: &mut Stack, mut ahead: Option<&mut Ahead>, run: Run) -> bool {
    let kept = run
        .kept
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    for newer in kept {
        let Some(ids) = stack.absorb(newer) else {
            return false;
        };
        if let Some(ahead) = &mut ahead {
            ids.iter().for_each(|id| ahead.look_at(id, stack));
        }
    }
    true
}

fn read(version: &Version) -> Result<(Template, ParameterValues), TemplateError> {
    let template = Template::parse(&version.template)?;
    let values = version.values(&template)?;
    Ok((template, values))
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

/// The template was read when it was accepted, but a later version of this program may be
/// stricter: what is being built fails, what is being removed goes on.
fn without_template(stack: &Stack, view: &View<'_>, is_building: bool, error: &str) -> Vec<Step> {
    if is_building && !is_failing(stack) {
        return vec![Step::Fail {
            reason: error.to_owned(),
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
                    written: None,
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
        around.zones = zones(cx).await?;
    }
    Ok(around)
}

/// The region's zones.
pub async fn zones(cx: &Cx) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let answer = cx
        .call(ec2::DescribeAvailabilityZonesInput::default())
        .await?;
    let zones = answer.availability_zones.into_iter().flatten();
    let mut names: Vec<String> = zones.filter_map(|it| it.zone_name).collect();
    names.sort();
    Ok([(cx.region.clone(), names)].into())
}
