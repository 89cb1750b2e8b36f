//! What tests of services stand on: a [`World`] of the services that a test names, over the real store
//! and loop and a simulated machine, with the shortest ways to call an operation and to be refused.
//!
//! ```ignore
//! let world = testkit::world([ec2::service()]).run();
//! let made = world.call(CreateVpcInput { .. }).await;
//! let (code, message) = world.refused(CreateVpcInput::default()).await;
//! // The daemon dies, and another one opens the same records on the same machine.
//! let world = testkit::world([ec2::service()]).on(&world.crash()).run();
//! ```
//!
//! A test that has more to say wraps it: `struct World(testkit::World)` with a `Deref`. What is not as a
//! test says that it is panics, and says which operation it was.

mod crash;
mod json;
mod recorder;
mod wait;
mod world;

use cloud::{Caller, ClientOrigin, OwnerKey, Permission, ResourceRequest};
use serde_json::Value as Json;

pub use crash::lose_daemon;
pub use json::{JsonWorld, ask, input, input_with, serve, text, texts};
pub use recorder::{Recorder, Watched, key_of, told};
pub use wait::{until, wait};
pub use world::{ACCOUNT, REGION, SimMachine, World, WorldBuilder, call, world};

/// The permission of an operation that stands in for another service's.
pub fn not_asked<I>() -> Permission<I> {
    cloud::permission::not_asked("an operation of a test's own")
}

/// The account's owner, as its own key makes it.
pub fn owner() -> Caller {
    let signer = OwnerKey::new("AKIAOWNER", "secret").find("AKIAOWNER", None);
    let owner = signer.and_then(|it| it.if_secret("secret"));
    owner.expect("it is the owner's key")
}

/// A client outside of the cloud of whom nothing is known.
pub fn from_outside() -> ClientOrigin {
    ClientOrigin {
        address: None,
        user_agent: None,
        is_secure: false,
        inside: None,
    }
}

/// What CloudFormation asks a resource type for in a stack.
pub fn request(stack: &str, logical_id: &str, properties: Json) -> ResourceRequest {
    ResourceRequest {
        stack_name: stack.into(),
        stack_id: format!("arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{stack}/1"),
        logical_id: logical_id.into(),
        token: format!("{stack}/{logical_id}"),
        properties,
        tags: [("stack".into(), stack.into())].into(),
        update_policy: Json::Null,
        made: Default::default(),
    }
}
