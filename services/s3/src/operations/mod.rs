//! The operations that other services call. The network has a door of its own ([`crate::Door`]).

mod buckets;
mod objects;

pub use buckets::*;
pub use objects::*;

fn time(ms: i64) -> wire::Timestamp {
    wire::Timestamp(ms as f64 / 1000.0)
}
