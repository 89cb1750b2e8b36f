//! Conditions on messages of fields with spaces between: `[ip, user, ..., status = 4*, bytes > 1000]`
//! (CloudWatch Logs User Guide, "Filter pattern syntax").
//!
//! What stands in brackets or quotation marks is one field of a message. A pattern names as many fields as a
//! message has; `...` stands for any number of them.

use base::glob::matches_stars;
use cloud::Error;

use crate::pattern_reader::{Comparison, Operand, Reader, malformed};

/// Fields that a pattern names; more than a message of an access log has, by far.
const FIELDS_MAX: usize = 100;
/// What one field may be asked for.
const TESTS_MAX: usize = 20;

#[derive(Debug, Clone, PartialEq)]
pub struct Fields {
    /// Those before `...`, or all.
    first: Vec<Field>,
    /// Those after it; None where there is none.
    last: Option<Vec<Field>>,
}

/// One of these lists of tests holds, when there are any.
#[derive(Debug, Clone, Default, PartialEq)]
struct Field(Vec<Vec<FieldTest>>);

#[derive(Debug, Clone, PartialEq)]
struct FieldTest {
    comparison: Comparison,
    value: Operand,
}

impl Fields {
    /// Parses a pattern in its brackets.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let inner = text
            .strip_prefix('[')
            .and_then(|it| it.trim_end().strip_suffix(']'))
            .ok_or_else(|| malformed("the brackets are not closed"))?;
        let mut fields = Self {
            first: Vec::new(),
            last: None,
        };
        let mut reader = Reader { rest: inner.trim() };
        if reader.rest.is_empty() {
            return Err(malformed("it names no field"));
        }
        loop {
            match field(&mut reader)? {
                Some(field) => fields
                    .last
                    .as_mut()
                    .unwrap_or(&mut fields.first)
                    .push(field),
                None if fields.last.is_some() => return Err(malformed("`...` stands there twice")),
                None => fields.last = Some(Vec::new()),
            }
            let count = fields.first.len() + fields.last.as_ref().map_or(0, Vec::len);
            if count > FIELDS_MAX {
                return Err(malformed(format!("it names more than {FIELDS_MAX} fields")));
            }
            if reader.rest.is_empty() {
                return Ok(fields);
            }
            if !reader.takes(",") {
                return Err(malformed(format!("`{}` is not understood", reader.rest)));
            }
        }
    }

    pub fn match_message(&self, message: &str) -> bool {
        let values = split(message);
        let holds = |fields: &[Field], values: &[&str]| {
            fields.iter().zip(values).all(|(field, it)| field.holds(it))
        };
        match &self.last {
            None => values.len() == self.first.len() && holds(&self.first, &values),
            Some(last) => {
                let Some(at) = values.len().checked_sub(last.len()) else {
                    return false;
                };
                at >= self.first.len() && holds(&self.first, &values) && holds(last, &values[at..])
            }
        }
    }
}

/// The fields of a message.
fn split(message: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = message.trim_start();
    while let Some(begin) = rest.chars().next() {
        let end = match begin {
            '"' => Some('"'),
            '[' => Some(']'),
            _ => None,
        };
        let enclosed = end.and_then(|end| Some((end, rest[1..].find(end)?)));
        let (field, after) = match enclosed {
            Some((end, at)) => (&rest[1..=at], &rest[1 + at + end.len_utf8()..]),
            None => {
                let at = rest.find(char::is_whitespace).unwrap_or(rest.len());
                rest.split_at(at)
            }
        };
        fields.push(field);
        rest = after.trim_start();
    }
    fields
}

impl Field {
    fn holds(&self, value: &str) -> bool {
        self.0.is_empty() || (self.0.iter()).any(|all| all.iter().all(|test| test.holds(value)))
    }
}

impl FieldTest {
    fn holds(&self, found: &str) -> bool {
        let number = found.parse::<f64>().ok();
        let equal = match &self.value {
            Operand::Number(wanted) => number == Some(*wanted),
            Operand::Text(wanted) => matches_stars(wanted, found),
            Operand::Expression(expression) => expression.is_in(found),
        };
        self.comparison.holds(equal, self.value.order(number))
    }
}

/// A field with its tests; None for `...`.
fn field(reader: &mut Reader<'_>) -> Result<Option<Field>, Error> {
    if reader.takes("...") {
        return Ok(None);
    }
    let mut any = vec![Vec::new()];
    let mut count = 0;
    loop {
        let name = reader.word(|it| !(it.is_alphanumeric() || "_-".contains(it)));
        if name.is_empty() {
            return Err(malformed("a field's name is missing"));
        }
        reader.rest = reader.rest.trim_start();
        if let Some(comparison) = reader.comparison() {
            let value = reader.operand(",&|]")?;
            let test = FieldTest { comparison, value };
            any.last_mut().expect("it has one at least").push(test);
        }
        count += 1;
        if count > TESTS_MAX {
            return Err(malformed(format!("more than {TESTS_MAX} tests of a field")));
        }
        if reader.takes("||") {
            any.push(Vec::new());
        } else if !reader.takes("&&") {
            break;
        }
    }
    // A name alone asks for nothing.
    any.retain(|all| !all.is_empty());
    Ok(Some(Field(any)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"127.0.0.1 - ann [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534"#;

    #[test]
    fn fields_are_told_apart_and_tested() {
        for (pattern, expected) in [
            ("[ip, id, user, time, request, status, bytes]", true),
            ("[ip, id, user, time, request, status]", false),
            ("[ip, id, user, time, request, status, bytes, more]", false),
            ("[ip, ..., status, bytes]", true),
            ("[..., status = 404, bytes]", true),
            ("[..., status = 4*, bytes > 1000]", true),
            ("[..., status = 4*, bytes > 2000]", false),
            ("[..., status != 404, bytes]", false),
            ("[..., status = 410 || status = 404, bytes]", true),
            ("[..., status >= 400 && status < 404, bytes]", false),
            ("[ip, id, user, time, request = *.html*, ...]", true),
            ("[ip, id, user, time, request = \"GET *\", ...]", true),
            ("[ip = %127\\.0\\.0\\.[0-9]%, ...]", true),
            ("[ip = %^10\\.%, ...]", false),
            ("[ip = 127.0.0.1, ...]", true),
            ("[...]", true),
        ] {
            assert_eq!(
                Fields::parse(pattern).unwrap().match_message(LINE),
                expected,
                "{pattern}"
            );
        }
        assert!(!Fields::parse("[a, ..., b]").unwrap().match_message("one"));
        assert_eq!(split("a \"b c\" [d e] \"f"), ["a", "b c", "d e", "\"f"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in [
            "[",
            "[]",
            "[a",
            "[a,]",
            "[a = ]",
            "[a b]",
            "[..., ...]",
            "[= 1]",
            "[a = %x]",
        ] {
            assert!(Fields::parse(bad).is_err(), "{bad}");
        }
    }
}
