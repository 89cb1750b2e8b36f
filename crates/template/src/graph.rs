//! Orders and circles among names.

use std::collections::{BTreeMap, BTreeSet};

pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// A circle in the graph, smallest names first wherever there is a choice.
pub fn circle(graph: &Graph) -> Option<Vec<String>> {
    // What is left after everything without open needs has been taken away, again and again,
    // contains every circle; walking along needs from any of it must run into one.
    let mut left: BTreeMap<&str, BTreeSet<&str>> = (graph.iter())
        .map(|(name, needs)| {
            let needs = needs
                .iter()
                .filter(|it| graph.contains_key(*it))
                .map(String::as_str)
                .collect();
            (name.as_str(), needs)
        })
        .collect();
    loop {
        let free: Vec<&str> = left
            .iter()
            .filter(|(_, needs)| needs.is_empty())
            .map(|(name, _)| *name)
            .collect();
        if free.is_empty() {
            break;
        }
        for name in free {
            left.remove(name);
            left.values_mut().for_each(|needs| {
                needs.remove(name);
            });
        }
    }
    let mut walk: Vec<&str> = vec![left.keys().next()?];
    loop {
        let last = *walk.last().expect("the walk begins with one name");
        let next = *left[last]
            .first()
            .expect("everything left needs something that is left");
        if let Some(begin) = walk.iter().position(|it| *it == next) {
            let mut circle: Vec<String> = walk[begin..].iter().map(|it| (*it).to_owned()).collect();
            circle.sort();
            return Some(circle);
        }
        walk.push(next);
    }
}
