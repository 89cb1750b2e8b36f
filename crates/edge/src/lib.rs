//! The data plane of load balancers, and the small web server that static images run.
//!
//! The **edge role** ([`edge_main`]) is a process of its own, so that requests are answered while
//! the daemon restarts. It knows no services and no store: it gets whole snapshots of load
//! balancers over a unix socket and keeps the last one on disk, from which it serves at once when
//! it is itself restarted. The daemon's half is [`EdgeClient`], which starts the process when none
//! runs, attaches to the one that does, and implements [`engine::Edge`].
//!
//! ```text
//!  daemon                         edge process
//!  EdgeClient ── edge.sock ──►  control (main thread): listeners, namespaces, probes, drains
//!                                  │ listening sockets, one per worker (SO_REUSEPORT)
//!                                  ▼
//!                               worker threads, one per core: client connections, upstream pool
//! ```
//!
//! An edge that is killed, or does not answer and is replaced, refuses nobody: its listening sockets
//! are held by the daemon as well, and given to the next one.
//!
//! Workers never wait for the main thread: what they need of a snapshot is behind `arc-swap`, and
//! what they tell (requests under way, traffic) are counters.

// What a full log cannot take must not end a process.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod client;
mod identity;
mod passing;
mod protocol;
mod role;
mod statics;

pub use client::{EdgeClient, Executable, stop_edge};
pub use role::edge_main;
pub use statics::static_main;
