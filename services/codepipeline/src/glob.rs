//! Patterns for branches and paths: `*` within a part, `**` over several, `?`, and `{a,b}`.

/// Alternatives of one pattern: they are expanded before they are matched.
const ALTERNATIVES_MAX: usize = 64;

/// Whether a pattern is one. The message is for people.
pub fn check(pattern: &str) -> Result<(), String> {
    match expand(pattern) {
        Some(_) => Ok(()),
        None => Err(format!(
            "the pattern `{pattern}` has braces that do not match, or more than {ALTERNATIVES_MAX} alternatives"
        )),
    }
}

pub fn matches(pattern: &str, text: &str) -> bool {
    let alternatives = expand(pattern).unwrap_or_default();
    alternatives
        .iter()
        .any(|it| simple(it.as_bytes(), text.as_bytes()))
}

/// `a{b,c}d` is `abd` and `acd`.
fn expand(pattern: &str) -> Option<Vec<String>> {
    let Some(open) = pattern.find('{') else {
        return (!pattern.contains('}')).then(|| vec![pattern.to_owned()]);
    };
    let inner = &pattern[open + 1..];
    let close = inner.find('}')?;
    let (choices, rest) = (&inner[..close], expand(&inner[close + 1..])?);
    if pattern[..open].contains('}') || choices.contains('{') {
        return None;
    }
    let mut all = Vec::new();
    for choice in choices.split(',') {
        for rest in &rest {
            all.push(format!("{}{choice}{rest}", &pattern[..open]));
        }
    }
    (all.len() <= ALTERNATIVES_MAX).then_some(all)
}

/// Steps through both, and goes back to the last star when they part. A star within a part can only
/// grow up to a slash; then the last double star grows instead.
fn simple(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut double: Option<Double> = None;
    loop {
        if pattern[at..].starts_with(b"**") {
            at += 2;
            // `a/**/b` holds `a/b` too, but not `a/cb`.
            let whole_parts =
                pattern.get(at) == Some(&b'/') && (at == 2 || pattern[at - 3] == b'/');
            at += usize::from(whole_parts);
            let begun = Double {
                after: at,
                begun: from,
                whole_parts,
            };
            (double, star) = (Some(begun), None);
            continue;
        }
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            star = Some((at, from));
            continue;
        }
        let fits = match (pattern.get(at), text.get(from)) {
            (None, None) => return true,
            (Some(b'?'), Some(it)) => *it != b'/',
            (Some(wanted), Some(it)) => wanted == it,
            _ => false,
        };
        if fits {
            (at, from) = (at + 1, from + 1);
            continue;
        }
        match (star, double) {
            (Some((after, begun)), _) if text.get(begun).is_some_and(|it| *it != b'/') => {
                star = Some((after, begun + 1));
                (at, from) = (after, begun + 1);
            }
            (_, Some(before)) => {
                let Some(grown) = before.grown(text) else {
                    return false;
                };
                (double, star) = (Some(grown), None);
                (at, from) = (grown.after, grown.begun);
            }
            _ => return false,
        }
    }
}

/// A double star that was met: where the pattern goes on behind it, and where the text does.
#[derive(Clone, Copy)]
struct Double {
    after: usize,
    begun: usize,
    whole_parts: bool,
}

impl Double {
    /// The same with a character or a part more of the text.
    fn grown(self, text: &[u8]) -> Option<Self> {
        let rest = text.get(self.begun..)?;
        let more = match self.whole_parts {
            true => rest.iter().position(|it| *it == b'/')? + 1,
            false => 1,
        };
        (more <= rest.len()).then_some(Self {
            begun: self.begun + more,
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_git_users_expect() {
        for (pattern, text, expect) in [
            ("main", "main", true),
            ("main", "main2", false),
            ("main*", "main2", true),
            ("feature/*", "feature/a", true),
            ("feature/*", "feature/a/b", false),
            ("feature/**", "feature/a/b", true),
            ("**", "anything/at/all", true),
            ("*", "a/b", false),
            ("src/**/*.js", "src/a/b/c.js", true),
            ("src/**/*.js", "src/c.js", true),
            ("src/**/*.js", "src/c.ts", false),
            ("src/**/a.js", "src/ba.js", false),
            ("**/*.md", "docs/a.md", true),
            ("**/*.md", "a.md", true),
            ("*.{md,txt}", "a.txt", true),
            ("*.{md,txt}", "a.rs", false),
            ("v?", "v1", true),
            ("a*b*c", "aXbYbZc", true),
            ("a/*/c/**/x", "a/b/c/d/e/x", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expect, "{pattern} {text}");
        }
        assert!(check("{a").is_err() && check("a}").is_err() && check("{a,b}").is_ok());
    }
}
