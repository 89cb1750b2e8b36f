//! Which subnet a new task comes to be in: pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A subnet that tasks may be in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub subnet: String,
    pub zone: String,
    /// Addresses that are free; None when that is not known.
    pub free: Option<i32>,
}

/// Spreads the tasks of one group over its subnets: over availability zones first, as AWS does for tasks on
/// Fargate ("Amazon ECS task placement": best effort), then over a zone's subnets. The emptiest comes first
/// of those that are equal, then the one that is named first. A full subnet is passed over as long as
/// another has an address.
#[derive(Debug)]
pub struct Spread {
    places: Vec<Place>,
    /// Tasks of the group by subnet.
    tasks: BTreeMap<String, usize>,
}

impl Spread {
    /// `tasks`: the subnets of those that are there.
    pub fn new<'a>(places: Vec<Place>, tasks: impl IntoIterator<Item = &'a str>) -> Self {
        let mut counts = BTreeMap::new();
        for subnet in tasks {
            *counts.entry(subnet.to_owned()).or_default() += 1;
        }
        Self {
            places,
            tasks: counts,
        }
    }

    /// The subnet of one more task; empty when there are no subnets.
    pub fn place(&mut self) -> String {
        let is_full = |it: &Place| it.free.is_some_and(|free| free <= 0);
        let all_full = self.places.iter().all(is_full);
        let chosen = (self.places.iter().enumerate())
            .filter(|(_, it)| all_full || !is_full(it))
            .min_by_key(|(_, it)| (self.in_zone(&it.zone), self.count(it), Reverse(it.free)));
        let Some((index, _)) = chosen else {
            return String::new();
        };
        let chosen = &mut self.places[index];
        chosen.free = chosen.free.map(|it| it - 1);
        *self.tasks.entry(chosen.subnet.clone()).or_default() += 1;
        chosen.subnet.clone()
    }

    fn count(&self, place: &Place) -> usize {
        self.tasks.get(&place.subnet).copied().unwrap_or(0)
    }

    fn in_zone(&self, zone: &str) -> usize {
        let subnets = self.places.iter().filter(|it| it.zone == zone);
        subnets.map(|it| self.count(it)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `subnet zone free`, and where tasks are, and where as many more come to be.
    fn check(places: &[(&str, &str, Option<i32>)], there: &[&str], expected: &[&str]) {
        let places = places.iter().map(|(subnet, zone, free)| Place {
            subnet: (*subnet).to_owned(),
            zone: (*zone).to_owned(),
            free: *free,
        });
        let mut spread = Spread::new(places.collect(), there.iter().copied());
        let placed: Vec<String> = expected.iter().map(|_| spread.place()).collect();
        assert_eq!(placed, expected, "{there:?}");
    }

    #[test]
    fn tasks_are_spread_over_zones_and_then_over_subnets() {
        let three = [
            ("a1", "a", Some(9)),
            ("a2", "a", Some(9)),
            ("b1", "b", Some(9)),
        ];
        check(&three, &[], &["a1", "b1", "a2", "b1", "a1", "b1"]);
        check(&three, &["a1", "a2"], &["b1", "b1", "a1"]);
        // What is elsewhere, since the service had other subnets, does not count.
        check(&three, &["c1", "c1", "a1"], &["b1", "a2"]);
    }

    #[test]
    fn the_emptiest_comes_first_and_a_full_one_not_at_all() {
        let two = |a, b| [("a1", "a", a), ("b1", "b", b)];
        check(&two(Some(5), Some(200)), &[], &["b1", "a1", "b1"]);
        check(&two(Some(0), Some(2)), &["b1"], &["b1", "b1"]);
        // None has an address: the task says so when it starts.
        check(&two(Some(0), Some(0)), &[], &["a1", "b1"]);
        check(&two(Some(1), Some(2)), &[], &["b1", "a1", "b1", "a1"]);
        check(&two(None, None), &[], &["a1", "b1"]);
        check(&[], &[], &[""]);
    }
}
