//! JSON into [`Node`]s. JSON is read by its own rules and not as YAML: tabs, `\/` and surrogate
//! pairs are fine in one and not in the other. As with AWS, a comma may stand behind the last member, and
//! of a key that is twice in an object the last one counts.

use crate::error::{Result, TemplateError};
use crate::limits::DEPTH_MAX;
use crate::node::{Content, Key, Node, Span};
use crate::yaml::enter;

/// True for a text that can only be meant as JSON.
pub fn looks_like_json(text: &str) -> bool {
    text.trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with('{')
}

pub fn read(text: &str) -> Result<Node> {
    let mut reader = Reader {
        rest: text.trim_start_matches('\u{feff}').chars().peekable(),
        span: Span { line: 1, column: 1 },
    };
    let node = reader.node(0)?;
    reader.skip_space();
    match reader.rest.peek() {
        None => Ok(node),
        Some(_) => Err(reader.malformed("there is more text after the template")),
    }
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    /// The place of the next character.
    span: Span,
}

impl Reader<'_> {
    fn malformed(&self, detail: &str) -> TemplateError {
        TemplateError::format(self.span, "JSON not well-formed.").detail(detail)
    }

    fn take(&mut self) -> Option<char> {
        let taken = self.rest.next()?;
        if taken == '\n' {
            self.span.line += 1;
            self.span.column = 1;
        } else {
            self.span.column += 1;
        }
        Some(taken)
    }

    fn skip_space(&mut self) {
        while matches!(self.rest.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.take();
        }
    }

    /// Takes `wanted` if it comes next.
    fn eat(&mut self, wanted: char) -> bool {
        self.skip_space();
        let is_next = self.rest.peek() == Some(&wanted);
        if is_next {
            self.take();
        }
        is_next
    }

    fn node(&mut self, depth: usize) -> Result<Node> {
        if depth > DEPTH_MAX {
            return Err(self.malformed("nested too deep"));
        }
        self.skip_space();
        let span = self.span;
        let content = match self.rest.peek() {
            Some('{') => self.map(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Content::Quoted(self.text()?),
            _ => self.word()?,
        };
        Ok(Node {
            span,
            tag: None,
            content,
        })
    }

    fn map(&mut self, depth: usize) -> Result<Content> {
        self.take();
        let mut entries = Vec::new();
        let mut places = std::collections::HashMap::new();
        if self.eat('}') {
            return Ok(Content::Map(entries));
        }
        loop {
            self.skip_space();
            let span = self.span;
            let text = self.text()?;
            if !self.eat(':') {
                return Err(self.malformed("a colon is missing"));
            }
            let node = self.node(depth + 1)?;
            enter(&mut entries, &mut places, Key { text, span }, node);
            let has_comma = self.eat(',');
            if self.eat('}') {
                return Ok(Content::Map(entries));
            }
            if !has_comma {
                return Err(self.malformed("a comma or a closing brace is missing"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Content> {
        self.take();
        let mut items = Vec::new();
        if self.eat(']') {
            return Ok(Content::List(items));
        }
        loop {
            items.push(self.node(depth + 1)?);
            let has_comma = self.eat(',');
            if self.eat(']') {
                return Ok(Content::List(items));
            }
            if !has_comma {
                return Err(self.malformed("a comma or a closing bracket is missing"));
            }
        }
    }

    fn text(&mut self) -> Result<String> {
        if self.rest.peek() != Some(&'"') {
            return Err(self.malformed("a quoted text is missing"));
        }
        self.take();
        let mut text = String::new();
        loop {
            match self.take() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(it) if it >= ' ' => text.push(it),
                Some(_) => return Err(self.malformed("a control character in a text")),
                None => return Err(self.malformed("a text does not end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        match self.take() {
            Some(it @ ('"' | '\\' | '/')) => Ok(it),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => self.unicode_escape(),
            _ => Err(self.malformed("an unknown escape")),
        }
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.four_digits()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if (self.take(), self.take()) != (Some('\\'), Some('u')) {
                return Err(self.malformed("half of a surrogate pair"));
            }
            let second = self.four_digits()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(self.malformed("half of a surrogate pair"));
            }
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.malformed("not a character"))
    }

    fn four_digits(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.take().and_then(|it| it.to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.malformed("four digits are missing"))?;
        }
        Ok(code)
    }

    /// A number or one of the three words.
    fn word(&mut self) -> Result<Content> {
        let mut word = String::new();
        while let Some(it) = self.rest.peek() {
            if !(it.is_ascii_alphanumeric() || matches!(it, '-' | '+' | '.')) {
                break;
            }
            word.extend(self.take());
        }
        match serde_json::from_str::<serde_json::Value>(&word) {
            Ok(_) => Ok(Content::Plain(word)),
            Err(_) => Err(self.malformed("a value is missing")),
        }
    }
}
