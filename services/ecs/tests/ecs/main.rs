//! ECS over a simulated machine, with the least of the services that it calls.

mod bridge;
mod cloudformation;
mod container_instances;
mod crashes;
mod exec;
mod growth;
mod metrics;
mod neighbours;
mod permissions;
mod secrets;
mod services;
mod support;
mod tasks;
