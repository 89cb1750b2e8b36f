//! Why a request is decided as it is, for who asks what would be: the statements that decide, where they
//! stand, and the condition keys that they ask for.

use std::collections::BTreeSet;

use crate::decide::{Asked, Request};
use crate::document::{Document, Effect};
use crate::truth::Truth;

/// A statement that speaks of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    /// Which of the documents.
    pub document: usize,
    /// Which of its statements.
    pub statement: usize,
    pub effect: Effect,
}

/// The statements that apply to a request for sure.
pub fn matched<'d>(
    request: &Request<'_>,
    documents: impl IntoIterator<Item = &'d Document>,
) -> Vec<Matched> {
    let asked = Asked::of(request);
    let mut matched = Vec::new();
    for (document, it) in documents.into_iter().enumerate() {
        for (statement, it) in it.statements().iter().enumerate() {
            if asked.names(it) && asked.applies_to_it(it) == Truth::Yes {
                matched.push(Matched {
                    document,
                    statement,
                    effect: it.effect(),
                });
            }
        }
    }
    matched
}

/// The condition keys that the statements about this action ask for, as they are written.
pub fn keys_asked<'d>(
    request: &Request<'_>,
    documents: impl IntoIterator<Item = &'d Document>,
) -> BTreeSet<String> {
    let asked = Asked::of(request);
    let statements = documents.into_iter().flat_map(Document::statements);
    let concerned = statements.filter(|it| asked.is_action(it));
    concerned
        .flat_map(|it| it.keys())
        .map(str::to_owned)
        .collect()
}

/// A place in a text; both count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// Where the statements of a document begin and end, in their order. None of a text that is no document.
pub fn places(text: &str) -> Vec<(Place, Place)> {
    let mut places = Vec::new();
    let mut scan = Scan::default();
    let mut begin = None;
    for at in text.chars() {
        let here = scan.place;
        match scan.next(at) {
            Some(Bracket::Opened(depth)) if begin.is_none() && scan.is_statement(depth, at) => {
                begin = Some((depth, here));
            }
            Some(Bracket::Closed(depth)) if begin.is_some_and(|it| it.0 == depth) => {
                places.extend(begin.take().map(|it| (it.1, scan.place)));
            }
            _ => {}
        }
    }
    places
}

enum Bracket {
    /// With the depth at which it stands.
    Opened(usize),
    Closed(usize),
}

/// Reads JSON that is known to be some, for its brackets and the names of the outermost object.
struct Scan {
    place: Place,
    depth: usize,
    in_text: bool,
    escaped: bool,
    text: String,
    /// The member of the outermost object that is being read.
    member: String,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            place: Place { line: 1, column: 1 },
            depth: 0,
            in_text: false,
            escaped: false,
            text: String::new(),
            member: String::new(),
        }
    }
}

impl Scan {
    fn next(&mut self, at: char) -> Option<Bracket> {
        self.place = match at {
            '\n' => Place {
                line: self.place.line + 1,
                column: 1,
            },
            _ => Place {
                column: self.place.column + 1,
                ..self.place
            },
        };
        if self.in_text {
            self.read_text(at);
            return None;
        }
        match at {
            '"' => {
                self.in_text = true;
                self.text.clear();
                None
            }
            ':' if self.depth == 1 => {
                self.member = std::mem::take(&mut self.text);
                None
            }
            '{' | '[' => {
                self.depth += 1;
                Some(Bracket::Opened(self.depth - 1))
            }
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                Some(Bracket::Closed(self.depth))
            }
            _ => None,
        }
    }

    fn read_text(&mut self, at: char) {
        match at {
            _ if self.escaped => self.escaped = false,
            '\\' => self.escaped = true,
            '"' => self.in_text = false,
            at => self.text.push(at),
        }
    }

    /// An object that is the member `Statement`, or stands in its list.
    fn is_statement(&self, depth: usize, at: char) -> bool {
        at == '{' && self.member == "Statement" && (depth == 1 || depth == 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, usize, usize, usize)]) {
        let found = places(text);
        let found: Vec<_> = (found.iter())
            .map(|(a, b)| (a.line, a.column, b.line, b.column))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn statements_are_found_where_they_stand() {
        check(r#"{"Statement":{"Effect":"Allow"}}"#, &[(1, 14, 1, 32)]);
        check(
            "{\n \"Id\": \"{\\\"\",\n \"Statement\": [\n  {\"a\": {\"b\": [{}]}},\n  {}\n ]\n}",
            &[(4, 3, 4, 21), (5, 3, 5, 5)],
        );
        check(r#"{"Other":{"Statement":{}}}"#, &[]);
        check("{{{[[\"", &[]);
    }
}
