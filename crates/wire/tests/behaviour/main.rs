//! How the wire behaves, seen from outside.

mod common;
mod door;
mod hostile;
mod lenient;
mod requests;
mod signer;
mod unbuilt;
mod validation;
