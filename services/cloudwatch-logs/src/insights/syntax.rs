//! The language of queries (CloudWatch Logs User Guide, "CloudWatch Logs Insights query syntax"): commands with
//! `|` between, of which `fields`, `display`, `filter`, `parse`, `stats`, `sort` and `limit` are built. What else
//! the language has is refused by name.

use regex::Regex;

use crate::pattern::compile;
use crate::pattern_reader::Comparison;

/// Parentheses within parentheses; more than anyone writes, few enough for the stack.
const DEPTH_MAX: usize = 32;

#[derive(Debug, Clone)]
pub enum Command {
    /// Fields that are shown, with other names where they are given some.
    Fields(Vec<(String, Option<String>)>),
    /// The same, and nothing that was named before.
    Display(Vec<String>),
    Filter(Predicate),
    Parse(Parse),
    Stats(Stats),
    /// By which fields, and whether from the end.
    Sort(Vec<(String, bool)>),
    Limit(usize),
}

#[derive(Debug, Clone)]
pub enum Predicate {
    Any(Vec<Predicate>),
    All(Vec<Predicate>),
    Not(Box<Predicate>),
    Present(String),
    Compare(String, Comparison, String),
    In(String, Vec<String>),
    /// A part of the text.
    Has(String, String),
    Matches(String, Regex),
}

/// New fields out of a part of a text.
#[derive(Debug, Clone)]
pub struct Parse {
    pub field: String,
    pub how: Regex,
    /// The names of the expression's groups, in their order.
    pub names: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Stats {
    pub values: Vec<(Aggregate, String)>,
    pub by: Vec<By>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Aggregate {
    Count(Option<String>),
    CountDistinct(String),
    Sum(String),
    Avg(String),
    Min(String),
    Max(String),
    Pct(String, f64),
}

#[derive(Debug, Clone, PartialEq)]
pub enum By {
    Field(String),
    /// The beginning of a span of time.
    Bin {
        ms: i64,
        name: String,
    },
}

pub fn parse(text: &str) -> Result<Vec<Command>, String> {
    let tokens = tokens(text)?;
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    let mut commands = Vec::new();
    loop {
        commands.push(reader.command()?);
        match reader.next() {
            None => return Ok(commands),
            Some(Piece::Sign("|")) => {}
            Some(other) => return Err(format!("unexpected {other:?}")),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// A name, a number, or a word of the language.
    Word(String),
    Text(String),
    Expression(String),
    Sign(&'static str),
}

const SIGNS: &[&str] = &[
    "!=", "<=", ">=", "=~", "=", "<", ">", "|", ",", "(", ")", "[", "]", "*",
];

fn tokens(text: &str) -> Result<Vec<Piece>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '#' => {
                let end = rest.find('\n').unwrap_or(rest.len());
                rest = rest[end..].trim_start();
                continue;
            }
            '"' | '\'' | '`' => {
                let (inner, after) = enclosed(rest, first)?;
                let inner = inner.replace(&format!("\\{first}"), &first.to_string());
                match first {
                    '`' => (Piece::Word(inner), after),
                    _ => (Piece::Text(inner), after),
                }
            }
            '/' => {
                let (inner, after) = enclosed(rest, '/')?;
                (Piece::Expression(inner.replace("\\/", "/")), after)
            }
            _ => match SIGNS.iter().find(|it| rest.starts_with(**it)) {
                Some(sign) => (Piece::Sign(sign), &rest[sign.len()..]),
                None => {
                    let is_part = |it: char| it.is_alphanumeric() || "@_.-:".contains(it);
                    let end = rest.find(|it| !is_part(it)).unwrap_or(rest.len());
                    if end == 0 {
                        return Err(format!("`{first}` is not understood"));
                    }
                    (Piece::Word(rest[..end].to_owned()), &rest[end..])
                }
            },
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

/// What stands between two of a sign, and what follows. A backslash takes the next character as it is.
fn enclosed(text: &str, sign: char) -> Result<(&str, &str), String> {
    let mut is_escaped = false;
    for (at, it) in text.char_indices().skip(1) {
        match it {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if it == sign => return Ok((&text[1..at], &text[at + 1..])),
            _ => {}
        }
    }
    Err(format!("`{sign}` is not closed"))
}

struct Reader<'a> {
    tokens: &'a [Piece],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Piece> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Piece::Sign(it)) if *it == sign);
        self.at += usize::from(found);
        found
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Piece::Word(it)) if it.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        match self.takes_sign(sign) {
            true => Ok(()),
            false => Err(format!("`{sign}` is missing")),
        }
    }

    fn word(&mut self, what: &str) -> Result<String, String> {
        match self.next() {
            Some(Piece::Word(word)) => Ok(word),
            _ => Err(format!("{what} is missing")),
        }
    }

    fn value(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Piece::Word(text) | Piece::Text(text)) => Ok(text),
            _ => Err("a value is missing".into()),
        }
    }

    /// A list with commas between.
    fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut all = vec![one(self)?];
        while self.takes_sign(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn command(&mut self) -> Result<Command, String> {
        let name = self.word("a command")?;
        match name.to_ascii_lowercase().as_str() {
            "fields" => Ok(Command::Fields(self.list(Self::named_field)?)),
            "display" => Ok(Command::Display(self.list(Self::field)?)),
            "filter" => Ok(Command::Filter(self.any()?)),
            "parse" => self.parse().map(Command::Parse),
            "stats" => self.stats().map(Command::Stats),
            "sort" => Ok(Command::Sort(self.list(Self::sorted)?)),
            "limit" | "head" => {
                let count = self.word("a number")?;
                let number = count
                    .parse()
                    .map_err(|_| format!("`{count}` is no number"))?;
                Ok(Command::Limit(number))
            }
            _ => Err(format!("the command `{name}` is not supported by neargate")),
        }
    }

    /// A field. What is in parentheses after it makes it a function.
    fn field(&mut self) -> Result<String, String> {
        let name = self.word("a field")?;
        match self.takes_sign("(") {
            true => Err(format!(
                "the function `{name}` is not supported by neargate there"
            )),
            false => Ok(name),
        }
    }

    fn named_field(&mut self) -> Result<(String, Option<String>), String> {
        let field = self.field()?;
        let name = match self.takes_word("as") {
            true => Some(self.word("a name")?),
            false => None,
        };
        Ok((field, name))
    }

    fn sorted(&mut self) -> Result<(String, bool), String> {
        let mut field = self.word("a field")?;
        if self.takes_sign("(") {
            // What `stats` calls a value that was given no name.
            let of = match self.takes_sign("*") {
                true => "*".to_owned(),
                false => self.word("a field")?,
            };
            self.expect(")")?;
            field = format!("{field}({of})");
        }
        let descending = self.takes_word("desc");
        if !descending {
            self.takes_word("asc");
        }
        Ok((field, descending))
    }

    fn parse(&mut self) -> Result<Parse, String> {
        let field = match self.tokens.get(self.at) {
            Some(Piece::Word(_)) => self.word("a field")?,
            _ => "@message".to_owned(),
        };
        match self.next() {
            Some(Piece::Expression(text)) => {
                let how = compile(&text)?;
                let names = how.capture_names().skip(1);
                let names: Option<Vec<String>> = names.map(|it| it.map(str::to_owned)).collect();
                let names = names.filter(|it| !it.is_empty());
                let names =
                    names.ok_or("each group of the expression needs a name, `(?<name>…)`")?;
                Ok(Parse { field, how, names })
            }
            Some(Piece::Text(pattern)) => {
                let parts: Vec<String> = pattern.split('*').map(regex::escape).collect();
                // The last part takes the rest when nothing follows it.
                let mut how = parts.join("(.*?)");
                if pattern.ends_with('*') {
                    how.truncate(how.len() - "(.*?)".len());
                    how.push_str("(.*)");
                }
                if !self.takes_word("as") {
                    return Err("`as` is missing".into());
                }
                let names = self.list(|it| it.word("a name"))?;
                if names.len() + 1 != parts.len() {
                    return Err(format!(
                        "{} names are given for {} `*`",
                        names.len(),
                        parts.len() - 1
                    ));
                }
                let how = compile(&format!("(?s){how}"))?;
                Ok(Parse { field, how, names })
            }
            _ => Err("a pattern is missing".into()),
        }
    }

    fn stats(&mut self) -> Result<Stats, String> {
        let values = self.list(Self::aggregate)?;
        let by = match self.takes_word("by") {
            true => self.list(Self::by)?,
            false => Vec::new(),
        };
        Ok(Stats { values, by })
    }

    fn aggregate(&mut self) -> Result<(Aggregate, String), String> {
        let function = self.word("a function")?;
        self.expect("(")?;
        let field = match self.takes_sign("*") {
            true => "*".to_owned(),
            false => self.word("a field")?,
        };
        let mut written = format!("{function}({field}");
        let lower = function.to_ascii_lowercase();
        let of = field.clone();
        let aggregate = match lower.as_str() {
            "count" => Aggregate::Count((field != "*").then_some(of)),
            "count_distinct" => Aggregate::CountDistinct(of),
            "sum" => Aggregate::Sum(of),
            "avg" => Aggregate::Avg(of),
            "min" => Aggregate::Min(of),
            "max" => Aggregate::Max(of),
            "pct" | "percentile" => {
                self.expect(",")?;
                let percent = self.word("a number")?;
                written.push_str(&format!(", {percent}"));
                let number = percent.parse().ok().filter(|it| (0.0..=100.0).contains(it));
                Aggregate::Pct(
                    of,
                    number.ok_or_else(|| format!("`{percent}` is no percentage"))?,
                )
            }
            _ => {
                return Err(format!(
                    "the function `{function}` is not supported by neargate"
                ));
            }
        };
        self.expect(")")?;
        written.push(')');
        let name = match self.takes_word("as") {
            true => self.word("a name")?,
            false => written,
        };
        Ok((aggregate, name))
    }

    fn by(&mut self) -> Result<By, String> {
        let name = self.word("a field")?;
        if !self.takes_sign("(") {
            return Ok(By::Field(name));
        }
        if !name.eq_ignore_ascii_case("bin") {
            return Err(format!(
                "the function `{name}` is not supported by neargate there"
            ));
        }
        let span = self.word("a span of time")?;
        self.expect(")")?;
        let written = format!("bin({span})");
        let name = match self.takes_word("as") {
            true => self.word("a name")?,
            false => written,
        };
        Ok(By::Bin {
            ms: span_ms(&span)?,
            name,
        })
    }

    fn any(&mut self) -> Result<Predicate, String> {
        let mut all = vec![self.all()?];
        while self.takes_word("or") {
            all.push(self.all()?);
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Predicate::Any(all),
        })
    }

    fn all(&mut self) -> Result<Predicate, String> {
        let mut all = vec![self.one()?];
        while self.takes_word("and") {
            all.push(self.one()?);
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Predicate::All(all),
        })
    }

    fn one(&mut self) -> Result<Predicate, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("too many parentheses".into());
        }
        let condition = self.one_within()?;
        self.depth -= 1;
        Ok(condition)
    }

    fn one_within(&mut self) -> Result<Predicate, String> {
        if self.takes_word("not") {
            return Ok(Predicate::Not(Box::new(self.one()?)));
        }
        if self.takes_sign("(") {
            let condition = self.any()?;
            self.expect(")")?;
            return Ok(condition);
        }
        let field = self.word("a field")?;
        if self.takes_sign("(") {
            if !field.eq_ignore_ascii_case("ispresent") {
                return Err(format!(
                    "the function `{field}` is not supported by neargate there"
                ));
            }
            let of = self.word("a field")?;
            self.expect(")")?;
            return Ok(Predicate::Present(of));
        }
        self.test(field)
    }

    fn test(&mut self, field: String) -> Result<Predicate, String> {
        let mut signs = Comparison::SIGNS.into_iter();
        if let Some((_, comparison)) = signs.find(|(sign, _)| self.takes_sign(sign)) {
            return Ok(Predicate::Compare(field, comparison, self.value()?));
        }
        if self.takes_sign("=~") {
            return self.like(field);
        }
        if self.takes_word("like") {
            return self.like(field);
        }
        if self.takes_word("in") {
            return self.within(field);
        }
        if self.takes_word("not") {
            let inner = match () {
                () if self.takes_word("like") => self.like(field)?,
                () if self.takes_word("in") => self.within(field)?,
                () => return Err("`like` or `in` is missing after `not`".into()),
            };
            return Ok(Predicate::Not(Box::new(inner)));
        }
        Err(format!("what is asked of `{field}` is missing"))
    }

    fn like(&mut self, field: String) -> Result<Predicate, String> {
        match self.next() {
            Some(Piece::Expression(text)) => Ok(Predicate::Matches(field, compile(&text)?)),
            Some(Piece::Text(text)) if text.contains('%') => {
                let parts = text.split('%').map(regex::escape).collect::<Vec<_>>();
                let how = compile(&format!("(?s)^{}$", parts.join(".*")))?;
                Ok(Predicate::Matches(field, how))
            }
            Some(Piece::Text(text)) => Ok(Predicate::Has(field, text)),
            _ => Err("a text or an expression is missing after `like`".into()),
        }
    }

    fn within(&mut self, field: String) -> Result<Predicate, String> {
        self.expect("[")?;
        let values = self.list(Self::value)?;
        self.expect("]")?;
        Ok(Predicate::In(field, values))
    }
}

/// `5m`, `1h`, `30s`, `1d`, `100ms`, `2w`.
fn span_ms(text: &str) -> Result<i64, String> {
    let bad = || format!("`{text}` is no span of time");
    let end = text.find(|it: char| !it.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(end);
    let unit_ms: i64 = match unit {
        "ms" => 1,
        "s" | "sec" | "second" | "seconds" => 1000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hr" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "week" | "weeks" => 7 * 86_400_000,
        _ => return Err(bad()),
    };
    let number: i64 = number.parse().map_err(|_| bad())?;
    let ms = number.checked_mul(unit_ms).filter(|it| *it > 0);
    ms.ok_or_else(bad)
}
