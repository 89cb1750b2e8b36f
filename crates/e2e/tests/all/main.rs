//! The real clients against the real executable. One binary, so that it is linked once.

mod cli;
mod daemon;
mod door;
mod faults;
mod ground;
mod hostile;
mod registry;
mod tasks;
mod truth;
mod walk;
