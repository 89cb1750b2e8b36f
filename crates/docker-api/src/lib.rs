//! The Docker Engine API over the engine, on a unix socket: enough for docker's command line and
//! for docker-compose. Not built is refused by name, as everywhere.
//!
//! Where to read: `server.rs` is the socket, `engines.rs` the engines of builds, `routes.rs` the table of paths. An image is named by its
//! manifest's digest (`images.rs`, and a file per thing that is done with images). A container is a
//! task with one container in it (`containers/`); what is known of it is a file below
//! `<directory>/containers/<id>/`, so it outlives this process, and whether it runs is always asked
//! of the engine. A network is a network of the engine's (`networks.rs`), a volume is a directory
//! (`volumes.rs`), a published port a listener of this process (`ports.rs`).
//!
//! ```text
//! <directory>/containers/<id>/container.json   the record
//! <directory>/containers/<id>/log              its output
//! <directory>/containers/<id>/upper/           what it changed in its root
//! <directory>/networks/<id>.json
//! <directory>/volumes/<name>/_data, volume.json
//! <directory>/scratch/                         half-done things; emptied at every start
//! ```
//!
//! There is one such engine for the machine's owner, and one for each build that asks for Docker
//! ([`Engines`]), which is the same in every way but has a directory, a socket and a space of images of its
//! own: that builds are strangers to each other, and to the owner, is no rule that each handler keeps, but
//! that there is nothing else to be seen.
//!
//! Names under the embedded registry's hosts are local until they are pushed, so they are kept under
//! another host ([`names`]): tagging pushes nothing.

// `info` is one large object of JSON.
#![recursion_limit = "256"]

mod answer;
mod archive;
mod build;
mod buildkit;
mod clock;
mod containers;
mod datagrams;
mod disk;
mod docker;
mod engines;
mod events;
mod images;
mod limits;
mod names;
mod networks;
mod policy;
mod ports;
mod query;
mod routes;
mod server;
mod system;
mod tree;
mod upload;
mod volumes;

pub use archive::holds_image;
pub use docker::{Docker, OwnRegistry, Parts, RegistryUse};
pub use engines::{EngineParts, Engines};
pub use server::Serving;
