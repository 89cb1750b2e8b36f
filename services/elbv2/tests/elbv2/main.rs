//! Elastic Load Balancing with EC2, over a machine that is not there.

mod access_logs;
mod balancers;
mod health;
mod https;
mod listeners;
mod permissions;
mod resource_types;
mod snapshots;
mod target_groups;
mod world;
