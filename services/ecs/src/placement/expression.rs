//! The cluster query language (ECS Developer Guide, "Create expressions to define container instances"):
//! `attribute:ecs.instance-type =~ t3.* and task:group != service:web`. Read once, then asked of instances.
//! Pure.

use regex::{Regex, RegexBuilder};

/// What an instance answers an expression. A subject that it lacks has no value; some have several.
pub trait Subjects {
    fn values(&self, subject: &Subject) -> Vec<String>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    AgentConnected,
    AgentVersion,
    Attribute(String),
    Ec2InstanceId,
    RunningTasksCount,
    TaskGroup,
}

#[derive(Debug, Clone)]
pub enum Expression {
    Term(Subject, Test),
    Not(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
}

#[derive(Debug, Clone)]
pub enum Test {
    Exists,
    Compare(Comparison, String),
    In(Vec<String>),
    Matches(Regex),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

/// "The expression can have a maximum length of 2000 characters" (`PlacementConstraint`).
const LENGTH_MAX: usize = 2000;
/// Parentheses and negations in each other: the reader calls itself for each.
const DEPTH_MAX: usize = 32;
/// A compiled pattern takes no more memory than this.
const PATTERN_BYTES_MAX: usize = 1 << 16;

impl Expression {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LENGTH_MAX {
            return Err(format!("an expression has at most {LENGTH_MAX} characters"));
        }
        let mut reader = Reader { rest: text };
        let found = reader.any_of(0)?;
        match reader.rest.trim_start() {
            "" => Ok(found),
            left => Err(format!("`{left}` is not understood")),
        }
    }

    pub fn is_met_by(&self, instance: &dyn Subjects) -> bool {
        match self {
            Self::Not(of) => !of.is_met_by(instance),
            Self::And(one, other) => one.is_met_by(instance) && other.is_met_by(instance),
            Self::Or(one, other) => one.is_met_by(instance) || other.is_met_by(instance),
            Self::Term(subject, test) => {
                let values = instance.values(subject);
                match test {
                    Test::Exists => !values.is_empty(),
                    Test::Compare(how, with) => values.iter().any(|it| how.holds(it, with)),
                    Test::In(list) => values.iter().any(|it| list.contains(it)),
                    Test::Matches(pattern) => values.iter().any(|it| pattern.is_match(it)),
                }
            }
        }
    }
}

impl Comparison {
    fn holds(self, value: &str, with: &str) -> bool {
        let order = match (numbers(value), numbers(with)) {
            (Some(value), Some(with)) => value.cmp(&with),
            _ => value.cmp(with),
        };
        match self {
            Self::Equal => order.is_eq(),
            Self::Greater => order.is_gt(),
            Self::GreaterEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
        }
    }
}

/// A number, or a version's numbers.
fn numbers(text: &str) -> Option<Vec<u64>> {
    text.split('.').map(|it| it.parse().ok()).collect()
}

/// What words and patterns end at.
fn ends_word(it: char) -> bool {
    it.is_whitespace() || "()[],!=<>&|~'\"".contains(it)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Takes the first of these signs that comes next.
    fn sign(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        let rest = self.rest.trim_start();
        let found = signs.iter().find(|it| rest.starts_with(**it))?;
        self.rest = &rest[found.len()..];
        Some(found)
    }

    /// The word that comes next, which stays.
    fn peek(&self) -> &'a str {
        let rest = self.rest.trim_start();
        &rest[..rest.find(ends_word).unwrap_or(rest.len())]
    }

    fn word(&mut self) -> &'a str {
        let word = self.peek();
        self.rest = &self.rest.trim_start()[word.len()..];
        word
    }

    /// Takes this word if it comes next.
    fn keyword(&mut self, wanted: &str) -> bool {
        let comes = self.peek().eq_ignore_ascii_case(wanted);
        if comes {
            self.word();
        }
        comes
    }

    fn any_of(&mut self, depth: usize) -> Result<Expression, String> {
        let mut found = self.all_of(depth)?;
        while self.sign(&["||"]).is_some() || self.keyword("or") {
            found = Expression::Or(Box::new(found), Box::new(self.all_of(depth)?));
        }
        Ok(found)
    }

    fn all_of(&mut self, depth: usize) -> Result<Expression, String> {
        let mut found = self.one(depth)?;
        while self.sign(&["&&"]).is_some() || self.keyword("and") {
            found = Expression::And(Box::new(found), Box::new(self.one(depth)?));
        }
        Ok(found)
    }

    fn one(&mut self, depth: usize) -> Result<Expression, String> {
        if depth >= DEPTH_MAX {
            return Err(format!(
                "there are more than {DEPTH_MAX} things in each other"
            ));
        }
        if self.sign(&["!"]).is_some() || self.keyword("not") {
            return Ok(Expression::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.sign(&["("]).is_some() {
            let found = self.any_of(depth + 1)?;
            return match self.sign(&[")"]) {
                Some(_) => Ok(found),
                None => Err("a `)` is missing".into()),
            };
        }
        self.term()
    }

    fn term(&mut self) -> Result<Expression, String> {
        let subject = subject(self.word())?;
        let (operator, negated) = self.operator()?;
        let test = match operator {
            "exists" => Test::Exists,
            "in" => Test::In(self.list()?),
            "matches" => Test::Matches(self.pattern()?),
            other => Test::Compare(comparison(other), self.value()?),
        };
        let term = Expression::Term(subject, test);
        Ok(match negated {
            true => Expression::Not(Box::new(term)),
            false => term,
        })
    }

    /// The operator's word, and whether the opposite is meant.
    fn operator(&mut self) -> Result<(&'static str, bool), String> {
        const SIGNS: [(&str, &str, bool); 8] = [
            ("==", "equals", false),
            ("!=", "equals", true),
            ("=~", "matches", false),
            ("!~", "matches", true),
            (">=", "greater_than_equal", false),
            ("<=", "less_than_equal", false),
            (">", "greater_than", false),
            ("<", "less_than", false),
        ];
        for (sign, word, negated) in SIGNS {
            if self.sign(&[sign]).is_some() {
                return Ok((word, negated));
            }
        }
        let negated = self.sign(&["!"]).is_some();
        let word = self.word();
        let (word, negated) = match word.strip_prefix("not_") {
            Some(rest) => (rest, !negated),
            None => (word, negated),
        };
        const WORDS: [&str; 8] = [
            "equals",
            "matches",
            "exists",
            "in",
            "greater_than",
            "greater_than_equal",
            "less_than",
            "less_than_equal",
        ];
        let may_be_negated = ["equals", "matches", "exists", "in"].contains(&word);
        match WORDS.into_iter().find(|it| *it == word) {
            Some(word) if may_be_negated || !negated => Ok((word, negated)),
            _ => Err(format!("`{word}` is no operator")),
        }
    }

    fn value(&mut self) -> Result<String, String> {
        if let Some(quoted) = self.quoted()? {
            return Ok(quoted);
        }
        match self.word() {
            "" => Err("a value is missing".into()),
            word => Ok(word.to_owned()),
        }
    }

    fn quoted(&mut self) -> Result<Option<String>, String> {
        let Some(quote) = self.sign(&["'", "\""]) else {
            return Ok(None);
        };
        let Some((text, rest)) = self.rest.split_once(quote) else {
            return Err(format!("a closing {quote} is missing"));
        };
        self.rest = rest;
        Ok(Some(text.to_owned()))
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        if self.sign(&["["]).is_none() {
            return Err("`in` needs a list: [one, other]".into());
        }
        let mut values = vec![self.value()?];
        while self.sign(&[","]).is_some() {
            values.push(self.value()?);
        }
        match self.sign(&["]"]) {
            Some(_) => Ok(values),
            None => Err("a `]` is missing".into()),
        }
    }

    /// A pattern ends with white space, or with a `)` that it has not opened itself.
    fn pattern(&mut self) -> Result<Regex, String> {
        let text = match self.quoted()? {
            Some(quoted) => quoted,
            None => {
                let rest = self.rest.trim_start();
                let mut open = 0_usize;
                let ends = |(_, it): &(usize, char)| {
                    match it {
                        '(' => open += 1,
                        ')' if open == 0 => return true,
                        ')' => open -= 1,
                        _ => (),
                    }
                    it.is_whitespace()
                };
                let end = rest.char_indices().find(ends).map_or(rest.len(), |it| it.0);
                self.rest = &rest[end..];
                rest[..end].to_owned()
            }
        };
        if text.is_empty() {
            return Err("a pattern is missing".into());
        }
        RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|_| format!("the pattern `{text}` is not understood"))
    }
}

fn comparison(word: &str) -> Comparison {
    match word {
        "greater_than" => Comparison::Greater,
        "greater_than_equal" => Comparison::GreaterEqual,
        "less_than" => Comparison::Less,
        "less_than_equal" => Comparison::LessEqual,
        _ => Comparison::Equal,
    }
}

fn subject(word: &str) -> Result<Subject, String> {
    match word {
        "agentConnected" => Ok(Subject::AgentConnected),
        "agentVersion" => Ok(Subject::AgentVersion),
        "ec2InstanceId" => Ok(Subject::Ec2InstanceId),
        "runningTasksCount" => Ok(Subject::RunningTasksCount),
        "task:group" => Ok(Subject::TaskGroup),
        "registeredAt" => Err("the subject registeredAt is not supported by neargate".into()),
        "" => Err("a subject is missing".into()),
        other => match other.strip_prefix("attribute:").filter(|it| !it.is_empty()) {
            Some(name) => Ok(Subject::Attribute(name.to_owned())),
            None => Err(format!("`{other}` is no subject")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Instance;

    impl Subjects for Instance {
        fn values(&self, subject: &Subject) -> Vec<String> {
            let all: &[&str] = match subject {
                Subject::AgentConnected => &["true"],
                Subject::AgentVersion => &["1.94.10"],
                Subject::Ec2InstanceId => &["i-1"],
                Subject::RunningTasksCount => &["12"],
                Subject::TaskGroup => &["service:web", "family:job"],
                Subject::Attribute(name) => match name.as_str() {
                    "ecs.instance-type" => &["t3.micro"],
                    "ecs.availability-zone" => &["us-east-1a"],
                    "stack" => &["prod"],
                    _ => &[],
                },
            };
            all.iter().map(|it| (*it).to_owned()).collect()
        }
    }

    fn check(text: &str, expected: bool) {
        let read = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read.is_met_by(&Instance), expected, "{text}");
    }

    #[test]
    fn expressions_say_what_the_guide_says_that_they_do() {
        for (text, expected) in [
            ("attribute:ecs.instance-type == t3.micro", true),
            ("attribute:ecs.instance-type==t3.micro", true),
            ("attribute:ecs.instance-type equals t2.micro", false),
            ("attribute:ecs.instance-type =~ t3.*", true),
            ("attribute:ecs.instance-type =~ t3", false),
            ("attribute:ecs.instance-type !~ g2.*", true),
            (
                "attribute:ecs.instance-type matches (t2|t3).(micro|small)",
                true,
            ),
            ("(attribute:ecs.instance-type =~ t2.*)", false),
            (
                "attribute:ecs.availability-zone in [us-east-1a, us-east-1b]",
                true,
            ),
            (
                "attribute:ecs.availability-zone !in [us-east-1a,us-east-1b]",
                false,
            ),
            ("attribute:ecs.availability-zone not_in [us-west-2a]", true),
            ("attribute:stack exists", true),
            ("attribute:stack !exists", false),
            ("attribute:nope not_exists", true),
            ("attribute:nope == x", false),
            ("attribute:nope != x", true),
            ("task:group == service:web", true),
            ("not(task:group == service:web)", false),
            ("!(task:group == database)", true),
            ("task:group != service:web", false),
            ("runningTasksCount > 9", true),
            ("runningTasksCount less_than_equal 12", true),
            ("runningTasksCount >= 13", false),
            ("agentVersion greater_than 1.9.2", true),
            ("agentConnected == true", true),
            ("ec2InstanceId in ['i-1', \"i-2\"]", true),
            (
                "attribute:stack == dev or attribute:stack == prod and runningTasksCount == 1",
                false,
            ),
            (
                "(attribute:stack == prod || attribute:stack == dev) && runningTasksCount == 12",
                true,
            ),
            (
                "attribute:ecs.instance-type =~ t3.* and attribute:stack == prod",
                true,
            ),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn what_is_no_expression_is_refused_and_nothing_is_without_a_bound() {
        let deep = format!("{}attribute:a exists", "!".repeat(40));
        let long = format!("attribute:a == {}", "x".repeat(2000));
        let costly = "attribute:a =~ ((a{99}){99}){99}";
        for text in [
            "",
            "stack == prod",
            "attribute: == x",
            "attribute:a",
            "attribute:a ==",
            "attribute:a = b",
            "attribute:a in x",
            "attribute:a in [x",
            "(attribute:a exists",
            "attribute:a exists)",
            "attribute:a =~ (",
            "attribute:a =~",
            "attribute:a == 'x",
            "attribute:a !greater_than 1",
            "attribute:a exists attribute:b exists",
            "registeredAt < 2018",
            &deep,
            &long,
            costly,
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }
}
