//! Patterns in which `*` stands for any text and `?` for any one character: those of policies,
//! filters, rules and lists of every kind.
//!
//! There is one matcher, because patterns come from strangers: it goes back to the last `*` alone, so
//! the time that it takes is at most the product of both lengths, and it allocates nothing. Patterns of
//! paths (`**`, classes of characters) are another language and have matchers of their own.

/// One part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// `*`: any text, also none.
    Any,
    /// `?`: one character.
    One,
    /// This character.
    Just(char),
}

/// Two patterns whose lengths have a greater product than this are said to overlap without looking.
/// Policies are bounded far below: this keeps one comparison within some milliseconds.
const OVERLAP_STEPS_MAX: usize = 4_000_000;

/// Whether the whole text is of the pattern.
pub fn matches(pattern: &str, text: &str) -> bool {
    run(tokens(pattern), text, |a, b| a == b)
}

/// The same where capital and small letters of ASCII are one.
pub fn matches_ignoring_case(pattern: &str, text: &str) -> bool {
    run(tokens(pattern), text, |a, b| a.eq_ignore_ascii_case(&b))
}

/// The same where only `*` has a meaning, and `?` is a question mark.
pub fn matches_stars(pattern: &str, text: &str) -> bool {
    run(stars(pattern), text, |a, b| a == b)
}

/// Where only `*` has a meaning and capital and small letters of ASCII are one.
pub fn matches_stars_ignoring_case(pattern: &str, text: &str) -> bool {
    run(stars(pattern), text, |a, b| a.eq_ignore_ascii_case(&b))
}

/// Where `*` alone has a meaning and stands for text without a slash.
pub fn matches_stars_within_parts(pattern: &str, text: &str) -> bool {
    run_until(stars(pattern), text, |a, b| a == b, |it| it == '/')
}

fn tokens(pattern: &str) -> impl Iterator<Item = Token> + Clone {
    pattern.chars().map(|it| match it {
        '*' => Token::Any,
        '?' => Token::One,
        it => Token::Just(it),
    })
}

fn stars(pattern: &str) -> impl Iterator<Item = Token> + Clone {
    pattern.chars().map(|it| match it {
        '*' => Token::Any,
        it => Token::Just(it),
    })
}

fn run(
    pattern: impl Iterator<Item = Token> + Clone,
    text: &str,
    same: impl Fn(char, char) -> bool,
) -> bool {
    run_until(pattern, text, same, |_| false)
}

/// `ends` are the characters that no `*` stands for.
fn run_until(
    mut pattern: impl Iterator<Item = Token> + Clone,
    text: &str,
    same: impl Fn(char, char) -> bool,
    ends: impl Fn(char) -> bool,
) -> bool {
    let mut text = text.chars();
    // Where pattern and text go on when what follows the last `*` does not fit.
    let mut retry = None;
    loop {
        let token = pattern.next();
        if token == Some(Token::Any) {
            retry = Some((pattern.clone(), text.clone()));
            continue;
        }
        match (token, text.next()) {
            (None, None) => return true,
            (Some(Token::One), Some(_)) => {}
            (Some(Token::Just(wanted)), Some(found)) if same(wanted, found) => {}
            // The text is too short for the pattern, and a `*` that takes more of it helps nothing.
            (Some(_), None) => return false,
            _ => {
                let Some((after, mut rest)) = retry else {
                    return false;
                };
                if rest.next().is_none_or(&ends) {
                    return false;
                }
                (pattern, text) = (after.clone(), rest.clone());
                retry = Some((after, rest));
            }
        }
    }
}

/// A pattern that was read once, and that may hold characters which would have a meaning in a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Glob(Vec<Token>);

impl Glob {
    pub fn new(pattern: &str) -> Self {
        let mut glob = Self::default();
        glob.push_pattern(pattern);
        glob
    }

    /// Appends a text in which `*` and `?` have their meanings.
    pub fn push_pattern(&mut self, pattern: &str) {
        for token in tokens(pattern) {
            self.push(token);
        }
    }

    /// Appends a text that stands for itself.
    pub fn push_text(&mut self, text: &str) {
        self.0.extend(text.chars().map(Token::Just));
    }

    /// Runs of wildcards are kept in one form, `??*`, so that patterns that mean the same are the same.
    fn push(&mut self, token: Token) {
        match (token, self.0.last()) {
            (Token::Any, Some(Token::Any)) => {}
            (Token::One, Some(Token::Any)) => {
                self.0.pop();
                self.0.extend([Token::One, Token::Any]);
            }
            _ => self.0.push(token),
        }
    }

    pub fn matches(&self, text: &str) -> bool {
        run(self.0.iter().copied(), text, |a, b| a == b)
    }

    pub fn matches_ignoring_case(&self, text: &str) -> bool {
        run(self.0.iter().copied(), text, |a, b| {
            a.eq_ignore_ascii_case(&b)
        })
    }

    /// The parts between the first `count - 1` separators; the last part has the others within.
    pub fn split(&self, separator: char, count: usize) -> Vec<Self> {
        let parts = (self.0).splitn(count, |it| *it == Token::Just(separator));
        parts.map(|it| Self(it.to_vec())).collect()
    }

    /// Whether some text is of both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (own, others) = (&self.0, &other.0);
        if own.len().saturating_mul(others.len()) > OVERLAP_STEPS_MAX {
            return true;
        }
        // `row[j]`: some text is of the first i tokens of ours and of the first j of the other's.
        let mut row = vec![false; others.len() + 1];
        row[0] = true;
        for (at, it) in others.iter().enumerate() {
            row[at + 1] = row[at] && *it == Token::Any;
        }
        for mine in own {
            let mut next = vec![false; row.len()];
            next[0] = row[0] && *mine == Token::Any;
            for (at, theirs) in others.iter().enumerate() {
                next[at + 1] = match (mine, theirs) {
                    (Token::Any, _) | (_, Token::Any) => row[at + 1] || next[at],
                    (Token::Just(a), Token::Just(b)) => row[at] && a == b,
                    _ => row[at],
                };
            }
            row = next;
        }
        row[others.len()]
    }

    /// Whether every text of the other pattern is of this one, as far as that is seen by holding the
    /// patterns against each other: `a*` covers `ab*`. It may miss a case and never claims one too many.
    pub fn covers(&self, other: &Self) -> bool {
        let (own, others) = (&self.0, &other.0);
        let (mut at, mut seen) = (0, 0);
        let mut retry = None;
        loop {
            match (own.get(at), others.get(seen)) {
                (Some(Token::Any), _) => {
                    at += 1;
                    retry = Some((at, seen));
                    continue;
                }
                (None, None) => return true,
                (Some(Token::One), Some(Token::One | Token::Just(_))) => {}
                (Some(Token::Just(a)), Some(Token::Just(b))) if a == b => {}
                (Some(_), None) => return false,
                _ => {
                    let Some((after, from)) = retry else {
                        return false;
                    };
                    if from >= others.len() {
                        return false;
                    }
                    retry = Some((after, from + 1));
                    (at, seen) = (after, from + 1);
                    continue;
                }
            }
            (at, seen) = (at + 1, seen + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_others() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("ecs:*Task*", "ecs:RunTask", true),
            ("ecs:*Task*", "ecs:ListTasks", true),
            ("ecs:*Task", "ecs:ListTasks", false),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*?", "é", true),
            ("*??", "é", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("/a/*/c", "/a/b/b/c", true),
            ("", "", true),
            ("", "a", false),
            ("A", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern}");
        }
        assert!(matches_ignoring_case("*.EXAMPLE", "www.example"));
        assert!(!matches_stars("a?c", "abc") && matches_stars("a?*", "a?c"));
        assert!(matches_stars_ignoring_case("X-*?", "x-amz?"));
    }

    #[test]
    fn a_star_may_end_at_a_slash() {
        for (pattern, text, expected) in [
            ("*", "app", true),
            ("*", "a/app", false),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/b/c", false),
            ("*app", "a/app", false),
            ("a/*", "a/", true),
        ] {
            let found = matches_stars_within_parts(pattern, text);
            assert_eq!(found, expected, "{pattern} {text}");
        }
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        let (pattern, text) = ("a*".repeat(500), "a".repeat(20_000));
        let pattern = format!("{pattern}b");
        assert!(!matches(&pattern, &text) && !matches_stars(&pattern, &text));
        let pattern = Glob::new(&pattern);
        assert!(!pattern.overlaps(&Glob::new(&"a".repeat(2_000))));
        // Too much to look at: it may be so.
        assert!(pattern.overlaps(&Glob::new(&"c".repeat(20_000))));
        assert!(!pattern.covers(&Glob::new(&"a*".repeat(2_000))));
    }

    #[test]
    fn patterns_are_held_against_each_other() {
        for (one, other, overlap, covers) in [
            ("*", "a*", true, true),
            ("a*", "*", true, false),
            ("a*", "*b", true, false),
            ("a*", "b*", false, false),
            ("log-group:*", "log-group:/ecs/*", true, true),
            ("log-group:/ecs/*", "log-group:*", true, false),
            ("log-group:/ecs/*", "log-group:/rds/*", false, false),
            ("?*", "*?", true, true),
            ("*?", "?*", true, true),
            ("a?", "a*", true, false),
            ("a*c", "ab?c", true, true),
            ("", "*", true, false),
            ("", "", true, true),
            ("a", "", false, false),
        ] {
            let (one, other) = (Glob::new(one), Glob::new(other));
            assert_eq!(one.overlaps(&other), overlap, "{one:?} {other:?}");
            assert_eq!(other.overlaps(&one), overlap, "{other:?} {one:?}");
            assert_eq!(one.covers(&other), covers, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_text_stands_for_itself() {
        let mut glob = Glob::new("home/");
        glob.push_text("*");
        assert!(glob.matches("home/*") && !glob.matches("home/a"));
    }

    /// As one would say it, which takes exponential time.
    fn slowly(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), Some((_, after))) => slowly(rest, text) || slowly(pattern, after),
            (Some(('*', rest)), None) => slowly(rest, text),
            (Some(('?', rest)), Some((_, after))) => slowly(rest, after),
            (Some((a, rest)), Some((b, after))) => a == b && slowly(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_one_would_say(pattern in "[ab*?é]{0,8}", text in "[abé]{0,8}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), slowly(&p, &t));
            prop_assert_eq!(Glob::new(&pattern).matches(&text), slowly(&p, &t));
        }

        #[test]
        fn two_patterns_agree_with_the_texts_of_both(one in "[ab*?]{0,6}", other in "[ab*?]{0,6}", text in "[abc]{0,6}") {
            let (first, second) = (Glob::new(&one), Glob::new(&other));
            if first.matches(&text) && second.matches(&text) {
                prop_assert!(first.overlaps(&second));
            }
            if first.covers(&second) && second.matches(&text) {
                prop_assert!(first.matches(&text), "{} does not cover {} at {}", one, other, text);
            }
        }
    }
}
