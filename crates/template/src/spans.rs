//! Where each evaluated property stands in the template.

use std::collections::BTreeMap;

use crate::Span;

/// From the path of a property, as in `Rules.0.Port`, to its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spans {
    by_path: BTreeMap<String, Span>,
}

impl Spans {
    pub fn insert(&mut self, path: &str, span: Span) {
        self.by_path.insert(path.to_owned(), span);
    }

    /// The place of a property, or of the nearest thing around it. The empty path is the
    /// `Properties` block itself.
    pub fn of(&self, path: &str) -> Option<Span> {
        let mut path = path;
        loop {
            if let Some(span) = self.by_path.get(path) {
                return Some(*span);
            }
            path = match path.rsplit_once('.') {
                Some((parent, _)) => parent,
                None if path.is_empty() => return None,
                None => "",
            };
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Span)> {
        self.by_path
            .iter()
            .map(|(path, span)| (path.as_str(), *span))
    }
}
