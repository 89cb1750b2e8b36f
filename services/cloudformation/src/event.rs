//! Changes of a stack's record together with the events that tell of them.

use cloud::{Error, Records, random_hex};
use serde_json::Value as Json;
use shapes::cloudformation::StackStatus;

use crate::asker::Asker;
use crate::kept;
use crate::record::{Event, Resource, STACK_TYPE, Stack};

/// A stack inside a transaction: what happens to it and the events of it are written together.
pub struct Draft<'a> {
    pub stack: Stack,
    pub tx: &'a Records<'a>,
    pub now_ms: i64,
    /// No event may contain these.
    pub secrets: Vec<String>,
    /// Who asks for what is begun with it.
    pub asked_by: Option<Asker>,
}

/// The status of a resource, as AWS writes it.
pub mod status {
    pub const CREATE_IN_PROGRESS: &str = "CREATE_IN_PROGRESS";
    pub const CREATE_FAILED: &str = "CREATE_FAILED";
    pub const CREATE_COMPLETE: &str = "CREATE_COMPLETE";
    pub const UPDATE_IN_PROGRESS: &str = "UPDATE_IN_PROGRESS";
    pub const UPDATE_FAILED: &str = "UPDATE_FAILED";
    pub const UPDATE_COMPLETE: &str = "UPDATE_COMPLETE";
    pub const DELETE_IN_PROGRESS: &str = "DELETE_IN_PROGRESS";
    pub const DELETE_FAILED: &str = "DELETE_FAILED";
    pub const DELETE_COMPLETE: &str = "DELETE_COMPLETE";
    pub const DELETE_SKIPPED: &str = "DELETE_SKIPPED";
}

/// The shortest secret that is searched for in messages: shorter ones are words of every message.
const SECRET_CHARACTERS_MIN: usize = 4;

impl Draft<'_> {
    /// Keeps what became of the stack.
    pub fn save(self) -> Result<Stack, Error> {
        kept::save(self.tx, self.stack)
    }

    fn mask(&self, text: String) -> String {
        (self.secrets.iter())
            .filter(|it| it.chars().count() >= SECRET_CHARACTERS_MIN)
            .fold(text, |text, secret| text.replace(secret.as_str(), "****"))
    }

    /// Gives the stack a status and tells of it.
    pub fn stack_status(
        &mut self,
        status: StackStatus,
        reason: Option<String>,
    ) -> Result<(), Error> {
        let reason = reason.map(|it| self.mask(it));
        self.stack.status = status;
        self.stack.status_reason = reason.clone();
        let event = Event {
            logical_id: self.stack.name.clone(),
            physical_id: Some(self.stack.id.clone()),
            resource_type: STACK_TYPE.to_owned(),
            status: status.to_string(),
            reason,
            ..self.event()
        };
        self.put(&event)
    }

    /// Gives a resource a status and tells of it.
    pub fn resource_status(
        &mut self,
        id: &str,
        status: &str,
        reason: Option<String>,
        properties: Option<&Json>,
    ) -> Result<(), Error> {
        let reason = reason.map(|it| self.mask(it));
        let now_ms = self.now_ms;
        let Some(resource) = self.stack.resources.get_mut(id) else {
            return Ok(());
        };
        resource.status = status.to_owned();
        resource.status_reason = reason.clone();
        resource.updated_ms = now_ms;
        let instance = (resource.shown_id.clone(), resource.resource_type.clone());
        self.resource_event(id, instance, status, reason, properties)
    }

    /// Tells of an instance (its physical id and type). On its own it is for one that is not the
    /// resource's current one: the resource's status stays.
    pub fn resource_event(
        &mut self,
        id: &str,
        (physical_id, resource_type): (Option<String>, String),
        status: &str,
        reason: Option<String>,
        properties: Option<&Json>,
    ) -> Result<(), Error> {
        let event = Event {
            logical_id: id.to_owned(),
            physical_id,
            resource_type,
            status: status.to_owned(),
            reason: reason.map(|it| self.mask(it)),
            properties: properties.map(Json::to_string),
            ..self.event()
        };
        self.put(&event)
    }

    /// Keeps an event; the oldest makes room for it.
    fn put(&self, event: &Event) -> Result<(), Error> {
        self.tx.put(event)?;
        if let Some(oldest) = event.number.checked_sub(kept::EVENTS_MAX) {
            self.tx
                .delete::<Event>(&Event::key_of(&event.stack, oldest))?;
        }
        Ok(())
    }

    /// The next event, still without content.
    fn event(&mut self) -> Event {
        self.stack.events += 1;
        Event {
            stack: self.stack.key(),
            number: self.stack.events,
            event_id: format!(
                "{}-{}-{}-{}-{}",
                random_hex(8),
                random_hex(4),
                random_hex(4),
                random_hex(4),
                random_hex(12)
            ),
            at_ms: self.now_ms,
            logical_id: String::new(),
            physical_id: None,
            resource_type: String::new(),
            status: String::new(),
            reason: None,
            properties: None,
            token: self
                .stack
                .operation
                .as_ref()
                .and_then(|it| it.token.clone()),
            operation: self.stack.operation.as_ref().map(|it| it.number),
        }
    }

    pub fn resource(&mut self, id: &str) -> Option<&mut Resource> {
        self.stack.resources.get_mut(id)
    }
}
