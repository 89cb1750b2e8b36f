//! EC2 over a machine that is not there.

mod addresses;
mod deletion;
mod engine_side;
mod filters;
mod nat;
mod permissions;
mod refusals;
mod repetition;
mod resource_types;
mod speed;
mod success;
mod world;
