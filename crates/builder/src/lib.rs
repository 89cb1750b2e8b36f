//! Builds: a Dockerfile and its context, or a folder of plain files, become an image.
//!
//! The way of a build: [`lines`] turns the text into logical lines, [`instruction`] tells their
//! arguments apart, [`stages`] finds the stages that the target needs. Then each stage runs
//! ([`stage`]): [`copy`] and [`command`] make layers, everything else changes the configuration.
//! Stages that do not need each other run side by side.
//!
//! A layer is found again by its key ([`cache`]): the contents of the layers below, and everything
//! that the instruction depends on after its variables are replaced. What does not change a layer
//! (labels, ports, commands) is in no key. Files are hashed once ([`digests`]).
//!
//! Dockerfiles and contexts are hostile input: every bound is in [`limits`], and no path leads out
//! of a [`tree`].

mod archive;
mod assemble;
mod builder;
mod cache;
mod command;
mod copy;
mod digests;
mod gather;
mod ignore;
mod instruction;
mod layer;
mod limits;
mod lines;
mod mode;
mod mounts;
mod outline;
mod owner;
mod pattern;
mod place;
mod placing;
mod prepared;
mod remote;
mod run;
mod settings;
mod stage;
mod stages;
mod tree;
mod upper;
mod words;
mod writable;

#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use outline::{Outline, OutlineCopy, OutlineKind, OutlineStep, outline};
