//! Layouts of YAML that CloudFormation's reader takes and the one here does not: closing brackets and
//! items of a list in brackets that are not indented deeper than the key, and tabs where blanks are meant.
//!
//! ```text
//! Subnets: [            Subnets: [
//!   a, b          ─>              a, b
//! ]                                ]
//! ```
//!
//! Only how the text is laid out changes, and only outside of quotes and blocks of text. Lines stay lines,
//! so that what is wrong with a template is still found at its line.

/// The same text, laid out as any reader takes it.
pub fn relaxed(text: &str) -> String {
    let mut layout = Layout::default();
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        layout.line(line, &mut out);
        out.push('\n');
    }
    out
}

/// What is open at the end of a line.
#[derive(Default)]
struct Layout {
    quote: Option<char>,
    /// Open brackets.
    depth: usize,
    /// Where the outermost of them stands.
    column: usize,
    /// The indentation of the key whose text is a block.
    block: Option<usize>,
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

impl Layout {
    fn line(&mut self, line: &str, out: &mut String) {
        if let Some(outer) = self.block {
            if line.trim().is_empty() || indentation(line) > outer {
                out.push_str(line);
                return;
            }
            self.block = None;
        }
        let mut rest = line;
        if self.quote.is_none() && self.depth > 0 {
            rest = line.trim_start_matches([' ', '\t']);
            let column = (line.len() - rest.len()).max(self.column + 1);
            out.extend(std::iter::repeat_n(' ', column));
        }
        let begin = out.len();
        self.scan(rest, line, out);
        if self.quote.is_none() {
            let kept = out[begin..].trim_end_matches([' ', '\t', '\r']).len();
            out.truncate(begin + kept);
        }
        if self.quote.is_none() && self.depth == 0 && is_block_header(&out[begin..]) {
            self.block = Some(indentation(line));
        }
    }

    /// Copies what a line says, keeping account of quotes and brackets.
    fn scan(&mut self, rest: &str, line: &str, out: &mut String) {
        let begin = out.len();
        let mut characters = rest.chars().peekable();
        while let Some(it) = characters.next() {
            if let Some(quote) = self.quote {
                out.push(it);
                match it {
                    '\\' if quote == '"' => out.extend(characters.next()),
                    _ if it == quote && quote == '\'' && characters.peek() == Some(&quote) => {
                        out.extend(characters.next());
                    }
                    _ if it == quote => self.quote = None,
                    _ => {}
                }
                continue;
            }
            let before = &out[begin..];
            let is_indentation = before.trim().is_empty();
            let follows_blank = before.is_empty() || before.ends_with([' ', '\t']);
            match it {
                '#' if follows_blank => {
                    out.push(it);
                    out.extend(characters);
                    return;
                }
                '"' | '\'' if begins_value(before, self.depth) => self.quote = Some(it),
                '[' | '{' if begins_value(before, self.depth) => {
                    if self.depth == 0 {
                        self.column = line.len() - rest.len() + before.len();
                    }
                    self.depth += 1;
                }
                ']' | '}' if self.depth > 0 => self.depth -= 1,
                _ => {}
            }
            out.push(match it {
                '\t' if !is_indentation => ' ',
                other => other,
            });
        }
    }
}

/// Whether a quote or a bracket behind this begins a value, and is not part of a text.
fn begins_value(before: &str, depth: usize) -> bool {
    let trimmed = before.trim_end();
    if trimmed.is_empty() || (depth > 0 && trimmed.ends_with(['[', '{', ','])) {
        return true;
    }
    let is_apart = trimmed.len() < before.len();
    let last_word = trimmed.rsplit([' ', '\t']).next().unwrap_or_default();
    (is_apart && (trimmed.ends_with([':', '-', '?']) || last_word.starts_with('!')))
        || (depth > 0 && trimmed.ends_with(':'))
}

/// `Key: |`, `- >-` and their like: what follows is text.
fn is_block_header(line: &str) -> bool {
    let line = line.split(" #").next().unwrap_or_default().trim_end();
    let head = line.trim_end_matches(|it: char| it.is_ascii_digit() || matches!(it, '+' | '-'));
    let Some(before) = head.strip_suffix(['|', '>']) else {
        return false;
    };
    before.is_empty() || before.ends_with([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::relaxed;

    #[test]
    fn brackets_stand_right_of_what_opened_them_and_nothing_else_moves() {
        for (text, expect) in [
            ("a: [\n  b\n]\nc: d\n", "a: [\n    b\n    ]\nc: d\n"),
            ("- a: {\nb: c }\n", "- a: {\n      b: c }\n"),
            ("a: x[1]\nb: 'it ]\n ['\n", "a: x[1]\nb: 'it ]\n ['\n"),
            ("a: |\n  [ x\t\nb: [\n]\n", "a: |\n  [ x\t\nb: [\n    ]\n"),
            ("a:\t b\t\nc: \"\t\"\n", "a:  b\nc: \"\t\"\n"),
            (
                "a: !Sub [\n'${b}'\n]\n",
                "a: !Sub [\n         '${b}'\n         ]\n",
            ),
            ("a: don't [\n# [\nb: c\n", "a: don't [\n# [\nb: c\n"),
        ] {
            assert_eq!(relaxed(text), expect, "{text}");
        }
    }
}
