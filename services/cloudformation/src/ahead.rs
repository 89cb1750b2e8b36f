//! What may be done next while a template is built, kept up to date by what has changed: planning costs
//! what is open, not what the template holds.

use std::collections::{BTreeMap, BTreeSet};

use template::Graph;

use crate::record::{Outcome, Resource, Stack};

/// The way through a template's graph in one phase of a stack's operation.
pub struct Ahead {
    graph: Graph,
    needed_by: BTreeMap<String, Vec<String>>,
    /// How many of a resource's needs are not settled.
    unsettled_needs: BTreeMap<String, usize>,
    /// Not settled, and all that they need is.
    open: BTreeSet<String>,
    settled: BTreeSet<String>,
}

fn is_settled(resource: &Resource) -> bool {
    resource.outcome == Some(Outcome::Settled)
}

impl Ahead {
    pub fn of(graph: Graph, stack: &Stack) -> Self {
        let mut needed_by: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, needs) in &graph {
            for need in needs {
                needed_by.entry(need.clone()).or_default().push(id.clone());
            }
        }
        let counts = graph.iter().map(|(id, needs)| (id.clone(), needs.len()));
        let free = graph.iter().filter(|(_, needs)| needs.is_empty());
        let mut ahead = Self {
            unsettled_needs: counts.collect(),
            open: free.map(|it| it.0.clone()).collect(),
            settled: BTreeSet::new(),
            needed_by,
            graph,
        };
        let ids: Vec<String> = ahead.graph.keys().cloned().collect();
        for id in ids {
            ahead.look_at(&id, stack);
        }
        ahead
    }

    /// Takes in what has become of a resource. What is settled stays so until the phase ends.
    pub fn look_at(&mut self, id: &str, stack: &Stack) {
        let is_news = self.graph.contains_key(id)
            && stack.resources.get(id).is_some_and(is_settled)
            && self.settled.insert(id.to_owned());
        if !is_news {
            return;
        }
        self.open.remove(id);
        for user in self.needed_by.get(id).into_iter().flatten() {
            let Some(count) = self.unsettled_needs.get_mut(user) else {
                continue;
            };
            *count = count.saturating_sub(1);
            if *count == 0 && !self.settled.contains(user) {
                self.open.insert(user.clone());
            }
        }
    }

    pub fn is_over(&self) -> bool {
        self.settled.len() == self.graph.len()
    }

    /// What may be worked on or is, with what it needs.
    pub fn open(&self) -> impl Iterator<Item = (&String, &BTreeSet<String>)> {
        self.open
            .iter()
            .filter_map(|id| self.graph.get_key_value(id))
    }
}
