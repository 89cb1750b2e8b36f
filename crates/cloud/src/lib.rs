//! What every service stands on: the table of operations, the context of a call, the clock, the
//! registry of CloudFormation resource types, and the loop that makes records real.
//!
//! A service is a crate under `services/` whose `service()` returns a [`Service`]: a table of
//! functions, each keyed by its input type; reconcilers, one per kind of convergent record; and the
//! resource types that it lends to CloudFormation. No service knows another: they meet through
//! [`Cx::call`], which is the same door as a request from the network.

mod authority;
mod caller;
mod clock;
mod context;
mod ids;
pub mod permission;
mod reconcile;
mod records;
mod resource;
mod service;

pub use caller::{Caller, ClientOrigin, InsideOrigin, Origin, Owner, OwnerKey};
pub use clock::{Clock, Pace};
pub use context::{Cloud, CloudParts, Cx, only_looks};
pub use converge::Next;
pub use ids::{arn, random_hex, random_upper, role_arn, token_hex};
pub use permission::{Authority, ConditionKey, Need, Needs, Permission, TagMap, Touched};
pub use reconcile::{Reconciler, Watch, all_keys};
pub use records::Records;
pub use resource::{
    Created, Property, ResourceError, ResourceRequest, ResourceType, Stability, TagChanges, Update,
    as_properties, deletion,
};
pub use service::Service;
pub use store::{Record, Store, StoreError};
pub use wire::{Error, ErrorCode};

/// An error of the machine or the store, as the caller of an operation sees it.
pub fn internal(error: impl std::error::Error + 'static) -> Error {
    tracing::error!(error = converge_chain(&error), "an operation failed");
    wire::codes::InternalFailure.because(
        "The request processing has failed because of an unknown error, exception or failure.",
    )
}

fn converge_chain(error: &(dyn std::error::Error + 'static)) -> String {
    converge::chain(error)
}
