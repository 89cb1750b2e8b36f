//! EC2 over a machine that is not there.

mod addresses;
mod default_vpc;
mod deletion;
mod dhcp_options;
mod engine_side;
mod filters;
mod instances;
mod launch_templates;
mod nat;
mod network_acls;
mod permissions;
mod refusals;
mod repetition;
mod resource_types;
mod speed;
mod success;
mod world;
