//! Makes instances real: a task of the engine for each, booted anew when it starts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Next, Reconciler, Record, Records, StoreError, all_keys};
use engine::{ContainerSpec, EngineError, Fault, INSIDE, METADATA, PreparedImage, TaskSpec};

use super::boot::{self, Boot, Booted};
use super::catalogue::{self, CatalogueImage};
use super::plan::{BOOT_LABEL, Ending, SHOWN_FOR, Step, plan};
use super::record::{Haste, InstanceRecord, State, Want};
use super::user_data::{self, UserData};
use super::{CONTAINER, change, kinds, root, run};
use crate::interface::{self, Interface};

/// One core, in the engine's units.
const CPU_UNITS: u32 = 1024;
/// Processes of one instance: a fork bomb stays in it.
const PIDS_MAX: u32 = 16_384;
/// What its programs have to end in before they are killed: less than AWS's minutes.
const STOP_TIMEOUT_MS: u64 = 10_000;
/// Its console is a log of this group of the engine's, which is none of anybody's log groups: these begin
/// with a region.
const CONSOLES: &str = "ec2-console";

/// An interface is attached in a few milliseconds.
const ATTACH_WAIT: Duration = Duration::from_millis(5);

pub struct InstanceReconciler;

#[async_trait]
impl Reconciler for InstanceReconciler {
    fn kind(&self) -> &'static str {
        <InstanceRecord as Record>::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<InstanceRecord>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some(instance) = cx.read(|tx| tx.get::<InstanceRecord>(key))? else {
            return Ok(Next::Idle);
        };
        let tasks = &cx.engine().tasks;
        let task = tasks.status(&instance.id).await?;
        let left = forgotten_in(&cx, &instance);
        match plan(
            &instance,
            task.as_ref(),
            left.is_some_and(|it| it.is_zero()),
        ) {
            Step::Rest => {
                if task.is_some() && !instance.state.is_ending() {
                    open_doors(&cx, &instance).await?;
                }
                return Ok(left.map_or(Next::Idle, Next::After));
            }
            Step::Start => return start(&cx, &instance).await,
            Step::Become(state) => settle(&cx, &instance, state)?,
            Step::Stop(Haste::Ask) => tasks.stop(&instance.id, "its instance stops").await?,
            Step::Stop(Haste::Kill) => {
                match tasks.signal(&instance.id, CONTAINER, "SIGKILL").await {
                    Err(error) if error.fault == Fault::NotFound => {
                        tasks.stop(&instance.id, "its instance stops").await?;
                    }
                    outcome => outcome?,
                }
            }
            Step::Clear => {
                tasks.remove(&instance.id).await?;
                // The next step follows from its task being gone, of which nobody tells.
                return Ok(Next::After(Duration::ZERO));
            }
            Step::Ended(ending) => ended(&cx, &instance, &ending)?,
            Step::Release => release(&cx, &instance).await?,
            Step::Forget => {
                cx.engine()
                    .logs
                    .delete_stream(CONSOLES, &instance.id)
                    .await?;
                cx.write(|tx| tx.delete::<InstanceRecord>(key))?;
            }
        }
        Ok(Next::Idle)
    }
}

/// The key of the instance whose task has changed.
pub fn keys_of_task(cloud: &Cloud, id: &str) -> Vec<(&'static str, String)> {
    if !id.starts_with("i-") {
        return Vec::new();
    }
    let keys = all_keys::<InstanceRecord>(cloud).unwrap_or_default();
    let its = keys
        .into_iter()
        .filter(|key| key.split_once('/').is_some_and(|it| it.1 == id));
    its.map(|key| (<InstanceRecord as Record>::KIND, key))
        .collect()
}

/// How long a terminated one is shown still.
fn forgotten_in(cx: &Cx, instance: &InstanceRecord) -> Option<Duration> {
    let shown = i64::try_from(cx.clock().paced_ms(SHOWN_FOR)).unwrap_or(i64::MAX);
    let until = instance.ended_ms?.saturating_add(shown);
    let left = until.saturating_sub(cx.clock().now_ms());
    Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
}

/// Whatever its record has become meanwhile: `edit` sees the one that is stored.
fn edit(
    cx: &Cx,
    instance: &InstanceRecord,
    edit: impl FnOnce(&Records<'_>, &mut InstanceRecord) -> Result<(), cloud::Error>,
) -> Result<(), cloud::Error> {
    cx.write(|tx| {
        if let Some(mut stored) = tx.get::<InstanceRecord>(&instance.key())?
            && stored.want == instance.want
            && stored.boot == instance.boot
        {
            edit(tx, &mut stored)?;
            tx.put(&stored)?;
        }
        Ok(())
    })
}

fn settle(cx: &Cx, instance: &InstanceRecord, state: State) -> Result<(), cloud::Error> {
    edit(cx, instance, |tx, stored| {
        stored.state = state;
        if state == State::Stopped {
            run::give_public_address_back(cx, tx, stored)?;
        }
        Ok(())
    })
}

/// It is to start again as it ended: an instance that was turned off is stopped, or terminated if that is what
/// turning it off means. One whose start fails is terminated, as on AWS.
fn ended(cx: &Cx, instance: &InstanceRecord, ending: &Ending) -> Result<(), cloud::Error> {
    edit(cx, instance, |_, stored| {
        let (code, message) = match ending {
            Ending::TurnedOff => (
                "Client.InstanceInitiatedShutdown",
                "Instance initiated shutdown".to_owned(),
            ),
            Ending::Lost => (
                "Server.InternalError",
                "The supervisor of the instance was lost".to_owned(),
            ),
            Ending::CannotStart(why) => (
                "Server.InternalError",
                format!("Internal error on launch: {why}"),
            ),
        };
        let never_ran = stored.boot == 1 && stored.state == State::Pending;
        let terminates = match ending {
            Ending::TurnedOff => stored.terminates_on_shutdown,
            Ending::Lost | Ending::CannotStart(_) => never_ran,
        };
        match terminates {
            true => {
                stored.want = Want::Terminate(Haste::Ask);
                stored.state = State::ShuttingDown;
            }
            false => {
                stored.want = Want::Stop(Haste::Ask);
                stored.state = State::Stopping;
            }
        }
        stored.reason = Some((code.to_owned(), format!("{code}: {message}")));
        stored.transition = change::transition(cx, code.starts_with("Client"));
        Ok(())
    })
}

async fn open_doors(cx: &Cx, instance: &InstanceRecord) -> Result<(), EngineError> {
    let inside = &cx.engine().inside;
    inside.open_at(&instance.interface, INSIDE).await?;
    inside.open_at(&instance.interface, METADATA).await
}

/// Its changes are below `upper` there.
fn workspace(instance: &InstanceRecord) -> String {
    format!("ec2-{}", instance.id)
}

async fn start(cx: &Cx, instance: &InstanceRecord) -> Result<Next, converge::Error> {
    cx.engine().tasks.expect();
    match cx.engine().network.namespace(&instance.interface).await {
        Ok(_) => {}
        Err(error) if error.fault == Fault::NotFound => return Ok(Next::After(ATTACH_WAIT)),
        Err(error) => return Err(error.into()),
    }
    match prepared(cx, instance).await {
        Ok(spec) => {
            open_doors(cx, instance).await?;
            match cx.engine().tasks.start(spec).await {
                Ok(()) => Ok(Next::Idle),
                Err(error) if error.fault == Fault::Unreachable => Err(error.into()),
                Err(error) => cannot_start(cx, instance, &error),
            }
        }
        Err(error) if error.fault == Fault::Machine => Err(error.into()),
        Err(error) => cannot_start(cx, instance, &error),
    }
}

fn cannot_start(
    cx: &Cx,
    instance: &InstanceRecord,
    error: &EngineError,
) -> Result<Next, converge::Error> {
    ended(cx, instance, &Ending::CannotStart(error.chain()))?;
    Ok(Next::Idle)
}

/// Its root, what it does when it boots, and its console.
async fn prepared(cx: &Cx, instance: &InstanceRecord) -> Result<TaskSpec, EngineError> {
    let image = catalogue::find(&instance.region, &instance.image);
    let image = image.ok_or_else(|| EngineError::not_found("its image is not there any more"))?;
    let made = root::prepare(cx, instance, &image).await?;
    if instance.root.is_none() {
        let digest = made.digest.to_string();
        let noted = edit(cx, instance, |_, stored| {
            stored.root = Some(digest);
            Ok(())
        });
        noted.map_err(|error| EngineError::machine(error.message))?;
    }
    let booted = booted(instance, &image)?;
    let workspaces = &cx.engine().workspaces;
    let place = workspaces.create(&workspace(instance)).await?;
    let mut argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), booted.script.clone()];
    if instance.boot == 1 {
        for (path, content) in &booted.files {
            let below = Path::new("upper").join(path);
            workspaces
                .write(&workspace(instance), &below, content)
                .await?;
        }
        // It may be long.
        let script = format!("var/lib/cloud/instances/{}/boot.sh", instance.id);
        let below = Path::new("upper").join(&script);
        let text = booted.script.as_bytes();
        workspaces.write(&workspace(instance), &below, text).await?;
        argv = vec!["/bin/sh".to_owned(), format!("/{script}")];
    }
    let logs = &cx.engine().logs;
    logs.create_stream(CONSOLES, &instance.id).await?;
    let console = logs.stream_file(CONSOLES, &instance.id).await?;
    let container = ContainerSpec {
        argv,
        upper: Some(place.join("upper")),
        log_file: Some(console),
        ..container(instance, &made)
    };
    Ok(task(instance, container))
}

fn booted(instance: &InstanceRecord, image: &CatalogueImage) -> Result<Boot, EngineError> {
    let given = instance.user_data.as_deref().map(run::decoded);
    let given = given
        .transpose()
        .map_err(|error| EngineError::invalid(error.message))?;
    let data = match &given {
        Some(bytes) => user_data::parse(bytes).map_err(EngineError::invalid)?,
        None => UserData::default(),
    };
    let of = Booted {
        id: &instance.id,
        number: instance.boot,
        user: image.distribution.user,
        public_key: instance.public_key.as_deref(),
    };
    Ok(boot::boot(&of, given.as_deref(), &data))
}

/// What programs of a machine of one's own may do beside those of a container: its network is its own, and so
/// are its processes.
const POWERS: [&str; 2] = ["NET_ADMIN", "SYS_PTRACE"];

fn container(instance: &InstanceRecord, root: &PreparedImage) -> ContainerSpec {
    let mut env: Vec<String> = root.config.env.clone();
    // What leads clients to AWS there leads them here.
    env.push(format!("AWS_ENDPOINT_URL=http://{}", INSIDE.ip()));
    env.push(format!("AWS_DEFAULT_REGION={}", instance.region));
    ContainerSpec {
        name: CONTAINER.into(),
        directories: root.directories.clone(),
        env,
        working_dir: "/".into(),
        essential: true,
        init_process: true,
        init_stays: true,
        add_capabilities: POWERS.map(str::to_owned).into(),
        stop_signal: "SIGTERM".into(),
        stop_timeout_ms: STOP_TIMEOUT_MS,
        ..ContainerSpec::default()
    }
}

fn task(instance: &InstanceRecord, container: ContainerSpec) -> TaskSpec {
    let kind = kinds::find(&instance.kind);
    let hostname = hostname(instance);
    TaskSpec {
        id: instance.id.clone(),
        interface: Some(instance.interface.clone()),
        hosts: vec![(instance.address.to_string(), hostname.clone())],
        hostname,
        dns: Vec::new(),
        cpu_units: kind.as_ref().map(|it| it.vcpus * CPU_UNITS),
        memory_mib: kind.as_ref().map(|it| it.memory_mib),
        pids_max: Some(PIDS_MAX),
        disk: None,
        within: None,
        gives_way_to_a_full_disk: false,
        containers: vec![container],
        volumes: Vec::new(),
        labels: BTreeMap::from([(BOOT_LABEL.to_owned(), instance.boot.to_string())]),
    }
}

fn hostname(instance: &InstanceRecord) -> String {
    format!("ip-{}", instance.address.to_string().replace('.', "-"))
}

/// All but its record, which is shown for a while, and its console.
async fn release(cx: &Cx, instance: &InstanceRecord) -> Result<(), converge::Error> {
    cx.engine().inside.close(&instance.interface);
    cx.engine().workspaces.remove(&workspace(instance)).await?;
    edit(cx, instance, |tx, stored| {
        if let Some(mut interface) = tx.get::<Interface>(&cx.key(&stored.interface))? {
            interface::end_attachment(cx, tx, &mut interface, stored.keeps_interface)?;
        }
        stored.state = State::Terminated;
        stored.ended_ms = Some(cx.clock().now_ms());
        Ok(())
    })?;
    Ok(())
}

/// The last of what it wrote to its console.
pub async fn console(cx: &Cx, id: &str) -> Result<Vec<engine::LogEvent>, EngineError> {
    /// AWS keeps the last 64 KiB.
    const LINES_MAX: usize = 1000;
    let query = engine::LogQuery {
        backward: true,
        limit: LINES_MAX,
        ..Default::default()
    };
    match cx.engine().logs.read(CONSOLES, id, &query).await {
        Err(error) if error.fault == Fault::NotFound => Ok(Vec::new()),
        outcome => outcome,
    }
}
