//! Rules about what the papers promise.

use super::{House, Violation};

/// What the README tells people to run, word for word.
const TEST_COMMAND: &str = "cargo test --workspace";
const UP_COMMAND: &str = "cargo run --release -- up examples/website";

/// Parts of the README that programs write, between `<!-- name -->` and `<!-- /name -->`.
const WRITTEN_BY_PROGRAMS: &[&str] = &["benchmark", "coverage"];

pub fn name_the_commands_that_ci_runs(house: &House) -> Vec<Violation> {
    let promises = [
        ("README.md", UP_COMMAND),
        ("README.md", TEST_COMMAND),
        (".ci/run", TEST_COMMAND),
    ];
    let broken = promises.into_iter().filter(|(paper, command)| {
        let text = house.papers.get(paper).map_or("", String::as_str);
        !text.lines().any(|line| says(line, command))
    });
    broken
        .map(|(paper, command)| Violation {
            place: paper.into(),
            what: format!("has no line `{command}`"),
            why: "what the README tells people to run is what CI runs: nothing else is known to work",
        })
        .collect()
}

/// Whether a line is the command, with nothing but a comment behind it.
fn says(line: &str, command: &str) -> bool {
    let line = line.trim();
    line.strip_prefix(command)
        .is_some_and(|rest| rest.is_empty() || rest.trim_start().starts_with('#'))
}

pub fn map_every_crate(house: &House) -> Vec<Violation> {
    let map = house
        .papers
        .get("ARCHITECTURE.md")
        .map_or("", String::as_str);
    let missing = house
        .members
        .iter()
        .filter(|it| !map.contains(&format!("| `{}` |", it.name)));
    missing
        .map(|member| Violation {
            place: "ARCHITECTURE.md".into(),
            what: format!("its code map has no line for `{}`", member.name),
            why: "a reader finds a crate by the map: one line, what it is",
        })
        .collect()
}

/// Words in backticks such as `ecs/src/plan.rs`.
pub fn name_files_that_are_there(house: &House) -> Vec<Violation> {
    let text = house
        .papers
        .get("ARCHITECTURE.md")
        .map_or("", String::as_str);
    let named = text
        .split('`')
        .filter(|it| it.ends_with(".rs") && it.contains("/src/"));
    let is_there = |name: &str| {
        let mut sources = house.members.iter().flat_map(|it| &it.sources);
        sources.any(|it| it.path.ends_with(name))
    };
    named
        .filter(|it| !is_there(it))
        .map(|name| Violation {
            place: "ARCHITECTURE.md".into(),
            what: format!("names `{name}`, which is not there"),
            why: "a map that leads nowhere is worse than none: say where it is now",
        })
        .collect()
}

pub fn keep_their_markers(house: &House) -> Vec<Violation> {
    let readme = house.papers.get("README.md").map_or("", String::as_str);
    let broken = WRITTEN_BY_PROGRAMS.iter().filter(|name| {
        let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
        match (readme.find(&begin), readme.find(&end)) {
            (Some(begin), Some(end)) => begin > end,
            _ => true,
        }
    });
    broken
        .map(|name| Violation {
            place: "README.md".into(),
            what: format!("lacks the markers `<!-- {name} -->` and `<!-- /{name} -->`"),
            why: "a program writes what stands between them; without them the figures grow stale",
        })
        .collect()
}
