//! What BuildKit's clients speak: gRPC over a connection that began as an HTTP/1.1 request, the messages
//! of its services, and the calls that go the other way, to the services that a client's session offers.
//!
//! Where to read: `grpc/` is the protocol over HTTP/2 (calls that are answered, and calls that are made),
//! `messages/` the shapes of what is said, `session.rs` the sessions of clients, `files.rs` how a client
//! sends a folder. What the calls do is above this crate, which knows no builds and no disk.
//!
//! A library for gRPC is not used: it would bring a client, a server, a router and a middleware of its own
//! beside the ones that are here, and what is needed of it is five bytes before each message and three
//! trailers.

mod files;
pub mod grpc;
#[cfg(test)]
mod hostile_input;
mod limits;
pub mod messages;
mod session;

pub use files::{Entry, FileKind, Step, Transfer, go_mode};
pub use session::{Header, SESSION_ID, SESSION_METHOD, Session, Sessions};
