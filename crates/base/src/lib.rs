//! Small pure code that every crate may use, on both sides of the port: it does no I/O, knows neither
//! AWS nor the machine, and depends on nothing of ours.

pub mod glob;
mod lack;
pub mod links;

pub use lack::{Lack, causes};
