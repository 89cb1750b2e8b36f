//! Patterns of parameters, which AWS reads in Java's dialect: classes such as `\w` are ASCII, everything
//! but letters may be escaped, and there is look-around.

use fancy_regex::{Regex, RegexBuilder};

use crate::error::{Result, TemplateError};
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_STEPS_MAX};

#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// A pattern that has to match a whole value.
    pub fn new(text: &str) -> Result<Self> {
        let compile = |pattern: &str| {
            (RegexBuilder::new(pattern)
                .backtrack_limit(PATTERN_STEPS_MAX)
                .delegate_size_limit(PATTERN_BYTES_MAX)
                .build())
            .map_err(|error| {
                let reason = error.to_string();
                TemplateError::new(format!(
                    "Template error: the AllowedPattern {text} is not supported by neargate"
                ))
                .detail(reason.lines().last().unwrap_or_default().trim())
            })
        };
        let translated = translated(text);
        // Alone first, so that an unbalanced bracket cannot end the group around it.
        compile(&translated)?;
        Ok(Self {
            text: text.to_owned(),
            regex: compile(&format!(r"\A(?:{translated})\z"))?,
        })
    }

    /// Whether the whole value is as the pattern says; an error for one that takes too many steps to tell.
    pub fn matches(&self, value: &str) -> Result<bool> {
        self.regex.is_match(value).map_err(|_| {
            TemplateError::new(format!(
                "Template error: it takes too long to tell whether a value matches the AllowedPattern {}",
                self.text
            ))
        })
    }
}

const WORD: &str = "A-Za-z0-9_";
const DIGIT: &str = "0-9";
const SPACE: &str = r"\t\n\x0B\f\r\x20";
const HORIZONTAL: &str = r"\t\x20\x{A0}";
const VERTICAL: &str = r"\n\x0B\f\r\x{85}\x{2028}\x{2029}";

/// The same pattern in the dialect of the library.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut class_depth = 0usize;
    while let Some(it) = rest.chars().next() {
        rest = &rest[it.len_utf8()..];
        match it {
            '\\' => rest = escape(rest, &mut out),
            '[' => {
                class_depth += 1;
                out.push(it);
            }
            ']' => {
                class_depth = class_depth.saturating_sub(1);
                out.push(it);
            }
            // Nothing has to be escaped in a class here that has not to be there, but `~~` and `--`.
            '~' if class_depth > 0 => out.push_str(r"\~"),
            '-' if class_depth > 0 && rest.starts_with('-') => out.push_str(r"\-"),
            other => out.push(other),
        }
    }
    out
}

/// Writes what a backslash and what follows it mean, and answers what is left.
fn escape<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let Some(it) = rest.chars().next() else {
        out.push('\\');
        return rest;
    };
    let after = &rest[it.len_utf8()..];
    let mut class = |members: &str| out.push_str(&format!("[{members}]"));
    match it {
        'w' => class(WORD),
        'W' => class(&format!("^{WORD}")),
        'd' => class(DIGIT),
        'D' => class(&format!("^{DIGIT}")),
        's' => class(SPACE),
        'S' => class(&format!("^{SPACE}")),
        'h' => class(HORIZONTAL),
        'H' => class(&format!("^{HORIZONTAL}")),
        'v' => class(VERTICAL),
        'V' => class(&format!("^{VERTICAL}")),
        'R' => out.push_str(r"(?:\r\n|[\n\r\x0B\f\x{85}\x{2028}\x{2029}])"),
        'e' => out.push_str(r"\x1B"),
        'u' if after.len() >= 4 && after.as_bytes()[..4].iter().all(u8::is_ascii_hexdigit) => {
            out.push_str(&format!(r"\x{{{}}}", &after[..4]));
            return &after[4..];
        }
        'Q' => {
            let (literal, rest) = after.split_once("\\E").unwrap_or((after, ""));
            out.push_str(&fancy_regex::escape(literal));
            return rest;
        }
        'p' | 'P' => {
            let name = (after.strip_prefix('{')).and_then(|it| it.split_once('}'));
            if let Some((name, rest)) = name {
                property(it == 'P', name, out);
                return rest;
            }
            out.push('\\');
            out.push(it);
        }
        '<' | '>' => out.push(it),
        _ => {
            out.push('\\');
            out.push(it);
        }
    }
    after
}

/// `\p{…}`: POSIX's classes, which are ASCII, and Unicode's.
fn property(is_negated: bool, name: &str, out: &mut String) {
    let posix = match name {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => r"\x00-\x7F",
        "Alpha" => "A-Za-z",
        "Digit" => DIGIT,
        "Alnum" => "A-Za-z0-9",
        "Punct" => r"!-/:-@\[-`{-\~",
        "Graph" => r"!-\~",
        "Print" => r"\x20-\~",
        "Blank" => r"\t\x20",
        "Cntrl" => r"\x00-\x1F\x7F",
        "XDigit" => "0-9A-Fa-f",
        "Space" => SPACE,
        _ => {
            let name = name.strip_prefix("Is").unwrap_or(name);
            let letter = if is_negated { 'P' } else { 'p' };
            out.push_str(&format!(r"\{letter}{{{name}}}"));
            return;
        }
    };
    let not = if is_negated { "^" } else { "" };
    out.push_str(&format!("[{not}{posix}]"));
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns_are_javas() {
        for (pattern, good, bad) in [
            (r"^[\w-]{1,64}$", "a-b_9", "ä"),
            (r"[\w-.]+", "a-b.c", "a/b"),
            (r"(?!-)[a-z-]{1,8}(?<!-)", "a-b", "a-"),
            (r"^(?=.*[A-Z])(?=.*\d).{8,}$", "Passw0rd", "password"),
            (r"([a-z])\1", "aa", "ab"),
            (r"a++b", "aab", "b"),
            (r"\p{Alpha}[\p{Alnum}_]*", "a9_", "9a"),
            (r"\P{Digit}+", "abc", "1"),
            (r"\Qa.b\E+", "a.b", "axb"),
            (r"\/\-\@\:\<\>\ ", "/-@:<> ", "x"),
            (r"[a-z&&[^x]]+", "ab", "ax"),
            (r"\u0041b", "Ab", "ab"),
            (r"\S*", "ab", "a b"),
            (r"a|b", "b", "ab"),
            (r"(?i)abc", "ABC", "abd"),
            (r"[~a--]+", "~a-", "b"),
            (r".{0,4000}", "anything", "a\nb"),
        ] {
            let compiled = Pattern::new(pattern).unwrap_or_else(|it| panic!("{pattern}: {it}"));
            assert!(compiled.matches(good).unwrap(), "{pattern} {good}");
            assert!(!compiled.matches(bad).unwrap(), "{pattern} {bad}");
        }
        for wrong in ["(", "a)|(b", "[a", r"\p{Nope}", "(?<a", "*"] {
            assert!(Pattern::new(wrong).is_err(), "{wrong}");
        }
    }

    /// What would be tried for ever is given up.
    #[test]
    fn a_hostile_pattern_ends() {
        let pattern = Pattern::new(r"(?=(a+)+$)b(a|aa)*\1c").unwrap();
        let value = format!("{}!", "a".repeat(4000));
        let _ = pattern.matches(&value);
        let pattern = Pattern::new(r"(?:(?=a)(a|a)*)*b\z(?!x)").unwrap();
        assert!(!matches!(pattern.matches(&value), Ok(true)));
        assert!(Pattern::new(&"(?:a{1000}){1000}".repeat(3)).is_err());
    }
}
