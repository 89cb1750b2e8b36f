//! What scales by alarms, whatever it is that is scaled: ECS services (`application-autoscaling`) and groups of
//! instances (`autoscaling`).
//!
//! [`decide()`] says whether to scale, to what and why, and is pure. [`alarms`] asks CloudWatch for the alarms
//! that name a policy, and [`tracking`] makes the two that a policy has which tracks a target.

pub mod alarms;
mod decide;
pub mod tracking;

pub use decide::{
    AT_DESIRED, AT_MAX, AT_MIN, AlarmFact, Decision, Facts, Kind, LastOut, PolicyFact, adjusted,
    decide,
};
