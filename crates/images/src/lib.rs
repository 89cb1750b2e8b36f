//! The content store, the registry over it, and pulling from other registries.
//!
//! Everything is files below one directory, so that a crash at any point leaves either the old or
//! the new state and nothing has to be repaired:
//!
//! ```text
//! blobs/sha256/<2>/<hex>                      content, named by its digest, never changed
//! blobs/sha256/<2>/<hex>.public               it was had from a registry that asks for no login
//! uploads/                                    half-written things; emptied at every start
//! layers/<hex>/                               a layer unpacked, named by the digest of its tar
//! layers/<hex>.used                           when it was last handed out
//! layers/<hex>.of/<hex>                       a blob that is known to unpack to it
//! repositories/<host>/<path…>/_tags/<tag>     the digest that the tag stands for, and whether it is offered, or
//!                                             was fetched for a task alone
//! repositories/<host>/<path…>/_manifests/<hex>  what the repository knows about a manifest
//! given-up.json                               what was removed last because the disk was short of room
//! ```
//!
//! A thing is made under `uploads/` and renamed to its place when it is whole. `_tags` and
//! `_manifests` cannot be confused with a path component, because those begin with a letter or a
//! digit. Names from outside become paths in `names` only, where every component is checked.
//!
//! Somebody who is not trusted has a space: names of its own over the same content (`space`).
//!
//! Garbage is what no manifest names and nobody used for a while (`garbage`). When the disk is short of room, what
//! can be had again goes, too (`unused`).
//!
//! Layers come from strangers: `unpack` says what is refused.

mod blobs;
mod disk;
mod document;
mod flight;
mod garbage;
mod holdings;
#[cfg(test)]
mod hostile_input;
mod hosts;
mod ingest;
mod layers;
mod limits;
mod look;
mod names;
mod pieces;
mod port;
mod prepare;
mod pull;
pub mod registry;
mod space;
mod store;
#[cfg(test)]
mod tests;
mod unpack;
mod unused;

pub use hosts::EmbeddedHosts;
pub use pull::download::Downloader;
pub use registry::{Access, Closed, Gate, Registry, RegistryBody, RegistryScope};
pub use store::ImageStore;
pub use unused::GivenUp;
