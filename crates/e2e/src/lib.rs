//! The real clients against the real executable, on the real machine: what the tests in `tests/all`
//! share. Nothing here knows the inside of neargate; it starts the executable, speaks HTTP to it, and
//! looks at the machine afterwards.
//!
//! Where to read: [`Machine`] (`machine.rs`) is a daemon of one's own with everything that goes with
//! it; `traces.rs` says what a daemon may not leave behind; `api.rs` asks operations in JSON;
//! `aws.rs` runs AWS's command line, `cdk.rs` its CDK; `push.rs` pushes images; `http.rs` and `load.rs` are the clients of the page.

mod api;
mod aws;
mod browser;
mod buildx;
mod cdk;
mod docker;
mod executable;
mod http;
mod load;
mod machine;
mod own_network;
mod push;
mod sign;
mod site;
mod terraform;
mod traces;
mod wait;
mod web;

pub use api::{ApiError, stack_input};
pub use aws::{Aws, AwsOutput};
pub use browser::{Browser, axe};
pub use buildx::{Buildx, Outcome, Wanted};
pub use cdk::Cdk;
pub use docker::Docker;
pub use executable::neargate;
pub use http::{Answer, Connection, get};
pub use load::{Load, Tally};
pub use machine::{Machine, Output, run_bounded};
pub use own_network::in_own_network;
pub use push::{Pushed, digest_of};
pub use sign::{Key, Signed, sign};
pub use site::{Site, example};
pub use terraform::Terraform;
pub use traces::{find_remains, find_traces, find_work};
pub use wait::{PATIENCE, eventually, eventually_within};
pub use web::Web;
