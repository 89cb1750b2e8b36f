//! What files ask for, before anything of it is made: the same rules over the same facts.
//!
//! ```text
//! template, plan ─> Declared ─ wanted ─> Wanted ─ look_up (a daemon) ─> Known
//!                       └──────────────── situations ◄───────────────────┘
//!                                             └─> rules::find_ahead ─> findings with their places
//! ```
//!
//! Whoever reads files makes [`Declared`] of them; without a daemon, [`Known`] is empty, and what only it
//! could tell is named as not looked at.

mod balancers;
mod declared;
mod instances;
mod known;
mod networks;
mod roles;
mod tasks;

pub use declared::{Declared, DeclaredResource, reference};
pub use known::{Known, KnownRole, Wanted, WantedImage, look_up};
pub use tasks::{health_program, situations, wanted};

pub use crate::gather::pictures::first_line;

use crate::facts::Situation;
use crate::report::Finding;
use crate::rules;

/// The document of one of AWS's managed policies, by its ARN.
pub type ManagedPolicy<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What the rules say of what is not there yet. One mistake that several things share is told once.
pub fn find(situations: &[Situation]) -> Vec<Finding> {
    let mut all: Vec<Finding> = Vec::new();
    for finding in situations.iter().flat_map(rules::find_ahead) {
        let is_told = |it: &Finding| it.id == finding.id && it.place == finding.place;
        match all.iter_mut().find(|it| is_told(it)) {
            None => all.push(finding),
            Some(first) if first.thing == finding.thing => {}
            Some(first) => {
                let also = format!("the same is the cause for {}", finding.thing);
                if !first.also_seen.contains(&also) {
                    first.also_seen.push(also);
                }
            }
        }
    }
    all
}
