//! Permission: whether who calls may do what is asked.

use serde_json::Value as Json;
use wire::{Error, Operation};

use crate::{Caller, Cx};

/// Decides over calls. The account's owner and the daemon itself are not asked about.
pub trait Authority: Send + Sync {
    /// `service` is the signing name; `input` has the names of the model's members.
    fn check(&self, cx: &Cx, service: &str, operation: &str, input: &Json) -> Result<(), Error>;
}

impl Cx {
    /// Whether the caller may make this call. What comes in by a door that is not [`Cx::serve`] is
    /// checked by whoever made that door.
    pub fn authorize(&self, service: &str, operation: &str, input: &Json) -> Result<(), Error> {
        if matches!(self.caller, Caller::Root | Caller::Service(_)) {
            return Ok(());
        }
        match self.cloud.authority() {
            Some(authority) => authority.check(self, service, operation, input),
            None => Ok(()),
        }
    }

    /// A context whose calls are made in somebody's name, who asked for what they belong to: checked
    /// like calls from the network.
    #[must_use]
    pub fn acting_as(&self, caller: Caller) -> Self {
        Self {
            caller,
            acts: true,
            ..self.clone()
        }
    }

    /// A call in the name of a role that a service acts with: checked like one from the network.
    pub async fn call_as<I: Operation + Send + 'static>(
        &self,
        role_arn: &str,
        session_name: &str,
        input: I,
    ) -> Result<I::Output, Error> {
        let role = Caller::AssumedRole {
            role_arn: role_arn.to_owned(),
            session_name: session_name.to_owned(),
            access_key: String::new(),
        };
        self.acting_as(role).call(input).await
    }
}
