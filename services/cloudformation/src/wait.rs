//! Wait conditions: a URL that is given to whatever runs outside, and a resource that is made once
//! enough has been sent to it.
//!
//! The URL is its own credential, as AWS's presigned one is: it holds a secret that only the
//! template's author and whoever is told it know.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloud::{Cloud, Cx, Error, ErrorCode, Record, Stability};
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::record::Stack;

/// Where the front door finds wait conditions.
pub const PATH: &str = "/cloudformation-waitcondition/";
/// The longest message that AWS takes.
pub const MESSAGE_BYTES_MAX: usize = 4096;
/// More messages than any stack waits for: the record holds them all.
const MESSAGES_MAX: usize = 1000;

const FORBIDDEN: ErrorCode = ErrorCode::sender("AccessDenied", 403);
const MALFORMED: ErrorCode = ErrorCode::sender("ValidationError", 400);

/// A URL that takes messages, under `<region>/<id>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handle {
    pub region: String,
    pub id: String,
    pub secret: String,
    /// The key of the stack that waits.
    pub stack: String,
    pub messages: Messages,
}

/// By their senders.
pub type Messages = BTreeMap<String, Message>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub is_success: bool,
    pub reason: String,
    pub data: String,
}

impl Record for Handle {
    const KIND: &'static str = "cloudformation.wait-handle";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// What waits, under `<region>/<name>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    pub region: String,
    pub name: String,
    /// None for a condition that only waits for the signals of its creation policy.
    pub handle: Option<String>,
    pub count: usize,
    pub deadline_ms: i64,
}

impl Record for Condition {
    const KIND: &'static str = "cloudformation.wait-condition";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

/// Makes a handle, and answers its URL. `cx` carries a token.
pub fn create_handle(cx: &Cx, stack_key: &str) -> Result<String, Error> {
    let id = cx.new_id("", 32);
    let mut secret = [0; 16];
    (ring::rand::SystemRandom::new().fill(&mut secret))
        .map_err(|_| wire::codes::InternalFailure.because("the machine has no random numbers"))?;
    let handle = cx.write(|tx| {
        if let Some(handle) = tx.get::<Handle>(&cx.key(&id))? {
            return Ok(handle);
        }
        let handle = Handle {
            region: cx.region.clone(),
            id,
            secret: secret.iter().map(|it| format!("{it:02x}")).collect(),
            stack: stack_key.to_owned(),
            messages: BTreeMap::new(),
        };
        tx.put(&handle)?;
        Ok(handle)
    })?;
    Ok(url(&cx.engine().access.api, &handle))
}

fn url(api: &str, handle: &Handle) -> String {
    let (key, secret) = (handle.key(), &handle.secret);
    format!("{api}{PATH}{key}?Signature={secret}")
}

/// The key of the handle that a URL is of.
pub fn key_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once(PATH)?;
    Some(rest.split('?').next().unwrap_or_default().to_owned())
}

/// A message to a handle's URL; `path` and `query` are the URL's.
pub fn receive(cloud: &Arc<Cloud>, path: &str, query: &str, body: &[u8]) -> Result<(), Error> {
    let forbidden = || FORBIDDEN.because("Access Denied");
    let key = key_of(path).ok_or_else(forbidden)?;
    let secret = (query.split('&'))
        .find_map(|it| it.strip_prefix("Signature="))
        .unwrap_or_default();
    let (id, message) = read(body).map_err(|why| MALFORMED.because(why))?;
    let stack = cloud.daemon_context(&cloud.default_region).write(|tx| {
        let handle: Option<Handle> = tx.get(&key)?;
        let mut handle = (handle.filter(|it| is_same(&it.secret, secret))).ok_or_else(forbidden)?;
        // The first word of each sender counts; a failure always does.
        let is_new = !handle.messages.contains_key(&id);
        if is_new && handle.messages.len() >= MESSAGES_MAX {
            return Err(MALFORMED.because(format!("more than {MESSAGES_MAX} messages")));
        }
        if is_new || !message.is_success {
            handle.messages.insert(id, message);
        }
        tx.put(&handle)?;
        Ok(handle.stack)
    })?;
    cloud.converge.wake(Stack::KIND, stack);
    Ok(())
}

/// Compares without telling by its time how much is right.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && (one.bytes().zip(other.bytes())).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn read(body: &[u8]) -> Result<(String, Message), String> {
    let body: Json = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let text = |name: &str| match &body[name] {
        Json::String(text) => Ok(text.clone()),
        Json::Null => Err(format!("{name} is missing")),
        other => Ok(other.to_string()),
    };
    let is_success = match text("Status")?.as_str() {
        "SUCCESS" => true,
        "FAILURE" => false,
        other => return Err(format!("Status must be SUCCESS or FAILURE and is {other}")),
    };
    let message = Message {
        is_success,
        reason: text("Reason").unwrap_or_default(),
        data: text("Data").unwrap_or_default(),
    };
    Ok((text("UniqueId")?, message))
}

/// Whether a condition has got what it waits for.
pub fn stability(cx: &Cx, name: &str) -> Result<Stability, Error> {
    let Some((condition, messages)) = look(cx, name)? else {
        return Ok(Stability::Failed("the wait condition is gone".into()));
    };
    if condition.handle.is_none() {
        return Ok(Stability::Stable);
    }
    if let Some((id, message)) = messages.iter().find(|(_, it)| !it.is_success) {
        return Ok(Stability::Failed(format!(
            "WaitCondition received failed message: '{}' for uniqueId: {id}",
            message.reason
        )));
    }
    if messages.len() >= condition.count {
        return Ok(Stability::Stable);
    }
    let told = format!(
        "Received {} conditions when expecting {}",
        messages.len(),
        condition.count
    );
    Ok(match cx.clock().now_ms() >= condition.deadline_ms {
        true => Stability::Failed(format!("WaitCondition timed out. {told}")),
        false => Stability::Waiting(told),
    })
}

/// What was sent, as `Fn::GetAtt Data` answers it.
pub fn data(cx: &Cx, name: &str) -> Result<String, Error> {
    let messages = look(cx, name)?.map(|it| it.1).unwrap_or_default();
    let data: serde_json::Map<String, Json> = (messages.into_iter())
        .map(|(id, it)| (id, it.data.into()))
        .collect();
    Ok(Json::Object(data).to_string())
}

fn look(cx: &Cx, name: &str) -> Result<Option<(Condition, Messages)>, Error> {
    cx.read(|tx| {
        let Some(condition) = tx.get::<Condition>(&cx.key(name))? else {
            return Ok(None);
        };
        let handle = match &condition.handle {
            Some(key) => tx.get::<Handle>(key)?,
            None => None,
        };
        Ok(Some((
            condition,
            handle.map(|it| it.messages).unwrap_or_default(),
        )))
    })
}
