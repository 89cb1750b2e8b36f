//! What every service stands on: the table of operations, the context of a call, the clock, the
//! registry of CloudFormation resource types, and the loop that makes records real.
//!
//! A service is a crate under `services/` whose `service()` returns a [`Service`]: a table of
//! functions, each keyed by its input type; reconcilers, one per kind of convergent record; and the
//! resource types that it lends to CloudFormation. No service knows another: they meet through
//! [`Cx::call`], which is the same door as a request from the network.

mod authority;
mod caller;
mod certificates;
mod clock;
mod context;
mod ids;
mod login;
pub mod permission;
mod principals;
mod property;
mod pull;
mod reconcile;
mod records;
mod resource;
mod roles;
mod service;
mod tags;

pub use caller::{Caller, ClientOrigin, InsideOrigin, Origin, Owner, OwnerKey};
pub use certificates::{LendCertificate, LendServers, ServingCertificate};
pub use clock::{Clock, Interval, Pace, WallClock};
pub use context::{Cloud, CloudParts, Cx, only_looks};
pub use converge::Next;
pub use ids::{arn, dashed, random_hex, random_upper, token_hex, uuid};
pub use login::{LendLogin, Login};
pub use permission::{Authority, ConditionKey, Need, Needs, Permission, TagMap, Touched};
pub use principals::{KeptPolicy, LendPrincipals, UnknownPrincipal};
pub use property::{Mismatch, Property, PropertyForm, Update, conform};
pub use pull::PullRefused;
pub use reconcile::{Reconciler, Watch, all_keys};
pub use records::Records;
pub use resource::{
    Created, KNOWN_LATER, Made, ResourceError, ResourceRequest, ResourceType, ResourceTypes,
    Stability, TagChanges, as_properties, deletion, document, known_part, read_known,
    read_properties,
};
pub use roles::{FoundRole, LendRole, LendTrust};
pub use service::Service;
pub use store::{Record, Store, StoreError};
pub use tags::{TAGS_MAX, add_tags, remove_tags};
pub use wire::{Error, ErrorCode};

/// An error of the machine or the store, as the caller of an operation sees it.
pub fn internal(error: impl std::error::Error + 'static) -> Error {
    tracing::error!(error = converge_chain(&error), "an operation failed");
    wire::codes::InternalFailure.because(lack_in_words(&error).unwrap_or_else(|| UNKNOWN.into()))
}

/// As AWS says it ("Common errors" of every service's API reference).
const UNKNOWN: &str =
    "The request processing has failed because of an unknown error, exception or failure.";

/// What the machine has none left of, where that is why: whoever asked can do something about it.
fn lack_in_words(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let of_engine = base::causes(error).find_map(|it| it.downcast_ref::<engine::EngineError>());
    let own_words = of_engine.and_then(engine::EngineError::lack_in_words);
    own_words.or_else(|| lack_of(error).map(engine::lack_in_words))
}

/// What an error of the machine or the store says that there is none left of.
pub fn lack_of(error: &(dyn std::error::Error + 'static)) -> Option<base::Lack> {
    let of_store = |it: &(dyn std::error::Error + 'static)| {
        it.downcast_ref::<StoreError>().and_then(StoreError::lack)
    };
    engine::lack_of(error).or_else(|| base::causes(error).find_map(of_store))
}

fn converge_chain(error: &(dyn std::error::Error + 'static)) -> String {
    converge::chain(error)
}
