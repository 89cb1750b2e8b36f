//! Reads an expression.

use cloud::Error;

use super::wrong;

/// Parentheses and calls within each other: expressions have 2048 characters at most.
const DEPTH_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    Number(f64),
    Text(String),
    Id(String),
    List(Vec<Expression>),
    Signed(Sign, Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    Call(String, Vec<Expression>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Minus,
    Not,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    Unequal,
    And,
    Or,
}

impl Expression {
    /// Calls `see` with every id that it names.
    pub fn ids(&self, see: &mut impl FnMut(&str)) {
        match self {
            Self::Id(id) => see(id),
            Self::Number(_) | Self::Text(_) => (),
            Self::List(items) | Self::Call(_, items) => items.iter().for_each(|it| it.ids(see)),
            Self::Signed(_, inner) => inner.ids(see),
            Self::Binary(_, left, right) => {
                left.ids(see);
                right.ids(see);
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Word(String),
    Sign(&'static str),
}

const SIGNS: &[&str] = &[
    "<=", ">=", "==", "!=", "&&", "||", "+", "-", "*", "/", "^", "<", ">", "!", "(", ")", "[", "]",
    ",",
];

pub fn parse(text: &str) -> Result<Expression, Error> {
    if text
        .trim_start()
        .to_ascii_uppercase()
        .starts_with("SELECT ")
    {
        return Err(wrong(
            "Metrics Insights queries (SELECT) are not supported by neargate",
        ));
    }
    let failed = |why: String| wrong(format!("Error in expression '{text}': {why}"));
    let tokens = tokens(text).map_err(failed)?;
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    let expression = reader.binary(0).map_err(failed)?;
    match reader.peek() {
        None => Ok(expression),
        Some(token) => Err(failed(format!("unexpected {}", shown(token)))),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Number(number) => format!("'{number}'"),
        Token::Text(text) => format!("\"{text}\""),
        Token::Word(word) => format!("'{word}'"),
        Token::Sign(sign) => format!("'{sign}'"),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut rest = text.trim_start();
    let mut out = Vec::new();
    while let Some(first) = rest.chars().next() {
        let take = |accept: fn(char) -> bool| {
            let end = rest.find(|it| !accept(it)).unwrap_or(rest.len());
            rest.split_at(end)
        };
        if first.is_ascii_digit() || first == '.' {
            let (number, after) = take(|it| it.is_ascii_digit() || it == '.');
            let value = number.parse();
            out.push(Token::Number(
                value.map_err(|_| format!("'{number}' is not a number"))?,
            ));
            rest = after;
        } else if first.is_ascii_alphabetic() {
            let (word, after) = take(|it| it.is_ascii_alphanumeric() || it == '_');
            out.push(Token::Word(word.to_owned()));
            rest = after;
        } else if first == '"' || first == '\'' {
            let (inner, after) = rest[1..].split_once(first).ok_or("a quote is not closed")?;
            out.push(Token::Text(inner.to_owned()));
            rest = after;
        } else if let Some(sign) = SIGNS.iter().find(|it| rest.starts_with(**it)) {
            out.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else {
            return Err(format!("unexpected '{first}'"));
        }
        rest = rest.trim_start();
    }
    Ok(out)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

/// How tightly an operator binds, and whether it groups from the right.
fn operator(token: &Token) -> Option<(Operator, u8, bool)> {
    let text = match token {
        Token::Sign(sign) => *sign,
        Token::Word(word) => word.as_str(),
        _ => return None,
    };
    Some(match text {
        "||" | "OR" => (Operator::Or, 1, false),
        "&&" | "AND" => (Operator::And, 2, false),
        "<" => (Operator::Less, 3, false),
        "<=" => (Operator::LessOrEqual, 3, false),
        ">" => (Operator::Greater, 3, false),
        ">=" => (Operator::GreaterOrEqual, 3, false),
        "==" => (Operator::Equal, 3, false),
        "!=" => (Operator::Unequal, 3, false),
        "+" => (Operator::Add, 4, false),
        "-" => (Operator::Subtract, 4, false),
        "*" => (Operator::Multiply, 5, false),
        "/" => (Operator::Divide, 5, false),
        "^" => (Operator::Power, 7, true),
        _ => return None,
    })
}

/// A sign before a value binds tighter than a product and less than a power.
const SIGNED: u8 = 6;

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("it ends too early")?;
        self.at += 1;
        Ok(token)
    }

    fn accept(&mut self, sign: &'static str) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    /// Operators that bind at least as tightly as `least`.
    fn binary(&mut self, least: u8) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("it is nested too deeply".into());
        }
        let mut left = self.value()?;
        while let Some((operator, binds, from_right)) = self.peek().and_then(operator) {
            if binds < least {
                break;
            }
            self.at += 1;
            let right = self.binary(binds + u8::from(!from_right))?;
            left = Expression::Binary(operator, left.into(), right.into());
        }
        self.depth -= 1;
        Ok(left)
    }

    fn value(&mut self) -> Result<Expression, String> {
        match self.next()? {
            Token::Number(number) => Ok(Expression::Number(number)),
            Token::Text(text) => Ok(Expression::Text(text)),
            Token::Sign("-") => Ok(Expression::Signed(Sign::Minus, self.binary(SIGNED)?.into())),
            Token::Sign("!") => Ok(Expression::Signed(Sign::Not, self.binary(SIGNED)?.into())),
            Token::Sign("(") => {
                let inner = self.binary(0)?;
                match self.accept(")") {
                    true => Ok(inner),
                    false => Err("a parenthesis is not closed".into()),
                }
            }
            Token::Sign("[") => Ok(Expression::List(self.list("]")?)),
            Token::Word(word) if self.accept("(") => {
                Ok(Expression::Call(word.to_ascii_uppercase(), self.list(")")?))
            }
            Token::Word(word) => Ok(Expression::Id(word)),
            token => Err(format!("unexpected {}", shown(&token))),
        }
    }

    fn list(&mut self, end: &'static str) -> Result<Vec<Expression>, String> {
        let mut items = Vec::new();
        if self.accept(end) {
            return Ok(items);
        }
        loop {
            items.push(self.binary(0)?);
            if self.accept(end) {
                return Ok(items);
            }
            if !self.accept(",") {
                return Err(format!("'{end}' is missing"));
            }
        }
    }
}
