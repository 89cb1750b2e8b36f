//! Networks by way of the kernel alone: a network is a namespace that routes, an interface is a
//! namespace with one veth into it, security groups are packet rules, route tables are
//! policy-routing tables. Everything is said to the kernel by netlink; no program is run.
//!
//! Where to read: [`Machine`] (`machine.rs`) is the port; `vpc.rs` and `interfaces.rs` say what a
//! network and an interface are, and `shared.rs` how several are in one namespace; `ruleset.rs` and `routing.rs` are the plans of rules and routes, `firewall.rs` keeps the rules;
//! `uplink.rs` is the way out, and `hosts.rs` tells whom by; `resolver/` answers names; `netlink.rs`, `links.rs`, `batch.rs`, `nftables.rs` and `expressions.rs` speak to
//! the kernel; `namespaces.rs` makes and enters namespaces; `records.rs` is what is kept in files;
//! `doctor.rs` says what the machine lacks.
//!
//! Invariants:
//! * no thread of the caller ever changes its namespace;
//! * a packet without a rule that lets it pass is dropped, also when a look-up finds nothing;
//! * neither the rules nor the work for one interface grow with the number of interfaces.

mod batch;
mod check;
mod doctor;
mod egress;
mod expressions;
mod firewall;
mod guards;
mod hosts;
mod interfaces;
mod links;
mod machine;
mod namespaces;
mod netlink;
mod nftables;
mod records;
mod resolver;
mod routing;
mod ruleset;
mod shared;
mod sockets;
#[cfg(test)]
mod tests;
mod uplink;
mod vpc;

pub use check::instance_tag;
pub use doctor::{Finding, Severity, doctor};
pub use machine::Machine;
