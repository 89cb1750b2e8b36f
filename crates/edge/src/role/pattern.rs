//! Patterns of rules: `*` stands for any run of characters, `?` for exactly one.

pub fn matches(pattern: &str, text: &str) -> bool {
    matches_by(pattern.as_bytes(), text.as_bytes(), |a, b| a == b)
}

pub fn matches_ignoring_case(pattern: &str, text: &str) -> bool {
    matches_by(pattern.as_bytes(), text.as_bytes(), |a, b| {
        a.eq_ignore_ascii_case(&b)
    })
}

/// Only the last `*` is ever gone back to, so hostile patterns cost at most the product of both
/// lengths.
fn matches_by(pattern: &[u8], text: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                last_star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(&wanted) if wanted == b'?' || same(wanted, text[at_text]) => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => {
                let Some((star, from)) = last_star else {
                    return false;
                };
                last_star = Some((star, from + 1));
                at_pattern = star + 1;
                at_text = from + 1;
            }
        }
    }
    pattern[at_pattern..].iter().all(|&rest| rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        let check = |pattern, text, expect| assert_eq!(matches(pattern, text), expect, "{pattern}");
        check("*", "", true);
        check("/a/*", "/a/", true);
        check("/a/*/c", "/a/b/b/c", true);
        check("/a/*/c", "/a/b/b/d", false);
        check("/?x", "/ax", true);
        check("/?x", "/x", false);
        check("", "a", false);
        check("*a*b*", "xxaxxbxx", true);
        assert!(matches_ignoring_case("*.EXAMPLE", "www.example"));
    }
}
