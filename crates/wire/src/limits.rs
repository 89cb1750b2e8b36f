//! The limits that a model sets for a value: lengths, ranges, patterns.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

use crate::decoder::{Decoder, Problem};

/// The limits of one shape of a model. Generated.
#[derive(Debug)]
pub struct Limits {
    /// Of a text, list, map or blob the length; of a number the value.
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub pattern: Option<&'static Pattern>,
    /// Of a list's members or a map's values.
    pub member: Option<&'static Limits>,
    /// Of a map's keys.
    pub key: Option<&'static Limits>,
}

impl Limits {
    pub const NONE: Self = Self {
        min: None,
        max: None,
        pattern: None,
        member: None,
        key: None,
    };

    pub(crate) fn check_length(&self, length: usize, value: impl Fn() -> String, cx: &mut Decoder) {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        if let Some(min) = self.min.filter(|min| length < *min) {
            cx.fail(Problem::TooShort {
                value: value(),
                min,
            });
        }
        if let Some(max) = self.max.filter(|max| length > *max) {
            cx.fail(Problem::TooLong {
                value: value(),
                max,
            });
        }
    }

    pub(crate) fn check_range(&self, number: f64, value: impl Fn() -> String, cx: &mut Decoder) {
        if let Some(min) = self.min.filter(|min| number < *min as f64) {
            cx.fail(Problem::TooSmall {
                value: value(),
                min,
            });
        }
        if let Some(max) = self.max.filter(|max| number > *max as f64) {
            cx.fail(Problem::TooLarge {
                value: value(),
                max,
            });
        }
    }
}

/// A pattern of a model, compiled when it is first needed: most are never needed.
#[derive(Debug)]
pub struct Pattern {
    text: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub const fn new(text: &'static str) -> Self {
        Self {
            text,
            compiled: OnceLock::new(),
        }
    }

    pub fn text(&self) -> &'static str {
        self.text
    }

    /// A pattern that does not compile refuses nothing; the code generator leaves such ones out.
    pub(crate) fn matches(&self, value: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile_pattern(self.text));
        compiled
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(value))
    }
}

/// A compiled pattern may take this much memory. Patterns such as `[\p{L}]{1,2048}` would take
/// megabytes each for what the length limit beside them says already.
const MAX_PATTERN_BYTES: usize = 512 * 1024;

/// Compiles a model's pattern, which has to match the whole value; `None` where it uses what the
/// engine lacks (look-around) or is too large.
pub fn compile_pattern(text: &str) -> Option<Regex> {
    RegexBuilder::new(&format!("^(?:{text})$"))
        .size_limit(MAX_PATTERN_BYTES)
        .build()
        .ok()
}
