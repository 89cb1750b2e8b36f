//! The context of a call, and what all calls share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use converge::Converge;
use engine::Engine;
use store::{Record, Store};
use wire::{Error, ErrorCode, Node, Operation};

use crate::service::{Follow, Form, Service, Typed};
use crate::{
    Authority, Caller, Clock, Origin, Records, ResourceType, ResourceTypes, random_hex, records,
    token_hex,
};

/// How often it is looked whether the machine's clock was set: what is due then is late by no more.
const CLOCK_LOOK: Duration = Duration::from_secs(1);

/// What a [`Cloud`] is made of.
pub struct CloudParts {
    pub account: String,
    pub default_region: String,
    pub store: Store,
    pub engine: Engine,
    pub clock: Clock,
    pub services: Vec<Service>,
}

/// One account: its services, its records, its machine.
pub struct Cloud {
    pub account: String,
    pub default_region: String,
    pub store: Arc<Store>,
    pub engine: Engine,
    pub clock: Clock,
    pub converge: Converge,
    services: BTreeMap<&'static str, Service>,
    resource_types: BTreeMap<&'static str, Arc<dyn ResourceType>>,
    authority: OnceLock<Arc<dyn Authority>>,
}

impl ResourceTypes for Cloud {
    fn named(&self, name: &str) -> Option<&dyn ResourceType> {
        self.resource_types.get(name).map(|it| &**it)
    }
}

impl Cloud {
    pub fn new(parts: CloudParts) -> Arc<Self> {
        let mut resource_types = BTreeMap::new();
        for service in &parts.services {
            for it in &service.resource_types {
                let clash = resource_types.insert(it.name(), it.clone());
                assert!(clash.is_none(), "{} is registered twice", it.name());
            }
        }
        let converge = Converge::default();
        let kinds: std::collections::BTreeSet<&'static str> = parts
            .services
            .iter()
            .flat_map(|service| service.reconcilers.iter().map(|it| it.kind()))
            .collect();
        let follows: Vec<Follow> = parts
            .services
            .iter()
            .flat_map(|it| it.follows.iter().copied())
            .collect();
        let waker = converge.clone();
        parts.store.on_commit(move |changes| {
            for change in changes {
                if kinds.contains(change.kind) {
                    waker.wake(change.kind, change.key.clone());
                }
                for follow in follows.iter().filter(|it| it.changed == change.kind) {
                    waker.wake(follow.kind, follow.key);
                }
            }
        });
        Arc::new(Self {
            account: parts.account,
            default_region: parts.default_region,
            store: Arc::new(parts.store),
            engine: parts.engine,
            clock: parts.clock,
            converge,
            services: parts
                .services
                .into_iter()
                .map(|it| (it.model.signing_name, it))
                .collect(),
            resource_types,
            authority: OnceLock::new(),
        })
    }

    /// Who decides over the calls of everybody but the owner. Without, they may do everything.
    pub fn decide_by(&self, authority: Arc<dyn Authority>) {
        let fresh = self.authority.set(authority).is_ok();
        assert!(fresh, "one authority decides, set at start-up");
    }

    pub(crate) fn authority(&self) -> Option<&Arc<dyn Authority>> {
        self.authority.get()
    }

    pub(crate) fn service(&self, name: &str) -> Option<&Service> {
        self.services.get(name)
    }

    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// A type that CloudFormation may create, by its name (`AWS::EC2::VPC`).
    pub fn resource_type(&self, name: &str) -> Option<Arc<dyn ResourceType>> {
        self.resource_types.get(name).cloned()
    }

    pub fn resource_types(&self) -> impl Iterator<Item = &Arc<dyn ResourceType>> {
        self.resource_types.values()
    }

    /// A context for work that the daemon does on its own.
    pub fn daemon_context(self: &Arc<Self>, region: &str) -> Cx {
        self.context(region, Caller::Daemon, Arc::new(Origin::Internal))
    }

    /// A context for what somebody asks for. Whoever makes one has to say who that is.
    pub fn context(self: &Arc<Self>, region: &str, caller: Caller, origin: Arc<Origin>) -> Cx {
        Cx {
            cloud: self.clone(),
            region: region.to_owned(),
            caller,
            origin,
            token: None,
            request_id: random_hex(32),
            is_waiter: false,
            acts: false,
            looks: false,
            via: None,
            source_arn: None,
        }
    }

    /// Reconciles records until [`Converge::stop`]. Wakes everything first: this is recovery.
    pub async fn run(self: Arc<Self>) -> Result<(), store::StoreError> {
        let mut by_kind = HashMap::new();
        for service in self.services.values() {
            for reconciler in &service.reconcilers {
                for key in reconciler.keys(&self)? {
                    self.converge.wake(reconciler.kind(), key);
                }
                by_kind.insert(reconciler.kind(), reconciler.clone());
            }
        }
        self.watch_engine();
        let weak: Weak<Self> = Arc::downgrade(&self);
        let converge = self.converge.clone();
        drop(self);
        converge
            .run(Arc::new(move |key| {
                let work = weak
                    .upgrade()
                    .and_then(|it| Some((it, by_kind.get(key.kind)?.clone())));
                Box::pin(async move {
                    let Some((cloud, reconciler)) = work else {
                        return Ok(converge::Next::Idle);
                    };
                    let cx = cloud.daemon_context(&reconciler.region(&key.key));
                    reconciler.reconcile(cx, &key.key).await
                })
            }))
            .await;
        Ok(())
    }

    /// Follows the machine's clock for as long as it is polled.
    pub async fn follow_clock(&self) {
        loop {
            tokio::time::sleep(CLOCK_LOOK).await;
            self.look_at_clock();
        }
    }

    /// Where the machine's clock was set, or the machine slept, timers were set for a time that comes at
    /// another moment now: whoever has one looks again what is due.
    pub fn look_at_clock(&self) {
        if let Some(by_ms) = self.clock.follow() {
            tracing::warn!(
                by_ms,
                "the machine's clock was set, or it slept: looking what is due"
            );
            self.converge.wake_timers();
        }
    }

    fn watch_engine(self: &Arc<Self>) {
        use tokio::sync::broadcast::error::RecvError;
        for service in self.services.values() {
            for watch in &service.watches {
                let (mut changes, keys) = ((watch.changes)(&self.engine), watch.keys);
                let weak = Arc::downgrade(self);
                let kinds: Vec<_> = service.reconcilers.clone();
                tokio::spawn(async move {
                    loop {
                        let seen = changes.recv().await;
                        let Some(cloud) = weak.upgrade() else { return };
                        let woken = match seen {
                            Ok(id) => keys(&cloud, &id),
                            // Changes were missed: look at everything this service has.
                            Err(RecvError::Lagged(_)) => (kinds.iter())
                                .flat_map(|it| {
                                    let keys = it.keys(&cloud).unwrap_or_default();
                                    keys.into_iter()
                                        .map(|key| (it.kind(), key))
                                        .collect::<Vec<_>>()
                                })
                                .collect(),
                            Err(RecvError::Closed) => return,
                        };
                        for (kind, key) in woken {
                            cloud.converge.wake(kind, key);
                        }
                    }
                });
            }
        }
    }
}

/// Everything that a handler may use. Cheap to clone. Only [`Cloud::context`] makes one anew, also not
/// out of one that is at hand, so that there is none without a caller.
#[derive(Clone)]
#[non_exhaustive]
pub struct Cx {
    pub cloud: Arc<Cloud>,
    pub region: String,
    pub caller: Caller,
    /// Where the call came from.
    pub origin: Arc<Origin>,
    /// Set when the caller may repeat this call after a crash (CloudFormation does): the same token
    /// means the same request. See [`Cx::new_id`].
    pub token: Option<String>,
    pub request_id: String,
    /// The caller is a client's waiter: it asks until something is done, with pauses of its own
    /// between. It is better served by an answer that comes a little later.
    pub is_waiter: bool,
    /// Calls are the caller's own, and its permissions decide: see [`Cx::acting_as`].
    pub acts: bool,
    /// The operation was asked for from outside and only shows what there is: nothing is decided by it.
    pub looks: bool,
    /// The service that makes calls with the rights of who asked it: see [`Cx::via`].
    pub via: Option<&'static str>,
    /// What a service calls for in its own name: see [`Cx::as_service_for`].
    pub source_arn: Option<String>,
}

impl Cx {
    pub fn account(&self) -> &str {
        &self.cloud.account
    }

    /// Reads records in one consistent state. For who only [`Self::looks`], lists go on without records
    /// that cannot be read; for everybody else such a record is an error.
    pub fn read<T>(&self, body: impl FnOnce(&Records<'_>) -> Result<T, Error>) -> Result<T, Error> {
        match self.looks {
            true => records::look(&self.cloud.store, body),
            false => records::read(&self.cloud.store, body),
        }
    }

    /// Changes records in one transaction: all of it is on disk when this returns, or nothing of it
    /// when `body` answers an error.
    pub fn write<T>(
        &self,
        body: impl FnOnce(&Records<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        records::write(&self.cloud.store, body)
    }

    /// Changes one record in a transaction of its own, and answers it as it is now.
    pub fn change<R: Record>(
        &self,
        find: impl FnOnce(&Records<'_>) -> Result<R, Error>,
        body: impl FnOnce(&mut R) -> Result<(), Error>,
    ) -> Result<R, Error> {
        self.write(|tx| {
            let mut record = find(tx)?;
            body(&mut record)?;
            tx.put(&record)?;
            Ok(record)
        })
    }

    pub fn engine(&self) -> &Engine {
        &self.cloud.engine
    }

    pub fn clock(&self) -> &Clock {
        &self.cloud.clock
    }

    /// `<region>/<rest>`: the key of a record of this region.
    pub fn key(&self, rest: &str) -> String {
        format!("{}/{rest}", self.region)
    }

    /// `arn:aws:<service>:<region>:<account>:<resource>` of the caller's region.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        crate::arn(service, &self.region, self.account(), resource)
    }

    /// `<prefix>` and `digits` hexadecimal digits. With a token the id follows from it, so a
    /// repeated request finds the record that the first one made: a handler that finds its record
    /// there already answers with it.
    pub fn new_id(&self, prefix: &str, digits: usize) -> String {
        match &self.token {
            Some(token) => format!("{prefix}{}", token_hex(token, prefix, digits)),
            None => format!("{prefix}{}", random_hex(digits)),
        }
    }

    /// The same context for a call that may be repeated with this token.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            ..self.clone()
        }
    }

    /// The same context for a call that a service makes in its own name: roles trust it or do not.
    #[must_use]
    pub fn as_service(&self, principal: &'static str) -> Self {
        Self {
            caller: Caller::Service(principal),
            ..self.clone()
        }
    }

    /// [`Cx::as_service`] on behalf of a resource of the account: the condition key `aws:SourceArn`.
    #[must_use]
    pub fn as_service_for(&self, principal: &'static str, source_arn: impl Into<String>) -> Self {
        Self {
            source_arn: Some(source_arn.into()),
            ..self.as_service(principal)
        }
    }

    /// The same context for somebody else's call.
    #[must_use]
    pub fn with_caller(&self, caller: Caller) -> Self {
        Self {
            caller,
            ..self.clone()
        }
    }

    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        Self {
            region: region.to_owned(),
            ..self.clone()
        }
    }

    /// A request from another service: the same operation, typed, with no wire between.
    pub async fn call<I: Operation + Send + 'static>(&self, input: I) -> Result<I::Output, Error> {
        let typed = (self.cloud.services.get(I::SERVICE))
            .and_then(|service| service.operations.get(I::NAME))
            .ok_or_else(|| not_implemented(I::SERVICE, I::NAME))?
            .typed
            .downcast_ref::<Typed<I>>()
            .expect("the table is keyed by the name that the input type carries");
        typed(self.clone(), input).await
    }

    /// Makes, by another service, what is to be there once: it is no matter who made it, nor whether that
    /// service is served at all. `exists` is what the service says of one that is there.
    pub async fn make_once<I: Operation + Send + 'static>(
        &self,
        input: I,
        exists: ErrorCode,
    ) -> Result<(), Error> {
        match self.call(input).await {
            Err(error) if !error.is(exists) && !error.is(wire::codes::NotImplemented) => Err(error),
            _ => Ok(()),
        }
    }

    /// A request from the network, already authenticated and routed.
    pub async fn serve(&self, service: &str, operation: &str, input: Node) -> Result<Node, Error> {
        self.run(service, operation, input, Form::Wire).await
    }

    /// The same for a client that speaks JSON with every service.
    pub async fn serve_json(
        &self,
        service: &str,
        operation: &str,
        input: serde_json::Value,
    ) -> Result<serde_json::Value, Error> {
        let output = self
            .run(service, operation, wire::read_json(input), Form::Json)
            .await?;
        Ok(wire::write_json(&output))
    }

    async fn run(
        &self,
        service: &str,
        operation: &str,
        input: Node,
        form: Form,
    ) -> Result<Node, Error> {
        let entry = (self.cloud.services.get(service))
            .and_then(|service| service.operations.get(operation))
            .ok_or_else(|| not_implemented(service, operation))?;
        let looks = only_looks(operation);
        let cx = Self {
            looks,
            ..self.clone()
        };
        (entry.untyped)(cx, input, form).await
    }
}

/// Whether an operation shows what there is, by AWS's own habit of names.
pub fn only_looks(operation: &str) -> bool {
    const VERBS: [&str; 4] = ["Describe", "List", "Get", "BatchGet"];
    VERBS.iter().any(|it| operation.starts_with(it))
}

/// An operation that the model has and this build has not.
fn not_implemented(service: &str, operation: &str) -> Error {
    wire::codes::NotImplemented.because(format!(
        "{service}:{operation} is not supported by neargate (see `neargate coverage`)"
    ))
}
