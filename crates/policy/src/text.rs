//! Texts of policies: patterns with wildcards, and variables that stand for what is known of a request
//! (IAM User Guide, "Policy variables").

use std::borrow::Cow;

use base::glob::Glob;

use crate::context::{Context, Value};

/// A text as it was written, read once.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    written: String,
    pieces: Vec<Piece>,
    /// The pattern, when there is no variable in it.
    fixed: Option<Glob>,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// Wildcards have their meanings here.
    Pattern(String),
    /// `${*}`, `${?}` and `${$}` stand for the characters themselves.
    Text(String),
    Variable {
        key: String,
        default: Option<String>,
    },
}

/// A template after its variables were replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filled<T> {
    Is(T),
    /// It names a key that the request does not have, and so fits nothing.
    FitsNothing,
    /// It names a key of which nothing is known.
    Unknown(String),
}

/// Why a text is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadVariable(pub String);

impl Template {
    /// A text in which `${…}` are variables.
    pub fn parse(text: &str) -> Result<Self, BadVariable> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(begin) = rest.find("${") {
            let bad = || BadVariable(text.to_owned());
            let length = rest[begin..].find('}').ok_or_else(bad)?;
            if begin > 0 {
                pieces.push(Piece::Pattern(rest[..begin].to_owned()));
            }
            pieces.push(variable(&rest[begin + 2..begin + length]).ok_or_else(bad)?);
            rest = &rest[begin + length + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Pattern(rest.to_owned()));
        }
        Ok(Self::of(text, pieces))
    }

    /// A text of a policy whose version knows no variables.
    pub fn without_variables(text: &str) -> Self {
        Self::of(text, vec![Piece::Pattern(text.to_owned())])
    }

    fn of(written: &str, pieces: Vec<Piece>) -> Self {
        let mut template = Self {
            written: written.to_owned(),
            pieces,
            fixed: None,
        };
        let is_fixed = |it: &Piece| !matches!(it, Piece::Variable { .. });
        if template.pieces.iter().all(is_fixed)
            && let Filled::Is(glob) = template.fill_glob(&Context::new())
        {
            template.fixed = Some(glob);
        }
        template
    }

    /// The condition keys that its variables stand for.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|it| match it {
            Piece::Variable { key, .. } => Some(key.as_str()),
            _ => None,
        })
    }

    pub fn written(&self) -> &str {
        &self.written
    }

    /// As a pattern. What variables stand for is text, whatever characters it has.
    pub fn glob(&self, context: &Context) -> Filled<Cow<'_, Glob>> {
        match &self.fixed {
            Some(glob) => Filled::Is(Cow::Borrowed(glob)),
            None => match self.fill_glob(context) {
                Filled::Is(glob) => Filled::Is(Cow::Owned(glob)),
                Filled::FitsNothing => Filled::FitsNothing,
                Filled::Unknown(key) => Filled::Unknown(key),
            },
        }
    }

    fn fill_glob(&self, context: &Context) -> Filled<Glob> {
        self.fill(context, Glob::default(), |glob, text, is_pattern| {
            if is_pattern {
                glob.push_pattern(text);
            } else {
                glob.push_text(text);
            }
        })
    }

    /// As a text in which wildcards are characters like others.
    pub fn text(&self, context: &Context) -> Filled<String> {
        self.fill(context, String::new(), |out, text, _| out.push_str(text))
    }

    fn fill<T>(
        &self,
        context: &Context,
        mut out: T,
        push: impl Fn(&mut T, &str, bool),
    ) -> Filled<T> {
        for piece in &self.pieces {
            match piece {
                Piece::Pattern(text) => push(&mut out, text, true),
                Piece::Text(text) => push(&mut out, text, false),
                Piece::Variable { key, default } => match (context.get(key), default) {
                    (Value::Values([value]), _) => push(&mut out, value, false),
                    (Value::Absent, Some(default)) => push(&mut out, default, false),
                    (Value::Absent, None) => return Filled::FitsNothing,
                    // A key of several values cannot be a variable; which one is meant is not known.
                    (Value::Values(_) | Value::Unknown, _) => return Filled::Unknown(key.clone()),
                },
            }
        }
        Filled::Is(out)
    }
}

/// What stands between `${` and `}`: a key, or a key and `, 'a default'`.
fn variable(inner: &str) -> Option<Piece> {
    if matches!(inner, "*" | "?" | "$") {
        return Some(Piece::Text(inner.to_owned()));
    }
    let (key, default) = match inner.split_once(',') {
        None => (inner, None),
        Some((key, default)) => {
            let default = default.trim();
            let default = default.strip_prefix('\'')?.strip_suffix('\'')?;
            (key, Some(default.to_owned()))
        }
    };
    let key = key.trim();
    let is_named = key.contains(':') && !key.contains(['$', '{', '\'', '"']);
    is_named.then(|| Piece::Variable {
        key: key.to_owned(),
        default,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        let mut context = Context::new();
        context.set("aws:username", "ann");
        context.set("aws:PrincipalTag/odd", "*");
        context.set_absent("aws:userid");
        context.set_all("aws:TagKeys", ["a", "b"]);
        context
    }

    fn is(text: &str, expected: bool, resource: &str) {
        let template = Template::parse(text).unwrap();
        let found = match template.glob(&context()) {
            Filled::Is(glob) => glob.matches(resource),
            Filled::FitsNothing => false,
            Filled::Unknown(key) => panic!("{key}"),
        };
        assert_eq!(found, expected, "{text} {resource}");
    }

    #[test]
    fn variables_stand_for_who_asks() {
        is("home/${aws:username}/*", true, "home/ann/x");
        is("home/${AWS:UserName}/*", false, "home/bob/x");
        is("home/${aws:userid, 'none'}/*", true, "home/none/x");
        is("home/${aws:userid}/*", false, "home//x");
        is("a${*}b", true, "a*b");
        is("a${*}b", false, "aXb");
        is("${$}{x}", true, "${x}");
        // What a value holds is no pattern.
        is("home/${aws:PrincipalTag/odd}", false, "home/ann");
        is("home/${aws:PrincipalTag/odd}", true, "home/*");
    }

    #[test]
    fn a_variable_of_which_nothing_is_known_is_unknown() {
        for text in ["${aws:SourceIp}", "${aws:TagKeys}", "${aws:SourceIp, 'x'}"] {
            let template = Template::parse(text).unwrap();
            let filled = template.text(&context());
            assert!(matches!(filled, Filled::Unknown(_)), "{text}");
        }
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        for text in ["${", "${}", "${aws:username", "${name}", "${aws:a, x}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        let plain = Template::without_variables("${aws:username}");
        let same = Filled::Is("${aws:username}".to_owned());
        assert_eq!(plain.text(&context()), same);
    }
}
