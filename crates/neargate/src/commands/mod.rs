//! One file per command.

pub mod ca;
pub mod check;
pub mod connection;
pub mod coverage;
pub mod doctor;
pub mod down;
pub mod env;
pub mod exec;
pub mod iam;
pub mod image;
pub mod instance;
pub mod leftovers;
pub mod logs;
pub mod ls;
pub mod open;
pub mod restore;
pub mod stop;
pub mod up;
pub mod version;
pub mod web;
pub mod why;

mod application;
mod background;
