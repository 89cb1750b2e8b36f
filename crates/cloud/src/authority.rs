//! Permission: whether who calls may do what is asked.

use wire::{Error, Operation};

use crate::permission::{Need, Needs, Touched};
use crate::{Caller, Cx};

impl Cx {
    /// Whether the caller may do all of this. Operations of a table are asked about by their lines
    /// there; what comes in by a door of its own, or asks for each of its parts, asks here.
    pub fn authorize(&self, service: &str, needs: &Needs) -> Result<(), Error> {
        // The owner may do everything that no policy of a resource denies.
        let is_bound = self.caller.is_owner() && needs.meet_policies();
        if !self.caller.is_asked_about() && !is_bound {
            return Ok(());
        }
        if self.caller == Caller::Anonymous {
            // Nobody has no policies that could allow it. What everybody may do is up to the door that
            // lets nobody in.
            return Err(wire::codes::AccessDenied.because("Access Denied"));
        }
        match self.cloud.authority() {
            Some(authority) => authority.check(self, service, needs),
            None => Ok(()),
        }
    }

    /// [`Cx::authorize`] for one action on one resource.
    pub fn authorize_one(&self, service: &str, need: Need) -> Result<(), Error> {
        let needs = Needs {
            all: vec![need],
            ..Needs::default()
        };
        self.authorize(service, &needs)
    }

    /// A resource of another service, with its tags and the policy of its own, as [`Service::finds`] lends
    /// them.
    ///
    /// [`Service::finds`]: crate::Service::finds
    pub fn find_resource(&self, service: &str, name: &str) -> Option<Touched> {
        let find = self.cloud.service(service)?.find?;
        Some(find(self, name))
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

    /// The same, told which service makes the calls with the rights of who asked it for something: the
    /// condition key `aws:CalledVia`.
    #[must_use]
    pub fn via(self, service: &'static str) -> Self {
        Self {
            via: Some(service),
            ..self
        }
    }

    /// A context whose calls are made with the rights of who asked, by way of a service: what it asks others for
    /// to answer that request.
    #[must_use]
    pub fn in_the_callers_name(&self, service: &'static str) -> Self {
        self.acting_as(self.caller.clone()).via(service)
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
            role_id: None,
            session_name: session_name.to_owned(),
            access_key: String::new(),
        };
        self.acting_as(role).call(input).await
    }
}
