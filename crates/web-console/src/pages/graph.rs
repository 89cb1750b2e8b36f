//! Things and what each needs, as a picture: in columns, so that every arrow goes from the left to the right.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use crate::facts::State;

/// What a larger graph would show is a list.
const NODES_MAX: usize = 300;
const WIDTH: usize = 170;
const GAP: usize = 50;
const HEIGHT: usize = 26;
const ROW: usize = 36;
const LABEL_CHARS: usize = 22;

/// Who needs whom, by names.
pub type Needs = BTreeMap<String, BTreeSet<String>>;

/// Where each is: its column and its row.
type Places<'a> = BTreeMap<&'a str, (usize, usize)>;

pub fn graph(needs: &Needs, state: impl Fn(&str) -> State, what: &str) -> Markup {
    if needs.is_empty() || needs.len() > NODES_MAX {
        return html! {};
    }
    let places = layout(needs);
    let columns = places.values().map(|it| it.0).max().unwrap_or_default() + 1;
    let rows = places.values().map(|it| it.1).max().unwrap_or_default() + 1;
    let x = |name: &str| places[name].0 * (WIDTH + GAP);
    let y = |name: &str| places[name].1 * ROW + 2;
    html! {
        svg .graph viewBox={ "0 0 " (columns * (WIDTH + GAP) - GAP + 4) " " (rows * ROW + 4) } role="img" aria-labelledby="graph-title" {
            title #graph-title { (what) }
            @for (name, own) in needs {
                @for needed in own.iter().filter(|it| places.contains_key(it.as_str())) {
                    @let (from_x, from_y) = (x(needed) + WIDTH, y(needed) + HEIGHT / 2);
                    @let (to_x, to_y) = (x(name), y(name) + HEIGHT / 2);
                    path .edge d={ "M" (from_x) " " (from_y) "C" (from_x + GAP / 2) " " (from_y) " " (to_x.saturating_sub(GAP / 2)) " " (to_y) " " (to_x) " " (to_y) } {}
                }
            }
            @for name in needs.keys() {
                @let its = state(name);
                g {
                    title { (name) ": " (its.word()) }
                    rect class={ "node " (its.class()) } x=(x(name) + 1) y=(y(name)) width=(WIDTH) height=(HEIGHT) rx="4" {}
                    text x=(x(name) + 8) y=(y(name) + 17) { (its.shape()) " " (shortened(name)) }
                }
            }
        }
    }
}

fn shortened(name: &str) -> String {
    match name.chars().count() > LABEL_CHARS {
        true => name.chars().take(LABEL_CHARS - 1).chain(['…']).collect(),
        false => name.to_owned(),
    }
}

/// The column is the longest way to it; in a column, near what it needs.
fn layout(needs: &Needs) -> Places<'_> {
    let mut columns: Vec<Vec<&str>> = Vec::new();
    let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
    for name in needs.keys() {
        let depth = depth(needs, name, &mut depths, 0);
        if columns.len() <= depth {
            columns.resize(depth + 1, Vec::new());
        }
        columns[depth].push(name);
    }
    let mut places: Places<'_> = BTreeMap::new();
    for (at, column) in columns.iter_mut().enumerate() {
        column.sort_by_key(|name| {
            let rows = needs[*name].iter().filter_map(|it| places.get(it.as_str()));
            let rows: Vec<usize> = rows.map(|it| it.1).collect();
            rows.iter().sum::<usize>() * 100 / rows.len().max(1)
        });
        for (row, name) in column.iter().enumerate() {
            places.insert(name, (at, row));
        }
    }
    places
}

fn depth<'a>(
    needs: &'a Needs,
    name: &'a str,
    known: &mut BTreeMap<&'a str, usize>,
    steps: usize,
) -> usize {
    if let Some(depth) = known.get(name) {
        return *depth;
    }
    // A template has no circles; what is no template's may.
    let own = needs.get(name).filter(|_| steps < NODES_MAX);
    let below = own
        .into_iter()
        .flatten()
        .filter(|it| needs.contains_key(*it));
    let deepest = below.map(|it| depth(needs, it, known, steps + 1) + 1).max();
    let found = deepest.unwrap_or_default();
    known.insert(name, found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(edges: &[(&str, &[&str])]) -> Needs {
        let all = edges.iter();
        let own = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect();
        all.map(|(name, it)| ((*name).to_owned(), own(it)))
            .collect()
    }

    #[test]
    fn what_is_needed_stands_to_the_left() {
        let graph_of = needs(&[
            ("Balancer", &["SubnetA", "SubnetB"]),
            ("Service", &["Balancer", "SubnetB"]),
            ("SubnetA", &["Vpc"]),
            ("SubnetB", &["Vpc"]),
            ("Vpc", &[]),
        ]);
        let places = layout(&graph_of);
        let found: Vec<_> = places.iter().map(|it| (*it.0, *it.1)).collect();
        assert_eq!(
            found,
            [
                ("Balancer", (2, 0)),
                ("Service", (3, 0)),
                ("SubnetA", (1, 0)),
                ("SubnetB", (1, 1)),
                ("Vpc", (0, 0))
            ]
        );
        let drawn = graph(&graph_of, |_| State::Well, "<what>").into_string();
        assert_eq!(drawn.matches("class=\"edge\"").count(), 6);
        assert!(
            drawn.contains("&lt;what&gt;") && drawn.contains("✓ Service"),
            "{drawn}"
        );
    }

    #[test]
    fn a_circle_ends() {
        let places = needs(&[("a", &["b"]), ("b", &["a"])]);
        assert_eq!(layout(&places).len(), 2);
    }
}
