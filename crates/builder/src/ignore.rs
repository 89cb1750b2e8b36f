//! `.dockerignore`: what of the context a build does not see.
//!
//! Docker's rules: one pattern a line, `#` starts a comment, a pattern also hides all below what it
//! matches, `!` shows again, and the last line that matches decides.

use std::path::{Component, Path, PathBuf};

use engine::{EngineError, Result};

use crate::layer::normalised;
use crate::limits::{IGNORE_BYTES_MAX, IGNORE_PATTERNS_MAX};
use crate::pattern::{Pattern, Stars};
use crate::tree::Tree;

#[derive(Debug, Clone, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    shows: bool,
    pattern: Pattern,
}

impl Ignore {
    pub fn parse(text: &str) -> Result<Self> {
        let mut rules = Vec::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (shows, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let pattern = cleaned(pattern);
            if pattern.is_empty() {
                continue;
            }
            if rules.len() >= IGNORE_PATTERNS_MAX {
                return Err(EngineError::invalid(format!(
                    ".dockerignore: more than {IGNORE_PATTERNS_MAX} patterns"
                )));
            }
            let pattern = Pattern::parse(&pattern, Stars::AnyDepth).map_err(|error| {
                EngineError::invalid(format!(".dockerignore:{}: {error}", index + 1))
            })?;
            rules.push(Rule { shows, pattern });
        }
        Ok(Self { rules })
    }

    /// The ignore file of a context: `<Dockerfile>.dockerignore` goes before `.dockerignore`.
    pub fn of_context(context: &Tree, dockerfile: Option<&Path>) -> Result<Self> {
        let beside = dockerfile.map(|dockerfile| {
            let mut name = dockerfile.as_os_str().to_owned();
            name.push(".dockerignore");
            PathBuf::from(name)
        });
        for file in beside.into_iter().chain([".dockerignore".into()]) {
            if let Some(text) = context.read_text(&file, IGNORE_BYTES_MAX)? {
                return Self::parse(&text);
            }
        }
        Ok(Self::default())
    }

    /// `path` is relative to the context.
    pub fn hides(&self, path: &Path) -> bool {
        if self.rules.is_empty() || path.as_os_str().is_empty() {
            return false;
        }
        let with_parents = prefixes(path);
        let mut hidden = false;
        for rule in &self.rules {
            // A rule that would change nothing need not be tried.
            if hidden == rule.shows && with_parents.iter().any(|path| rule.pattern.matches(path)) {
                hidden = !rule.shows;
            }
        }
        hidden
    }

    /// Whether a hidden folder must be looked into, because something below may be shown again.
    pub fn may_show_below(&self) -> bool {
        self.rules.iter().any(|rule| rule.shows)
    }
}

/// As Go's `filepath.Clean` and docker leave a pattern: no leading or trailing slash, no `.`.
fn cleaned(pattern: &str) -> String {
    if pattern.is_empty() {
        return String::new();
    }
    normalised(Path::new(pattern))
        .to_string_lossy()
        .into_owned()
}

/// `a`, `a/b` and `a/b/c` of `a/b/c`.
fn prefixes(path: &Path) -> Vec<String> {
    let mut prefixes: Vec<String> = Vec::new();
    for component in path.components() {
        if let Component::Normal(name) = component {
            let name = name.to_string_lossy();
            prefixes.push(match prefixes.last() {
                Some(parent) => format!("{parent}/{name}"),
                None => name.into_owned(),
            });
        }
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &str, path: &str, hidden: bool) {
        let ignore = Ignore::parse(rules).unwrap();
        assert_eq!(
            ignore.hides(Path::new(path)),
            hidden,
            "{rules:?} over {path}"
        );
    }

    #[test]
    fn follows_dockers_rules() {
        check("node_modules", "node_modules", true);
        check("node_modules", "node_modules/a/b.js", true);
        check("node_modules", "web/node_modules/a.js", false);
        check("**/node_modules", "web/node_modules/a.js", true);
        check("**/node_modules", "node_modules", true);
        check("**/node_modules", "my_node_modules", false);
        check("*.log", "a.log", true);
        check("*.log", "logs/a.log", false);
        check("*/*.log", "logs/a.log", true);
        check("**/*.log", "x/y/a.log", true);
        check("**/*.log", "a.log", true);
        check("*.md\n!README.md", "README.md", false);
        check("*.md\n!README.md", "OTHER.md", true);
        check("!README.md\n*.md", "README.md", true);
        check("*\n!src", "src/main.rs", false);
        check("*\n!src", "target/x", true);
        check("*\n!src/main.rs", "src/main.rs", false);
        check("*\n!src/main.rs", "src/lib.rs", true);
        check("# comment\n\n  temp?  ", "temp1", true);
        check("temp?", "temp10", false);
        check("/abs/", "abs/file", true);
        check("./a/../b", "b", true);
        check("a/**/z", "a/z", true);
        check("a/**/z", "a/b/c/z", true);
        check("a/**", "a/b/c", true);
        check("a/**", "a", false);
        check("[ab].txt", "b.txt", true);
        check("[^ab].txt", "b.txt", false);
        check("[a-c].txt", "c.txt", true);
        check("\\*.txt", "*.txt", true);
        check("\\*.txt", "a.txt", false);
        check("", "anything", false);
        check(".", "anything", false);
        check("**", "any/thing", true);
        check("docs/**/*.md\n!docs/keep", "docs/keep/a.md", false);
    }

    #[test]
    fn names_the_line_of_a_bad_pattern() {
        let error = Ignore::parse("a\n[b").unwrap_err();
        assert_eq!(
            error.message,
            ".dockerignore:2: the pattern `[b` has an unfinished `[`"
        );
    }
}
