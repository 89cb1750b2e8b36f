//! Rules about the operations that have shapes, and the members that they take (`crates/shapes/services`).

use crate::codegen::{Wanted, snake};

use super::Violation;
use super::house::{House, Source};

/// Services that stand in a crate of another name.
const CRATES: &[(&str, &str)] = &[
    ("codestar_connections", "codeconnections"),
    ("logs", "cloudwatch-logs"),
    ("sts", "iam"),
];

/// What `cloud::Service` reads for every operation of EC2.
const READ_FOR_ALL: &[&str] = &["DryRun"];

pub fn are_answered_and_read(house: &House) -> Vec<Violation> {
    let mut found = Vec::new();
    for (module, wanted) in &house.services {
        let renamed = CRATES.iter().find(|it| it.0 == module);
        let name = renamed.map_or_else(|| module.replace('_', "-"), |it| it.1.to_owned());
        let member = house.members.iter().find(|it| it.name == name);
        let sources = member.map_or(&[][..], |it| &it.sources);
        let sources: Vec<&Source> = sources.iter().filter(|it| !it.is_test).collect();
        let mut breaks = |what: String, why: &'static str| {
            found.push(Violation {
                place: format!("crates/shapes/services/{module}.toml").into(),
                what,
                why,
            });
        };
        check(wanted, &sources, &mut breaks);
    }
    found
}

fn check(wanted: &Wanted, sources: &[&Source], breaks: &mut impl FnMut(String, &'static str)) {
    for (operation, members) in &wanted.operations {
        let input = format!("{operation}Input");
        let readers: Vec<&str> = sources
            .iter()
            .flat_map(|it| readers(&it.text, &input))
            .collect();
        if readers.is_empty() {
            breaks(
                format!("lists `{operation}`, which no handler takes"),
                "shapes that nothing answers are compiled for nothing, and an operation that is not listed is refused by name all the same",
            );
            continue;
        }
        let taken = members.split_whitespace();
        let taken = taken.filter(|it| !it.contains(['=', '!']) && !READ_FOR_ALL.contains(it));
        for member in taken {
            let field = snake(member);
            if !readers.iter().any(|it| has_word(it, &field)) {
                breaks(
                    format!("lists `{member}` of `{operation}`, which its handler does not read"),
                    "what is asked for and ignored would be answered with success: honour it, or take it off the list, which refuses it by name",
                );
            }
        }
    }
}

/// The text that may read an input: the function that takes it, or its whole file where the function passes
/// it on.
fn readers<'a>(text: &'a str, input: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for at in words(text, input) {
        let Some(start) = text[..at].rfind("fn ") else {
            continue;
        };
        let head = &text[start..at];
        if head.contains('{') || head.contains(';') {
            continue;
        }
        let line = text[..start].rfind('\n').map_or(0, |it| it + 1);
        let indent = text[line..].len() - text[line..].trim_start().len();
        let end = format!("\n{}}}", &text[line..line + indent]);
        let end = text[at..].find(&end).map_or(text.len(), |it| at + it);
        let Some(body) = text[at..end].find('{').map(|it| &text[at + it..end]) else {
            continue;
        };
        let name = head
            .rsplit(':')
            .map(str::trim)
            .find(|it| is_name(last_word(it)));
        let name = name.map_or("input", last_word);
        let is_passed_on =
            words(body, name).any(|it| !body[it + name.len()..].trim_start().starts_with('.'));
        found.push(if is_passed_on { text } else { body });
    }
    // A handler that a macro writes.
    if found.is_empty() && words(text, input).next().is_some() {
        found.push(text);
    }
    found
}

fn last_word(text: &str) -> &str {
    text.rsplit(|it: char| !is_of_word(it))
        .next()
        .unwrap_or(text)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|it: char| it.is_ascii_lowercase())
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn has_word(text: &str, word: &str) -> bool {
    words(text, word).next().is_some()
}

/// Where the word stands by itself.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|it| it.0).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let after = text[*at + word.len()..].chars().next();
        !before.is_some_and(is_of_word) && !after.is_some_and(is_of_word)
    })
}
