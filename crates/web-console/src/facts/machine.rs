//! The machine, and what else only the program that composes everything can tell.

use std::pin::Pin;

use serde::Serialize;

use super::State;

/// A status, or why there is none.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<u16, String>> + Send + 'a>>;

/// What the program lends to the console.
pub trait Lent: Send + Sync {
    /// What is found of the machine. It takes a moment, and blocks.
    fn machine(&self) -> MachineFacts;
    /// The status that the page of a host answers, asked at this machine's load balancers and nowhere else.
    fn fetch<'a>(&'a self, host: &'a str) -> Fetching<'a>;
    /// The least policy that the recorded calls of a role or user need, by its ARN.
    fn least_policy(&self, principal: &str) -> Option<String>;
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct MachineFacts {
    pub version: String,
    pub process: u32,
    pub state: String,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub what: String,
    /// `fine`, `warning` or `broken`.
    pub level: String,
    pub message: String,
    pub fix: Option<String>,
}

impl Check {
    pub fn state(&self) -> State {
        match self.level.as_str() {
            "fine" => State::Well,
            "warning" => State::Changing,
            _ => State::Failed,
        }
    }
}
