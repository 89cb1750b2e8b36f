//! The last calls of the API: who asked for what, and what it was answered.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use serde::Serialize;

use super::machine::Lent;
use crate::asked::Asked;

/// Calls that are remembered, of all that were made. Nothing of what they asked for is: it may hold secrets.
const CALLS_MAX: usize = 300;
/// What a client may call itself.
const CLIENT_CHARS_MAX: usize = 80;

#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// How many there were before it.
    pub number: u64,
    pub at_ms: i64,
    pub service: String,
    pub operation: String,
    pub status: u16,
    /// The code of the error.
    pub refusal: Option<String>,
    pub took_ms: u64,
    /// The ARN of who called.
    pub who: String,
    pub client: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct CallsFacts {
    pub calls: Vec<Call>,
    pub least_policy: Option<String>,
}

#[derive(Default)]
pub struct Calls(Mutex<(u64, VecDeque<Call>)>);

impl Calls {
    /// Remembers a call, and forgets the oldest.
    pub fn add(&self, call: Call) {
        let (number, calls) = &mut *self.held();
        *number += 1;
        if calls.len() >= CALLS_MAX {
            calls.pop_front();
        }
        let client = call.client.chars().take(CLIENT_CHARS_MAX).collect();
        calls.push_back(Call {
            number: *number,
            client,
            ..call
        });
    }

    fn held(&self) -> MutexGuard<'_, (u64, VecDeque<Call>)> {
        self.0.lock().expect("nothing panics while it is held")
    }
}

/// The newest first.
pub fn gather(calls: &Calls, lent: &dyn Lent, asked: &Asked) -> CallsFacts {
    let who = asked.field("who");
    let held = calls.held();
    let own = held
        .1
        .iter()
        .rev()
        .filter(|it| who.is_none_or(|who| it.who == who));
    CallsFacts {
        calls: own.cloned().collect(),
        least_policy: who.and_then(|it| lent.least_policy(it)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_calls_are_remembered_and_no_more() {
        let calls = Calls::default();
        for at_ms in 0..1000 {
            calls.add(Call {
                number: 0,
                at_ms,
                service: "ecs".into(),
                operation: "ListClusters".into(),
                status: 200,
                refusal: None,
                took_ms: 1,
                who: if at_ms % 2 == 0 { "even" } else { "odd" }.into(),
                client: "x".repeat(1000),
            });
        }
        let held = calls.held();
        assert_eq!((held.1.len(), held.0), (CALLS_MAX, 1000));
        assert_eq!(held.1.back().unwrap().number, 1000);
        assert_eq!(held.1.back().unwrap().client.len(), CLIENT_CHARS_MAX);
    }
}
