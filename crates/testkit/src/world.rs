//! A cloud of some services on a simulated machine.

use std::sync::Arc;

use cloud::{
    Authority, Caller, ClientOrigin, Clock, Cloud, CloudParts, Cx, Error, Origin, Pace, Service,
    Store,
};
use engine::Engine;
use sim::Sim;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use wire::Operation;

use crate::Watched;

pub const ACCOUNT: &str = "000000000000";
pub const REGION: &str = "us-east-1";

/// What outlives a daemon: the machine, and the file with its records.
#[derive(Clone)]
pub struct SimMachine {
    pub sim: Sim,
    directory: Arc<TempDir>,
}

impl SimMachine {
    pub fn new(sim: Sim) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        Self {
            sim,
            directory: Arc::new(directory),
        }
    }
}

impl Default for SimMachine {
    fn default() -> Self {
        Self::new(Sim::default())
    }
}

/// A daemon on a machine. What it was doing ends with it.
pub struct World {
    /// The daemon's own context in the default region.
    pub cx: Cx,
    pub cloud: Arc<Cloud>,
    pub sim: Sim,
    pub machine: SimMachine,
    running: Option<JoinHandle<()>>,
}

/// How a [`World`] is to be.
#[must_use]
pub struct WorldBuilder {
    services: Vec<Service>,
    machine: SimMachine,
    engine: Option<Engine>,
    clock: Clock,
    account: &'static str,
    region: &'static str,
}

/// A world of these services, on a machine of its own and in the fast pace unless it is said otherwise.
pub fn world(services: impl Into<Vec<Service>>) -> WorldBuilder {
    WorldBuilder {
        services: services.into(),
        machine: SimMachine::default(),
        engine: None,
        clock: Clock::new(Pace::Fast),
        account: ACCOUNT,
        region: REGION,
    }
}

impl WorldBuilder {
    pub fn on(self, machine: &SimMachine) -> Self {
        let machine = machine.clone();
        Self { machine, ..self }
    }

    /// With another engine than the machine's whole one.
    pub fn with_engine(self, engine: Engine) -> Self {
        let engine = Some(engine);
        Self { engine, ..self }
    }

    pub fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    pub fn of_account(self, account: &'static str) -> Self {
        Self { account, ..self }
    }

    pub fn in_region(self, region: &'static str) -> Self {
        Self { region, ..self }
    }

    /// Nothing is made real: records alone are written.
    pub fn at_rest(self) -> World {
        let file = self.machine.directory.path().join("store.db");
        let sim = self.machine.sim.clone();
        let cloud = Cloud::new(CloudParts {
            account: self.account.into(),
            default_region: self.region.into(),
            store: Store::open(&file).expect("the records can be opened"),
            engine: self.engine.unwrap_or_else(|| sim.engine()),
            clock: self.clock,
            services: self.services,
        });
        World {
            cx: cloud.daemon_context(self.region),
            cloud,
            sim,
            machine: self.machine,
            running: None,
        }
    }

    /// [`WorldBuilder::at_rest`], and what the records say is made real.
    pub fn run(self) -> World {
        let mut world = self.at_rest();
        world.run();
        world
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.cloud.converge.stop();
    }
}

impl World {
    /// Makes real from now on what the records say.
    pub fn run(&mut self) {
        let cloud = self.cloud.clone();
        self.running = Some(tokio::spawn(async move {
            cloud.run().await.expect("the records can be read");
        }));
    }

    /// The daemon dies: another one may open the same records on what is left.
    pub fn crash(self) -> SimMachine {
        self.machine.clone()
    }

    /// The daemon ends in good order: what it was doing is done when this returns.
    pub async fn stop(mut self) -> SimMachine {
        self.cloud.converge.stop();
        if let Some(running) = self.running.take() {
            running.await.expect("the loop does not panic");
        }
        self.machine.clone()
    }

    /// Who decides over everybody's calls but the owner's.
    #[must_use]
    pub fn decided_by(self, authority: impl Authority + 'static) -> Self {
        self.cloud.decide_by(Arc::new(authority));
        self
    }

    /// From now on no call is carried out, and each tells what it would have needed.
    pub fn watched(self) -> Watched {
        Watched::new(self)
    }

    /// What a call answers.
    pub async fn call<I: Operation>(&self, input: I) -> I::Output {
        call(&self.cx, input).await
    }

    pub async fn err<I: Operation>(&self, input: I) -> Error {
        match self.cx.call(input).await {
            Ok(_) => panic!("{} should have been refused", I::NAME),
            Err(error) => error,
        }
    }

    /// The code and the message with which a call is refused.
    pub async fn refused<I: Operation>(&self, input: I) -> (&'static str, String) {
        let error = self.err(input).await;
        (error.code, error.message)
    }

    /// A context for what somebody asks for from outside.
    pub fn client(&self, caller: Caller, origin: ClientOrigin) -> Cx {
        let origin = Arc::new(Origin::Client(origin));
        self.cloud.context(&self.cx.region, caller, origin)
    }
}

/// [`World::call`] in any context.
pub async fn call<I: Operation>(cx: &Cx, input: I) -> I::Output {
    let answer = cx.call(input).await;
    answer.unwrap_or_else(|error| panic!("{}: {error}", I::NAME))
}
