//! The table of calls: `Control`, and `LLBBridge` for clients that lead their builds themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use buildkit::grpc::{Call, Code, Replies, Service, Status};
use buildkit::messages::{
    BUILD_ID, BridgeResult, BridgeSolveRequest, BridgeSolveResponse, Capability, InfoResponse,
    Nothing, Platform, PongResponse, PruneRequest, Reference, ResultKind, ReturnRequest,
    SolveRequest, SolveResponse, StatusRequest, UsageRecord, Version, Worker, WorkersResponse,
};
use engine::Digest;
use prost::Message;

use super::job::{Ending, Job};
use super::options::{self, Options, Wanted};
use super::{export, failed, send, work};
use crate::clock::now_ms;
use crate::docker::Docker;
use crate::images::own_platform;

const CONTROL: &str = "/moby.buildkit.v1.Control/";
const BRIDGE: &str = "/moby.buildkit.v1.frontend.LLBBridge/";

/// What a client may rely on that leads its builds itself.
const CAPABILITIES: &[&str] = &[
    "solve.base",
    "return",
    "returnmap",
    "proto.refarray",
    "importcaches",
    // Everything is built when it is asked for.
    "gateway.solve.evaluate",
];

pub struct Builder(pub Arc<Docker>);

#[async_trait]
impl Service for Builder {
    async fn call(&self, mut call: Call, replies: Replies) -> Result<(), Status> {
        let path = call.path.clone();
        if let Some(method) = path.strip_prefix(CONTROL) {
            return match method {
                "Solve" => say(&replies, &self.solve(call.message().await?).await?).await,
                "Status" => self.status(call.message().await?, &replies).await,
                "ListWorkers" => {
                    let workers = vec![self.worker()];
                    say(&replies, &WorkersResponse { workers }).await
                }
                "Info" => {
                    let version = Some(self.version());
                    say(&replies, &InfoResponse { version }).await
                }
                "Prune" => self.prune(call.message().await?, &replies).await,
                other => Err(Status::unimplemented(format!("BuildKit's call `{other}`"))),
            };
        }
        let Some(method) = path.strip_prefix(BRIDGE) else {
            return Err(Status::unimplemented(format!("the call `{path}`")));
        };
        let id = call.headers.get(BUILD_ID).and_then(|it| it.to_str().ok());
        let id = id.ok_or_else(|| Status::new(Code::InvalidArgument, "no build is named"))?;
        let job = self.0.buildkit.jobs.find(id).await?;
        match method {
            "Ping" => say(&replies, &self.pong()).await,
            "Solve" => {
                let solved = self.solve_for(&job, call.message().await?).await?;
                say(&replies, &solved).await
            }
            "Return" => {
                give_back(&job, call.message().await?);
                say(&replies, &Nothing {}).await
            }
            other => Err(Status::unimplemented(format!("BuildKit's call `{other}`"))),
        }
    }
}

async fn say(replies: &Replies, message: &impl Message) -> Result<(), Status> {
    match replies.send(message).await {
        true => Ok(()),
        false => Err(Status::new(Code::Cancelled, "the client is gone")),
    }
}

impl Builder {
    fn worker(&self) -> Worker {
        let (os, architecture) = own_platform().split_once('/').unwrap_or_default();
        Worker {
            id: "neargate".to_owned(),
            labels: BTreeMap::new(),
            platforms: vec![Platform {
                architecture: architecture.to_owned(),
                os: os.to_owned(),
            }],
            version: Some(self.version()),
        }
    }

    fn version(&self) -> Version {
        Version {
            package: "neargate".to_owned(),
            version: self.0.version.clone(),
        }
    }

    fn pong(&self) -> PongResponse {
        let capability = |id: &str| Capability {
            id: id.to_owned(),
            enabled: true,
        };
        PongResponse {
            frontend_capabilities: CAPABILITIES.iter().copied().map(capability).collect(),
            // Of graphs of steps, none are taken; an empty list would mean some.
            capabilities: vec![capability("constraints")],
            workers: vec![self.worker()],
        }
    }

    async fn solve(&self, request: SolveRequest) -> Result<SolveResponse, Status> {
        let docker = &self.0;
        let jobs = &docker.buildkit.jobs;
        // First of all, so that whoever asks how far it is need not wait for it to be there.
        let (job, returned) = jobs.begin(&request.id, &request.session)?;
        let _ending = Ending {
            docker: docker.clone(),
            job: job.clone(),
        };
        let warnings = options::check(&request)?;
        let wanted = Wanted::read(&request)?;
        let names = export::names(docker, wanted.names.as_deref().unwrap_or_default())?;
        for warning in &warnings {
            job.progress.warn(warning);
        }
        let built = match request.frontend.as_str() {
            "" => {
                let gone = |_| Status::new(Code::Cancelled, "the client gave its build up");
                returned.await.map_err(gone)??
            }
            _ => {
                let options = Options::read(&request.options)?;
                Some(work::build(docker, &job, &options).await?)
            }
        };
        let exported = match (&built, wanted.names) {
            (Some(digest), Some(_)) => {
                export::export(docker, &job.progress, digest, &names).await?
            }
            _ => BTreeMap::new(),
        };
        if let Some(digest) = &built {
            for wish in wanted.files {
                let session = docker.buildkit.sessions.find(&job.session).await?;
                send::send(docker, &session, &job.progress, digest, wish).await?;
            }
        }
        Ok(SolveResponse { exported })
    }

    async fn status(&self, request: StatusRequest, replies: &Replies) -> Result<(), Status> {
        let job = self.0.buildkit.jobs.find(&request.id).await?;
        let mut known = 0;
        while let Some(told) = job.progress.after(known).await {
            known += told.len();
            for response in &told {
                say(replies, response).await?;
            }
        }
        Ok(())
    }

    /// What a client that leads its build asks for meanwhile.
    async fn solve_for(
        &self,
        job: &Job,
        request: BridgeSolveRequest,
    ) -> Result<BridgeSolveResponse, Status> {
        options::refuse_graphs(request.definition.as_deref(), &request.inputs)?;
        if request.frontend != "dockerfile.v0" {
            return Err(options::frontend(&request.frontend));
        }
        if job.progress.is_over() {
            return Err(Status::new(Code::Cancelled, "the build is over"));
        }
        let options = Options::read(&request.options)?;
        let digest = work::build(&self.0, job, &options).await?;
        let id = job.keep(&digest)?;
        if !request.takes_result {
            return Ok(BridgeSolveResponse {
                reference: id,
                result: None,
            });
        }
        let kind = match request.takes_references {
            true => ResultKind::Reference(Reference { id }),
            false => ResultKind::Id(id),
        };
        let result = BridgeResult {
            kind: Some(kind),
            metadata: BTreeMap::new(),
        };
        Ok(BridgeSolveResponse {
            reference: String::new(),
            result: Some(result),
        })
    }

    /// Forgets what the cache has, as `POST /build/prune` does.
    async fn prune(&self, request: PruneRequest, replies: &Replies) -> Result<(), Status> {
        if let Some(filter) = request.filters.first() {
            return Err(Status::unimplemented(format!(
                "pruning by the filter `{filter}`"
            )));
        }
        let spaces = [
            request.reserved_space,
            request.max_used_space,
            request.min_free_space,
        ];
        if spaces.iter().any(|it| *it != 0) {
            return Err(Status::unimplemented("pruning up to a size"));
        }
        let keep_ms = request.keep_duration / 1_000_000;
        let before_ms = (keep_ms > 0).then(|| now_ms() - keep_ms);
        let scope = self.0.scope.as_ref();
        let pruned = self
            .0
            .builds
            .prune(scope, before_ms)
            .await
            .map_err(failed)?;
        for step in pruned {
            let record = UsageRecord {
                id: step.id,
                size: step.bytes as i64,
                description: "a step of a build".to_owned(),
                kind: "regular".to_owned(),
            };
            say(replies, &record).await?;
        }
        Ok(())
    }
}

/// The client says what it wants of what was built, or why it wants nothing any more.
fn give_back(job: &Job, request: ReturnRequest) {
    let returned = match (request.error, request.result) {
        (Some(error), _) => Err(Status {
            code: Code::of(error.code),
            message: error.message.clone(),
            details: Some(error.encode_to_vec().into()),
        }),
        (None, None) => Ok(None),
        (None, Some(result)) => wanted_of(job, &result),
    };
    job.give_back(returned);
}

fn wanted_of(job: &Job, result: &BridgeResult) -> Result<Option<Digest>, Status> {
    match result.ids().as_slice() {
        [] => Ok(None),
        [id] => job.result(id).map(Some),
        _ => Err(Status::unimplemented("one image for several platforms")),
    }
}
