//! Commands in running containers: made, started, looked at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine::{ExecSession, ExecSpec, OutputStream};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::attach::{End, Output, Wanted, carry, hijack};
use super::detach::DetachKeys;
use super::pause::check_not_paused;
use super::{Container, MAIN, not_running, size_of};
use crate::answer::{self, Answer, Refusal};
use crate::disk::random_id;
use crate::docker::Docker;
use crate::limits::{EXEC_KEPT, EXECS_MAX};
use crate::routes::Call;

pub type Execs = Mutex<HashMap<String, Arc<Exec>>>;

pub struct Exec {
    container: Arc<Container>,
    spec: ExecSpec,
    stdout: bool,
    stderr: bool,
    detach_keys: String,
    keys: DetachKeys,
    progress: Mutex<Progress>,
}

impl Exec {
    fn begins_again(&self) -> bool {
        let mut progress = self.progress.lock().expect("no holder panics");
        std::mem::replace(&mut progress.started, true)
    }
}

#[derive(Debug, Clone, Default)]
struct Progress {
    started: bool,
    running: bool,
    pid: i32,
    exit_code: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct CreateRequest {
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    /// Docker's client in Python has its own form of this name, and docker reads names in any.
    #[serde(alias = "detachKeys")]
    detach_keys: String,
    tty: bool,
    privileged: bool,
    user: String,
    working_dir: String,
    env: Vec<String>,
    cmd: Vec<String>,
    console_size: Option<[u16; 2]>,
}

/// `POST /containers/{id}/exec`
pub async fn create(call: Call, container: &Arc<Container>) -> Answer {
    let request: CreateRequest = call.json().await?;
    let record = container.record();
    if !record.is_running() {
        return Err(not_running(&record));
    }
    check_not_paused(container)?;
    if request.cmd.is_empty() {
        return Err(Refusal::bad("No exec command specified"));
    }
    if request.privileged {
        call.docker.policy().allow("a privileged command")?;
    }
    let id = random_id();
    let exec = Exec {
        container: container.clone(),
        spec: ExecSpec {
            id: id.clone(),
            argv: request.cmd,
            env: request.env,
            working_dir: request.working_dir,
            user: request.user,
            terminal: request.tty,
            terminal_size: request.console_size.map(|[rows, columns]| (rows, columns)),
            stdin: request.attach_stdin,
            privileged: request.privileged,
            ends_when_left: false,
        },
        stdout: request.attach_stdout,
        stderr: request.attach_stderr,
        keys: DetachKeys::parse(&request.detach_keys)?,
        detach_keys: request.detach_keys,
        progress: Mutex::default(),
    };
    let mut execs = call
        .docker
        .containers
        .execs
        .lock()
        .expect("no holder panics");
    if execs.len() >= EXECS_MAX {
        return Err(Refusal::failed(format!(
            "there are {EXECS_MAX} commands already"
        )));
    }
    execs.insert(id.clone(), Arc::new(exec));
    drop(execs);
    // One that nobody starts.
    tokio::spawn(forget_later(
        call.docker.clone(),
        id.clone(),
        Forget::Unstarted,
    ));
    Ok(answer::json(StatusCode::CREATED, &json!({ "Id": id })))
}

pub async fn route(call: Call, method: &Method, id: &str, what: &str) -> Answer {
    let execs = &call.docker.containers.execs;
    let exec = execs.lock().expect("no holder panics").get(id).cloned();
    let exec = exec.ok_or_else(|| Refusal::not_found(format!("No such exec instance: {id}")))?;
    match (method.as_str(), what) {
        ("POST", "start") => start(call, exec).await,
        ("POST", "resize") => resize(call, &exec).await,
        ("GET", "json") => answer::ok(show(id, &exec)),
        _ => Err(Refusal::not_found("page not found")),
    }
}

fn show(id: &str, exec: &Exec) -> Value {
    let progress = exec.progress.lock().expect("no holder panics").clone();
    let (program, arguments) = exec.spec.argv.split_first().expect("it was checked");
    json!({
        "ID": id, "Running": progress.running, "ExitCode": progress.exit_code, "Pid": progress.pid,
        "ContainerID": exec.container.record().id, "OpenStdin": exec.spec.stdin,
        "OpenStdout": exec.stdout, "OpenStderr": exec.stderr, "CanRemove": false,
        "DetachKeys": exec.detach_keys,
        "ProcessConfig": {
            "tty": exec.spec.terminal, "entrypoint": program, "arguments": arguments,
            "privileged": exec.spec.privileged, "user": exec.spec.user,
        },
    })
}

async fn resize(call: Call, exec: &Exec) -> Answer {
    let (rows, columns) = size_of(&call)?;
    let task = exec.container.record().task();
    let tasks = &call.docker.tasks;
    tasks
        .resize(&task, MAIN, Some(&exec.spec.id), rows, columns)
        .await?;
    answer::empty(StatusCode::OK)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct StartRequest {
    detach: bool,
    /// Whether its output is sent as it is. That of a terminal need not be.
    tty: bool,
    console_size: Option<[u16; 2]>,
}

async fn start(call: Call, exec: Arc<Exec>) -> Answer {
    let request: StartRequest = call.json().await?;
    let record = exec.container.record();
    if !record.is_running() {
        return Err(not_running(&record));
    }
    check_not_paused(&exec.container)?;
    if exec.begins_again() {
        return Err(Refusal::conflict(format!(
            "exec {} has already run",
            exec.spec.id
        )));
    }
    let docker = call.docker.clone();
    let mut spec = exec.spec.clone();
    if let Some([rows, columns]) = request.console_size {
        spec.terminal_size = Some((rows, columns));
    }
    let command = spec.argv.join(" ");
    docker.tell(
        &exec.container,
        &format!("exec_start: {command}"),
        &[("execID", spec.id.clone())],
    );
    if request.detach {
        let session = begin(&docker, &exec, spec).await;
        let session = session.inspect_err(|_| ended(&docker, &exec, CANNOT_BE_INVOKED))?;
        tokio::spawn(finish(docker, exec, session.exit));
        return answer::empty(StatusCode::OK);
    }
    let wanted = Wanted {
        stdout: exec.stdout,
        stderr: exec.stderr,
        terminal: request.tty,
    };
    // Not before the client has its answer: what is written at once could come along with it.
    hijack(call, wanted, move |client| async move {
        let (reader, mut output) = client.split();
        match begin(&docker, &exec, spec).await {
            Ok(ExecSession { attached, exit, .. }) => {
                let keys = exec.spec.terminal.then(|| exec.keys.clone());
                if carry(attached, reader, &mut output, wanted, keys).await == End::Detached {
                    let id = [("execID", exec.spec.id.clone())];
                    docker.tell(&exec.container, "exec_detach", &id);
                    output.close().await;
                    finish(docker, exec, exit).await;
                    return;
                }
                // Whoever waits for the output's end asks for the exit code next.
                finish(docker, exec, exit).await;
            }
            Err(error) => tell_failure(&docker, &exec, &error.chain(), wanted, &mut output).await,
        }
        output.close().await;
    })
}

/// Runs it, and notes that it runs.
async fn begin(docker: &Docker, exec: &Exec, spec: ExecSpec) -> engine::Result<ExecSession> {
    let task = exec.container.record().task();
    let session = docker.tasks.exec_attached(&task, MAIN, spec).await?;
    let mut progress = exec.progress.lock().expect("no holder panics");
    progress.running = true;
    progress.pid = session.pid;
    drop(progress);
    Ok(session)
}

async fn tell_failure(
    docker: &Arc<Docker>,
    exec: &Exec,
    why: &str,
    wanted: Wanted,
    output: &mut Output,
) {
    let program = exec.spec.argv.first().map_or("", String::as_str);
    let lower = why.to_lowercase();
    let is_absent = lower.contains("not found") || lower.contains("no such file");
    let cause = match why.starts_with("exec: ") || !is_absent {
        true => why.to_owned(),
        false => format!("exec: \"{program}\": executable file not found in $PATH: {why}"),
    };
    let text = format!(
        "OCI runtime exec failed: exec failed: unable to start container process: {cause}\r\n"
    );
    output
        .write(wanted.frame(OutputStream::Stdout, &Bytes::from(text)))
        .await;
    ended(docker, exec, CANNOT_BE_INVOKED);
}

/// Docker's for a command that could not be started in a container, whatever the reason.
const CANNOT_BE_INVOKED: i32 = 126;

async fn finish(
    docker: Arc<Docker>,
    exec: Arc<Exec>,
    exit: tokio::sync::oneshot::Receiver<engine::Result<i32>>,
) {
    const KILLED: i32 = 137;
    let code = match exit.await {
        Ok(Ok(code)) => code,
        Ok(Err(_)) | Err(_) => KILLED,
    };
    ended(&docker, &exec, code);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forget {
    Unstarted,
    Ended,
}

async fn forget_later(docker: Arc<Docker>, id: String, which: Forget) {
    tokio::time::sleep(EXEC_KEPT).await;
    forget(&docker.containers.execs, &id, which);
}

fn forget(execs: &Execs, id: &str, which: Forget) {
    let mut execs = execs.lock().expect("no holder panics");
    let started = |it: &Arc<Exec>| it.progress.lock().expect("no holder panics").started;
    if which == Forget::Ended || execs.get(id).is_some_and(|it| !started(it)) {
        execs.remove(id);
    }
}

/// It is kept for a while, for its exit code to be asked for.
fn ended(docker: &Arc<Docker>, exec: &Exec, code: i32) {
    let id = exec.spec.id.clone();
    tokio::spawn(forget_later(docker.clone(), id, Forget::Ended));
    let mut progress = exec.progress.lock().expect("no holder panics");
    progress.running = false;
    progress.exit_code = Some(code);
    drop(progress);
    let more = [
        ("execID", exec.spec.id.clone()),
        ("exitCode", code.to_string()),
    ];
    docker.tell(&exec.container, "exec_die", &more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::record::tests::a_record;

    #[test]
    fn what_was_never_started_is_forgotten_and_what_runs_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let container = Container::new(folder.path().to_owned(), a_record());
        let execs = Execs::default();
        for (id, started) in [("idle", false), ("runs", true)] {
            let exec = Exec {
                container: container.clone(),
                spec: ExecSpec {
                    id: id.into(),
                    ..ExecSpec::default()
                },
                stdout: true,
                stderr: true,
                detach_keys: String::new(),
                keys: DetachKeys::parse("").unwrap(),
                progress: Mutex::new(Progress {
                    started,
                    ..Progress::default()
                }),
            };
            execs.lock().unwrap().insert(id.into(), Arc::new(exec));
            forget(&execs, id, Forget::Unstarted);
        }
        let left = || execs.lock().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(left(), ["runs"]);
        forget(&execs, "runs", Forget::Ended);
        assert!(left().is_empty());
    }
}
