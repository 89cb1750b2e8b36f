//! A daemon with CloudFormation and a service that lends fake resources. The fakes remember what
//! exists, and can fail, wait, or die in the middle of a call.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloud::{
    Created, Cx, Error, Property, ResourceError, ResourceRequest, ResourceType, Service, Stability,
};
use serde_json::{Value as Json, json};
use shapes::{cloudformation as api, ec2, s3, secretsmanager, ssm};
use testkit::SimMachine;

pub const REGION: &str = "eu-west-1";

/// Everything that exists outside of the records, and what is to go wrong.
#[derive(Default)]
pub struct World {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: BTreeMap<String, Made>,
    made: u32,
    calls: u32,
    crash: Option<Crash>,
    crashed: bool,
    /// Whoever calls is a process that has died.
    dead: bool,
    /// What is done with a resource of this `Name`: `create`, `update`, `delete`, `stability`.
    broken: BTreeMap<String, String>,
    /// Things of this `Name` are not stable yet.
    waiting: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    token: String,
    pub properties: Json,
    pub tags: BTreeMap<String, String>,
}

/// The process dies once: at the call with this number, before or after its effect.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    pub call: u32,
    pub after: bool,
}

impl World {
    /// A process that died while it held the lock leaves the world as it was.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    pub fn live(&self) -> BTreeMap<String, Json> {
        let state = self.lock();
        state
            .live
            .iter()
            .map(|(id, it)| (id.clone(), it.properties.clone()))
            .collect()
    }
    pub fn tags(&self, id: &str) -> BTreeMap<String, String> {
        self.lock().live[id].tags.clone()
    }
    /// Somebody changes a thing behind the stack's back, or takes it away.
    pub fn tamper(&self, id: &str, properties: Option<Json>) {
        let mut state = self.lock();
        match (properties, state.live.get_mut(id)) {
            (Some(properties), Some(made)) => made.properties = properties,
            _ => drop(state.live.remove(id)),
        }
    }
    pub fn calls(&self) -> u32 {
        self.lock().calls
    }
    pub fn crash(&self, crash: Crash) {
        let mut state = self.lock();
        state.crash = Some(crash);
        state.crashed = false;
    }
    pub fn has_crashed(&self) -> bool {
        self.lock().crashed
    }
    pub fn break_thing(&self, name: &str, what: &str) {
        self.lock().broken.insert(name.into(), what.into());
    }
    pub fn repair(&self) {
        let mut state = self.lock();
        state.broken.clear();
        state.waiting.clear();
    }
    pub fn hold(&self, name: &str) {
        self.lock().waiting.push(name.into());
    }

    /// One call from outside: counted, and perhaps the last thing that happens: a process that has died
    /// never gets an answer.
    async fn call<T>(&self, effect: impl FnOnce(&mut State) -> T) -> T {
        match self.take_effect(effect) {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    fn take_effect<T>(&self, effect: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.lock();
        if state.dead {
            return None;
        }
        state.calls += 1;
        let dies = state.crash.filter(|it| it.call == state.calls);
        if dies.is_some() {
            state.crash = None;
            state.crashed = true;
            state.dead = true;
        }
        match dies {
            Some(Crash { after: false, .. }) => None,
            Some(Crash { after: true, .. }) => {
                effect(&mut state);
                None
            }
            None => Some(effect(&mut state)),
        }
    }
}

fn is_broken(state: &State, properties: &Json, what: &str) -> bool {
    let name = properties["Name"].as_str().unwrap_or_default();
    state.broken.get(name).is_some_and(|it| it == what)
}

pub struct Thing(pub Arc<World>);

#[async_trait::async_trait]
impl ResourceType for Thing {
    fn name(&self) -> &'static str {
        "Test::Fake::Thing"
    }
    fn properties(&self) -> &'static [Property] {
        const PROPERTIES: &[Property] = &[
            Property::text("Name").required().replaces(),
            Property::any("Size"),
            Property::text("Of"),
            Property::any("Role"),
            Property::object("Net")
                .members(&[Property::any("Port").required(), Property::text("Host")]),
            Property::objects("Rules").members(&[Property::number("Port").required()]),
            Property::texts("Groups"),
        ];
        PROPERTIES
    }
    fn readable(&self) -> &'static [&'static str] {
        &["Arn", "Size", "Missing"]
    }
    fn capability(&self, properties: &Json) -> Option<&'static str> {
        properties.get("Role").map(|_| "CAPABILITY_IAM")
    }
    async fn create(&self, _: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        self.0
            .call(|state| {
                if is_broken(state, &request.properties, "create") {
                    return Err(ResourceError::new("no capacity"));
                }
                if let Some((id, _)) = state.live.iter().find(|(_, it)| it.token == request.token) {
                    return Ok(Created {
                        physical_id: id.clone(),
                    });
                }
                state.made += 1;
                let physical_id = format!("{}-{}", request.logical_id.to_lowercase(), state.made);
                let made = Made {
                    token: request.token.clone(),
                    properties: request.properties.clone(),
                    tags: request.tags.clone(),
                };
                state.live.insert(physical_id.clone(), made);
                request.made.note(&physical_id);
                if is_broken(state, &request.properties, "halfway") {
                    return Err(ResourceError::new("no room"));
                }
                let panics = is_broken(state, &request.properties, "panic");
                assert!(!panics, "a fault of the type's");
                Ok(Created { physical_id })
            })
            .await
    }
    async fn stability(&self, _: &Cx, physical_id: &str) -> Result<Stability, ResourceError> {
        self.0
            .call(|state| {
                let Some(made) = state.live.get(physical_id) else {
                    return Ok(Stability::Failed("it is gone".into()));
                };
                if is_broken(state, &made.properties, "stability") {
                    return Ok(Stability::Failed("it never became healthy".into()));
                }
                let name = made.properties["Name"].as_str().unwrap_or_default();
                match state.waiting.iter().any(|it| it == name) {
                    true => Ok(Stability::Waiting("not yet".into())),
                    false => Ok(Stability::Stable),
                }
            })
            .await
    }
    async fn update(
        &self,
        _: &Cx,
        physical_id: &str,
        _: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        self.0
            .call(|state| {
                let is_broken = is_broken(state, &request.properties, "update");
                let made = state
                    .live
                    .get_mut(physical_id)
                    .ok_or_else(|| ResourceError::new("it is gone"))?;
                // A broken one has changed something before it fails.
                made.properties = request.properties.clone();
                made.tags = request.tags.clone();
                match is_broken {
                    true => Err(ResourceError::new("it cannot be that big")),
                    false => Ok(()),
                }
            })
            .await
    }
    async fn delete(
        &self,
        _: &Cx,
        physical_id: &str,
        properties: &Json,
    ) -> Result<(), ResourceError> {
        self.0
            .call(|state| {
                if is_broken(state, properties, "delete") {
                    return Err(ResourceError::new("somebody uses it"));
                }
                let user = state
                    .live
                    .values()
                    .find(|it| it.properties["Of"] == physical_id);
                if let Some(user) = user {
                    return Err(ResourceError::new(format!(
                        "{} needs {physical_id}",
                        user.token
                    )));
                }
                state.live.remove(physical_id);
                Ok(())
            })
            .await
    }
    async fn deleted(&self, _: &Cx, _: &str) -> Result<Stability, ResourceError> {
        self.0.call(|_| Ok(Stability::Stable)).await
    }
    async fn actual(
        &self,
        _: &Cx,
        physical_id: &str,
        _: &Json,
    ) -> Result<Option<Json>, ResourceError> {
        let made = self.0.live();
        let made = made.get(physical_id).cloned().unwrap_or_default();
        Ok((made["Name"] != "blind").then_some(made))
    }
    async fn read(&self, _: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        self.0
            .call(|state| match state.live.get(physical_id) {
                Some(made) => Ok(json!({
                    "Arn": format!("arn:{physical_id}"),
                    "Size": made.properties["Size"],
                })),
                None => Err(ResourceError::new("no such thing")),
            })
            .await
    }
}

async fn zones(
    cx: Cx,
    _: ec2::DescribeAvailabilityZonesInput,
) -> Result<ec2::DescribeAvailabilityZonesOutput, Error> {
    let zone = |letter: &str| ec2::AvailabilityZone {
        zone_name: Some(format!("{}{letter}", cx.region)),
        ..Default::default()
    };
    Ok(ec2::DescribeAvailabilityZonesOutput {
        availability_zones: Some(vec![zone("b"), zone("a")]),
    })
}

/// What lies in a bucket, or is stored under a name: kept with the records, since handlers are
/// functions without a place of their own.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Kept {
    key: String,
    text: String,
}

impl cloud::Record for Kept {
    const KIND: &'static str = "test.kept";
    fn key(&self) -> String {
        self.key.clone()
    }
}

const NO_SUCH_KEY: cloud::ErrorCode = cloud::ErrorCode::sender("NoSuchKey", 404);

async fn get_object(cx: Cx, input: s3::GetObjectInput) -> Result<s3::GetObjectOutput, Error> {
    let kept = cx.read(|tx| tx.get::<Kept>(&format!("{}/{}", input.bucket, input.key)))?;
    let kept = kept.ok_or_else(|| NO_SUCH_KEY.because("The specified key does not exist."))?;
    Ok(s3::GetObjectOutput {
        body: Some(wire::Blob(kept.text.into_bytes())),
        ..Default::default()
    })
}

async fn get_parameters(
    cx: Cx,
    input: ssm::GetParametersInput,
) -> Result<ssm::GetParametersOutput, Error> {
    let mut parameters = Vec::new();
    for name in input.names {
        let kept = cx.read(|tx| tx.get::<Kept>(&format!("ssm:{name}")))?;
        parameters.extend(kept.map(|it| ssm::Parameter {
            name: Some(name),
            value: Some(it.text),
            ..Default::default()
        }));
    }
    Ok(ssm::GetParametersOutput {
        parameters: Some(parameters),
        invalid_parameters: None,
    })
}

async fn get_secret(
    cx: Cx,
    input: secretsmanager::GetSecretValueInput,
) -> Result<secretsmanager::GetSecretValueOutput, Error> {
    let kept = cx.read(|tx| tx.get::<Kept>(&format!("secret:{}", input.secret_id)))?;
    Ok(secretsmanager::GetSecretValueOutput {
        secret_string: kept.map(|it| it.text),
        ..Default::default()
    })
}

async fn vpcs(_: Cx, input: ec2::DescribeVpcsInput) -> Result<ec2::DescribeVpcsOutput, Error> {
    const NOT_FOUND: cloud::ErrorCode = cloud::ErrorCode::sender("InvalidVpcID.NotFound", 400);
    match input.vpc_ids.unwrap_or_default().first() {
        Some(id) if id == "vpc-1" => Ok(ec2::DescribeVpcsOutput::default()),
        _ => Err(NOT_FOUND.because("The vpc ID does not exist")),
    }
}

pub struct Bench {
    pub world: Arc<World>,
    daemon: testkit::World,
    /// A daemon's own: a process that has died is dropped with all that it was doing.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Deref for Bench {
    type Target = testkit::World;
    fn deref(&self) -> &testkit::World {
        &self.daemon
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Bench {
    pub fn start() -> Self {
        Self::open(&SimMachine::default(), Arc::default())
    }

    fn open(machine: &SimMachine, world: Arc<World>) -> Self {
        let fakes = Service::new(&ec2::MODEL)
            .on(zones, testkit::not_asked())
            .on(vpcs, testkit::not_asked())
            .resource(Thing(world.clone()));
        let daemon = testkit::world([
            cloudformation::service(),
            fakes,
            Service::new(&s3::MODEL).on(get_object, testkit::not_asked()),
            Service::new(&ssm::MODEL).on(get_parameters, testkit::not_asked()),
            Service::new(&secretsmanager::MODEL).on(get_secret, testkit::not_asked()),
        ]);
        let daemon = daemon.in_region(REGION).on(machine).at_rest();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn({
            let cloud = daemon.cloud.clone();
            async move { cloud.run().await.unwrap() }
        });
        Self {
            world,
            daemon,
            runtime: Some(runtime),
        }
    }

    /// The daemon ends, and another one starts over the same records and the same world.
    pub async fn restart(self) -> Self {
        let (machine, world) = (self.machine.clone(), self.world.clone());
        self.stop().await;
        (world.lock().dead, world.lock().crashed) = (false, false);
        Self::open(&machine, world)
    }

    pub async fn stop(self) {
        let cloud = Arc::downgrade(&self.cloud);
        self.cloud.converge.stop();
        drop(self);
        let begin = Instant::now();
        while cloud.strong_count() > 0 && begin.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Puts a text into a bucket: `bucket/key`.
    pub fn put(&self, key: &str, text: &str) {
        let kept = Kept {
            key: key.into(),
            text: text.into(),
        };
        self.cx().write(|tx| tx.put(&kept)).unwrap();
    }

    /// The id of a resource, by its logical id.
    pub async fn physical_id(&self, stack: &str, id: &str) -> String {
        self.resources(stack).await[id].0.clone()
    }

    pub fn cx(&self) -> Cx {
        self.daemon.cx.clone()
    }

    pub async fn call<I: wire::Operation + Send + 'static>(
        &self,
        input: I,
    ) -> Result<I::Output, Error> {
        self.cx().call(input).await
    }

    pub async fn create(&self, name: &str, template: &str) -> Result<String, Error> {
        let answer = self
            .call(api::CreateStackInput {
                ..create(name, template)
            })
            .await?;
        Ok(answer.stack_id.unwrap())
    }

    pub async fn update(&self, name: &str, template: &str) -> Result<(), Error> {
        self.call(update(name, template)).await.map(|_| ())
    }

    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let input = api::DeleteStackInput {
            stack_name: name.into(),
            ..Default::default()
        };
        self.call(input).await.map(|_| ())
    }

    pub async fn stack(&self, name: &str) -> Result<api::Stack, Error> {
        let input = api::DescribeStacksInput {
            stack_name: Some(name.into()),
            ..Default::default()
        };
        Ok(self.call(input).await?.stacks.unwrap().remove(0))
    }

    /// Waits until the stack rests, by its id.
    pub async fn rest(&self, id: &str) -> api::Stack {
        let begin = Instant::now();
        loop {
            let stack = self.stack(id).await.unwrap();
            if !stack.stack_status.as_str().ends_with("_IN_PROGRESS") {
                return stack;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "still {}: {:#?}",
                stack.stack_status,
                self.events(id).await
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the stack rests with this status.
    pub async fn ends(&self, id: &str, status: &str) -> api::Stack {
        let stack = self.rest(id).await;
        assert_eq!(
            stack.stack_status.as_str(),
            status,
            "{:?} {:#?}",
            stack.stack_status_reason,
            self.events(id).await
        );
        stack
    }

    /// Events, oldest first: `Logical STATUS reason`.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let mut events = Vec::new();
        let mut next_token = None;
        loop {
            let input = api::DescribeStackEventsInput {
                stack_name: name.into(),
                next_token,
            };
            let page = self.call(input).await.unwrap();
            for event in page.stack_events.unwrap() {
                let reason = event
                    .resource_status_reason
                    .map(|it| format!(" {it}"))
                    .unwrap_or_default();
                events.push(format!(
                    "{} {}{reason}",
                    event.logical_resource_id.unwrap(),
                    event.resource_status.unwrap()
                ));
            }
            next_token = page.next_token;
            if next_token.is_none() {
                events.reverse();
                return events;
            }
        }
    }

    pub async fn resources(&self, name: &str) -> BTreeMap<String, (String, String)> {
        let input = api::ListStackResourcesInput {
            stack_name: name.into(),
            ..Default::default()
        };
        let answer = self.call(input).await.unwrap();
        (answer.stack_resource_summaries.unwrap().into_iter())
            .map(|it| {
                (
                    it.logical_resource_id,
                    (
                        it.physical_resource_id.unwrap_or_default(),
                        it.resource_status,
                    ),
                )
            })
            .collect()
    }
}

pub fn create(name: &str, template: &str) -> api::CreateStackInput {
    api::CreateStackInput {
        stack_name: name.into(),
        template_body: Some(template.into()),
        ..Default::default()
    }
}

pub fn update(name: &str, template: &str) -> api::UpdateStackInput {
    api::UpdateStackInput {
        stack_name: name.into(),
        template_body: Some(template.into()),
        ..Default::default()
    }
}

pub fn parameters(given: &[(&str, &str)]) -> Option<Vec<api::Parameter>> {
    let parameter = |(key, value): &(&str, &str)| api::Parameter {
        parameter_key: Some((*key).into()),
        parameter_value: Some((*value).into()),
        ..Default::default()
    };
    Some(given.iter().map(parameter).collect())
}
