//! An authority that lets nobody do anything, and tells what they would have needed.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use cloud::{Authority, Caller, Cloud, Cx, Need, Needs};
use wire::{Error, Operation};

use crate::World;

/// Set with [`Recorder::watch`]; then a call can be asked what it needs.
#[derive(Clone, Default)]
pub struct Recorder {
    seen: Arc<Mutex<Option<Needs>>>,
}

impl Recorder {
    /// The authority of a cloud, from now on.
    pub fn watch(cloud: &Cloud) -> Self {
        let recorder = Self::default();
        cloud.decide_by(Arc::new(recorder.clone()));
        recorder
    }

    /// What a call by some role needs. It is not carried out.
    pub async fn needs<I: Operation>(&self, cx: &Cx, input: I) -> Needs {
        let outcome = Self::somebody(cx).call(input).await;
        assert!(outcome.is_err(), "{} was carried out", I::NAME);
        let seen = self.take();
        seen.unwrap_or_else(|| panic!("nobody was asked about {}", I::NAME))
    }

    /// The same context for calls of a role, which may do nothing.
    pub fn somebody(cx: &Cx) -> Cx {
        cx.acting_as(Caller::AssumedRole {
            role_arn: format!("arn:aws:iam::{}:role/somebody", cx.account()),
            role_id: None,
            session_name: "session".into(),
            access_key: String::new(),
        })
    }

    /// What the last call needed, if anybody was asked about it.
    pub fn take(&self) -> Option<Needs> {
        self.seen.lock().expect("nobody panics with it").take()
    }

    /// [`Recorder::needs`] in a line for each, without the condition keys: [`told`].
    pub async fn lines<I: Operation>(&self, cx: &Cx, input: I) -> Vec<String> {
        let needs = self.needs(cx, input).await;
        needs.all.iter().map(told).collect()
    }
}

/// A [`World`] whose calls are not carried out: each tells what it would have needed.
pub struct Watched {
    world: World,
    recorder: Recorder,
}

impl Watched {
    pub(crate) fn new(world: World) -> Self {
        let recorder = Recorder::watch(&world.cloud);
        Self { world, recorder }
    }

    /// [`Recorder::needs`]
    pub async fn needs<I: Operation>(&self, input: I) -> Needs {
        self.recorder.needs(&self.cx, input).await
    }

    /// [`Recorder::lines`]
    pub async fn lines<I: Operation>(&self, input: I) -> Vec<String> {
        self.recorder.lines(&self.cx, input).await
    }

    /// [`Recorder::take`]
    pub fn take(&self) -> Option<Needs> {
        self.recorder.take()
    }
}

impl Deref for Watched {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

/// `ec2:DeleteVpc arn:… {team=a}`; `any` before a pattern, `{?}` where the tags are not known.
pub fn told(need: &Need) -> String {
    let action = &need.action;
    let Some(touched) = &need.resource else {
        return format!("{action} *");
    };
    let any = if touched.is_any { "any " } else { "" };
    let tags = match &touched.tags {
        None => " {?}".to_owned(),
        Some(tags) if tags.is_empty() => String::new(),
        Some(tags) => {
            let tags: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!(" {{{}}}", tags.join(","))
        }
    };
    let passed = need
        .passed_to
        .map_or_else(String::new, |it| format!(" to {it}"));
    format!("{action} {any}{}{tags}{passed}", touched.arn)
}

/// The values of a condition key, by its name; None when it is unknown, and none when it is absent.
pub fn key_of<'a>(need: &'a Need, name: &str) -> Option<&'a [String]> {
    match need.keys.iter().find(|it| it.name == name) {
        Some(key) => Some(key.values.as_deref().unwrap_or_default()),
        None => need.lacking.contains(&name).then_some(&[]),
    }
}

impl Authority for Recorder {
    fn check(&self, _cx: &Cx, _service: &str, needs: &Needs) -> Result<(), Error> {
        *self.seen.lock().expect("nobody panics with it") = Some(needs.clone());
        Err(wire::codes::AccessDenied.because("only looked at"))
    }
}
